/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The IP headers of whatever is not plain TCP, down to the upper layer. A header that this file does not know to
 * its end is denied, never guessed: source routes, jumbograms, a chain of extension headers that is out of order
 * or too long, anything cut short. What no program knows to be an extension header is an upper layer
 * (RFC 7045), and policy judges it by its number.
 */
#ifndef WW_PACKET_H
#define WW_PACKET_H

#include "parse.h"

enum piece {
	WW_WHOLE,	/* or an atomic fragment (RFC 6946), which is one */
	WW_FIRST,	/* the fragment that has the upper layer's header */
	WW_LATER,	/* one that has none */
};

struct packet {
	struct ww_address source;
	struct ww_address destination;
	__u32 at;		/* of the upper layer's header */
	__u32 end;		/* of the IP packet */
	__u32 identification;	/* of a fragment, network order */
	__u8 protocol;		/* of the upper layer */
	__u8 hop_limit;
	__u8 piece;		/* enum piece */
	__u8 pad;
};

struct udp_header {
	__be16 source;
	__be16 destination;
	__be16 length;
	__sum16 check;
};

#define WW_FRAGMENT_OFFSET4 0x1fff
#define WW_MORE_FRAGMENTS4 0x2000
#define WW_FRAGMENT_OFFSET6 0xfff8
#define WW_MORE_FRAGMENTS6 0x0001

#define WW_IP_OPTIONS 40 /* bytes, at most */

/*
 * Whether IPv4 options leave the header's destination the one that the packet goes to, and are whole. Source
 * routes are what says otherwise.
 */
own_frame bool options_known(struct __sk_buff *skb, __u32 at, __u32 size)
{
	__u8 options[WW_IP_OPTIONS + 1] = {};
	__u32 next = 0;

	if (size < 4 || size > WW_IP_OPTIONS || bpf_skb_load_bytes(skb, at, options, size))
		return false;
	for (__u32 i = 0; i < WW_IP_OPTIONS; i++) {
		__u8 kind = options[i];

		if (i < next)
			continue;
		if (i >= size || kind == IPOPT_END)
			return true;
		if (kind == IPOPT_NOOP) {
			next = i + 1;
			continue;
		}
		if (kind == IPOPT_LSRR || kind == IPOPT_SSRR || options[i + 1] < 2)
			return false;
		next = i + options[i + 1];
		if (next > size)
			return false;
	}
	return true;
}

inline_always bool parse_packet4(struct __sk_buff *skb, __u32 start, struct packet *p)
{
	struct iphdr ip;
	__u32 header;

	if (bpf_skb_load_bytes(skb, start, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return false;
	header = ip.ihl * 4;
	if (header > sizeof(ip) && !options_known(skb, start + sizeof(ip), header - sizeof(ip)))
		return false;
	address_v4(&p->source, ip.saddr);
	address_v4(&p->destination, ip.daddr);
	p->protocol = ip.protocol;
	p->hop_limit = ip.ttl;
	p->at = start + header;
	p->end = start + bpf_ntohs(ip.tot_len);
	p->identification = ip.id;
	if (ip.frag_off & bpf_htons(WW_FRAGMENT_OFFSET4))
		p->piece = WW_LATER;
	else if (ip.frag_off & bpf_htons(WW_MORE_FRAGMENTS4))
		p->piece = WW_FIRST;
	return true;
}

/* The first eight bytes of an extension header; each has as many. */
struct extension {
	__u8 next_header;
	__u8 length;		/* in units of eight bytes beyond these; not in a fragment header */
	union {
		struct {
			__u8 routing_type;
			__u8 segments_left;
		};
		__be16 fragment;	/* offset and flag */
	};
	__be32 identification;	/* of a fragment */
};

#define WW_CHAIN 8 /* extension headers, at most; RFC 8200 recommends no more than seven */

inline_always bool is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_FRAGMENT ||
	       protocol == IPPROTO_DSTOPTS;
}

/*
 * A routing header is known when nothing is left of the route: the destination is the one in the IPv6 header.
 * Type 0 is forbidden (RFC 5095).
 */
inline_always bool extension_known(const struct extension *head, const struct packet *p, bool first, bool fragmented)
{
	switch (p->protocol) {
	case IPPROTO_HOPOPTS:
		return first;
	case IPPROTO_ROUTING:
		return head->routing_type && !head->segments_left;
	case IPPROTO_FRAGMENT:
		return !fragmented;
	default:
		return true;
	}
}

inline_always bool parse_chain(struct __sk_buff *skb, struct packet *p)
{
	struct extension head;
	bool fragmented = false;

	for (int i = 0; i < WW_CHAIN; i++) {
		if (!is_extension(p->protocol))
			return true;
		if (p->at + sizeof(head) > p->end || bpf_skb_load_bytes(skb, p->at, &head, sizeof(head)) ||
		    !extension_known(&head, p, !i, fragmented))
			return false;
		if (p->protocol != IPPROTO_FRAGMENT) {
			p->at += (head.length + 1) * 8;
			p->protocol = head.next_header;
			continue;
		}
		fragmented = true;
		p->at += sizeof(head);
		p->protocol = head.next_header;
		p->identification = head.identification;
		if (head.fragment & bpf_htons(WW_FRAGMENT_OFFSET6)) {
			p->piece = WW_LATER;
			return true;
		}
		if (head.fragment & bpf_htons(WW_MORE_FRAGMENTS6))
			p->piece = WW_FIRST;
	}
	return !is_extension(p->protocol);
}

/* What stands before the addresses. */
struct head6 {
	__be32 version;		/* and traffic class, flow label */
	__be16 payload;
	__u8 next_header;
	__u8 hop_limit;
};

_Static_assert(offsetof(struct packet, destination) == sizeof(struct ww_address), "both addresses are loaded at once");

/* A packet without a length is a jumbogram: only the hop-by-hop header would tell how long it is. */
inline_always bool parse_packet6(struct __sk_buff *skb, __u32 start, struct packet *p)
{
	struct head6 head;

	if (bpf_skb_load_bytes(skb, start, &head, sizeof(head)) || bpf_ntohl(head.version) >> 28 != 6 ||
	    bpf_skb_load_bytes(skb, start + sizeof(head), &p->source, 2 * sizeof(struct ww_address)))
		return false;
	if (!head.payload && head.next_header != IPPROTO_NONE)
		return false;
	p->protocol = head.next_header;
	p->hop_limit = head.hop_limit;
	p->at = start + sizeof(struct ipv6hdr);
	p->end = p->at + bpf_ntohs(head.payload);
	return parse_chain(skb, p);
}

/* Whether this is UDP that is about to go to a socket: the kernel has cut it to its own length (RFC 9868). */
own_frame bool is_cut_to_length(struct __sk_buff *skb, __u32 at)
{
	__be16 length;

	return !bpf_skb_load_bytes(skb, at + offsetof(struct udp_header, length), &length, sizeof(length)) &&
	       at + bpf_ntohs(length) == skb->len;
}

/*
 * The packet whose network header stands *start* bytes into the skb. One that an error quotes may be cut short;
 * any other must be there to its end, but for what stands behind UDP that is coming in.
 */
inline_always bool parse_packet(struct __sk_buff *skb, __u32 start, bool quoted, bool incoming, struct packet *p)
{
	bool known = false;

	__builtin_memset(p, 0, sizeof(*p));
	if (skb->protocol == bpf_htons(ETH_P_IP))
		known = parse_packet4(skb, start, p);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		known = parse_packet6(skb, start, p);
	if (!known || p->at > p->end)
		return false;
	if (quoted || p->end <= skb->len)
		return true;
	return incoming && p->protocol == IPPROTO_UDP && is_cut_to_length(skb, p->at);
}

#endif /* WW_PACKET_H */
