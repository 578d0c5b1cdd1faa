/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Host names of external networks: which names cover which addresses, for one unit, and what that says
 * of a connection it opens. Filled from the DNS answers that the unit receives (dns.h). Asked only about
 * peers without identity, on the way out, and only while some table in force has names.
 */
#ifndef WW_NAMES_H
#define WW_NAMES_H

#include "policy.h"
#include "units.h"

/* Host name, from its end -> class of the networks of its most precise pattern. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, WW_MAX_SUFFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ww_suffix);
	__type(value, struct ww_prefix_class);
} suffixes SEC(".maps");

/* Keyed hash of a name -> the name and its classes; a revision changes the classes of all names at once. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_SPELLED);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct ww_spelled);
} spelled SEC(".maps");

/* (unit, address) -> names under which the unit has learned it. Not LRU: full, nothing more is learned. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_LEARNED);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ww_learned_key);
	__type(value, struct ww_learned);
} learned SEC(".maps");

inline_always bool names_in_force(__u32 bank)
{
#ifdef WW_OLDER
	return false; /* none is ever learned there; the agent takes no tables that need one */
#endif
	return READ_ONCE(state.named) & (1U << (bank & 1));
}

inline_always bool observes_reject(__u8 flags)
{
	return (flags & WW_VERDICT_OBSERVED) && !(flags & WW_VERDICT_OBSERVED_ALLOW);
}

/* Adds what one more class decides: a rule beats a default, a Reject beats an Allow. */
inline_always void decide_together(struct ww_verdict *all, const struct ww_verdict *part)
{
	__u8 watched = WW_VERDICT_OBSERVED | WW_VERDICT_OBSERVED_ALLOW, log = WW_VERDICT_LOG;
	__u8 before = all->flags;

	if (part->rule && (!all->rule || (part->action == WW_REJECT && all->action != WW_REJECT))) {
		all->rule = part->rule;
		all->action = part->action;
		all->flags = (all->flags & watched) | (part->flags & (WW_VERDICT_EXPLICIT | log));
		if (before & WW_VERDICT_OBSERVED)
			all->flags |= before & log;
	}
	if ((part->flags & WW_VERDICT_OBSERVED) &&
	    (!(before & WW_VERDICT_OBSERVED) || (observes_reject(part->flags) && !observes_reject(before)))) {
		all->observed_rule = part->observed_rule;
		all->flags = (all->flags & ~watched) | (part->flags & (watched | log));
	}
}

/* What is asked about a peer without identity, in one register: a call takes five. */
inline_always __u64 stranger_flow(__u16 port, __u8 direction, __u8 protocol, __u32 bank, bool live)
{
	return port | (__u64)direction << 16 | (__u64)protocol << 24 | (__u64)(bank & 1) << 32 | (__u64)live << 33;
}

inline_always __u32 bank_in(__u64 flow)
{
	return flow >> 32 & 1;
}

/* About a connection that lives: what it was opened by may have run out. */
inline_always bool is_live(__u64 flow)
{
	return flow >> 33 & 1;
}

/* Keys of the tables asked one after the other: they share their room on the stack. */
union names_key {
	struct ww_learned_key learned;
	struct ww_verdict_key verdict;
};

/* The flow with the number of its port's segment in place of the port. */
inline_always __u64 in_segments(__u64 flow)
{
	return (flow & ~0xffffULL) | (__u16)segment_of(bank_in(flow), flow >> 24, flow);
}

/*
 * Like verdict_of() in room that the caller has and has filled but for the peer, for a segment; without the default,
 * which the prefix has said.
 */
inline_always struct ww_verdict *verdict_by(struct ww_verdict_key *key, __u32 class, __u64 flow)
{
	struct ww_verdict *verdict;

	if (!class)
		return NULL;
	key->peer = class;
	key->protocol = flow >> 24;
	key->segment = (__u16)flow;
	verdict = bpf_map_lookup_elem(&verdicts, key);
	if (verdict)
		return verdict;
	key->protocol = WW_ANY_PROTOCOL;
	key->segment = 0;
	return bpf_map_lookup_elem(&verdicts, key);
}

/*
 * Adds to *all* what the names say under which the unit has learned the address, and which are good beyond *since*
 * (ns since boot). *unit*: its badge, and its class in the upper half; *flow* is in_segments(). They are taken apart
 * where they are needed, and few things are on the stack: callers are deep.
 */
proved_alone int decide_by_names(const struct ww_address *address, __u64 unit, __u64 flow, struct ww_verdict *all,
				 __u64 since)
{
	struct ww_learned *found;
	const __u64 *slot;
	union names_key key;

	if (!address || !all)
		return 0;
	key.learned.unit = unit;
	key.learned.pad = 0;
	key.learned.address = *address;
	found = bpf_map_lookup_elem(&learned, &key.learned);
	if (!found)
		return 0;
	key.verdict = (struct ww_verdict_key){ .local = unit >> 32, .bank = bank_in(flow), .direction = flow >> 16 };
	slot = found->names;
	flow <<= 4; /* and below it the number of the name at hand: one register less */
#pragma clang loop unroll(disable)
	for (; (flow & 15) < WW_NAMES_EACH; flow++, slot += 2) {
		struct ww_spelled *known;
		struct ww_verdict *part;

		asm volatile("" : "+r"(flow), "+r"(slot)); /* not kept in pieces */
		if (!READ_ONCE(slot[0]) || READ_ONCE(slot[1]) < since)
			continue;
		known = bpf_map_lookup_elem(&spelled, slot);
		if (!known)
			continue;
		part = verdict_by(&key.verdict, READ_ONCE(known->class[bank_in(flow >> 4)]), flow >> 4);
		if (!part)
			continue;
		asm volatile("" : "+r"(part)); /* no sum with it before it is known to be one */
		decide_together(all, part);
	}
	return 0;
}

/* class_of_address() in a frame of its own: its keys are gone before anything else is called. */
own_frame __u32 class_of_stranger(const struct ww_address *address, __u32 bank)
{
	return class_of_address(address, bank);
}

/* Adds the names to what the prefix says, where they count. */
inline_always void add_names(const struct ww_address *address, __u64 unit, __u64 flow, struct ww_verdict *verdict)
{
	if ((__u8)(flow >> 16) == WW_OUT && names_in_force(bank_in(flow)))
		decide_by_names(address, unit, in_segments(flow), verdict, is_live(flow) ? 0 : coarse_now());
}

/*
 * What the tables say of a peer without identity: its address's prefix, and for what goes out the names
 * under which the unit has learned the address. *flow* is stranger_flow().
 */
inline_always void judge_stranger(const struct ww_address *address, const struct ww_unit *unit, __u64 flow,
				  struct ww_verdict *verdict)
{
	__u32 bank = bank_in(flow), local = unit->class[bank];
	struct ww_verdict *by_prefix =
		verdict_of(bank, local, class_of_stranger(address, bank), flow >> 16, flow >> 24, flow);

	*verdict = (struct ww_verdict){ .action = WW_REJECT };
	if (by_prefix) {
		asm volatile("" : "+r"(by_prefix)); /* no sum with it before it is known to be one */
		*verdict = *by_prefix;
	}
	add_names(address, unit->badge | (__u64)local << 32, flow, verdict);
}

/* A live connection goes to that address: what it was opened by is kept. */
inline_always void keep_learned(__u32 unit, const struct ww_address *address)
{
	struct ww_learned_key key = { .unit = unit, .address = *address };
	struct ww_learned *found = bpf_map_lookup_elem(&learned, &key);

	if (found)
		found->kept = coarse_now();
}

#endif /* WW_NAMES_H */
