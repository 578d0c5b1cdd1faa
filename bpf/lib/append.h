/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Growing a segment without payload by one option, whatever has become of its checksum. */
#ifndef WW_APPEND_H
#define WW_APPEND_H

#include "parse.h"

/* Longest TCP header, and the longest IP header of those that are stamped. */
#define WW_TCP_HEADER 60
#define WW_STAMPED_HEADERS (sizeof(struct ipv6hdr) + WW_TCP_HEADER)

/*
 * All headers of a segment with the new option behind them, in one piece so that one call writes them
 * back. The program never writes to the packet directly: the verifier would then unclone every packet on
 * entry, and every data segment is a clone of the one kept for retransmission.
 */
struct headers {
	union {
		struct iphdr v4;
		struct ipv6hdr v6;
		__u8 bytes[WW_STAMPED_HEADERS + WW_ACK_OPTION];
	};
};

/* Where headers are put together. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct headers);
} stamping SEC(".maps");

inline_always __u16 folded(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

inline_always __u32 halves(__u32 word)
{
	return (word & 0xffff) + (word >> 16);
}

/* Sum of the addresses, protocol and length that a TCP checksum covers beside the segment. */
inline_always __u16 pseudo_sum(const struct segment *seg, __u32 length)
{
	__u32 sum = bpf_htons(IPPROTO_TCP) + bpf_htons(length);

	if (address_is_v4(&seg->local))
		return folded(sum + halves(seg->local.word[3]) + halves(seg->remote.word[3]));
	for (int i = 0; i < 4; i++)
		sum += halves(seg->local.word[i]) + halves(seg->remote.word[i]);
	return folded(sum);
}

/* Copies whole words from the packet; *count* of them, at most as many as fit behind 20 bytes of TCP header. */
inline_always bool copy_words(__u32 *to, void *from, void *end, __u32 count)
{
	for (__u32 i = 0; i < (WW_TCP_HEADER - sizeof(struct tcphdr)) / 4; i++) {
		if (i >= count)
			break;
		if (from + (i + 1) * 4 > end)
			return false;
		to[i] = ((__u32 *)from)[i];
	}
	return true;
}

/* Our own options are 20 or 28 bytes long. */
inline_always void put_option(__u32 *to, const __u32 *option, __u32 length)
{
	for (int i = 0; i < WW_SYN_OPTION / 4; i++)
		to[i] = option[i];
	if (length > WW_SYN_OPTION) {
		to[5] = option[5];
		to[6] = option[6];
	}
}

/*
 * The segment has no payload, so the end of the packet is the end of its options. TCP leaves its
 * checksum to the device: the field then holds the pseudo header's sum, and only the length in that
 * changes. Where it was computed already, the option's bytes have to be added; the helper knows
 * which of the two it is.
 */
inline_always bool append(struct __sk_buff *skb, __u32 at, const struct segment *seg, const void *option,
			  __u32 length)
{
	bool v4 = skb->protocol == bpf_htons(ETH_P_IP), partial;
	__u32 grown = seg->header + length, place, zero = 0;
	struct headers *headers = bpf_map_lookup_elem(&stamping, &zero);
	struct tcphdr *tcp;
	void *data, *end;

	if (!headers || bpf_skb_change_tail(skb, seg->tcp_at + grown, 0))
		return false;
	data = (void *)(long)skb->data + at;
	end = (void *)(long)skb->data_end;
	place = v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	if (v4) {
		struct iphdr *ip = &headers->v4;

		if (data + sizeof(*ip) + sizeof(*tcp) > end)
			return false;
		__builtin_memcpy(ip, data, sizeof(*ip) + sizeof(*tcp));
		ip->check = ~folded((__u16)~ip->check + (__u16)~ip->tot_len + bpf_htons(sizeof(*ip) + grown));
		ip->tot_len = bpf_htons(sizeof(*ip) + grown);
		tcp = (void *)(ip + 1);
	} else {
		struct ipv6hdr *ip = &headers->v6;

		if (data + sizeof(*ip) + sizeof(*tcp) > end)
			return false;
		__builtin_memcpy(ip, data, sizeof(*ip) + sizeof(*tcp));
		ip->payload_len = bpf_htons(grown);
		tcp = (void *)(ip + 1);
	}
	partial = tcp->check == pseudo_sum(seg, seg->header);
	tcp->doff = grown / 4;
	if (partial)
		tcp->check = pseudo_sum(seg, grown);
	if (!copy_words((__u32 *)(tcp + 1), data + place + sizeof(*tcp), end, seg->header / 4 - sizeof(*tcp) / 4))
		return false;
	place += seg->header;
	if (place > WW_STAMPED_HEADERS)
		return false;
	put_option((__u32 *)(headers->bytes + place), option, length);
	if (bpf_skb_store_bytes(skb, at, headers, place + length, 0))
		return false;
	if (!partial) {
		__u32 check_at = seg->tcp_at + offsetof(struct tcphdr, check);
		__s64 sum = bpf_csum_diff(NULL, 0, (__be32 *)option, length, 0);

		sum += bpf_htons((length / 4) << 12); /* the data offset has grown */
		bpf_l4_csum_replace(skb, check_at, 0, sum, 0);
		bpf_l4_csum_replace(skb, check_at, bpf_htons(seg->header), bpf_htons(grown),
				    BPF_F_PSEUDO_HDR | sizeof(__u16));
	}
	return true;
}

#endif /* WW_APPEND_H */
