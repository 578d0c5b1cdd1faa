/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The connecting end: what leaves with a SYN, and what its answer must bring. */
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

inline_always int client_drop(const struct segment *seg, __u32 unit, __u32 badge, enum ww_reason reason,
			      const struct ww_verdict *verdict)
{
	report_refusal(&seg->remote, unit, badge, refusal_of(bpf_ntohs(seg->remote_port), WW_OUT, IPPROTO_TCP, reason),
		       verdict);
	return WW_DROP;
}

/* The connection cannot come about: the agent ends the socket, so that the application need not wait. */
inline_always int client_abort(struct __sk_buff *skb, const struct segment *seg, __u32 unit, __u32 badge,
			       enum ww_reason reason, const struct ww_verdict *verdict)
{
	client_event(skb, seg, WW_EVENT_ABORT, badge);
	return client_drop(seg, unit, badge, reason, verdict);
}

/* What a SYN-ACK has settled about its connection. */
struct settled {
	const struct ww_flow_id *id;
	const struct ww_verdict *verdict;	/* NULL: a unit and itself */
	__u64 place;
	__u64 proof;
	__u32 generation;	/* of the tables that were asked */
	__u32 peer;
	__u8 server_epoch;
};

inline_always bool client_record(struct ww_young *slot, __u64 cookie, const struct settled *what)
{
	bool ours;

	if (!take(&slot->busy))
		return false;
	ours = slot->cookie == cookie;
	if (ours) {
		slot->id = *what->id;
		slot->place = what->place;
		slot->reply = what->proof;
		slot->peer = what->peer;
		slot->server_epoch = what->server_epoch;
		judgement_admit(&slot->judged, what->verdict, what->generation, what->id->device);
	}
	give_back(&slot->busy);
	return ours;
}

/* Makes the slot the record of the connection, before the socket may know. */
inline_always int client_open(struct ww_young *slot, __u64 cookie, const struct settled *what)
{
	if (!client_record(slot, cookie, what))
		return WW_DROP;
	if (generation_now() == what->generation)
		return WW_PASS;
	return reconsider_young(slot, cookie) ? WW_PASS : WW_DROP;
}

/* In a frame of its own, which is gone before the connection is recorded. */
own_frame void client_ask_stranger(const struct ww_flow_id *id, const struct ww_unit *unit, __u32 bank,
				   struct ww_verdict *verdict)
{
	judge_stranger(&id->remote, unit, stranger_flow(bpf_ntohs(id->remote_port), WW_OUT, IPPROTO_TCP, bank, false),
		       verdict);
}

/* No option: the address speaks. The slot is not trusted for whose connection it is. */
inline_always int client_without_identity(struct __sk_buff *skb, struct bpf_sock *sk, const struct segment *seg,
					  const struct ww_flow_id *id, struct ww_young *slot, __u64 cookie)
{
	__u32 generation = generation_now(), bank = bank_of(generation);
	struct settled settled = {};
	struct ww_verdict verdict;
	struct ww_unit *unit;
	__u64 place;

	unit = unit_of_socket(sk, &place);
	if (!unit || !unit->class[bank] || unit->badge != slot->unit) {
		count_drop(WW_REASON_UNIT_UNKNOWN);
		return WW_DROP;
	}
	client_ask_stranger(id, unit, bank, &verdict);
	if (verdict.action != WW_ALLOW)
		return client_abort(skb, seg, unit->badge, 0, WW_REASON_POLICY, &verdict);
	settled.id = id;
	settled.verdict = &verdict;
	settled.place = place;
	settled.generation = generation;
	return client_open(slot, cookie, &settled);
}

/* What the tables say of a server whose proof is right, remembered if it may be met. */
inline_always bool client_ask(struct answer *answer, const struct question *q, struct ww_young *slot,
			      const struct ww_verdict **verdict)
{
	__u32 bank = bank_of(q->generation), badge = q->peer;
	struct ww_unit *unit = unit_at(slot->place);
	struct ww_peer *peer = bpf_map_lookup_elem(&peers, &badge);

	*verdict = NULL;
	if (!unit || !peer || unit->badge != slot->unit)
		return false;
	if (badge != unit->badge) {
		*verdict = verdict_of(bank, unit->class[bank], peer->class[bank], WW_OUT, IPPROTO_TCP, q->port);
		if (!*verdict || (*verdict)->action != WW_ALLOW)
			return false;
	}
	remember(answer, q, *verdict, unit->badge, slot->place, peer->enforcer);
	return true;
}

/* Index of the keys shared with the Enforcer of a server; negative, and reported, when there is none. */
inline_always __s64 client_peer(struct __sk_buff *skb, const struct segment *seg, const struct ww_young *slot,
				__u32 badge, __u32 bank)
{
	struct ww_unit *unit = unit_at(slot->place);
	struct ww_peer *peer;

	if (!unit || unit->badge != slot->unit || !unit->class[bank & 1]) {
		client_drop(seg, slot->unit, 0, WW_REASON_UNIT_UNKNOWN, NULL);
		return -1;
	}
	peer = bpf_map_lookup_elem(&peers, &badge);
	if (!peer || !peer->class[bank & 1]) {
		client_event(skb, seg, WW_EVENT_BADGE_UNKNOWN, badge);
		client_drop(seg, slot->unit, badge, WW_REASON_BADGE_UNKNOWN, NULL);
		return -1;
	}
	return peer->enforcer;
}

inline_always int client_synack(struct __sk_buff *skb, struct bpf_sock *sk, const struct segment *seg,
				const struct ww_flow_id *id, struct ww_young *slot, __u64 cookie)
{
	struct question q = { .cgroup = id->cgroup, .generation = generation_now(), .direction = WW_OUT };
	const struct ww_verdict *verdict;
	struct settled settled = {};
	struct synack_option option;
	struct transcript t = {};
	struct answer *answer;
	struct ww_keys *pair;
	const __u64 *key;
	__s64 enforcer;
	bool known;

	if (!load_option(skb, seg, &option, sizeof(option)))
		return client_without_identity(skb, sk, seg, id, slot, cookie);
	q.peer = bpf_ntohl(option.head.badge);
	q.port = bpf_ntohs(id->remote_port);
	answer = answer_slot(&q);
	if (!answer)
		return WW_DROP;
	known = is_answered(answer, &q) && answer->unit == slot->unit && answer->place == slot->place;
	enforcer = known ? answer->enforcer : client_peer(skb, seg, slot, q.peer, bank_of(q.generation));
	if (enforcer < 0)
		return WW_DROP;
	t.client = slot->unit;
	t.server = q.peer;
	t.client_nonce = slot->nonce;
	t.server_nonce = load_be48(option.nonce);
	t.dialled = slot->dialled;
	t.client_epoch = slot->epoch;
	t.server_epoch = t.server_nonce & 1;
	pair = keys_of(enforcer);
	key = pair ? pairwise_key(pair, t.client_epoch, t.server_epoch) : NULL;
	if (!key)
		return client_drop(seg, t.client, q.peer, WW_REASON_KEY_MISSING, NULL);
	if ((proof_of(key, WW_MESSAGE_SYNACK, &t) & WW_PROOF_MASK) != load_be48(option.proof)) {
		if (++slot->bad_proofs >= WW_BAD_PROOFS)
			return client_abort(skb, seg, t.client, q.peer, WW_REASON_PROOF_WRONG, NULL);
		return client_drop(seg, t.client, q.peer, WW_REASON_PROOF_WRONG, NULL);
	}
	if (!known && !client_ask(answer, &q, slot, &verdict))
		return client_abort(skb, seg, t.client, q.peer, WW_REASON_POLICY, verdict);
	settled.id = id;
	settled.verdict = &answer->verdict;
	settled.place = slot->place;
	settled.proof = proof_of(key, WW_MESSAGE_ACK, &t);
	settled.generation = q.generation;
	settled.peer = q.peer;
	settled.server_epoch = t.server_epoch;
	return client_open(slot, cookie, &settled);
}

/* The answer came by a device that is left alone: nobody is asked, and nothing is believed of what it says. */
inline_always int client_left_alone(struct ww_young *slot, __u64 cookie, const struct ww_flow_id *id)
{
	struct settled settled = { .id = id, .place = slot->place, .generation = generation_now() };

	count(WW_COUNT_EXCLUDED);
	return client_open(slot, cookie, &settled);
}

/*
 * An answer to a connecting socket. Only one that acknowledges our very SYN may change anything:
 * whoever cannot see the SYN cannot know its number.
 */
inline_always int client_segment(struct __sk_buff *skb, struct bpf_sock *sk)
{
	__u64 cookie = cookie_from(skb, sk), cgroup = cgroup_id_of(sk);
	struct ww_young *slot = young_of(cookie);
	struct ww_flow_id id;
	struct segment seg;

	if (!parse_segment(skb, 0, true, &seg)) {
		count_drop(WW_REASON_MALFORMED);
		return WW_DROP;
	}
	switch (seg.flags & (TCP_SYN | TCP_ACK | TCP_RST)) {
	case TCP_SYN | TCP_ACK:
		break;
	case TCP_SYN:
		count_drop(WW_REASON_SIMULTANEOUS);
		return WW_DROP;
	default:
		return WW_PASS; /* opens nothing: a refusal, or a stale end to be reset */
	}
	if (!slot) {
		if (is_agent(cgroup))
			return WW_PASS;
		count_drop(WW_REASON_STATE_MISSING); /* the next SYN fills the slot again */
		return WW_DROP;
	}
	if (seg.ack != slot->client_isn + 1) {
		count_drop(WW_REASON_STRAY);
		return WW_DROP;
	}
	flow_id_of(&id, sk, cgroup);
	id.device = excluded_device(skb);
	return id.device ? client_left_alone(slot, cookie, &id) : client_synack(skb, sk, &seg, &id, slot, cookie);
}

#endif /* WW_CLIENT_H */
