/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Handshakes under way and young connections, each in one of two slots of an array.
 *
 * The second slot is overwritten when another handshake falls on it. A handshake that is not over loses a
 * retransmitted SYN by that, never more: what counts is covered by the proofs, whoever wrote the slot.
 * A young connection is moved to the table of live ones first. So a flood of half-open connections
 * has nothing to fill up, and a connection that comes and goes costs no table anything.
 *
 * A record says who was admitted, so no CPU may see or leave half of one: whoever makes, reads or moves
 * the record of a young connection takes the slot before. Nobody waits long for it; who does not get
 * it drops the packet, which TCP sends again.
 */
#ifndef WW_HANDSHAKE_H
#define WW_HANDSHAKE_H

#include "answer.h"
#include "atomic.h"
#include "flow.h"
#include "identity.h"

/*
 * Handshakes and young connections, by cookie: of the socket that connects, or of the request that becomes the accepted
 * one and leaves its cookie to it. Page-aligned by its flag: each slot is two cache lines.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WW_YOUNG_SLOTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ww_young);
} young SEC(".maps");

_Static_assert(sizeof(struct ww_young) == 128 && offsetof(struct ww_young, id) == 64, "two cache lines, the first is enough for most");

#define WW_AWAITED 1024 /* power of two */

struct awaited {
	__u64 cookie[WW_AWAITED];
};

/* Requests whose ACK is awaited, by a keyed hash of the ends: on the CPU that sent the SYN-ACK, where it mostly comes. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct awaited);
} awaited SEC(".maps");

inline_always __u64 *awaited_from(const struct ww_address *remote, __u16 remote_port, __u16 local_port)
{
	__u64 mix = ((__u64)remote->word[3] << 32 | remote->word[2]) ^ state.secret[0];
	__u32 zero = 0;
	struct awaited *all = bpf_map_lookup_elem(&awaited, &zero);

	mix ^= ((__u64)remote->word[1] << 32 | remote->word[0]) + ((__u64)remote_port << 16 | local_port);
	mix *= 0x9e3779b97f4a7c15ULL;
	mix ^= (mix >> 29) + state.secret[1];
	mix *= 0xbf58476d1ce4e5b9ULL;
	return all ? &all->cookie[(mix >> 40) & (WW_AWAITED - 1)] : NULL;
}

inline_always bool comes_from(const struct ww_young *slot, const struct segment *seg)
{
	return slot->id.remote_port == seg->remote_port && slot->id.local_port == seg->local_port &&
	       address_equal(&slot->id.remote, &seg->remote);
}

/*
 * A SYN that was let in: who announced it (no badge: nobody), and which unit it is for. Its SYN-ACK leaves
 * before this CPU turns to another packet, so nobody's SYN can come between the two.
 */
struct announcement {
	struct ww_address local;
	struct ww_address remote;
	__u64 nonce;
	__u32 isn;
	__u32 badge;
	__u32 unit;
	__u32 enforcer;	/* index of the client's Enforcer */
	__u16 local_port;
	__u16 remote_port;
	__u16 dialled;
	__u8 epoch;
	__u8 pad;
};

/* The SYN that each CPU let in last. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct announcement);
} answering SEC(".maps");

/* Whether the slot holds a young connection. Certain only for whoever has taken it. */
inline_always bool is_open(const struct ww_judgement *judged)
{
	return judged->generation != 0;
}

inline_always void ends_of_young(struct ends *ends, struct ww_young *slot)
{
	ends->id = &slot->id;
	ends->judged = &slot->judged;
	ends->place = slot->place;
	ends->unit = slot->unit;
	ends->peer = slot->peer;
	ends->port = slot->direction == WW_OUT ? slot->dialled : bpf_ntohs(slot->id.local_port);
	ends->direction = slot->direction;
}

#ifndef WW_ITERATOR
/* Room for one record while it moves. Everything but iterators runs with bottom halves off: nothing nests. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ww_flow);
} moving SEC(".maps");

#define WW_MOVING(name)						\
	__u32 zero_index = 0;					\
	struct ww_flow *name = bpf_map_lookup_elem(&moving, &zero_index)
#else
#define WW_MOVING(name) struct ww_flow name##_room, *name = &name##_room
#endif

inline_always bool keep(const struct ww_flow *flow)
{
	__u64 key = flow_key(&flow->id);

	return !bpf_map_update_elem(&live, &key, flow, BPF_ANY);
}

/*
 * Moves a young connection to the table of live ones; its slot must be taken. False when that is full:
 * then it stays.
 */
own_frame bool keep_young(struct ww_young *slot)
{
	WW_MOVING(flow);

	if (!flow)
		return false;
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->id = slot->id;
	flow->judged = slot->judged;
	flow->place = slot->place;
	flow->nonce = slot->nonce;
	flow->proof = slot->reply;
	flow->opened = coarse_now();
	flow->unit = slot->unit;
	flow->peer = slot->peer;
	flow->server_isn = slot->server_isn;
	flow->tally = state.tally;
	flow->port = slot->direction == WW_OUT ? slot->dialled : bpf_ntohs(slot->id.local_port);
	flow->direction = slot->direction;
	flow->epoch = slot->epoch;
	flow->server_epoch = slot->server_epoch;
	if (!keep(flow))
		return false;
	slot->judged.generation = 0;
	slot->cookie = 0;
	return true;
}

/* Makes room in a slot that is taken; whoever else's young connection stands in it moves to the table. */
inline_always bool emptied(struct ww_young *slot, __u64 cookie)
{
	return !is_open(&slot->judged) || slot->cookie == cookie || keep_young(slot);
}

/*
 * A handshake or young connection has one of two slots. The kernel counts cookies up, a row of them for each CPU. So the
 * same CPU uses the first few slots over and over, and finds them in its cache: a line from farther away costs a few
 * hundred nanoseconds. Whoever finds the first taken goes to the second, whatever that holds.
 */
inline_always struct ww_young *first_slot(__u64 cookie)
{
	__u32 row = (cookie >> WW_YOUNG_ROW) & (WW_YOUNG_ROWS - 1);
	__u32 index = row * WW_YOUNG_FIRST | (cookie & (WW_YOUNG_FIRST - 1));

	return bpf_map_lookup_elem(&young, &index);
}

inline_always struct ww_young *second_slot(__u64 cookie)
{
	__u32 row = (cookie >> WW_YOUNG_ROW) & (WW_YOUNG_ROWS - 1);
	__u32 index = row * WW_YOUNG_SECOND | (cookie & (WW_YOUNG_SECOND - 1));

	index += WW_YOUNG_ROWS * WW_YOUNG_FIRST;
	return bpf_map_lookup_elem(&young, &index);
}

/* The slot that holds a handshake or young connection, or NULL. Certain only for whoever has taken it. */
inline_always struct ww_young *young_of(__u64 cookie)
{
	struct ww_young *slot = first_slot(cookie);

	if (!cookie)
		return NULL;
	if (slot && slot->cookie == cookie)
		return slot;
	slot = second_slot(cookie);
	return slot && slot->cookie == cookie ? slot : NULL;
}

/* Whether somebody else needs the slot: a young connection, or a handshake that is not given up yet. */
inline_always bool in_use(const struct ww_young *slot)
{
	return slot->cookie &&
	       (is_open(&slot->judged) || (__u16)((__u16)bpf_jiffies64() - slot->began) < WW_YOUNG_PATIENCE);
}

/*
 * Where to write down a handshake; NULL never. One that is written down again may then stand in both of its slots,
 * if it had the second before.
 */
inline_always struct ww_young *slot_for(__u64 cookie)
{
	struct ww_young *slot = first_slot(cookie);

	return slot && (slot->cookie == cookie || !in_use(slot)) ? slot : second_slot(cookie);
}

/* The slot that holds a young connection, or NULL. Certain only for whoever has taken it. */
inline_always struct ww_young *opened(__u64 cookie)
{
	struct ww_young *slot = first_slot(cookie);

	if (!cookie)
		return NULL;
	if (slot && slot->cookie == cookie && is_open(&slot->judged))
		return slot;
	slot = second_slot(cookie);
	return slot && slot->cookie == cookie && is_open(&slot->judged) ? slot : NULL;
}

/*
 * Asks the tables again about a connection that is just being opened: they have changed since they
 * were asked, and the agent's look at all records may have come before this one was there.
 */
own_frame bool reconsider_young(struct ww_young *slot, __u64 cookie)
{
	bool allowed = false;
	struct ends ends;

	if (!take(&slot->busy))
		return false;
	if (is_open(&slot->judged) && slot->cookie == cookie) {
		ends_of_young(&ends, slot);
		allowed = still_allowed(&ends);
	}
	give_back(&slot->busy);
	return allowed;
}

/*
 * The socket's own view of its connection. Every field is read before the choice: the verifier
 * allows no computed pointer into a socket.
 */
inline_always void flow_id_of(struct ww_flow_id *id, struct bpf_sock *sk, __u64 cgroup)
{
	__u32 remote4 = READ_ONCE(sk->dst_ip4), local4 = READ_ONCE(sk->src_ip4);

	id->remote.word[0] = READ_ONCE(sk->dst_ip6[0]);
	id->remote.word[1] = READ_ONCE(sk->dst_ip6[1]);
	id->remote.word[2] = READ_ONCE(sk->dst_ip6[2]);
	id->remote.word[3] = READ_ONCE(sk->dst_ip6[3]);
	id->local.word[0] = READ_ONCE(sk->src_ip6[0]);
	id->local.word[1] = READ_ONCE(sk->src_ip6[1]);
	id->local.word[2] = READ_ONCE(sk->src_ip6[2]);
	id->local.word[3] = READ_ONCE(sk->src_ip6[3]);
	if (READ_ONCE(sk->family) == WW_AF_INET) {
		address_v4(&id->remote, remote4);
		address_v4(&id->local, local4);
	}
	id->remote_port = READ_ONCE(sk->dst_port);
	id->local_port = bpf_htons(READ_ONCE(sk->src_port));
	id->device = 0;
	id->cgroup = cgroup;
}

/* The record of a connection that has outgrown its slot, or NULL. */
inline_always struct ww_flow *flow_find(const struct ww_flow_id *id)
{
	__u64 key = flow_key(id);
	struct ww_flow *flow = bpf_map_lookup_elem(&live, &key);

	return flow && same_flow(&flow->id, id) ? flow : NULL;
}

#endif /* WW_HANDSHAKE_H */
