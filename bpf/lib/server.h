/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The listening end: what a SYN and the ACK that answers our SYN-ACK must bring. The socket sees
 * neither before it is allowed to, and data only on a connection that has been proved.
 */
#ifndef WW_SERVER_H
#define WW_SERVER_H

#include "handshake.h"

struct listener {
	struct ww_young *slot;	/* of the handshake that an ACK is of, if it is known */
	__u64 cookie;		/* of its request */
	__u64 cgroup;
	__u64 place;
	__u32 generation;
	__u32 unit;	/* badge */
	union {
		__u32 class;	/* the unit's */
		__u32 device;	/* the packet's, if that is left alone: no class is asked for then */
	};
	__u16 port;	/* host order */
	bool excluded;	/* the peer's network is left alone: what it says of itself does not matter */
	bool alone;	/* the packet's device is */
};

inline_always __u32 device_left_alone(const struct listener *at)
{
	return at->alone ? at->device : 0;
}

/* Finds the unit that a socket is of; false when there is none, which refuses. */
inline_always bool server_placed(struct __sk_buff *skb, struct listener *at)
{
	struct ww_unit *unit = skb->sk ? unit_of_socket(skb->sk, &at->place) : NULL;

	if (!unit || !unit->class[bank_of(at->generation)]) {
		count_drop(WW_REASON_UNIT_UNKNOWN);
		return false;
	}
	at->unit = unit->badge;
	at->class = unit->class[bank_of(at->generation)];
	return true;
}

/* What this CPU last heard of a pair, about this very question or another. */
inline_always struct answer *server_answer(struct question *q, const struct listener *at, __u32 badge)
{
	q->cgroup = at->cgroup;
	q->generation = at->generation;
	q->peer = badge;
	q->port = at->port;
	q->direction = WW_IN;
	return answer_slot(q);
}

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
	report_refusal(&seg->remote, at->unit, badge,
		       refusal_of(at->port, WW_IN, IPPROTO_TCP, WW_REASON_POLICY), verdict);
	if ((seg->flags & TCP_SYN) && verdict && (verdict->flags & WW_VERDICT_EXPLICIT))
		server_event(skb, seg, WW_EVENT_REFUSED, badge);
	return WW_DROP;
}

inline_always int server_drop(const struct segment *seg, const struct listener *at, __u32 badge, enum ww_reason reason)
{
	report_refusal(&seg->remote, at->unit, badge, refusal_of(at->port, WW_IN, IPPROTO_TCP, reason), NULL);
	return WW_DROP;
}

inline_always struct ww_verdict *server_verdict(const struct listener *at, __u32 peer_class)
{
	return verdict_of(bank_of(at->generation), at->class, peer_class, WW_IN, IPPROTO_TCP, at->port);
}

/* The connection that a segment belongs to or opens, as its socket sees it or is going to. */
inline_always void id_of_segment(struct ww_flow_id *id, const struct segment *seg, const struct listener *at)
{
	id->local = seg->local;
	id->remote = seg->remote;
	id->remote_port = seg->remote_port;
	id->local_port = seg->local_port;
	id->device = device_left_alone(at);
	id->cgroup = at->cgroup;
}

inline_always bool server_record(const struct segment *seg, const struct listener *at, __u32 badge,
				 const struct ww_verdict *verdict)
{
	struct ww_young *slot = at->slot;
	bool ours;

	if (!take(&slot->busy))
		return false;
	ours = slot->cookie == at->cookie;
	if (ours) {
		id_of_segment(&slot->id, seg, at);
		slot->place = at->place;
		slot->peer = badge;
		slot->unit = at->unit;
		slot->server_isn = seg->ack - 1;
		slot->direction = WW_IN;
		judgement_admit(&slot->judged, verdict, at->generation, device_left_alone(at));
	}
	give_back(&slot->busy);
	return ours;
}

/*
 * The record of a connection whose handshake has no slot: none of SYN cookies has, and another may have taken it. It
 * goes to the table at once.
 */
own_frame int server_open_late(const struct segment *seg, const struct listener *at, __u32 badge,
			       const struct ww_verdict *verdict)
{
	struct ends ends;
	WW_MOVING(flow);

	if (!flow)
		return WW_DROP;
	__builtin_memset(flow, 0, sizeof(*flow));
	id_of_segment(&flow->id, seg, at);
	flow->place = at->place;
	flow->opened = coarse_now();
	flow->unit = at->unit;
	flow->peer = badge;
	flow->server_isn = seg->ack - 1;
	flow->tally = state.tally;
	flow->port = at->port;
	flow->direction = WW_IN;
	judgement_admit(&flow->judged, verdict, at->generation, device_left_alone(at));
	if (!keep(flow)) {
		count_drop(WW_REASON_NO_MEMORY);
		return WW_DROP;
	}
	if (generation_now() == at->generation)
		return WW_PASS;
	flow = flow_find(&flow->id);
	if (!flow)
		return WW_DROP;
	ends_of_flow(&ends, flow);
	return still_allowed(&ends) ? WW_PASS : WW_DROP;
}

/*
 * Makes the record of the connection that this ACK completes, before the kernel makes its socket. Where it
 * makes none (a full accept queue, TCP_DEFER_ACCEPT) the record waits, for this very handshake only.
 */
roomy int server_open(const struct segment *seg, const struct listener *at, __u32 badge,
		      const struct ww_verdict *verdict)
{
	if (!at->slot || !server_record(seg, at, badge, verdict))
		return server_open_late(seg, at, badge, verdict);
	if (generation_now() == at->generation)
		return WW_PASS;
	return reconsider_young(at->slot, at->cookie) ? WW_PASS : WW_DROP;
}

/* No identity: the address speaks, as an external network or as somewhere. */
inline_always int server_without_identity(struct __sk_buff *skb, const struct segment *seg, const struct listener *at,
					  bool opens)
{
	struct ww_verdict *verdict = server_verdict(at, class_of_address(&seg->remote, bank_of(at->generation)));

	if (!verdict || verdict->action != WW_ALLOW)
		return server_refuse(skb, seg, at, 0, verdict);
	return opens ? server_open(seg, at, 0, verdict) : WW_PASS;
}

/* The peer behind a badge, if the tables in force know it. */
inline_always struct ww_peer *server_peer(struct __sk_buff *skb, const struct segment *seg, const struct listener *at,
					  __u32 badge)
{
	struct ww_peer *peer = bpf_map_lookup_elem(&peers, &badge);

	if (peer && peer->class[bank_of(at->generation)])
		return peer;
	server_event(skb, seg, WW_EVENT_BADGE_UNKNOWN, badge);
	return NULL;
}

/* What the SYN-ACK has to know of the SYN; without a badge, that it needs no proof. */
inline_always struct announcement *server_note(const struct segment *seg, const struct listener *at, __u32 badge)
{
	__u32 zero = 0;
	struct announcement *syn = bpf_map_lookup_elem(&answering, &zero);

	if (!syn)
		return NULL;
	syn->local = seg->local;
	syn->remote = seg->remote;
	syn->remote_port = seg->remote_port;
	syn->local_port = seg->local_port;
	syn->isn = seg->seq;
	syn->badge = badge;
	syn->unit = at->unit;
	return syn;
}

inline_always int server_syn_without_identity(struct __sk_buff *skb, const struct segment *seg,
					      const struct listener *at)
{
	return server_without_identity(skb, seg, at, false) && server_note(seg, at, 0) ? WW_PASS : WW_DROP;
}

/* Notes what an identity announced; *option* is the SYN's. */
inline_always int server_announced(const struct segment *seg, const struct listener *at,
				   const struct syn_option *option, __u32 enforcer)
{
	struct announcement *syn = server_note(seg, at, bpf_ntohl(option->head.badge));

	if (!syn)
		return WW_DROP;
	syn->enforcer = enforcer;
	syn->dialled = bpf_ntohs(option->dialled);
	syn->epoch = option->epoch;
	syn->nonce = load_be64(option->nonce);
	return WW_PASS;
}

/* Asks the tables whether a peer may come in by its identity, and remembers that it may. */
own_frame int server_ask(struct __sk_buff *skb, const struct segment *seg, struct listener *at, __u32 badge)
{
	struct ww_verdict *verdict = NULL;
	struct answer *answer;
	struct ww_peer *peer;
	struct question q;

	if (!server_placed(skb, at))
		return WW_DROP;
	at->excluded = class_of_address(&seg->remote, bank_of(at->generation)) == WW_CLASS_EXCLUDED;
	if (at->excluded)
		return WW_DROP;
	peer = server_peer(skb, seg, at, badge);
	if (!peer)
		return server_drop(seg, at, badge, WW_REASON_BADGE_UNKNOWN);
	if (badge != at->unit) {
		verdict = server_verdict(at, peer->class[bank_of(at->generation)]);
		if (!verdict || verdict->action != WW_ALLOW)
			return server_refuse(skb, seg, at, badge, verdict);
	}
	answer = server_answer(&q, at, badge);
	if (!answer)
		return WW_DROP;
	remember(answer, &q, verdict, at->unit, at->place, peer->enforcer);
	return WW_PASS;
}

/*
 * The answer about a peer that may come in, with *at* filled in from it; NULL when it may not, which has been
 * reported. The answer stays what it is until this packet is done with.
 */
inline_always struct answer *server_admits(struct __sk_buff *skb, const struct segment *seg, struct listener *at,
					   __u32 badge)
{
	struct question q;
	struct answer *answer = server_answer(&q, at, badge);

	if (!answer)
		return NULL;
	if (!is_answered(answer, &q) && !server_ask(skb, seg, at, badge))
		return NULL;
	at->unit = answer->unit;
	at->place = answer->place;
	return answer;
}

inline_always int server_syn(struct __sk_buff *skb, const struct segment *seg, struct listener *at)
{
	struct syn_option option;
	struct answer *answer;
	struct ww_keys *pair;
	__u32 badge;

	if (!load_option(skb, seg, &option, sizeof(option)) || option.version != WW_OPTION_VERSION)
		return server_placed(skb, at) ? server_syn_without_identity(skb, seg, at) : WW_DROP;
	badge = bpf_ntohl(option.head.badge);
	if (seg->payload || (!are_usual(skb, seg) && asks_for_fast_open(skb, seg)))
		return server_placed(skb, at) ? server_drop(seg, at, badge, WW_REASON_SYN_PAYLOAD) : WW_DROP;
	answer = server_admits(skb, seg, at, badge);
	if (!answer)
		return at->excluded ? server_syn_without_identity(skb, seg, at) : WW_DROP;
	pair = keys_of(answer->enforcer);
	if (!pair || !pairwise_key(pair, state.epoch, option.epoch))
		return server_drop(seg, at, badge, WW_REASON_KEY_MISSING);
	return server_announced(seg, at, &option, answer->enforcer);
}

roomy bool ack_proves(const struct segment *seg, const struct listener *at, const struct ack_option *option,
			  struct ww_keys *pair)
{
	const __u64 *key = pairwise_key(pair, option->server_epoch, option->epoch);
	__u64 tick, proof = load_be64(option->proof);
	struct transcript t = {
		.client = bpf_ntohl(option->head.badge),
		.server = at->unit,
		.client_nonce = load_be64(option->nonce),
		.dialled = bpf_ntohs(option->dialled),
		.client_epoch = option->epoch,
		.server_epoch = option->server_epoch,
	};

	if (!key)
		return false;
	if (at->slot && at->slot->server_isn == seg->ack - 1) {
		t.server_nonce = at->slot->reply;
		if (proof_of(key, WW_MESSAGE_ACK, &t) == proof)
			return true;
	}
	tick = coarse_now() >> WW_TICK_SHIFT;
	t.server_nonce = server_nonce(&seg->remote, seg->remote_port, seg->ack - 1, tick, option->server_epoch);
	if (proof_of(key, WW_MESSAGE_ACK, &t) == proof)
		return true;
	t.server_nonce = server_nonce(&seg->remote, seg->remote_port, seg->ack - 1, tick - 1, option->server_epoch);
	return proof_of(key, WW_MESSAGE_ACK, &t) == proof;
}

/* What is known of a connection whose ACK, or later segment, brings no proof. */
enum plain {
	WW_PLAIN_UNKNOWN,	/* nothing: its address speaks */
	WW_PLAIN_ADMITTED,	/* it was proved, or needed no proof, and has no socket yet */
	WW_PLAIN_REFUSED,	/* as before, but a later revision refuses it */
	WW_PLAIN_ANNOUNCED,	/* its SYN announced an identity: the proof is missing */
};

inline_always enum plain admitted_if(const struct ends *ends, bool this_handshake)
{
	if (!this_handshake)
		return WW_PLAIN_UNKNOWN;
	return still_allowed(ends) ? WW_PLAIN_ADMITTED : WW_PLAIN_REFUSED;
}

inline_always enum plain plain_in_slot(const struct listener *at, __u32 server_isn, __u32 *badge)
{
	struct ww_young *slot = opened(at->cookie);
	enum plain what = WW_PLAIN_UNKNOWN;
	struct ends ends;

	if (!slot)
		slot = at->slot;
	if (!take(&slot->busy))
		return WW_PLAIN_REFUSED;
	if (slot->cookie == at->cookie) {
		*badge = slot->peer;
		if (is_open(&slot->judged)) {
			ends_of_young(&ends, slot);
			what = admitted_if(&ends, slot->server_isn == server_isn);
		} else if (slot->peer) {
			what = WW_PLAIN_ANNOUNCED;
		}
	}
	give_back(&slot->busy);
	return what;
}

own_frame enum plain plain_ack(const struct segment *seg, const struct listener *at, __u32 *badge)
{
	enum plain what = WW_PLAIN_UNKNOWN;
	struct ww_flow_id id;
	struct ww_flow *flow;
	struct ends ends;

	if (at->slot)
		what = plain_in_slot(at, seg->ack - 1, badge);
	if (what == WW_PLAIN_ADMITTED || what == WW_PLAIN_REFUSED)
		return what;
	id_of_segment(&id, seg, at);
	flow = flow_find(&id);
	if (!flow || flow->direction != WW_IN || flow->server_isn != seg->ack - 1)
		return what;
	ends_of_flow(&ends, flow);
	return admitted_if(&ends, true);
}

inline_always int server_plain_ack(struct __sk_buff *skb, const struct segment *seg, const struct listener *at)
{
	__u32 badge = 0;

	switch (plain_ack(seg, at, &badge)) {
	case WW_PLAIN_ADMITTED:
		return WW_PASS;
	case WW_PLAIN_REFUSED:
		count_drop(WW_REASON_REVOKED);
		return WW_DROP;
	case WW_PLAIN_ANNOUNCED:
		return server_drop(seg, at, badge, WW_REASON_PROOF_MISSING);
	default:
		return server_without_identity(skb, seg, at, true);
	}
}

/* Asks the kernel for the cookie of the request that an ACK is for; 0 when there is none. */
own_frame __u64 request_cookie(struct __sk_buff *skb, const struct segment *seg)
{
	bool v4 = address_is_v4(&seg->remote);
	struct bpf_sock_tuple ends = {};
	struct tcp_request_sock *request;
	struct bpf_sock *sk;
	__u64 cookie = 0;

	if (v4) {
		ends.ipv4.saddr = seg->remote.word[3];
		ends.ipv4.daddr = seg->local.word[3];
		ends.ipv4.sport = seg->remote_port;
		ends.ipv4.dport = seg->local_port;
	} else {
		__builtin_memcpy(ends.ipv6.saddr, seg->remote.word, sizeof(ends.ipv6.saddr));
		__builtin_memcpy(ends.ipv6.daddr, seg->local.word, sizeof(ends.ipv6.daddr));
		ends.ipv6.sport = seg->remote_port;
		ends.ipv6.dport = seg->local_port;
	}
	sk = bpf_skc_lookup_tcp(skb, &ends, v4 ? sizeof(ends.ipv4) : sizeof(ends.ipv6), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	request = bpf_skc_to_tcp_request_sock(sk);
	if (request)
		cookie = ((struct sock_common *)request)->skc_cookie.counter;
	bpf_sk_release(sk);
	return cookie;
}

/* Finds the handshake that an ACK is of: this CPU mostly knows it, or else the kernel does. */
inline_always void server_awaits(struct __sk_buff *skb, const struct segment *seg, struct listener *at)
{
	__u64 *waits = awaited_from(&seg->remote, seg->remote_port, seg->local_port);

	at->cookie = waits ? *waits : 0;
	at->slot = young_of(at->cookie);
	if (at->slot && at->slot->server_isn == seg->ack - 1 && comes_from(at->slot, seg))
		return;
	at->cookie = request_cookie(skb, seg);
	at->slot = young_of(at->cookie);
}

/* No verdict: server_plain_segment() has it. */
#define WW_WITHOUT_PROOF 2

inline_always int server_ack(struct __sk_buff *skb, const struct segment *seg, struct listener *at)
{
	struct ack_option option;
	struct answer *answer;
	struct ww_keys *pair;
	__u32 badge;

	if (!load_option(skb, seg, &option, sizeof(option)))
		return WW_WITHOUT_PROOF;
	server_awaits(skb, seg, at);
	badge = bpf_ntohl(option.head.badge);
	answer = server_admits(skb, seg, at, badge);
	if (!answer)
		return WW_DROP;
	pair = keys_of(answer->enforcer);
	if (!pair || !ack_proves(seg, at, &option, pair))
		return server_drop(seg, at, badge, WW_REASON_PROOF_WRONG);
	count(WW_COUNT_PROVED);
	return server_open(seg, at, badge, &answer->verdict);
}

/*
 * A client that wants no connection: it never asked (somebody forged its SYN), or does not any more. What was kept for the
 * handshake goes, and its two ends are free again. Only the very next number of its sequence counts, which nobody knows
 * who has not seen the SYN; the kernel would take any in its window.
 */
inline_always int server_reset(struct __sk_buff *skb, const struct segment *seg, struct listener *at)
{
	server_awaits(skb, seg, at);
	if (at->slot && comes_from(at->slot, seg) && seg->seq == at->slot->client_isn + 1 && !seg->payload)
		return WW_PASS;
	return server_placed(skb, at) ? server_drop(seg, at, 0, WW_REASON_STRAY) : WW_DROP;
}

/* Reads a segment for a listener; false when it is dropped whatever it brings. */
inline_always bool server_reads(struct __sk_buff *skb, struct bpf_sock *sk, struct segment *seg, struct listener *at)
{
	at->generation = generation_now();
	if (!parse_segment(skb, 0, true, seg)) {
		count_drop(WW_REASON_MALFORMED);
		return false;
	}
	at->port = bpf_ntohs(seg->local_port);
	if (!at->generation) {
		count_drop(WW_REASON_TABLES_EMPTY);
		return false;
	}
	at->cgroup = cgroup_id_of(sk);
	return true;
}

/*
 * What comes by a device that is left alone: nobody is asked, whatever it says of itself. What completes a handshake gets
 * its record all the same, by which it is judged once the device is left alone no more.
 */
inline_always int server_left_alone(struct __sk_buff *skb, const struct segment *seg, struct listener *at)
{
	struct ww_unit *unit = skb->sk ? unit_of_socket(skb->sk, &at->place) : NULL;
	__u32 badge = 0;

	count(WW_COUNT_EXCLUDED);
	at->unit = unit ? unit->badge : 0;
	switch (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) {
	case TCP_SYN:
		return server_note(seg, at, 0) ? WW_PASS : WW_DROP;
	case TCP_ACK:
		server_awaits(skb, seg, at);
		return plain_ack(seg, at, &badge) == WW_PLAIN_ADMITTED ? WW_PASS : server_open(seg, at, 0, NULL);
	default:
		return WW_PASS;
	}
}

/* An ACK, or a later segment, that brings no proof; a reset; whatever comes by a device that is left alone. */
inline_always int server_plain_segment(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct listener at = {};
	struct segment seg;

	if (!server_reads(skb, sk, &seg, &at))
		return WW_DROP;
	at.device = excluded_device(skb);
	at.alone = at.device;
	if (at.alone)
		return server_left_alone(skb, &seg, &at);
	if (seg.flags & TCP_RST)
		return server_reset(skb, &seg, &at);
	if (!server_placed(skb, &at))
		return WW_DROP;
	server_awaits(skb, &seg, &at);
	return server_plain_ack(skb, &seg, &at);
}

/* A verdict, or WW_WITHOUT_PROOF. */
inline_always int server_segment(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct listener at = {};
	struct segment seg;

	if (!server_reads(skb, sk, &seg, &at))
		return WW_DROP;
	if (excluded_device(skb))
		return WW_WITHOUT_PROOF;
	switch (seg.flags & (TCP_SYN | TCP_ACK | TCP_RST)) {
	case TCP_SYN:
		return server_syn(skb, &seg, &at);
	case TCP_ACK:
		return server_ack(skb, &seg, &at);
	case TCP_RST:
	case TCP_RST | TCP_ACK:
		return WW_WITHOUT_PROOF;
	default:
		return server_placed(skb, &at) ? server_drop(&seg, &at, 0, WW_REASON_STRAY) : WW_DROP;
	}
}

#endif /* WW_SERVER_H */
