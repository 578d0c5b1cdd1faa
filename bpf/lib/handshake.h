/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Handshakes under way and young connections, each in one slot of an array.
 *
 * A slot is overwritten when another handshake falls on it. A handshake that is not over loses a
 * retransmitted SYN by that, never more: what counts is covered by the proofs, whoever wrote the slot.
 * A young connection is moved to the table of live ones first. So a flood of half-open connections
 * has nothing to fill up, and a connection that comes and goes costs no table anything.
 */
#ifndef WW_HANDSHAKE_H
#define WW_HANDSHAKE_H

#include "flow.h"
#include "identity.h"

/* SYNs that came in, by a keyed hash of the remote end. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WW_ANNOUNCED);
	__type(key, __u32);
	__type(value, struct ww_announced);
} announced SEC(".maps");

/* SYNs that went out, by socket cookie: the kernel counts those up, so neighbours do not collide. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WW_CONNECTING);
	__type(key, __u32);
	__type(value, struct ww_connecting);
} connecting SEC(".maps");

inline_always struct ww_announced *announced_slot(const struct ww_address *remote, __u16 remote_port)
{
	__u64 mix = ((__u64)remote->word[3] << 32 | remote->word[2]) ^ state.secret[0];
	__u32 index;

	mix ^= ((__u64)remote->word[1] << 32 | remote->word[0]) + ((__u64)remote_port << 24);
	mix *= 0x9e3779b97f4a7c15ULL;
	mix ^= (mix >> 29) + state.secret[1];
	mix *= 0xbf58476d1ce4e5b9ULL;
	index = (mix >> 40) & (WW_ANNOUNCED - 1);
	return bpf_map_lookup_elem(&announced, &index);
}

inline_always bool announced_is(const struct ww_announced *slot, const struct ww_address *remote, __u16 remote_port)
{
	return slot->id.remote_port == remote_port && address_equal(&slot->id.remote, remote);
}

inline_always struct ww_connecting *connecting_slot(__u64 cookie)
{
	__u32 index = cookie & (WW_CONNECTING - 1);

	return bpf_map_lookup_elem(&connecting, &index);
}

inline_always bool is_open(const struct ww_judgement *judged)
{
	return judged->generation != 0;
}

inline_always void ends_of_announced(struct ends *ends, struct ww_announced *slot)
{
	ends->id = &slot->id;
	ends->judged = &slot->judged;
	ends->place = slot->place;
	ends->unit = slot->unit;
	ends->peer = slot->badge;
	ends->port = bpf_ntohs(slot->id.local_port);
	ends->direction = WW_IN;
}

inline_always void ends_of_connecting(struct ends *ends, struct ww_connecting *slot)
{
	ends->id = &slot->id;
	ends->judged = &slot->judged;
	ends->place = slot->place;
	ends->unit = slot->unit;
	ends->peer = slot->peer;
	ends->port = slot->dialled;
	ends->direction = WW_OUT;
}

inline_always bool keep(const struct ww_flow *flow)
{
	__u64 key = flow_key(&flow->id);

	if (!bpf_map_update_elem(&live, &key, flow, BPF_ANY))
		return true;
	count_drop(WW_REASON_NO_MEMORY);
	return false;
}

/* Moves a young connection to the table of live ones. False when that is full: then it stays. */
own_frame bool keep_announced(struct ww_announced *slot)
{
	struct ww_flow flow = {
		.id = slot->id,
		.judged = slot->judged,
		.place = slot->place,
		.opened = coarse_now(),
		.unit = slot->unit,
		.peer = slot->badge,
		.server_isn = slot->server_isn,
		.tally = state.tally,
		.port = bpf_ntohs(slot->id.local_port),
		.direction = WW_IN,
	};

	if (!keep(&flow))
		return false;
	slot->judged.generation = 0;
	slot->badge = 0;
	return true;
}

own_frame bool keep_connecting(struct ww_connecting *slot)
{
	struct ww_flow flow = {
		.id = slot->id,
		.judged = slot->judged,
		.place = slot->place,
		.nonce = slot->nonce,
		.proof = slot->proof,
		.opened = coarse_now(),
		.unit = slot->unit,
		.peer = slot->peer,
		.tally = state.tally,
		.port = slot->dialled,
		.direction = WW_OUT,
		.epoch = slot->epoch,
		.server_epoch = slot->server_epoch,
	};

	if (!keep(&flow))
		return false;
	slot->judged.generation = 0;
	slot->cookie = 0;
	return true;
}

/*
 * The socket's own view of its connection. Every field is read before the choice: the verifier
 * allows no computed pointer into a socket.
 */
inline_always void flow_id_of(struct ww_flow_id *id, struct bpf_sock *sk, __u64 cgroup)
{
	__u32 v4 = READ_ONCE(sk->dst_ip4);

	id->remote.word[0] = READ_ONCE(sk->dst_ip6[0]);
	id->remote.word[1] = READ_ONCE(sk->dst_ip6[1]);
	id->remote.word[2] = READ_ONCE(sk->dst_ip6[2]);
	id->remote.word[3] = READ_ONCE(sk->dst_ip6[3]);
	if (READ_ONCE(sk->family) == WW_AF_INET)
		address_v4(&id->remote, v4);
	id->remote_port = READ_ONCE(sk->dst_port);
	id->local_port = bpf_htons(READ_ONCE(sk->src_port));
	id->pad = 0;
	id->cgroup = cgroup;
}

/* The record of a connection that has outgrown its slot, or NULL. */
inline_always struct ww_flow *flow_find(const struct ww_flow_id *id)
{
	__u64 key = flow_key(id);
	struct ww_flow *flow = bpf_map_lookup_elem(&live, &key);

	return flow && same_flow(&flow->id, id) ? flow : NULL;
}

inline_always bool closing(struct bpf_sock *sk)
{
	return sk->state == BPF_TCP_FIN_WAIT1 || sk->state == BPF_TCP_FIN_WAIT2 || sk->state == BPF_TCP_LAST_ACK ||
	       sk->state == BPF_TCP_CLOSING;
}

/* What a packet means for the record of its connection. */
struct moment {
	struct numbers numbers;	/* of the socket, if it is the last packet */
	bool last;
	bool reset;
};

inline_always void moment_of(struct moment *now, struct bpf_sock *sk, __u8 flags, bool last)
{
	struct bpf_tcp_sock *tcp;

	__builtin_memset(now, 0, sizeof(*now));
	now->last = last;
	now->reset = flags & TCP_RST;
	if (!last)
		return;
	tcp = bpf_tcp_sock(sk);
	if (tcp)
		numbers_of(&now->numbers, tcp);
}

/* Whether the packet may pass; RSTs always may, so that the other end learns that it is over. */
inline_always int pass_if_allowed(const struct ends *ends, const struct moment *now)
{
	if (all_judged() || now->reset || still_allowed(ends))
		return WW_PASS;
	count_drop(WW_REASON_REVOKED);
	return WW_DROP;
}

inline_always int young_segment(const struct ends *ends, const struct moment *now)
{
	int verdict;

	if (now->last)
		account_first(ends, &now->numbers);
	verdict = pass_if_allowed(ends, now);
	if (now->last && verdict == WW_PASS)
		ends->judged->generation = 0;
	return verdict;
}

inline_always int grown_segment(struct ww_flow *flow, const struct moment *now)
{
	__u64 key = flow_key(&flow->id);
	struct ends ends;
	int verdict;

	if (flow->existing)
		return WW_PASS;
	ends_of_flow(&ends, flow);
	if (now->last)
		account(flow, &now->numbers);
	verdict = pass_if_allowed(&ends, now);
	if (now->last && verdict == WW_PASS)
		bpf_map_delete_elem(&live, &key);
	return verdict;
}

/*
 * A packet that needs its connection's record: it may be the last, or the tables have changed since
 * all records were judged.
 */
own_frame int live_segment(struct __sk_buff *skb, struct bpf_sock *sk, __u64 cgroup, __u8 flags, bool last)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct ww_connecting *out = connecting_slot(cookie);
	struct ww_announced *in;
	struct ww_flow_id id;
	struct ww_flow *flow;
	struct moment now;
	struct ends ends;

	moment_of(&now, sk, flags, last);
	if (out && out->cookie == cookie && is_open(&out->judged)) {
		ends_of_connecting(&ends, out);
		return young_segment(&ends, &now);
	}
	flow_id_of(&id, sk, cgroup);
	in = announced_slot(&id.remote, id.remote_port);
	if (in && is_open(&in->judged) && same_flow(&in->id, &id)) {
		ends_of_announced(&ends, in);
		return young_segment(&ends, &now);
	}
	flow = flow_find(&id);
	if (flow)
		return grown_segment(flow, &now);
	if (all_judged() || is_agent(cgroup) || closing(sk) || now.reset)
		return WW_PASS;
	count_drop(WW_REASON_STATE_MISSING); /* until the agent has looked at all sockets */
	return WW_DROP;
}

#endif /* WW_HANDSHAKE_H */
