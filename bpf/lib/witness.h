/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a capture tells of a packet: the verdict is what the program returns, the reason of a drop is the counter
 * that went up in between, whose packet it is its socket says, and who is at the other end its connection's record.
 */
#ifndef WW_WITNESS_H
#define WW_WITNESS_H

#include "handshake.h"
#include "scene.h"

/* What the capture wants. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ww_filter);
} wanted SEC(".maps");

/* Packets on their way to the command that captures. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} packets SEC(".maps");

/* Packets wanted and not told, by enum ww_missed. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WW_MISSED_MAX);
	__type(key, __u32);
	__type(value, __u64);
} missed SEC(".maps");

struct second {
	__u64 number;
	__u64 told;
};

/* How many packets have been told in this second. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct second);
} pace SEC(".maps");

inline_always __u64 dropped_so_far(__u32 reason)
{
	__u32 index = WW_COUNT_DROPPED + reason;
	__u64 *count = bpf_map_lookup_elem(&counters, &index);

	return count ? *count : 0;
}

own_frame void begin_scene(void)
{
	struct scene *scene = this_scene();

	if (!scene)
		return;
	for (__u32 reason = 0; reason < WW_REASON_MAX; reason++)
		scene->dropped[reason] = dropped_so_far(reason);
	scene->named = 0;
	scene->unit = 0;
	__builtin_memset(&scene->told, 0, sizeof(scene->told));
}

/* WW_REASON_MAX: nothing was refused. */
own_frame __u32 refusal_of_scene(void)
{
	struct scene *scene = this_scene();

	for (__u32 reason = 0; scene && reason < WW_REASON_MAX; reason++) {
		if (dropped_so_far(reason) != scene->dropped[reason])
			return reason;
	}
	return WW_REASON_MAX;
}

inline_always __u32 reason_of_scene(void)
{
	__u32 reason = refusal_of_scene();

	return reason == WW_REASON_MAX ? WW_REASON_POLICY : reason;
}

/* Ends of a packet as the wire has them; ports (network order) are 0 where there are none to be found. */
struct wire {
	struct ww_address source;
	struct ww_address destination;
	__u16 ports[2];
	__u8 protocol;
	__u8 pad[3];
};

inline_always bool read_wire(struct wire *wire, struct __sk_buff *skb, __u32 at)
{
	struct ipv6hdr v6;
	struct iphdr v4;
	__u32 header;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, at, &v4, sizeof(v4)))
			return false;
		address_v4(&wire->source, v4.saddr);
		address_v4(&wire->destination, v4.daddr);
		wire->protocol = v4.protocol;
		header = v4.frag_off & bpf_htons(0x1fff) ? 0 : v4.ihl * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, at, &v6, sizeof(v6)))
			return false;
		address_v6(&wire->source, &v6.saddr);
		address_v6(&wire->destination, &v6.daddr);
		wire->protocol = v6.nexthdr;
		header = sizeof(v6);
	} else {
		return false;
	}
	if (header && (wire->protocol == IPPROTO_TCP || wire->protocol == IPPROTO_UDP || wire->protocol == IPPROTO_SCTP))
		bpf_skb_load_bytes(skb, at + header, wire->ports, sizeof(wire->ports));
	return true;
}

inline_always bool is_below(const struct ww_address *address, const struct ww_address *prefix, __u32 bits)
{
	for (__u32 word = 0; word < 4; word++) {
		__u32 own = bits > word * 32 ? bits - word * 32 : 0;
		__u32 mask = own >= 32 ? ~0U : ~(~0U >> own);

		if (own && ((bpf_ntohl(address->word[word]) ^ bpf_ntohl(prefix->word[word])) & mask))
			return false;
	}
	return true;
}

own_frame bool is_wanted(struct __sk_buff *skb, __u32 at, const struct ww_filter *filter, __u8 direction)
{
	__u16 port = bpf_htons(filter->port);
	struct wire wire = {};

	if (!read_wire(&wire, skb, at))
		return false;
	if (port && wire.ports[0] != port && wire.ports[1] != port)
		return false;
	return is_below(direction == WW_IN ? &wire.source : &wire.destination, &filter->remote, filter->bits);
}

inline_always void count_missed(__u32 why)
{
	__u64 *count = bpf_map_lookup_elem(&missed, &why);

	if (count)
		(*count)++;
}

/* Whether one more packet may be told in this second. */
inline_always bool in_pace(const struct ww_filter *filter, __u64 now)
{
	__u32 zero = 0;
	struct second *second = bpf_map_lookup_elem(&pace, &zero);
	__u64 number = now / 1000000000ULL;

	if (!second)
		return false;
	if (second->number != number) {
		second->number = number;
		second->told = 0;
	}
	return COUNTED_WITHIN(&second->told, filter->rate);
}

/* Who is at the other end, by the record of a connection that has outgrown its slot. */
own_frame void recognise(struct ww_captured *told, struct bpf_sock *sk, __u64 cgroup)
{
	struct ww_flow_id id;
	struct ww_flow *flow;

	flow_id_of(&id, sk, cgroup);
	flow = flow_find(&id);
	if (!flow)
		return;
	told->known = WW_KNOWN_RECORD | (flow->existing ? WW_KNOWN_EXISTING : 0);
	told->peer = flow->peer;
	told->rule = flow->judged.rule;
}

/* From 1 to WW_SNAP_MAX whatever it was, in the way that verifiers up to 6.1 understand; no packet is empty. */
inline_always __u64 snapped(__u64 size)
{
	if (size > WW_SNAP_MAX)
		size = WW_SNAP_MAX;
	size--;
	asm volatile("%0 &= %1" : "+r"(size) : "i"(WW_SNAP_MAX - 1));
	return size + 1;
}

/* Takes as much of the packet as is wanted. */
own_frame void take_bytes(struct __sk_buff *skb, __u32 at, const struct ww_filter *filter)
{
	struct scene *scene = this_scene();
	__u64 size;

	if (!scene)
		return;
	scene->told.length = skb->len - at;
	size = snapped(scene->told.length < filter->snap ? scene->told.length : filter->snap);
	scene->told.told = bpf_skb_load_bytes(skb, at, scene->bytes, size) ? 0 : size;
}

/* Tells of a packet whose bytes have been taken, whose unit and connection are known by now. */
own_frame void tell(struct __sk_buff *skb, const struct ww_filter *filter, __u32 way)
{
	struct scene *scene = this_scene();
	__u64 size;

	if (!scene)
		return;
	scene->told.time = bpf_ktime_get_ns();
	if (!in_pace(filter, scene->told.time)) {
		count_missed(WW_MISSED_RATE);
		return;
	}
	scene->told.device = skb->ifindex;
	scene->told.direction = way;
	scene->told.revision = state.revision;
	if (scene->named) {
		scene->told.known |= WW_KNOWN_RULE;
		scene->told.peer = scene->peer;
		scene->told.rule = scene->rule;
	}
	size = scene->told.told ? snapped(scene->told.told) : 0;
	if (bpf_ringbuf_output(&packets, &scene->told, sizeof(scene->told) + size, 0))
		count_missed(WW_MISSED_ROOM);
}

/* Begins what all witnesses have in common: a packet of the wanted unit. */
inline_always bool notice(const struct ww_filter *filter, __u32 unit, bool passed)
{
	struct scene *scene = this_scene();

	if (!scene || !unit || unit != filter->unit)
		return false;
	scene->told.unit = unit;
	scene->told.action = passed ? WW_ALLOW : WW_REJECT;
	scene->told.reason = passed ? WW_REASON_POLICY : reason_of_scene();
	return true;
}

inline_always __u32 badge_of(const struct ww_unit *unit)
{
	return unit ? unit->badge : 0;
}

inline_always const struct ww_filter *this_filter(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&wanted, &zero);
}

#endif /* WW_WITNESS_H */
