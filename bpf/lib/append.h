/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Growing a segment without payload by one option, whatever has become of its checksum. */
#ifndef WW_APPEND_H
#define WW_APPEND_H

#include "parse.h"

inline_always __u16 folded(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

inline_always __u32 halves(__u32 word)
{
	return (word & 0xffff) + (word >> 16);
}

/* Sum of the words that a TCP checksum covers beside the segment, but for its length. */
inline_always __u64 pseudo_sum(const __u32 *addresses, __u32 words)
{
	__u64 sum = bpf_htons(IPPROTO_TCP);

	for (__u32 i = 0; i < words; i++)
		sum += addresses[i];
	return sum;
}

/* Our own options are 20 or 28 bytes long. */
inline_always void put_option(__u32 *to, const __u32 *option, __u32 length)
{
	for (__u32 i = 0; i < length / 4; i++)
		to[i] = option[i];
}

/* Corrects a checksum that was computed already. The helper knows which of the two it is. */
inline_always void correct_checksum(struct __sk_buff *skb, const struct segment *seg, const void *option, __u32 length)
{
	__u32 check_at = seg->tcp_at + offsetof(struct tcphdr, check);
	__s64 sum = bpf_csum_diff(NULL, 0, (__be32 *)option, length, 0);

	sum += bpf_htons((length / 4) << 12); /* the data offset has grown */
	bpf_l4_csum_replace(skb, check_at, 0, sum, 0);
	bpf_l4_csum_replace(skb, check_at, bpf_htons(seg->header), bpf_htons(seg->header + length),
			    BPF_F_PSEUDO_HDR | sizeof(__u16));
}

/*
 * The segment has no payload, so the end of the packet is the end of its options. TCP leaves its
 * checksum to the device: the field then holds the pseudo header's sum, and only the length in that
 * changes. Where it was computed already, the option's bytes have to be added. The headers are written where they
 * stand: who calls this is reached by packets of handshakes alone (see stamp.bpf.c).
 */
inline_always bool append(struct __sk_buff *skb, __u32 at, const struct segment *seg, const void *option,
			  __u32 length)
{
	__u32 header = seg->header, grown = header + length;
	bool partial, v4 = skb->protocol == bpf_htons(ETH_P_IP);
	struct tcphdr *tcp;
	void *data, *end, *room;
	__u64 pseudo;

	if (bpf_skb_change_tail(skb, at + (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + grown, 0))
		return false;
	data = (void *)(long)skb->data + at;
	end = (void *)(long)skb->data_end;
	if (v4) {
		struct iphdr *ip = data;

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end)
			return false;
		ip->check = ~folded((__u64)(__u16)~ip->check + (__u16)~ip->tot_len + bpf_htons(sizeof(*ip) + grown));
		ip->tot_len = bpf_htons(sizeof(*ip) + grown);
		pseudo = pseudo_sum(&ip->saddr, 2);
	} else {
		struct ipv6hdr *ip = data;

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end)
			return false;
		ip->payload_len = bpf_htons(grown);
		pseudo = pseudo_sum(ip->saddr.in6_u.u6_addr32, 8);
	}
	partial = tcp->check == folded(pseudo + bpf_htons(header));
	if (partial)
		tcp->check = folded(pseudo + bpf_htons(grown));
	tcp->doff = grown / 4;
	asm volatile("" : "+r"(header)); /* what is compared is what is added */
	room = (void *)tcp + (header & 63);
	if (room + length > end)
		return false;
	put_option(room, option, length);
	if (!partial)
		correct_checksum(skb, seg, option, length);
	return true;
}

#endif /* WW_APPEND_H */
