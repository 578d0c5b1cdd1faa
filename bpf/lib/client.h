/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The connecting end: what an answer to our SYN must bring before the connection may open. */
#ifndef WW_CLIENT_H
#define WW_CLIENT_H

#include "handshake.h"

own_frame void client_event(struct __sk_buff *skb, const struct segment *seg, __u32 kind, __u32 badge)
{
	struct ww_event event = {
		.kind = kind,
		.badge = badge,
		.local = seg->local,
		.remote = seg->remote,
		.local_port = seg->local_port,
		.remote_port = seg->remote_port,
		.socket = bpf_get_socket_cookie(skb),
	};

	emit(&event);
}

inline_always int client_abort(struct __sk_buff *skb, const struct segment *seg, struct ww_flow *flow, __u32 badge,
			       enum ww_reason reason, const struct ww_verdict *verdict)
{
	report_refusal(&seg->remote, flow->unit, badge, refusal_of(flow->port, WW_OUT, IPPROTO_TCP, reason), verdict);
	flow->phase = WW_PHASE_REFUSED;
	flow->peer = badge;
	flow->action = WW_REJECT;
	flow->reason = reason;
	client_event(skb, seg, WW_EVENT_ABORT, badge);
	return WW_DROP;
}

inline_always int client_drop(const struct segment *seg, struct ww_flow *flow, __u32 badge, enum ww_reason reason)
{
	report_refusal(&seg->remote, flow->unit, badge, refusal_of(flow->port, WW_OUT, IPPROTO_TCP, reason), NULL);
	return WW_DROP;
}

inline_always int client_without_identity(struct __sk_buff *skb, const struct segment *seg, struct ww_flow *flow,
					  struct ww_unit *unit, __u32 generation)
{
	__u32 bank = bank_of(generation);
	struct ww_verdict *verdict;

	verdict = verdict_of(bank, unit->class[bank & 1], class_of_address(&flow->remote, bank), WW_OUT, IPPROTO_TCP,
			     flow->port);
	if (!verdict || verdict->action != WW_ALLOW)
		return client_abort(skb, seg, flow, 0, WW_REASON_POLICY, verdict);
	flow_take_verdict(flow, verdict);
	flow->generation = generation;
	flow->phase = WW_PHASE_RELEASED;
	return WW_PASS;
}

inline_always int client_synack(struct __sk_buff *skb, const struct segment *seg, struct ww_flow *flow)
{
	__u32 generation = generation_now(), bank = bank_of(generation), badge;
	struct ww_unit *unit = unit_at(flow->place);
	struct ww_verdict *verdict = NULL;
	struct synack_option option;
	struct transcript t = {};
	struct ww_peer *peer;
	struct ww_keys *pair;
	const __u64 *key;

	if (!unit || unit->badge != flow->unit || !unit->class[bank & 1])
		return client_drop(seg, flow, 0, WW_REASON_UNIT_UNKNOWN);
	if (!load_option(skb, seg, &option, sizeof(option)))
		return client_without_identity(skb, seg, flow, unit, generation);
	badge = bpf_ntohl(option.head.badge);
	peer = bpf_map_lookup_elem(&peers, &badge);
	if (!peer || !peer->class[bank & 1]) {
		client_event(skb, seg, WW_EVENT_BADGE_UNKNOWN, badge);
		return client_drop(seg, flow, badge, WW_REASON_BADGE_UNKNOWN);
	}
	t.client = flow->unit;
	t.server = badge;
	t.client_nonce = flow->nonce;
	t.server_nonce = load_be48(option.nonce);
	t.dialled = flow->port;
	t.client_epoch = flow->epoch;
	t.server_epoch = t.server_nonce & 1;
	pair = keys_of(peer->enforcer);
	key = pair ? pairwise_key(pair, flow->epoch, t.server_epoch) : NULL;
	if (!key)
		return client_drop(seg, flow, badge, WW_REASON_KEY_MISSING);
	if ((proof_of(key, WW_MESSAGE_SYNACK, &t) & WW_PROOF_MASK) != load_be48(option.proof)) {
		if (++flow->bad_proofs >= WW_BAD_PROOFS)
			return client_abort(skb, seg, flow, badge, WW_REASON_PROOF_WRONG, NULL);
		return client_drop(seg, flow, badge, WW_REASON_PROOF_WRONG);
	}
	if (badge != flow->unit) {
		verdict = verdict_of(bank, unit->class[bank & 1], peer->class[bank & 1], WW_OUT, IPPROTO_TCP, flow->port);
		if (!verdict || verdict->action != WW_ALLOW)
			return client_abort(skb, seg, flow, badge, WW_REASON_POLICY, verdict);
	}
	flow_take_verdict(flow, verdict);
	flow->action = WW_ALLOW;
	flow->generation = generation;
	flow->peer = badge;
	flow->server_epoch = t.server_epoch;
	flow->proof = proof_of(key, WW_MESSAGE_ACK, &t);
	flow->phase = WW_PHASE_PROVED;
	return WW_PASS;
}

/*
 * An answer to a connecting socket. Only one that acknowledges our very SYN may change anything:
 * whoever cannot see the SYN cannot know its number.
 */
own_frame int client_segment(struct __sk_buff *skb, struct bpf_sock *sk, struct ww_flow *flow)
{
	struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
	struct segment seg;

	if (!tcp || !parse_segment(skb, 0, true, &seg)) {
		count_drop(WW_REASON_MALFORMED);
		return WW_DROP;
	}
	switch (seg.flags & (TCP_SYN | TCP_ACK | TCP_RST)) {
	case TCP_SYN | TCP_ACK:
		if (seg.ack != tcp->snd_una + 1) { /* snd_nxt moves only after the SYN has left */
			count_drop(WW_REASON_STRAY);
			return WW_DROP;
		}
		return client_synack(skb, &seg, flow);
	case TCP_SYN:
		return client_drop(&seg, flow, 0, WW_REASON_SIMULTANEOUS);
	default:
		return WW_PASS; /* opens nothing: a refusal, or a stale end to be reset */
	}
}

#endif /* WW_CLIENT_H */
