/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The question every verdict answers: may this local class meet that peer class, in this direction,
 * on this port? policy/tables.py describes the tables; the first of these that is present decides:
 *
 *  1. (local, peer, direction, protocol, segment of the port)
 *  2. (local, peer, direction, any protocol, 0)
 *  3. (local, none, direction, any protocol, 0): the unit's default
 *  4. nothing: reject
 */
#ifndef WW_POLICY_H
#define WW_POLICY_H

#include "parse.h"
#include "state.h"

#define WW_ANY_PROTOCOL 255

/* (classes, direction, protocol, segment) -> verdict, both banks. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_VERDICTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ww_verdict_key);
	__type(value, struct ww_verdict);
} verdicts SEC(".maps");

/* badge -> peer, filled by the agent with the identities that its document lists. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_PEERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct ww_peer);
} peers SEC(".maps");

/* IPv4 prefix -> class of the networks that cover it. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, WW_MAX_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ww_prefix4);
	__type(value, struct ww_prefix_class);
} prefixes4 SEC(".maps");

/* IPv6 prefix -> class of the networks that cover it. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, WW_MAX_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ww_prefix6);
	__type(value, struct ww_prefix_class);
} prefixes6 SEC(".maps");

/* Port -> segment number, index bank * 2 + (0 tcp, 1 udp); an array look-up is inlined. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ww_segments);
} segments SEC(".maps");

/* Type and code -> segment number, index bank * 2 + (0 ICMP, 1 ICMPv6). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ww_segments);
} icmp_types SEC(".maps");

inline_always __u32 segment_of(__u32 bank, __u8 protocol, __u16 port)
{
	__u32 index = (bank & 1) * 2 + (protocol == IPPROTO_UDP || protocol == IPPROTO_ICMPV6);
	struct ww_segments *numbers;
	__u64 at = port;

	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)
		numbers = bpf_map_lookup_elem(&segments, &index);
	else if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		numbers = bpf_map_lookup_elem(&icmp_types, &index);
	else
		return 0;
	asm volatile("%0 &= 0xffff" : "+r"(at)); /* verifiers up to 6.1 take a byte swap's result for any number */
	return numbers ? READ_ONCE(numbers->number[at]) : 0;
}

/* Class of an address without identity. */
inline_always __u32 class_of_address(const struct ww_address *address, __u32 bank)
{
	struct ww_prefix_class *found;

	if (address_is_v4(address)) {
		struct ww_prefix4 key = { .length = WW_BANK_BITS + 32, .bank = bank & 1 };

		__builtin_memcpy(key.address, &address->word[3], sizeof(key.address));
		found = bpf_map_lookup_elem(&prefixes4, &key);
	} else {
		struct ww_prefix6 key = { .length = WW_BANK_BITS + 128, .bank = bank & 1 };

		__builtin_memcpy(key.address, address->word, sizeof(key.address));
		found = bpf_map_lookup_elem(&prefixes6, &key);
	}
	return found ? found->class : WW_CLASS_SOMEWHERE;
}

inline_always struct ww_verdict *verdict_of(__u32 bank, __u32 local, __u32 peer, __u8 direction, __u8 protocol,
					    __u16 port)
{
	struct ww_verdict_key key = {
		.local = local,
		.peer = peer,
		.bank = bank & 1,
		.direction = direction,
		.protocol = protocol,
		.segment = segment_of(bank, protocol, port),
	};
	struct ww_verdict *verdict;

	verdict = bpf_map_lookup_elem(&verdicts, &key);
	if (verdict)
		return verdict;
	key.protocol = WW_ANY_PROTOCOL;
	key.segment = 0;
	verdict = bpf_map_lookup_elem(&verdicts, &key);
	if (verdict)
		return verdict;
	key.peer = WW_CLASS_NONE;
	return bpf_map_lookup_elem(&verdicts, &key);
}

/*
 * Whether some identity might be allowed on this port, so that a SYN has to find out. Entries for
 * no peer class carry the answer: the port's own, or the unit's default for all ports.
 */
inline_always bool identity_reachable(__u32 bank, __u32 local, __u8 protocol, __u16 port)
{
	struct ww_verdict_key key = {
		.local = local,
		.peer = WW_CLASS_NONE,
		.bank = bank & 1,
		.direction = WW_OUT,
		.protocol = WW_ANY_PROTOCOL,
	};
	struct ww_verdict *verdict = bpf_map_lookup_elem(&verdicts, &key);

	if (verdict && (verdict->flags & WW_VERDICT_REACHABLE))
		return true;
	key.protocol = protocol;
	key.segment = segment_of(bank, protocol, port);
	verdict = bpf_map_lookup_elem(&verdicts, &key);
	return verdict && (verdict->flags & WW_VERDICT_REACHABLE);
}

#endif /* WW_POLICY_H */
