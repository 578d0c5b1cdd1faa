/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What passes between the programs of one handshake: the announcement of a SYN on its way to the
 * SYN-ACK, and the grant of a verified ACK on its way to the socket that it creates.
 */
#ifndef WW_HANDSHAKE_H
#define WW_HANDSHAKE_H

#include "flow.h"
#include "identity.h"

/*
 * Announcements, direct-mapped by a keyed hash of the remote end and its ISN. The kernel answers a
 * SYN in the same softirq, so a flood can only overwrite what a retransmitted SYN-ACK would need.
 * Nothing here admits anybody: it only lets the server say who it is.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WW_HALF_OPEN);
	__type(key, __u32);
	__type(value, struct ww_half_open);
} half_open SEC(".maps");

/* The grant of the ACK being processed on this CPU; sock_ops takes it before the CPU moves on. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ww_grant);
} grants SEC(".maps");

inline_always struct ww_grant *grant_slot(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&grants, &zero);
}

inline_always struct ww_half_open *half_open_slot(const struct ww_address *remote, __u16 remote_port)
{
	__u32 index;
	__u64 mix = ((__u64)remote->word[3] << 32 | remote->word[2]) ^ state.secret[0];

	mix ^= ((__u64)remote->word[1] << 32 | remote->word[0]) + ((__u64)remote_port << 24);
	mix *= 0x9e3779b97f4a7c15ULL;
	mix ^= (mix >> 29) + state.secret[1];
	mix *= 0xbf58476d1ce4e5b9ULL;
	index = (mix >> 40) & (WW_HALF_OPEN - 1);
	return bpf_map_lookup_elem(&half_open, &index);
}

inline_always bool half_open_is(const struct ww_half_open *slot, const struct ww_address *remote, __u16 remote_port)
{
	return slot && slot->remote_port == remote_port && address_equal(&slot->remote, remote);
}

inline_always void grant(const struct segment *seg, __u32 generation, __u64 place, __u32 unit, __u32 peer,
			 const struct ww_verdict *verdict)
{
	struct ww_grant *slot = grant_slot();

	if (!slot)
		return;
	slot->remote = seg->remote;
	slot->remote_port = seg->remote_port;
	slot->local_port = seg->local_port;
	slot->generation = generation;
	slot->place = place;
	slot->unit = unit;
	slot->peer = peer;
	slot->rule = verdict ? verdict->rule : 0;
	slot->observed_rule = verdict ? verdict->observed_rule : 0;
	slot->flags = verdict ? verdict->flags : 0;
	slot->valid = 1;
}

#endif /* WW_HANDSHAKE_H */
