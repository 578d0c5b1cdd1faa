/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Handshakes under way, each in one slot of an array.
 *
 * A slot is overwritten when another handshake falls on it; that costs the first one a retransmitted
 * SYN, never a wrong admission: what counts is covered by the proofs, whoever wrote the slot. So a
 * flood of half-open connections has nothing to fill up, and established ones are not in here.
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
	return slot->remote_port == remote_port && address_equal(&slot->remote, remote);
}

inline_always struct ww_connecting *connecting_slot(__u64 cookie)
{
	__u32 index = cookie & (WW_CONNECTING - 1);

	return bpf_map_lookup_elem(&connecting, &index);
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

/*
 * Enters a connection among the live ones. False when there is no room: then it must not live. If the
 * tables changed since it was judged, the agent's look at all records may have come before this one
 * was among them: so it is judged again.
 */
inline_always bool flow_open(const struct ww_flow *flow)
{
	__u64 key = flow_key(&flow->id);
	__u32 generation;
	struct ww_flow *entered;

	if (bpf_map_update_elem(&live, &key, flow, BPF_ANY)) {
		count_drop(WW_REASON_NO_MEMORY);
		return false;
	}
	generation = generation_now();
	if (flow->generation == generation)
		return true;
	entered = bpf_map_lookup_elem(&live, &key);
	return entered && flow_judge(entered, generation);
}

/* The record of a connection, or NULL. */
inline_always struct ww_flow *flow_find(const struct ww_flow_id *id)
{
	__u64 key = flow_key(id);
	struct ww_flow *flow = bpf_map_lookup_elem(&live, &key);

	return flow && flow_is(flow, id) ? flow : NULL;
}

inline_always void flow_close(const struct ww_flow_id *id)
{
	__u64 key = flow_key(id);

	bpf_map_delete_elem(&live, &key);
}

inline_always bool closing(struct bpf_sock *sk)
{
	return sk->state == BPF_TCP_FIN_WAIT1 || sk->state == BPF_TCP_FIN_WAIT2 || sk->state == BPF_TCP_LAST_ACK ||
	       sk->state == BPF_TCP_CLOSING;
}

/*
 * A packet that needs its connection's record: it may be the last, or the tables have changed since
 * all records were judged. Returns whether it may pass.
 */
own_frame int live_segment(struct bpf_sock *sk, __u64 cgroup, __u8 flags, bool last)
{
	struct numbers numbers = {};
	struct bpf_tcp_sock *tcp;
	struct ww_flow_id id;
	struct ww_flow *flow;

	flow_id_of(&id, sk, cgroup);
	flow = flow_find(&id);
	if (!flow) {
		if (all_judged() || is_agent(cgroup) || closing(sk))
			return WW_PASS;
		count_drop(WW_REASON_STATE_MISSING); /* until the agent has looked at all sockets */
		return WW_DROP;
	}
	if (last) {
		tcp = bpf_tcp_sock(sk);
		if (tcp) {
			numbers_of(&numbers, tcp);
			account(flow, &numbers);
		}
	}
	if (!all_judged() && !flow_judge(flow, generation_now()) && !(flags & TCP_RST)) {
		count_drop(WW_REASON_REVOKED);
		return WW_DROP;
	}
	if (last)
		flow_close(&id);
	return WW_PASS;
}

#endif /* WW_HANDSHAKE_H */
