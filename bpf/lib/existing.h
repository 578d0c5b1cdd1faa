/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections older than the Enforcer. Nobody proved anything in their handshakes, so their peers are judged by
 * address, but for those whose other end is on this host too. One that policy refuses is kept or cut, as
 * state.cut_existing has it.
 */
#ifndef WW_EXISTING_H
#define WW_EXISTING_H

#include "flow.h"

inline_always void existing_mark(struct ww_judgement *judged, __u32 generation, bool refused)
{
	bool cut = refused && READ_ONCE(state.cut_existing);

	judgement_mark(judged, generation, cut ? WW_REJECT : WW_ALLOW, judged->flags,
		       refused ? WW_REASON_EXISTING_REFUSED : WW_REASON_EXISTING);
}

/* Whether the connection may go on; asks the tables if they are others than those that judged it last. */
own_frame bool existing_allowed(struct ww_flow *flow)
{
	struct ww_judgement *judged = &flow->judged;
	__u32 generation = generation_now();
	struct ends ends;
	bool refused;

	if (judged->generation == generation) {
		refused = judged->reason != WW_REASON_EXISTING && judged->reason != WW_REASON_POLICY &&
			  judged->reason != WW_REASON_EXCLUDED;
	} else {
		ends_of_flow(&ends, flow);
		refused = !judge_again(&ends, generation);
	}
	existing_mark(judged, generation, refused);
	return judged->action == WW_ALLOW;
}

/* Adds to the aggregate what the connection has moved since the last time, or since it was adopted. */
own_frame void account_existing(struct ww_flow *flow, const struct numbers *n)
{
	struct ww_flow_counts more = {
		.connections = !flow->counted,
		.packets_in = n->segments_in - flow->segments_in,
		.packets_out = n->segments_out - flow->segments_out,
		.bytes_in = n->bytes_in > flow->bytes_in ? n->bytes_in - flow->bytes_in : 0,
		.bytes_out = n->bytes_out > flow->bytes_out ? n->bytes_out - flow->bytes_out : 0,
	};
	struct ww_flow_key key;
	struct ends ends;

	flow->counted = 1;
	flow->bytes_in = n->bytes_in;
	flow->bytes_out = n->bytes_out;
	flow->segments_in = n->segments_in;
	flow->segments_out = n->segments_out;
	ends_of_flow(&ends, flow);
	aggregate_key_of(&key, &ends);
	key.proved = 0;
	aggregate(&key, &more);
}

#endif /* WW_EXISTING_H */
