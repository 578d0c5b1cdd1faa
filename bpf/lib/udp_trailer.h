/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The trailer of a datagram (docs/wire-protocol.md): how it is read, and the three ways in which a packet
 * comes to carry one. It may be grown by it; it may be reduced to a datagram without payload that carries it,
 * on its own way or back to where it came from.
 *
 * The option checksum makes the bytes behind the UDP length, with their number, sum up to nothing. So a sum over
 * the whole packet is that over the datagram, whoever computes it: a device on the way out, a router that
 * compares, a receiver that has never heard of options. One that is left to a device begins with the pseudo
 * header's sum, which knows the UDP length only; there the number has to be added.
 */
#ifndef WW_UDP_TRAILER_H
#define WW_UDP_TRAILER_H

#include "append.h"
#include "datagram.h"

struct trailer {
	__sum16 ocs;
	__u8 kind;
	__u8 length;	/* of the option: all but the checksum */
	__be16 exid;
	__u8 message;
	__u8 epoch;		/* client's, low 8 bits */
	__u8 server_epoch;	/* lowest bit */
	__u8 flags;		/* version in the upper half */
	__be16 dialled;
	__be32 badge;		/* of who sends this */
	__be32 ticket;		/* client's; comes back in a bounce */
	__u8 nonce[8];		/* client's */
	__u8 server_nonce[8];
	__u8 proof[8];
};

_Static_assert(sizeof(struct trailer) == WW_TRAILER_SIZE, "trailer");

#define WW_TRAILER_BODYLESS 1 /* no application is to see this datagram */
#define WW_DONT_FRAGMENT 0x4000
#define WW_FRESH_TTL 64
#define WW_UDP_CHECK offsetof(struct udp_header, check)

/* One UDP packet behind a plain IP header, or the first fragment of one. */
struct udp_packet {
	struct ww_datagram_key key;
	struct udp_header udp;	/* as it is on the wire */
	__u32 at;		/* of the IP header */
	__u32 udp_at;
	__u32 length;		/* of UDP header and payload */
	__u32 total;		/* of the IP packet */
	bool v4;
	bool fragment;
};

/* IPv4 options, and extension headers but that of a fragment, are not looked behind: such datagrams carry no identity. */
inline_always bool parse_udp_ip(struct __sk_buff *skb, struct udp_packet *p, struct ww_address *source,
				struct ww_address *destination)
{
	struct extension head;
	struct ipv6hdr ip6;
	struct iphdr ip;
	__u8 protocol;

	if (p->v4) {
		if (bpf_skb_load_bytes(skb, p->at, &ip, sizeof(ip)) || ip.ihl != 5 || ip.protocol != IPPROTO_UDP)
			return false;
		if (ip.frag_off & bpf_htons(WW_FRAGMENT_OFFSET4))
			return false;
		p->fragment = ip.frag_off & bpf_htons(WW_MORE_FRAGMENTS4);
		p->total = bpf_ntohs(ip.tot_len);
		p->udp_at = p->at + sizeof(ip);
		address_v4(source, ip.saddr);
		address_v4(destination, ip.daddr);
		return true;
	}
	if (bpf_skb_load_bytes(skb, p->at, &ip6, sizeof(ip6)))
		return false;
	p->total = sizeof(ip6) + bpf_ntohs(ip6.payload_len);
	p->udp_at = p->at + sizeof(ip6);
	protocol = ip6.nexthdr;
	if (protocol == IPPROTO_FRAGMENT) {
		if (bpf_skb_load_bytes(skb, p->udp_at, &head, sizeof(head)) ||
		    (head.fragment & bpf_htons(WW_FRAGMENT_OFFSET6)))
			return false;
		p->fragment = true;
		p->udp_at += sizeof(head);
		protocol = head.next_header;
	}
	address_v6(source, &ip6.saddr);
	address_v6(destination, &ip6.daddr);
	return protocol == IPPROTO_UDP;
}

own_frame bool parse_udp(struct __sk_buff *skb, __u32 at, bool incoming, struct udp_packet *p)
{
	struct ww_address source = {}, destination = {};

	__builtin_memset(p, 0, sizeof(*p));
	p->at = at;
	p->v4 = skb->protocol == bpf_htons(ETH_P_IP);
	if (!p->v4 && skb->protocol != bpf_htons(ETH_P_IPV6))
		return false;
	if (!parse_udp_ip(skb, p, &source, &destination) ||
	    bpf_skb_load_bytes(skb, p->udp_at, &p->udp, sizeof(p->udp)))
		return false;
	p->length = bpf_ntohs(p->udp.length);
	if (p->length < sizeof(p->udp))
		return false;
	p->key.protocol = IPPROTO_UDP;
	p->key.local = incoming ? destination : source;
	p->key.remote = incoming ? source : destination;
	p->key.local_port = incoming ? p->udp.destination : p->udp.source;
	p->key.remote_port = incoming ? p->udp.source : p->udp.destination;
	return true;
}

/* Multicast and broadcast have no one receiver who could prove anything. Which addresses are a subnet's broadcast the
 * link-layer header tells.
 */
inline_always bool is_multicast(const struct ww_address *address)
{
	__u32 first = bpf_ntohl(address->word[3]);

	if (address_is_v4(address))
		return first >> 28 == 0xe || first == 0xffffffff || !first;
	return (address->word[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
}

inline_always bool is_for_many(struct __sk_buff *skb, const struct udp_packet *p, const struct ww_address *to)
{
	__u8 first = 0;

	if (is_multicast(to))
		return true;
	return p->at == ETH_HLEN && !bpf_skb_load_bytes(skb, 0, &first, sizeof(first)) && (first & 1);
}

/* Offset of the option checksum: the first even one behind the datagram. */
inline_always __u32 pad_of(__u32 length)
{
	return length & 1;
}

inline_always __u32 surplus_of(__u32 length)
{
	return pad_of(length) + WW_TRAILER_SIZE;
}

inline_always __u16 sum_of_trailer(struct trailer *t, __u32 length)
{
	return folded(bpf_csum_diff(NULL, 0, (__be32 *)t, sizeof(*t), bpf_htons(surplus_of(length))));
}

inline_always void seal(struct trailer *t, __u32 length)
{
	t->ocs = 0;
	t->kind = WW_TRAILER_KIND;
	t->length = WW_TRAILER_SIZE - sizeof(t->ocs);
	t->exid = bpf_htons(WW_TRAILER_EXID);
	t->ocs = ~sum_of_trailer(t, length);
}

/* The trailer that a packet came with; false if it has none that is whole, ours and of this version. */
own_frame bool load_trailer(struct __sk_buff *skb, const struct udp_packet *p, struct trailer *t)
{
	__u32 end = p->at + p->total, at = p->udp_at + p->length + pad_of(p->length);

	if (p->fragment || at + sizeof(*t) != end || bpf_skb_load_bytes(skb, at, t, sizeof(*t)))
		return false;
	if (t->kind != WW_TRAILER_KIND || t->length != WW_TRAILER_SIZE - sizeof(t->ocs) ||
	    t->exid != bpf_htons(WW_TRAILER_EXID) || t->flags >> 4 != WW_TRAILER_VERSION)
		return false;
	return sum_of_trailer(t, p->length) == 0xffff;
}

/*
 * Writes the IP header for a packet that is *total* bytes long now and no fragment any more; *back* sends it where
 * it came from, as far as a fresh packet goes.
 */
own_frame bool store_ip(struct __sk_buff *skb, const struct udp_packet *p, __u32 total, bool back)
{
	if (p->v4) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, p->at, &ip, sizeof(ip)))
			return false;
		ip.tot_len = bpf_htons(total);
		ip.frag_off &= bpf_htons(WW_DONT_FRAGMENT);
		ip.ihl = 5; /* a later fragment in whose place a call leaves may have been anything */
		ip.protocol = IPPROTO_UDP;
		if (back) {
			__be32 source = ip.saddr;

			ip.saddr = ip.daddr;
			ip.daddr = source;
			ip.ttl = WW_FRESH_TTL;
		}
		ip.check = 0;
		ip.check = ~folded(bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
		return !bpf_skb_store_bytes(skb, p->at, &ip, sizeof(ip), 0);
	} else {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, p->at, &ip, sizeof(ip)))
			return false;
		ip.payload_len = bpf_htons(total - sizeof(ip));
		ip.nexthdr = IPPROTO_UDP;
		if (back) {
			struct in6_addr source = ip.saddr;

			ip.saddr = ip.daddr;
			ip.daddr = source;
			ip.hop_limit = WW_FRESH_TTL;
		}
		return !bpf_skb_store_bytes(skb, p->at, &ip, sizeof(ip), 0);
	}
}

/* Sum of the addresses, protocol and length that a UDP checksum covers beside the datagram. */
inline_always __u16 udp_pseudo_sum(const struct ww_datagram_key *key, __u32 length)
{
	__u32 sum = bpf_htons(IPPROTO_UDP) + bpf_htons(length);

	if (address_is_v4(&key->local))
		return folded(sum + halves(key->local.word[3]) + halves(key->remote.word[3]));
	for (int i = 0; i < 4; i++)
		sum += halves(key->local.word[i]) + halves(key->remote.word[i]);
	return folded(sum);
}

/*
 * Makes the checksum right after everything else has been written, with *sum* over header (its checksum zero) and
 * payload. Whether it is left to a device only the helper knows: for such packets it changes nothing, so what stands
 * there before has to be right for them, and for all others the difference is taken from that.
 */
own_frame bool store_check(struct __sk_buff *skb, __u32 check_at, __u32 pseudo, __u32 surplus, __u32 sum)
{
	__u16 partial = folded(pseudo + bpf_htons(surplus));
	__u64 diff = (__u64)pseudo + partial + sum;

	diff = (diff & 0xffffffff) + (diff >> 32);
	diff = (diff & 0xffffffff) + (diff >> 32);
	if (bpf_skb_store_bytes(skb, check_at, &partial, sizeof(partial), 0))
		return false;
	return !bpf_l4_csum_replace(skb, check_at, 0, diff, BPF_F_MARK_MANGLED_0);
}

/* Lets a datagram that is on its way out carry the trailer; what it says stays untouched. False: there is no room. */
own_frame bool grow(struct __sk_buff *skb, const struct udp_packet *p, struct trailer *t)
{
	__u32 surplus = surplus_of(p->length), total = p->udp_at - p->at + p->length + surplus;
	__u32 check_at = p->udp_at + WW_UDP_CHECK;

	if (p->fragment || skb->gso_size || total > WW_TRAILER_LARGEST || total != p->total + surplus)
		return false;
	if (bpf_skb_change_tail(skb, p->at + total, 0))
		return false;
	seal(t, p->length);
	if (bpf_skb_store_bytes(skb, p->udp_at + p->length + pad_of(p->length), t, sizeof(*t), 0))
		return false;
	if (!store_ip(skb, p, total, false))
		return false;
	/* One for packets whose checksum is left to the device; the other takes it back for those where it is not. */
	bpf_l4_csum_replace(skb, check_at, 0, bpf_htons(surplus), BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0);
	bpf_l4_csum_replace(skb, check_at, 0, (__u16)~bpf_htons(surplus), BPF_F_MARK_MANGLED_0);
	return true;
}

inline_always bool swap_link(struct __sk_buff *skb)
{
	__u8 from[ETH_ALEN * 2], to[ETH_ALEN * 2];

	if (bpf_skb_load_bytes(skb, 0, from, sizeof(from)))
		return false;
	__builtin_memcpy(to, from + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(to + ETH_ALEN, from, ETH_ALEN);
	return !bpf_skb_store_bytes(skb, 0, to, sizeof(to), 0);
}

/* Reduces a packet to a datagram without payload that carries the trailer. */
own_frame bool reduce(struct __sk_buff *skb, const struct udp_packet *p, struct trailer *t, bool back)
{
	__u32 ip = p->v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr), udp_at = p->at + ip;
	__u32 total = ip + sizeof(struct udp_header) + sizeof(*t);
	struct udp_header udp = {
		.source = back ? p->udp.destination : p->udp.source,
		.destination = back ? p->udp.source : p->udp.destination,
		.length = bpf_htons(sizeof(udp)),
	};

	t->flags = WW_TRAILER_VERSION << 4 | WW_TRAILER_BODYLESS;
	seal(t, sizeof(udp));
	if (bpf_skb_change_tail(skb, p->at + total, 0) || !store_ip(skb, p, total, back))
		return false;
	if (back && p->at == ETH_HLEN && !swap_link(skb))
		return false;
	if (bpf_skb_store_bytes(skb, udp_at, &udp, sizeof(udp), 0) ||
	    bpf_skb_store_bytes(skb, udp_at + sizeof(udp), t, sizeof(*t), 0))
		return false;
	return store_check(skb, udp_at + WW_UDP_CHECK, udp_pseudo_sum(&p->key, sizeof(udp)), sizeof(*t),
			   (__u32)udp.source + udp.destination + udp.length);
}

#endif /* WW_UDP_TRAILER_H */
