/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What leaves with an identity: a SYN announces it, a SYN-ACK proves the server's, and the client's ACKs
 * prove the client's until the server has accepted.
 */
#ifndef WW_STAMPING_H
#define WW_STAMPING_H

#include "append.h"
#include "handshake.h"

inline_always void head_of(struct option_head *head, __u8 length, __u32 badge)
{
	head->kind = WW_OPTION_KIND;
	head->length = length;
	head->exid = bpf_htons(WW_OPTION_EXID);
	head->badge = bpf_htonl(badge);
}

/* TCP Fast Open hands data to a server that has proved nothing: only where no proof is asked for. */
inline_always bool may_send_early(struct ww_unit *unit, const struct segment *seg, __u32 bank)
{
	struct ww_verdict verdict;

	judge_stranger(&seg->remote, unit,
		       stranger_flow(bpf_ntohs(seg->remote_port), WW_OUT, IPPROTO_TCP, bank, false), &verdict);
	return verdict.action == WW_ALLOW;
}

#define TCPOPT_MPTCP 30

/*
 * Whether there is no room for two options: this SYN's, and that of its answer. The answer to MPTCP has none
 * left. Linux writes that option last; unanswered, it calls again without.
 */
inline_always bool too_full(struct __sk_buff *skb, const struct segment *seg)
{
	__u8 last[4];

	if (seg->header > 60 - WW_SYN_OPTION)
		return true;
	if (seg->header < sizeof(struct tcphdr) + sizeof(last))
		return false;
	return load_header(skb, seg->tcp_at + seg->header - sizeof(last), last, sizeof(last)) &&
	       last[0] == TCPOPT_MPTCP && last[1] == sizeof(last);
}

/* Who a socket speaks for. */
struct speaker {
	__u64 place;
	__u32 unit;	/* badge */
};

/*
 * Finds that out, and whether data may leave with a SYN that has some. What this CPU last found out about the socket's
 * cgroup it need not ask again. Otherwise a verdict of tc.
 */
#define WW_FOUND 1000

inline_always int speaker_of(struct __sk_buff *skb, struct bpf_sock *sk, const struct segment *seg, struct speaker *who)
{
	__u64 cgroup = can_cast() ? cgroup_id_of(sk) : bpf_skb_cgroup_id(skb);
	struct question q = { .cgroup = cgroup, .generation = generation_now(), .direction = WW_SPEAKER };
	struct answer *answer = answer_slot(&q);
	__u32 bank = bank_of(q.generation);
	struct ww_unit *unit;

	if (answer && is_answered(answer, &q) && !seg->payload) {
		who->unit = answer->unit;
		who->place = answer->place;
		return WW_FOUND;
	}
	if (is_agent(q.cgroup))
		return TC_ACT_UNSPEC; /* as the host's unit it would be subject to the host's policy */
	unit = unit_of_packet(skb, &who->place);
	if (!unit || !unit->class[bank]) {
		if (!is_ours(skb))
			return TC_ACT_UNSPEC;
		count_drop(q.generation ? WW_REASON_UNIT_UNKNOWN : WW_REASON_TABLES_EMPTY);
		return TC_ACT_SHOT;
	}
	if (seg->payload && !may_send_early(unit, seg, bank)) {
		count_drop(WW_REASON_SYN_PAYLOAD);
		return TC_ACT_SHOT;
	}
	who->unit = unit->badge;
	if (answer)
		remember(answer, &q, NULL, who->unit, who->place, 0);
	return WW_FOUND;
}

/* The same on a device that is left alone, where everybody may send. */
inline_always int sender_of(struct __sk_buff *skb, struct speaker *who)
{
	struct ww_unit *unit;

	if (!is_ours(skb) || is_agent(bpf_skb_cgroup_id(skb)))
		return TC_ACT_UNSPEC;
	unit = unit_of_packet(skb, &who->place);
	who->unit = unit ? unit->badge : 0;
	return WW_FOUND;
}

/* Writes down what a socket announces; another's young connection leaves the slot for the table before. */
inline_always bool begin_connecting(struct ww_young *slot, __u64 cookie, const struct segment *seg,
				    const struct speaker *who, __u16 dialled)
{
	if (!take(&slot->busy))
		return false;
	if (!emptied(slot, cookie)) {
		count_drop(WW_REASON_NO_MEMORY);
		give_back(&slot->busy);
		return false;
	}
	slot->judged.generation = 0;
	slot->client_isn = seg->seq;
	slot->unit = who->unit;
	slot->peer = 0;
	slot->place = who->place;
	slot->dialled = dialled;
	slot->epoch = state.epoch;
	slot->direction = WW_OUT;
	slot->began = bpf_jiffies64();
	slot->bad_proofs = 0;
	slot->nonce = client_nonce(cookie, seg->seq);
	slot->cookie = cookie;
	give_back(&slot->busy);
	return true;
}

/*
 * A SYN about to leave; refuse has asked the tables. A retransmission repeats what was announced. On a device that is left
 * alone (*alone*) it announces nothing, and is written down for its answer only.
 */
inline_always int stamp_syn(struct __sk_buff *skb, struct bpf_sock *sk, __u32 at, const struct segment *seg, bool alone)
{
	__u64 cookie = cookie_from(skb, sk);
	struct ww_young *slot = slot_for(cookie);
	struct syn_option option;
	struct speaker who;
	int found;

	if (!slot)
		return TC_ACT_SHOT;
	if (slot->cookie != cookie || slot->client_isn != seg->seq || seg->payload || !slot->unit) {
		found = alone ? sender_of(skb, &who) : speaker_of(skb, sk, seg, &who);
		if (found != WW_FOUND)
			return found;
		if (!begin_connecting(slot, cookie, seg, &who, bpf_ntohs(sk->dst_port)))
			return TC_ACT_SHOT;
	}
	if (alone) {
		count(WW_COUNT_EXCLUDED);
		return TC_ACT_UNSPEC;
	}
	if (seg->payload || too_full(skb, seg)) {
		count(WW_COUNT_STAMP_NO_ROOM);
		return TC_ACT_UNSPEC;
	}
	head_of(&option.head, sizeof(option), slot->unit);
	option.epoch = slot->epoch;
	option.version = WW_OPTION_VERSION;
	option.dialled = bpf_htons(slot->dialled);
	store_be64(option.nonce, slot->nonce);
	count(append(skb, at, seg, &option, sizeof(option)) ? WW_COUNT_STAMPED_SYN : WW_COUNT_STAMP_FAILED);
	return TC_ACT_UNSPEC;
}

/*
 * Whether the segment answers the SYN that this CPU let in last. The local end is another here where this host
 * translates it (REDIRECT): the SYN came in behind the translation, its answer has passed back through it.
 */
inline_always bool is_answer_to(const struct segment *seg, const struct announcement *syn)
{
	return syn->isn == seg->ack - 1 && syn->remote_port == seg->remote_port &&
	       address_equal(&syn->remote, &seg->remote);
}

/*
 * Keeps what a SYN announced for the SYN-ACK's retransmission and the ACK. Where there is no room both do
 * without: the nonce can be computed again, and the client asks again. A SYN cookie has no request to keep it by.
 */
inline_always void keep_announcement(const struct announcement *syn, const struct segment *seg, __u64 cookie, __u64 nonce)
{
	struct ww_young *slot = cookie ? slot_for(cookie) : NULL;
	__u64 *waits = awaited_from(&syn->remote, syn->remote_port, syn->local_port);

	if (!slot || !waits || !take(&slot->busy))
		return;
	if (emptied(slot, 0)) {
		slot->cookie = cookie;
		slot->client_isn = syn->isn;
		slot->server_isn = seg->seq;
		slot->peer = syn->badge;
		slot->unit = syn->unit;
		slot->enforcer = syn->enforcer;
		slot->dialled = syn->dialled;
		slot->epoch = syn->epoch;
		slot->direction = WW_IN;
		slot->began = bpf_jiffies64();
		slot->id.local = syn->local;
		slot->id.remote = syn->remote;
		slot->id.remote_port = syn->remote_port;
		slot->id.local_port = syn->local_port;
		slot->nonce = syn->nonce;
		slot->reply = nonce;
		*waits = cookie;
	}
	give_back(&slot->busy);
}

/* The same SYN later on, for a SYN-ACK that is sent again; false when its slot holds another one. */
inline_always bool recall(struct announcement *syn, const struct segment *seg, __u64 cookie, __u64 nonce)
{
	struct ww_young *slot = young_of(cookie);
	bool found;

	if (!slot || !take(&slot->busy))
		return false;
	found = slot->cookie == cookie && slot->direction == WW_IN && slot->client_isn == seg->ack - 1;
	if (found) {
		slot->server_isn = seg->seq;
		slot->reply = nonce;
		syn->remote_port = 0; /* this is no SYN that was let in just now */
		syn->nonce = slot->nonce;
		syn->badge = slot->peer;
		syn->unit = slot->unit;
		syn->enforcer = slot->enforcer;
		syn->dialled = slot->dialled;
		syn->epoch = slot->epoch;
	}
	give_back(&slot->busy);
	return found;
}

/* Proves this end to who announced the SYN. */
inline_always int prove_synack(struct __sk_buff *skb, __u32 at, const struct segment *seg,
			       const struct announcement *syn, __u64 nonce)
{
	struct synack_option option;
	struct transcript t = {
		.client = syn->badge,
		.server = syn->unit,
		.client_nonce = syn->nonce,
		.server_nonce = nonce,
		.dialled = syn->dialled,
		.client_epoch = syn->epoch,
		.server_epoch = nonce & 1,
	};
	struct ww_keys *pair;
	const __u64 *key;

	if (!syn->badge)
		return TC_ACT_UNSPEC;
	if (seg->payload || seg->header > 60 - WW_SYNACK_OPTION) {
		count(WW_COUNT_STAMP_NO_ROOM);
		return TC_ACT_UNSPEC;
	}
	pair = keys_of(syn->enforcer);
	key = pair ? pairwise_key(pair, t.server_epoch, t.client_epoch) : NULL;
	if (!key)
		return TC_ACT_SHOT;
	head_of(&option.head, sizeof(option), t.server);
	store_be48(option.nonce, nonce);
	store_be48(option.proof, proof_of(key, WW_MESSAGE_SYNACK, &t) & WW_PROOF_MASK);
	count(append(skb, at, seg, &option, sizeof(option)) ? WW_COUNT_STAMPED_SYNACK : WW_COUNT_STAMP_FAILED);
	return TC_ACT_UNSPEC;
}

/*
 * A SYN-ACK whose SYN is not known any more cannot say who it is, and one that says nothing would be
 * taken for a server without identity. It does not leave; the client asks again.
 */
inline_always int stamp_synack(struct __sk_buff *skb, struct bpf_sock *sk, __u32 at, const struct segment *seg, bool alone)
{
	__u64 nonce = server_nonce(&seg->remote, seg->remote_port, seg->seq, coarse_now() >> WW_TICK_SHIFT, state.epoch);
	__u64 cookie = sk ? cookie_from(skb, sk) : 0; /* the request's */
	__u32 zero = 0;
	struct announcement *syn = bpf_map_lookup_elem(&answering, &zero);

	if (!syn)
		return TC_ACT_SHOT;
	if (is_answer_to(seg, syn)) {
		keep_announcement(syn, seg, cookie, nonce);
	} else if (!recall(syn, seg, cookie, nonce)) {
		if (alone || !is_ours(skb) || is_agent(bpf_skb_cgroup_id(skb)))
			return TC_ACT_UNSPEC;
		count(WW_COUNT_SYNACK_UNKNOWN);
		return TC_ACT_SHOT;
	}
	if (alone) {
		count(WW_COUNT_EXCLUDED);
		return TC_ACT_UNSPEC;
	}
	return prove_synack(skb, at, seg, syn, nonce);
}

/*
 * The client's proof, on every ACK until the server has sent or acknowledged something: it does
 * neither before it has let the connection in.
 */
inline_always void stamp_ack(struct __sk_buff *skb, struct bpf_sock *sk, __u32 at, const struct segment *seg)
{
	__u64 cookie = cookie_from(skb, sk);
	struct ww_young *slot = young_of(cookie);
	struct ack_option option;
	struct ww_flow *flow;
	struct ww_flow_id id;

	if (seg->header > 60 - WW_ACK_OPTION) {
		count(WW_COUNT_STAMP_NO_ROOM);
		return;
	}
	if (slot) {
		if (!slot->peer)
			return;
		head_of(&option.head, sizeof(option), slot->unit);
		option.epoch = slot->epoch;
		option.server_epoch = slot->server_epoch;
		option.dialled = bpf_htons(slot->dialled);
		store_be64(option.nonce, slot->nonce);
		store_be64(option.proof, slot->reply);
	} else {
		flow_id_of(&id, sk, bpf_skb_cgroup_id(skb));
		flow = flow_find(&id);
		if (!flow || flow->direction != WW_OUT || !flow->peer)
			return;
		head_of(&option.head, sizeof(option), flow->unit);
		option.epoch = flow->epoch;
		option.server_epoch = flow->server_epoch;
		option.dialled = bpf_htons(flow->port);
		store_be64(option.nonce, flow->nonce);
		store_be64(option.proof, flow->proof);
	}
	count(append(skb, at, seg, &option, sizeof(option)) ? WW_COUNT_STAMPED_ACK : WW_COUNT_STAMP_FAILED);
}

/* What a packet of a handshake may be; each is stamped by a program of its own. */
enum stamped {
	WW_STAMP_SYN,
	WW_STAMP_SYNACK,
	WW_STAMP_ACK,
	WW_STAMPS,
};

/* *at* and *kind* are constants where this is used. */
inline_always int stamp_segment(struct __sk_buff *skb, __u32 at, enum stamped kind)
{
	struct bpf_sock *sk = skb->sk;
	bool alone = excluded_device(skb);
	struct segment seg;

	if (!parse_segment(skb, at, false, &seg))
		return TC_ACT_UNSPEC;
	if (kind == WW_STAMP_SYNACK)
		return stamp_synack(skb, sk, at, &seg, alone);
	if (!sk)
		return TC_ACT_UNSPEC; /* never: a socket sends these */
	if (kind == WW_STAMP_SYN)
		return stamp_syn(skb, sk, at, &seg, alone);
	if (!seg.payload && !alone)
		stamp_ack(skb, sk, at, &seg);
	return TC_ACT_UNSPEC;
}

#endif /* WW_STAMPING_H */
