// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * verify, tc ingress of every device of the network namespace but lo: looks at datagrams that carry a trailer. It
 * checks proofs, bounces what lacks one and sends again what was bounced. Whether a datagram reaches its socket
 * enforce decides, by the flows that this has recorded. Everything but UDP is let through at first sight.
 */
#include "lib/udp_bounced.h"
#include "lib/udp_called.h"

/* Whether the packet is UDP, at the price of one look at its header. */
inline_always bool is_udp(struct __sk_buff *skb, __u32 at)
{
	void *data = (void *)(long)skb->data + at;
	void *end = (void *)(long)skb->data_end;

	if (data + sizeof(struct ipv6hdr) > end)
		return true; /* too short to see here; parsed by way of calls */
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return ((struct iphdr *)data)->protocol == IPPROTO_UDP;
	return skb->protocol == bpf_htons(ETH_P_IPV6) && ((struct ipv6hdr *)data)->nexthdr == IPPROTO_UDP;
}

inline_always int datagram(struct __sk_buff *skb, __u32 at)
{
	struct udp_work *w = udp_room();

	if (!w || excluded_device(skb) || !parse_udp(skb, at, true, &w->packet) || is_for_many(skb, &w->packet, &w->packet.key.local) ||
	    !load_trailer(skb, &w->packet, &w->trailer))
		return TC_ACT_UNSPEC;
	switch (w->trailer.message) {
	case WW_MESSAGE_HELLO:
	case WW_MESSAGE_SESSION:
	case WW_MESSAGE_CHALLENGE:
		return udp_called(skb, w);
	case WW_MESSAGE_BOUNCE:
		return udp_bounced(skb, w);
	case WW_MESSAGE_ANSWER:
		return udp_answered(skb, w);
	default:
		return TC_ACT_UNSPEC;
	}
}

#ifndef WW_CAPTURE
/* Devices with an Ethernet header. */
SEC("tc")
int verify_ethernet(struct __sk_buff *skb)
{
	return is_udp(skb, ETH_HLEN) ? datagram(skb, ETH_HLEN) : TC_ACT_UNSPEC;
}

/* Devices without a link-layer header: tun, wireguard. */
SEC("tc")
int verify_plain(struct __sk_buff *skb)
{
	return is_udp(skb, 0) ? datagram(skb, 0) : TC_ACT_UNSPEC;
}
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";
