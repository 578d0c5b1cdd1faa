/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything that is not TCP: judged by address, as external network or somewhere, since these
 * packets carry no identity. Replies to what was allowed are free. On the loopback device the
 * kernel itself saw who sent, so there the sender's unit is the peer.
 */
#ifndef WW_DATAGRAM_H
#define WW_DATAGRAM_H

#include "flow.h"

/* Datagram flows allowed once, by their two ends; the least recently used give way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WW_MAX_DATAGRAMS);
	__type(key, struct ww_datagram_key);
	__type(value, struct ww_datagram);
} datagrams SEC(".maps");

#define WW_LOOPBACK_IFINDEX 1

struct datagram {
	struct ww_datagram_key key;
	__u32 length;
	__u8 protocol;
	__u8 icmp6_type;
};

struct ports {
	__be16 source;
	__be16 destination;
};

inline_always bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
	       protocol == IPPROTO_SCTP;
}

#define WW_FRAGMENT_OFFSET4 0x1fff
#define WW_FRAGMENT_OFFSET6 0xfff8

struct fragment6 {
	__u8 next_header;
	__u8 reserved;
	__be16 offset;
	__be32 identification;
};

/*
 * A fragment that is not the first, on its way out. The first one is judged, and without it the receiver
 * cannot put the datagram together.
 */
inline_always bool later_fragment(struct __sk_buff *skb, __u32 start)
{
	struct fragment6 fragment;
	struct ipv6hdr ip6;
	struct iphdr ip;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		return !bpf_skb_load_bytes(skb, start, &ip, sizeof(ip)) &&
		       (ip.frag_off & bpf_htons(WW_FRAGMENT_OFFSET4));
	return !bpf_skb_load_bytes(skb, start, &ip6, sizeof(ip6)) && ip6.nexthdr == IPPROTO_FRAGMENT &&
	       !bpf_skb_load_bytes(skb, start + sizeof(ip6), &fragment, sizeof(fragment)) &&
	       (fragment.offset & bpf_htons(WW_FRAGMENT_OFFSET6));
}

inline_always bool parse_datagram_v4(struct __sk_buff *skb, __u32 start, struct datagram *out, struct ww_address *source,
				     struct ww_address *destination, __u32 *at)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, start, &ip, sizeof(ip)) || ip.ihl < 5)
		return false;
	if (ip.frag_off & bpf_htons(0x1fff))
		return false; /* later fragments never reach a socket by themselves */
	address_v4(source, ip.saddr);
	address_v4(destination, ip.daddr);
	out->protocol = ip.protocol;
	*at = start + ip.ihl * 4;
	return true;
}

inline_always bool parse_datagram_v6(struct __sk_buff *skb, __u32 start, struct datagram *out, struct ww_address *source,
				     struct ww_address *destination, __u32 *at)
{
	struct ipv6hdr ip;
	__u8 extension[2];

	if (bpf_skb_load_bytes(skb, start, &ip, sizeof(ip)))
		return false;
	address_v6(source, &ip.saddr);
	address_v6(destination, &ip.daddr);
	out->protocol = ip.nexthdr;
	*at = start + sizeof(ip);
	if (out->protocol == IPPROTO_FRAGMENT) { /* the first one; the kernel removes it from what comes in */
		if (bpf_skb_load_bytes(skb, *at, extension, sizeof(extension)))
			return false;
		out->protocol = extension[0];
		*at += sizeof(struct fragment6);
	}
	if (out->protocol == IPPROTO_HOPOPTS) { /* MLD stands behind a router alert */
		if (bpf_skb_load_bytes(skb, *at, extension, sizeof(extension)))
			return false;
		out->protocol = extension[0];
		*at += (extension[1] + 1) * 8;
		if (out->protocol != IPPROTO_ICMPV6)
			return false;
	}
	if (out->protocol == IPPROTO_ICMPV6 && bpf_skb_load_bytes(skb, *at, &out->icmp6_type, 1))
		return false;
	return out->protocol != IPPROTO_ROUTING && out->protocol != IPPROTO_DSTOPTS &&
	       out->protocol != IPPROTO_FRAGMENT;
}

own_frame bool parse_datagram(struct __sk_buff *skb, __u32 start, bool incoming, struct datagram *out)
{
	struct ww_address source = {}, destination = {};
	struct ports ports = {};
	__u32 at = 0;
	bool known = false;

	__builtin_memset(out, 0, sizeof(*out));
	if (skb->protocol == bpf_htons(ETH_P_IP))
		known = parse_datagram_v4(skb, start, out, &source, &destination, &at);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		known = parse_datagram_v6(skb, start, out, &source, &destination, &at);
	if (!known)
		return false;
	if (has_ports(out->protocol) && bpf_skb_load_bytes(skb, at, &ports, sizeof(ports)))
		return false;
	out->length = skb->len - start;
	out->key.protocol = out->protocol;
	out->key.local = incoming ? destination : source;
	out->key.remote = incoming ? source : destination;
	out->key.local_port = incoming ? ports.destination : ports.source;
	out->key.remote_port = incoming ? ports.source : ports.destination;
	return true;
}

/* Neighbour discovery, router discovery and multicast listeners: the network itself. */
inline_always bool always_allowed(const struct datagram *d)
{
	if (d->protocol == IPPROTO_IGMP)
		return true;
	return d->protocol == IPPROTO_ICMPV6 &&
	       ((d->icmp6_type >= 130 && d->icmp6_type <= 136) || (d->icmp6_type >= 141 && d->icmp6_type <= 143));
}

/* The unit on this host that sent what now arrives on the loopback device, or 0. */
inline_always __u32 loopback_sender(struct __sk_buff *skb, const struct ww_datagram_key *key)
{
	struct ww_datagram_key mirrored = {
		.local = key->remote,
		.remote = key->local,
		.local_port = key->remote_port,
		.remote_port = key->local_port,
		.protocol = key->protocol,
	};
	struct ww_datagram *sent;

	if (skb->ifindex != WW_LOOPBACK_IFINDEX)
		return 0;
	sent = bpf_map_lookup_elem(&datagrams, &mirrored);
	return sent ? sent->unit : 0;
}

inline_always void count_datagram(const struct datagram *d, __u32 unit, __u32 peer, __u8 direction, __u16 port,
				  const struct ww_verdict *verdict)
{
	struct ww_flow_counts more = { .connections = 1 };
	struct ww_flow_key key = {
		.unit = unit,
		.peer = peer,
		.port = port,
		.protocol = d->protocol,
		.direction = direction,
		.action = WW_ALLOW,
	};

	if (!peer)
		key.remote = d->key.remote;
	if (verdict) {
		key.rule = verdict->rule;
		key.observed_rule = verdict->observed_rule;
		key.flags = verdict->flags;
	}
	if (direction == WW_IN) {
		more.packets_in = 1;
		more.bytes_in = d->length;
	} else {
		more.packets_out = 1;
		more.bytes_out = d->length;
	}
	aggregate(&key, &more);
}

/* Whose datagram it is; found differently by the program that receives and the one that sends. */
struct owner {
	struct ww_unit *unit;
	__u32 bank;
	__u32 generation;
};

inline_always int datagram_judge(struct __sk_buff *skb, const struct datagram *d, const struct owner *own,
				 __u8 direction)
{
	__u16 port = bpf_ntohs(direction == WW_IN ? d->key.local_port : d->key.remote_port);
	__u32 peer_badge = 0, peer_class = class_of_address(&d->key.remote, own->bank);
	struct ww_datagram entry = {}, *known = bpf_map_lookup_elem(&datagrams, &d->key);
	struct ww_verdict *verdict = NULL;

	if (known && known->generation == own->generation && known->unit == own->unit->badge) {
		known->seen = coarse_now();
		return WW_PASS;
	}
	if (direction == WW_IN) {
		peer_badge = loopback_sender(skb, &d->key);
		if (peer_badge && peer_badge != own->unit->badge) {
			struct ww_peer *peer = bpf_map_lookup_elem(&peers, &peer_badge);

			peer_class = peer ? peer->class[own->bank & 1] : WW_CLASS_NONE;
		}
	}
	if (!peer_badge || peer_badge != own->unit->badge) {
		verdict = verdict_of(own->bank, own->unit->class[own->bank & 1], peer_class, direction, d->protocol, port);
		if (!verdict || verdict->action != WW_ALLOW) {
			report_refusal(&d->key.remote, own->unit->badge, peer_badge,
				       refusal_of(port, direction, d->protocol, WW_REASON_POLICY), verdict);
			return WW_DROP;
		}
	}
	entry.unit = own->unit->badge;
	entry.generation = own->generation;
	entry.seen = coarse_now();
	bpf_map_update_elem(&datagrams, &d->key, &entry, BPF_ANY);
	count_datagram(d, own->unit->badge, peer_badge, direction, port, verdict);
	return WW_PASS;
}

/* What has to be so before anything is asked; fills bank and generation. */
inline_always int datagram_ready(struct owner *own)
{
	own->generation = generation_now();
	own->bank = bank_of(own->generation);
	if (own->generation)
		return WW_PASS;
	count_drop(WW_REASON_TABLES_EMPTY);
	return WW_DROP;
}

#endif /* WW_DATAGRAM_H */
