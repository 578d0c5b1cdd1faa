/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The listening end: what a SYN and the ACK that answers our SYN-ACK must bring. The socket sees
 * neither before it is allowed to, and data only on a connection that has been proved.
 */
#ifndef WW_SERVER_H
#define WW_SERVER_H

#include "handshake.h"

struct listener {
	struct ww_unit *unit;
	__u64 cgroup;
	__u64 place;
	__u32 generation;
	__u32 bank;
	__u16 port;	/* host order */
};

own_frame void server_event(struct __sk_buff *skb, const struct segment *seg, __u32 kind, __u32 badge)
{
	struct ww_event event = {
		.kind = kind,
		.badge = badge,
		.local = seg->local,
		.remote = seg->remote,
		.local_port = seg->local_port,
		.remote_port = seg->remote_port,
		.sequence = seg->seq,
		.socket = bpf_get_socket_cookie(skb),
	};

	emit(&event);
}

inline_always int server_refuse(struct __sk_buff *skb, const struct segment *seg, const struct listener *at,
				__u32 badge, const struct ww_verdict *verdict)
{
	report_refusal(&seg->remote, at->unit->badge, badge,
		       refusal_of(at->port, WW_IN, IPPROTO_TCP, WW_REASON_POLICY), verdict);
	if ((seg->flags & TCP_SYN) && verdict && (verdict->flags & WW_VERDICT_EXPLICIT))
		server_event(skb, seg, WW_EVENT_REFUSED, badge);
	return WW_DROP;
}

inline_always int server_drop(const struct segment *seg, const struct listener *at, __u32 badge, enum ww_reason reason)
{
	report_refusal(&seg->remote, at->unit->badge, badge, refusal_of(at->port, WW_IN, IPPROTO_TCP, reason), NULL);
	return WW_DROP;
}

inline_always struct ww_verdict *server_verdict(const struct listener *at, __u32 peer_class)
{
	return verdict_of(at->bank, at->unit->class[at->bank & 1], peer_class, WW_IN, IPPROTO_TCP, at->port);
}

/* The slot for a remote end, emptied of a young connection that another remote end left there. */
inline_always struct ww_announced *server_slot(const struct segment *seg)
{
	struct ww_announced *slot = announced_slot(&seg->remote, seg->remote_port);

	if (slot && is_open(&slot->judged) && !announced_is(slot, &seg->remote, seg->remote_port) &&
	    !keep_announced(slot))
		return NULL;
	return slot;
}

/*
 * Enters the connection that this ACK completes, before the kernel makes its socket. Where it makes
 * none (a full accept queue, TCP_DEFER_ACCEPT) the record waits, for this very handshake only.
 */
inline_always int server_open(struct ww_announced *slot, const struct segment *seg, const struct listener *at,
			      __u32 badge, const struct ww_verdict *verdict)
{
	slot->id.remote = seg->remote;
	slot->id.remote_port = seg->remote_port;
	slot->id.local_port = seg->local_port;
	slot->id.cgroup = at->cgroup;
	slot->place = at->place;
	slot->badge = badge;
	slot->unit = at->unit->badge;
	slot->server_isn = seg->ack - 1;
	judgement_of(&slot->judged, verdict, at->generation);
	slot->judged.action = WW_ALLOW;
	return WW_PASS;
}

/* No identity: the address speaks, as an external network or as somewhere. */
inline_always int server_without_identity(struct __sk_buff *skb, const struct segment *seg, const struct listener *at)
{
	struct ww_verdict *verdict = server_verdict(at, class_of_address(&seg->remote, at->bank));
	struct ww_announced *slot;

	if (!verdict || verdict->action != WW_ALLOW)
		return server_refuse(skb, seg, at, 0, verdict);
	if (seg->flags & TCP_SYN)
		return WW_PASS;
	slot = server_slot(seg);
	return slot ? server_open(slot, seg, at, 0, verdict) : WW_DROP;
}

/* The peer behind a badge, if the tables in force know it. */
inline_always struct ww_peer *server_peer(struct __sk_buff *skb, const struct segment *seg, const struct listener *at,
					  __u32 badge)
{
	struct ww_peer *peer = bpf_map_lookup_elem(&peers, &badge);

	if (peer && peer->class[at->bank & 1])
		return peer;
	server_event(skb, seg, WW_EVENT_BADGE_UNKNOWN, badge);
	return NULL;
}

/* What the SYN-ACK has to know of the SYN; without a badge, that it needs none. */
inline_always void server_note(struct ww_announced *slot, const struct segment *seg, const struct listener *at,
			       __u32 badge)
{
	slot->id.remote = seg->remote;
	slot->id.remote_port = seg->remote_port;
	slot->id.local_port = seg->local_port;
	slot->client_isn = seg->seq;
	slot->server_isn = 0;
	slot->badge = badge;
	slot->unit = at->unit->badge;
}

inline_always int server_syn(struct __sk_buff *skb, const struct segment *seg, const struct listener *at)
{
	struct ww_announced *slot = server_slot(seg);
	struct ww_verdict *verdict;
	struct syn_option option;
	struct ww_peer *peer;
	struct ww_keys *pair;
	__u32 badge;

	if (!slot)
		return WW_DROP;
	if (is_open(&slot->judged) && !keep_announced(slot)) /* the same remote end again, at another port */
		return WW_DROP;
	if (!load_option(skb, seg, &option, sizeof(option)) || option.version != WW_OPTION_VERSION) {
		if (!server_without_identity(skb, seg, at))
			return WW_DROP;
		server_note(slot, seg, at, 0);
		return WW_PASS;
	}
	badge = bpf_ntohl(option.head.badge);
	if (seg->payload)
		return server_drop(seg, at, badge, WW_REASON_SYN_PAYLOAD);
	peer = server_peer(skb, seg, at, badge);
	if (!peer)
		return server_drop(seg, at, badge, WW_REASON_BADGE_UNKNOWN);
	if (badge != at->unit->badge) {
		verdict = server_verdict(at, peer->class[at->bank & 1]);
		if (!verdict || verdict->action != WW_ALLOW)
			return server_refuse(skb, seg, at, badge, verdict);
	}
	pair = keys_of(peer->enforcer);
	if (!pair || !pairwise_key(pair, state.epoch, option.epoch))
		return server_drop(seg, at, badge, WW_REASON_KEY_MISSING);
	server_note(slot, seg, at, badge);
	slot->enforcer = peer->enforcer;
	slot->dialled = bpf_ntohs(option.dialled);
	slot->epoch = option.epoch;
	slot->nonce = load_be64(option.nonce);
	return WW_PASS;
}

own_frame bool ack_proves(const struct segment *seg, const struct listener *at, const struct ack_option *option,
			  struct ww_keys *pair, const struct ww_announced *slot)
{
	const __u64 *key = pairwise_key(pair, option->server_epoch, option->epoch);
	__u64 tick = coarse_now() >> WW_TICK_SHIFT, proof = load_be64(option->proof);
	struct transcript t = {
		.client = bpf_ntohl(option->head.badge),
		.server = at->unit->badge,
		.client_nonce = load_be64(option->nonce),
		.dialled = bpf_ntohs(option->dialled),
		.client_epoch = option->epoch,
		.server_epoch = option->server_epoch,
	};

	if (!key)
		return false;
	if (slot->server_isn == seg->ack - 1 && announced_is(slot, &seg->remote, seg->remote_port)) {
		t.server_nonce = slot->server_nonce;
		if (proof_of(key, WW_MESSAGE_ACK, &t) == proof)
			return true;
	}
	t.server_nonce = server_nonce(&seg->remote, seg->remote_port, seg->ack - 1, tick, option->server_epoch);
	if (proof_of(key, WW_MESSAGE_ACK, &t) == proof)
		return true;
	t.server_nonce = server_nonce(&seg->remote, seg->remote_port, seg->ack - 1, tick - 1, option->server_epoch);
	return proof_of(key, WW_MESSAGE_ACK, &t) == proof;
}

/* Data of a connection whose ACK was proved but has no socket yet; its record says whose it is. */
own_frame bool server_awaits(const struct segment *seg, const struct listener *at, struct ww_announced *slot)
{
	struct ww_flow_id id = {
		.remote = seg->remote,
		.remote_port = seg->remote_port,
		.local_port = seg->local_port,
		.cgroup = at->cgroup,
	};
	struct ww_flow *flow;
	struct ends ends;

	if (is_open(&slot->judged) && same_flow(&slot->id, &id)) {
		ends_of_announced(&ends, slot);
		return slot->server_isn == seg->ack - 1 && still_allowed(&ends);
	}
	flow = flow_find(&id);
	if (!flow || flow->direction != WW_IN || flow->server_isn != seg->ack - 1)
		return false;
	ends_of_flow(&ends, flow);
	return still_allowed(&ends);
}

inline_always int server_ack(struct __sk_buff *skb, const struct segment *seg, const struct listener *at)
{
	struct ww_announced *slot = announced_slot(&seg->remote, seg->remote_port);
	struct ww_verdict *verdict = NULL;
	struct ack_option option;
	struct ww_peer *peer;
	struct ww_keys *pair;
	__u32 badge;

	if (!slot)
		return WW_DROP;
	if (!load_option(skb, seg, &option, sizeof(option))) {
		if (server_awaits(seg, at, slot))
			return WW_PASS;
		if (slot->badge && announced_is(slot, &seg->remote, seg->remote_port))
			return server_drop(seg, at, slot->badge, WW_REASON_PROOF_MISSING);
		return server_without_identity(skb, seg, at);
	}
	badge = bpf_ntohl(option.head.badge);
	peer = server_peer(skb, seg, at, badge);
	if (!peer)
		return server_drop(seg, at, badge, WW_REASON_BADGE_UNKNOWN);
	pair = keys_of(peer->enforcer);
	if (!pair || !ack_proves(seg, at, &option, pair, slot))
		return server_drop(seg, at, badge, WW_REASON_PROOF_WRONG);
	count(WW_COUNT_PROVED);
	if (badge != at->unit->badge) {
		verdict = server_verdict(at, peer->class[at->bank & 1]);
		if (!verdict || verdict->action != WW_ALLOW)
			return server_refuse(skb, seg, at, badge, verdict);
	}
	slot = server_slot(seg);
	return slot ? server_open(slot, seg, at, badge, verdict) : WW_DROP;
}

own_frame int server_segment(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct listener at = { .generation = generation_now() };
	struct segment seg;

	if (!parse_segment(skb, 0, true, &seg)) {
		count_drop(WW_REASON_MALFORMED);
		return WW_DROP;
	}
	at.bank = bank_of(at.generation);
	at.port = bpf_ntohs(seg.local_port);
	if (!at.generation) {
		count_drop(WW_REASON_TABLES_EMPTY);
		return WW_DROP;
	}
	at.cgroup = bpf_sk_cgroup_id(sk);
	at.unit = unit_of_socket(sk, &at.place);
	if (!at.unit || !at.unit->class[at.bank & 1]) {
		count_drop(WW_REASON_UNIT_UNKNOWN);
		return WW_DROP;
	}
	switch (seg.flags & (TCP_SYN | TCP_ACK | TCP_RST)) {
	case TCP_SYN:
		return server_syn(skb, &seg, &at);
	case TCP_ACK:
		return server_ack(skb, &seg, &at);
	default:
		return server_drop(&seg, &at, 0, WW_REASON_STRAY);
	}
}

#endif /* WW_SERVER_H */
