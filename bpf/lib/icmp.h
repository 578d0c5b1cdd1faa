/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP and ICMPv6: which messages ask, which answer, which report an error about another packet, and which are the
 * network itself. Policy judges them by type and code as it judges others by port.
 */
#ifndef WW_ICMP_H
#define WW_ICMP_H

#include "packet.h"

struct icmp_head {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 identifier;
	__be16 sequence;
};

enum icmp_kind {
	WW_ICMP_OTHER,
	WW_ICMP_REQUEST,
	WW_ICMP_REPLY,
	WW_ICMP_ERROR,
};

inline_always bool is_icmp(__u8 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

/* Echo, timestamp, information, address mask (RFC 792, 950) and extended echo (RFC 8335). */
inline_always enum icmp_kind icmp4_kind(__u8 type)
{
	switch (type) {
	case 8:
	case 13:
	case 15:
	case 17:
	case 42:
		return WW_ICMP_REQUEST;
	case 0:
	case 14:
	case 16:
	case 18:
	case 43:
		return WW_ICMP_REPLY;
	case 3:	/* unreachable, with it: fragmentation needed */
	case 11:	/* time exceeded */
	case 12:	/* parameter problem */
		return WW_ICMP_ERROR;
	default:
		return WW_ICMP_OTHER;
	}
}

/* Echo (RFC 4443), node information (RFC 4620) and extended echo (RFC 8335). */
inline_always enum icmp_kind icmp6_kind(__u8 type)
{
	switch (type) {
	case 128:
	case 139:
	case 160:
		return WW_ICMP_REQUEST;
	case 129:
	case 140:
	case 161:
		return WW_ICMP_REPLY;
	case 1:	/* unreachable */
	case 2:	/* packet too big */
	case 3:	/* time exceeded */
	case 4:	/* parameter problem */
		return WW_ICMP_ERROR;
	default:
		return WW_ICMP_OTHER;
	}
}

inline_always enum icmp_kind icmp_kind(__u8 protocol, __u8 type)
{
	return protocol == IPPROTO_ICMP ? icmp4_kind(type) : icmp6_kind(type);
}

/* Type of the request that a reply answers. */
inline_always __u8 icmp_request_of(__u8 protocol, __u8 reply)
{
	if (protocol == IPPROTO_ICMP)
		return reply ? reply - 1 : 8;
	return reply - 1;
}

/* In the key of a flow: this end is the one that is asked. No protocol number comes near. */
#define WW_ASKED 0x100

/*
 * Names the flow of a message: asking and answering is one, by identifier and type of the request; anything else
 * belongs to a flow of its own, in its own direction.
 */
inline_always void icmp_key(struct ww_datagram_key *key, const struct icmp_head *head, __u8 protocol, bool incoming)
{
	enum icmp_kind kind = icmp_kind(protocol, head->type);
	bool asked = kind == WW_ICMP_REPLY ? !incoming : incoming;
	__u16 what = bpf_htons(kind == WW_ICMP_REPLY ? icmp_request_of(protocol, head->type) << 8 :
						       head->type << 8 | head->code);
	__u16 who = kind == WW_ICMP_REQUEST || kind == WW_ICMP_REPLY ? head->identifier : 0;

	key->protocol = protocol | (asked ? WW_ASKED : 0);
	key->local_port = asked ? what : who;
	key->remote_port = asked ? who : what;
}

inline_always bool is_link_local(const struct ww_address *address)
{
	return (address->word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

inline_always bool is_unspecified(const struct ww_address *address)
{
	return !address->word[0] && !address->word[1] && !address->word[2] && !address->word[3];
}

/* Hop limit with which neighbours talk: what has passed a router has another (RFC 4861). */
#define WW_NEIGHBOUR_HOPS 255
#define WW_LISTENER_HOPS 1

/*
 * Neighbours, routers and multicast listeners talking on their own link: the network itself, which policy does not
 * decide about. What does not come from the link is no such message, whatever its type (RFC 4861, 2710, 3122, 4890).
 */
inline_always bool is_neighbourly(const struct ww_address *source, const struct icmp_head *head, __u8 hop_limit)
{
	if (head->code || address_is_v4(source)) /* over IPv4 they are nothing but a protocol number */
		return false;
	switch (head->type) {
	case 134:	/* router advertisement */
		return hop_limit == WW_NEIGHBOUR_HOPS && is_link_local(source);
	case 133:	/* router solicitation */
	case 135:	/* neighbour solicitation, advertisement */
	case 136:
	case 141:	/* inverse neighbour discovery */
	case 142:
		return hop_limit == WW_NEIGHBOUR_HOPS;
	case 130:	/* multicast listener query, report, done, report of version 2 */
	case 131:
	case 132:
	case 143:
		return hop_limit == WW_LISTENER_HOPS && (is_link_local(source) || is_unspecified(source));
	default:
		return false;
	}
}

/* IGMP speaks to groups, and no further than the link (RFC 3376). */
inline_always bool is_group_management(const struct packet *p)
{
	return p->protocol == IPPROTO_IGMP && address_is_v4(&p->destination) && p->hop_limit == WW_LISTENER_HOPS &&
	       (p->destination.word[3] & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000);
}

#endif /* WW_ICMP_H */
