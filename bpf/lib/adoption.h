/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How connections older than the Enforcer get their records: in one look at all sockets each gets one that says
 * whose it is and which way it goes, in a second those whose two ends are both on this host learn of each other.
 */
#ifndef WW_ADOPTION_H
#define WW_ADOPTION_H

#include "existing.h"
#include "handshake.h"
#include "socket.h"

/* Each end adopted -> its unit; filled and used while adopting, emptied by the agent after. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_LIVE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ww_end);
	__type(value, __u32);
} adopted SEC(".maps");

/*
 * Whether the socket opened its connection itself. Of the numbers of its sequence that it has used, all but those
 * of its data were for a SYN, which counts as acknowledged with whoever called and not with whoever answered, and
 * for a FIN. Should the kernel's counts not add up, the end with the lower port is the server.
 */
inline_always bool opened_here(struct tcp_sock *tcp, __u8 tcp_state, const struct ww_flow_id *id)
{
	bool closing = tcp_state == BPF_TCP_FIN_WAIT1 || tcp_state == BPF_TCP_FIN_WAIT2 ||
		       tcp_state == BPF_TCP_CLOSING || tcp_state == BPF_TCP_LAST_ACK;
	__u64 used = tcp->bytes_acked + (__u32)(tcp->snd_nxt - tcp->snd_una);
	__u64 data = tcp->bytes_sent - tcp->bytes_retrans;
	__u64 other = used - data - (closing && tcp->snd_nxt == tcp->write_seq);

	if (other <= 1)
		return other;
	return bpf_ntohs(id->local_port) > bpf_ntohs(id->remote_port);
}

/* The first look: a record, with what has been carried so far as the point to count from. */
own_frame void adopt(struct tcp_sock *tcp, const struct ww_flow_id *id, __u8 tcp_state)
{
	struct ww_end end = {
		.local = id->local,
		.remote = id->remote,
		.local_port = id->local_port,
		.remote_port = id->remote_port,
	};
	struct ww_flow flow = { .id = *id, .existing = 1, .tally = state.tally, .opened = coarse_now() };
	struct numbers n = {};

	if (is_agent(id->cgroup))
		return;
	numbers_of(&n, tcp);
	flow.bytes_in = n.bytes_in;
	flow.bytes_out = n.bytes_out;
	flow.segments_in = n.segments_in;
	flow.segments_out = n.segments_out;
	flow.judged.action = WW_ALLOW;
	flow.judged.reason = WW_REASON_EXISTING;
	flow.unit = unit_of_cgroup(cgroup_in((struct sock *)tcp), &flow.place);
	flow.direction = opened_here(tcp, tcp_state, id) ? WW_OUT : WW_IN;
	flow.port = bpf_ntohs(flow.direction == WW_OUT ? id->remote_port : id->local_port);
	if (!keep(&flow)) {
		count_drop(WW_REASON_NO_MEMORY);
		return;
	}
	count(WW_COUNT_EXISTING);
	if (flow.unit)
		bpf_map_update_elem(&adopted, &end, &flow.unit, BPF_ANY);
}

/* The second look: the other end's unit, if it is on this host; the kernel itself vouches for both. */
own_frame void meet_neighbour(struct ww_flow *flow)
{
	struct ww_end end = {
		.local = flow->id.remote,
		.remote = flow->id.local,
		.local_port = flow->id.remote_port,
		.remote_port = flow->id.local_port,
	};
	__u32 *unit = bpf_map_lookup_elem(&adopted, &end);

	flow->peer = unit ? *unit : 0;
	existing_allowed(flow);
}

#endif /* WW_ADOPTION_H */
