// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * stamp, tc egress of every device: writes the identity option into SYN, SYN-ACK and the client's
 * ACKs until the server has accepted, and polices what leaves: no data to a server that has proved
 * nothing, no datagram that policy rejects, nothing from a revoked connection. Sockets outside the
 * Enforcer's root are left alone.
 */
#include "lib/closing.h"
#include "lib/datagram.h"
#include "lib/stamping.h"

/*
 * RST and bare ACK of the kernel's own control socket, which lives in the root of the cgroup tree: they
 * answer for closed ports and connections that are over, and carry and open nothing.
 */
inline_always bool kernel_reply(struct __sk_buff *skb, __u32 at)
{
	struct segment seg;

	if (bpf_skb_cgroup_id(skb) != bpf_skb_ancestor_cgroup_id(skb, 0))
		return false;
	return parse_segment(skb, at, false, &seg) && !seg.payload && !(seg.flags & (TCP_SYN | TCP_FIN));
}

inline_always bool is_ip(__be16 type)
{
	return type == bpf_htons(ETH_P_IP) || type == bpf_htons(ETH_P_IPV6);
}

/*
 * A packet socket writes the frame, and tells the kernel apart from it which protocol that is. The receiver
 * goes by the frame, so the two have to agree; and what stands behind a tag nobody here looks at.
 */
inline_always bool is_disguised(struct __sk_buff *skb, __u32 at)
{
	struct bpf_sock *sk = skb->sk;
	__be16 type;

	if (!sk || sk->family != WW_AF_PACKET || at != ETH_HLEN ||
	    bpf_skb_load_bytes(skb, offsetof(struct ethhdr, h_proto), &type, sizeof(type)))
		return false;
	if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD))
		return true;
	return type != skb->protocol && (is_ip(type) || is_ip(skb->protocol));
}

own_frame int datagram_out(struct __sk_buff *skb, __u32 at)
{
	struct owner own;
	struct datagram d;
	__u64 place;

	if (is_disguised(skb, at) && is_ours(skb)) {
		count_drop(WW_REASON_MALFORMED);
		return TC_ACT_SHOT;
	}
	if (!is_ip(skb->protocol))
		return TC_ACT_UNSPEC; /* ARP and other link business */
	if (!is_ours(skb) || is_agent(bpf_skb_cgroup_id(skb)) || later_fragment(skb, at) || kernel_reply(skb, at))
		return TC_ACT_UNSPEC;
	if (!parse_datagram(skb, at, false, &d)) {
		count_drop(WW_REASON_MALFORMED);
		return TC_ACT_SHOT;
	}
	if (always_allowed(&d))
		return TC_ACT_UNSPEC;
	if (!datagram_ready(&own))
		return TC_ACT_SHOT;
	own.unit = unit_of_packet(skb, &place);
	if (!own.unit || !own.unit->class[own.bank & 1]) {
		count_drop(WW_REASON_UNIT_UNKNOWN);
		return TC_ACT_SHOT;
	}
	return datagram_judge(skb, &d, &own, WW_OUT) == WW_PASS ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

/* A connection that sends RST is over for its own kernel, which may be about to clear the socket's counters. */
own_frame int record_out(struct __sk_buff *skb, struct bpf_sock *sk, __u8 flags)
{
	struct moment now = { .reset = flags & TCP_RST, .last = flags & TCP_RST };
	struct tcp_sock *tcp = now.last ? bpf_skc_to_tcp_sock(sk) : NULL;

	if (tcp) {
		numbers_of(&now.numbers, tcp);
		now.local_port = ((struct inet_sock *)tcp)->inet_sport;
	}
	return live_segment(skb, sk, bpf_skb_cgroup_id(skb), &now);
}

/* The flags decide before anything is looked up: on a settled connection nothing is. */
inline_always int stamp(struct __sk_buff *skb, __u32 at)
{
	struct bpf_sock *sk = skb->sk;
	__u8 flags;

	flags = tcp_flags(skb, at);
	if (!sk) {
		/* Forwarded, or the kernel's own: so are the SYN-ACKs of SYN cookies. */
		if ((flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK) && !skb->ingress_ifindex)
			return stamp_cookie(skb, at);
		return TC_ACT_UNSPEC;
	}
	if (!flags || !is_stream(sk))
		return datagram_out(skb, at);
	if (flags & TCP_SYN)
		return stamp_segment(skb, sk, at, flags);
	if (((flags & TCP_RST) || !all_judged()) && record_out(skb, sk, flags) == WW_DROP && is_ours(skb))
		return TC_ACT_SHOT;
	if ((flags & (TCP_FIN | TCP_RST)) || !unconfirmed(skb, sk, at))
		return TC_ACT_UNSPEC;
	return stamp_segment(skb, sk, at, flags);
}

/* Devices with an Ethernet header: veth, lo, physical. */
SEC("tc")
int stamp_ethernet(struct __sk_buff *skb)
{
	return stamp(skb, ETH_HLEN);
}

/* Devices without a link-layer header: tun, wireguard. */
SEC("tc")
int stamp_plain(struct __sk_buff *skb)
{
	return stamp(skb, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
