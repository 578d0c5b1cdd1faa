/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Handshakes under way, each in one slot of an array, found by a keyed hash of its remote end.
 *
 * A slot is overwritten when another handshake falls on it; that costs the first one a retransmitted
 * SYN, never a wrong admission: what counts is covered by the proofs, whoever wrote the slot. So a
 * flood of half-open connections has nothing to fill up, and established ones are not in here.
 */
#ifndef WW_HANDSHAKE_H
#define WW_HANDSHAKE_H

#include "flow.h"
#include "identity.h"

/* SYNs that came in, by remote end. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WW_SLOTS);
	__type(key, __u32);
	__type(value, struct ww_announced);
} announced SEC(".maps");

/* SYNs that went out, by remote end and local port. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WW_SLOTS);
	__type(key, __u32);
	__type(value, struct ww_connecting);
} connecting SEC(".maps");

inline_always __u32 slot_of(const struct ww_address *remote, __u16 remote_port, __u16 local_port)
{
	__u64 mix = ((__u64)remote->word[3] << 32 | remote->word[2]) ^ state.secret[0];

	mix ^= ((__u64)remote->word[1] << 32 | remote->word[0]) + ((__u64)remote_port << 24) + local_port;
	mix *= 0x9e3779b97f4a7c15ULL;
	mix ^= (mix >> 29) + state.secret[1];
	mix *= 0xbf58476d1ce4e5b9ULL;
	return (mix >> 40) & (WW_SLOTS - 1);
}

inline_always struct ww_announced *announced_slot(const struct ww_address *remote, __u16 remote_port)
{
	__u32 index = slot_of(remote, remote_port, 0);

	return bpf_map_lookup_elem(&announced, &index);
}

inline_always bool announced_is(const struct ww_announced *slot, const struct ww_address *remote, __u16 remote_port)
{
	return slot->remote_port == remote_port && address_equal(&slot->remote, remote);
}

inline_always struct ww_connecting *connecting_slot(const struct ww_flow_id *id)
{
	__u32 index = slot_of(&id->remote, id->remote_port, id->local_port);

	return bpf_map_lookup_elem(&connecting, &index);
}

inline_always bool connecting_is(const struct ww_connecting *slot, const struct ww_flow_id *id)
{
	return slot->remote_port == id->remote_port && slot->local_port == id->local_port &&
	       address_equal(&slot->remote, &id->remote);
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

/* Enters a connection among the live ones. False when there is no room: then it must not live. */
inline_always bool flow_open(const struct ww_flow_id *id, const struct ww_flow *flow)
{
	if (!bpf_map_update_elem(&live, id, flow, BPF_ANY))
		return true;
	count_drop(WW_REASON_NO_MEMORY);
	return false;
}

/*
 * Whether a connection just entered is admitted by the tables in force now. If they changed after it
 * was judged, the agent's look at all records may have come before this one was among them.
 */
inline_always bool flow_still_admitted(const struct ww_flow_id *id, __u32 judged_by)
{
	__u32 generation = generation_now();
	struct ww_flow *flow;

	if (judged_by == generation)
		return true;
	flow = bpf_map_lookup_elem(&live, id);
	return flow && flow_judge(id, flow, generation);
}

#endif /* WW_HANDSHAKE_H */
