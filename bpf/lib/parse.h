/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Headers of one TCP segment. What is not exactly understood is not guessed: IPv6 extension headers
 * and fragments yield "no", and the caller denies (lessons, rule 9).
 */
#ifndef WW_PARSE_H
#define WW_PARSE_H

#include "types.h"

/* The identity option as it stands on the wire; all fields in network order. */
struct option_head {
	__u8 kind;
	__u8 length;
	__be16 exid;
	__be32 badge;
};

struct syn_option {
	struct option_head head;
	__u8 epoch;
	__u8 version;
	__be16 dialled;
	__u8 nonce[8];
};

struct synack_option {
	struct option_head head;
	__u8 nonce[6];	/* lowest bit of the last byte: lowest bit of the server's epoch */
	__u8 proof[6];
};

struct ack_option {
	struct option_head head;
	__u8 epoch;
	__u8 server_epoch;	/* lowest bit only */
	__be16 dialled;
	__u8 nonce[8];
	__u8 proof[8];
};

_Static_assert(sizeof(struct syn_option) == WW_SYN_OPTION, "SYN option");
_Static_assert(sizeof(struct synack_option) == WW_SYNACK_OPTION, "SYN-ACK option");
_Static_assert(sizeof(struct ack_option) == WW_ACK_OPTION, "ACK option");

struct segment {
	struct ww_address local;
	struct ww_address remote;
	__u16 local_port;	/* network order */
	__u16 remote_port;	/* network order */
	__u32 seq;		/* host order */
	__u32 ack;		/* host order */
	__u32 payload;		/* bytes */
	__u16 tcp_at;		/* offset of the TCP header */
	__u8 header;		/* length of the TCP header with options */
	__u8 flags;
};

inline_always void address_v4(struct ww_address *address, __be32 v4)
{
	address->word[0] = 0;
	address->word[1] = 0;
	address->word[2] = bpf_htonl(0xffff);
	address->word[3] = v4;
}

inline_always void address_v6(struct ww_address *address, const struct in6_addr *v6)
{
	__builtin_memcpy(address->word, v6, sizeof(address->word));
}

inline_always bool address_is_v4(const struct ww_address *address)
{
	return !address->word[0] && !address->word[1] && address->word[2] == bpf_htonl(0xffff);
}

inline_always bool address_equal(const struct ww_address *a, const struct ww_address *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] &&
	       a->word[3] == b->word[3];
}

/* Length of an IP header without options or extensions. */
inline_always __u32 plain_header(struct __sk_buff *skb)
{
	return skb->protocol == bpf_htons(ETH_P_IP) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

/*
 * Offset of the TCP header from the network header at *at* bytes into the packet, or 0 when this is
 * not a whole TCP segment behind a plain header. Fills addresses as (source, destination) and the
 * length of the IP packet.
 */
inline_always __u32 parse_ip(struct __sk_buff *skb, __u32 at, struct ww_address *source,
			     struct ww_address *destination, __u32 *end)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + at;

		if ((void *)(ip + 1) > data_end)
			return 0;
		if (ip->protocol != IPPROTO_TCP || ip->ihl < 5 || (ip->frag_off & bpf_htons(0x3fff)))
			return 0;
		address_v4(source, ip->saddr);
		address_v4(destination, ip->daddr);
		*end = at + bpf_ntohs(ip->tot_len);
		return at + ip->ihl * 4;
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + at;

		if ((void *)(ip + 1) > data_end)
			return 0;
		if (ip->nexthdr != IPPROTO_TCP)
			return 0;
		address_v6(source, &ip->saddr);
		address_v6(destination, &ip->daddr);
		*end = at + sizeof(*ip) + bpf_ntohs(ip->payload_len);
		return at + sizeof(*ip);
	}
	return 0;
}

inline_always bool parse_tcp(struct __sk_buff *skb, __u32 at, __u32 end, bool incoming, struct segment *seg)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	struct tcphdr *tcp = data + at;

	if ((void *)(tcp + 1) > data_end)
		return false;
	seg->tcp_at = at;
	seg->header = tcp->doff * 4;
	seg->flags = ((__u8 *)tcp)[13];
	seg->seq = bpf_ntohl(tcp->seq);
	seg->ack = bpf_ntohl(tcp->ack_seq);
	if (seg->header < sizeof(*tcp) || at + seg->header > end)
		return false;
	seg->payload = end - at - seg->header;
	seg->local_port = incoming ? tcp->dest : tcp->source;
	seg->remote_port = incoming ? tcp->source : tcp->dest;
	return true;
}

/* Everything about one segment whose network header stands *at* bytes into the packet. */
inline_always bool parse_segment(struct __sk_buff *skb, __u32 at, bool incoming, struct segment *seg)
{
	__u32 end = 0, tcp_at;

	if (incoming)
		tcp_at = parse_ip(skb, at, &seg->remote, &seg->local, &end);
	else
		tcp_at = parse_ip(skb, at, &seg->local, &seg->remote, &end);
	return tcp_at && parse_tcp(skb, tcp_at, end, incoming, seg);
}

/* No header ends further into a packet: Ethernet, IPv6 and TCP at their longest. */
#define WW_HEADERS_END 128

/*
 * Copies *length* bytes of the headers, *at* bytes into the packet. Where they lie in one piece, as they do in
 * all but odd packets, this costs no call.
 */
inline_always bool load_header(struct __sk_buff *skb, __u32 at, void *to, __u32 length)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;

	asm volatile("" : "+r"(at)); /* what is compared is what is added */
	if (at > WW_HEADERS_END)
		return false;
	if (data + at + length > data_end)
		return !bpf_skb_load_bytes(skb, at, to, length);
	__builtin_memcpy(to, data + at, length);
	return true;
}

/*
 * Copies the last *length* bytes of the TCP options if they are an identity option of that length.
 * Ours is always the last option: what stands elsewhere is not ours.
 */
inline_always bool load_option(struct __sk_buff *skb, const struct segment *seg, void *option, __u32 length)
{
	const struct option_head *head = option;

	if (seg->header < sizeof(struct tcphdr) + length)
		return false;
	if (!load_header(skb, seg->tcp_at + seg->header - length, option, length))
		return false;
	return head->kind == WW_OPTION_KIND && head->length == length && head->exid == bpf_htons(WW_OPTION_EXID);
}

#define TCPOPT_EOL 0
#define TCPOPT_NOP 1
#define TCPOPT_FASTOPEN 34
#define TCPOPT_EXPERIMENT 254 /* with this magic number, Fast Open before it had a number */
#define TCPOPT_FASTOPEN_MAGIC_HIGH 0xf9
#define TCPOPT_FASTOPEN_MAGIC_LOW 0x89

#define WW_OTHER_OPTIONS (60 - (int)sizeof(struct tcphdr) - WW_SYN_OPTION)

/* Whether the options before ours are what Linux usually sends: MSS, SACK permitted, timestamps, no operation, window scale. */
inline_always bool are_usual(struct __sk_buff *skb, const struct segment *seg)
{
	__u8 *options = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	__u32 at = seg->tcp_at + sizeof(struct tcphdr);

	asm volatile("" : "+r"(at)); /* what is compared is what is added */
	if (at > WW_HEADERS_END || seg->header != 60)
		return false;
	options += at;
	if ((void *)(options + WW_OTHER_OPTIONS) > data_end)
		return false;
	return options[0] == 2 && options[1] == 4 && options[4] == 4 && options[5] == 2 && options[6] == 8 &&
	       options[7] == 10 && options[16] == TCPOPT_NOP && options[17] == 3 && options[18] == 3;
}

/*
 * Whether a SYN with an identity also asks for TCP Fast Open: then the kernel may hand out the connection
 * before the ACK that proves it. Reads options as the kernel does.
 */
own_frame bool asks_for_fast_open(struct __sk_buff *skb, const struct segment *seg)
{
	__u8 options[WW_OTHER_OPTIONS + 4] = {};
	__u32 size = seg->header - sizeof(struct tcphdr) - WW_SYN_OPTION, at = 0;

	if (size == 0)
		return false;
	if (size > WW_OTHER_OPTIONS)
		return true;
	if (!load_header(skb, seg->tcp_at + sizeof(struct tcphdr), options, WW_OTHER_OPTIONS))
		return true; /* never: with ours there are as many, whatever the others are */
	for (int i = 0; i < WW_OTHER_OPTIONS; i++) {
		__u32 here = at & 31, length;

		if (at >= size || here >= WW_OTHER_OPTIONS || options[here] == TCPOPT_EOL)
			return false;
		if (options[here] == TCPOPT_NOP) {
			at++;
			continue;
		}
		if (options[here] == TCPOPT_FASTOPEN)
			return true;
		if (options[here] == TCPOPT_EXPERIMENT && options[here + 2] == TCPOPT_FASTOPEN_MAGIC_HIGH &&
		    options[here + 3] == TCPOPT_FASTOPEN_MAGIC_LOW)
			return true;
		length = options[here + 1];
		if (length < 2)
			return false;
		at += length;
	}
	return false;
}

/* Flags of a TCP segment behind a plain header, 0 for everything else; a real segment has some. */
inline_always __u8 tcp_flags(struct __sk_buff *skb, __u32 at)
{
	void *data = (void *)(long)skb->data + at;
	void *data_end = (void *)(long)skb->data_end;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data;

		if (data + sizeof(*ip) + sizeof(struct tcphdr) > data_end || ip->protocol != IPPROTO_TCP || ip->ihl != 5)
			return 0;
		return ((__u8 *)data)[sizeof(*ip) + 13];
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data;

		if (data + sizeof(*ip) + sizeof(struct tcphdr) > data_end || ip->nexthdr != IPPROTO_TCP)
			return 0;
		return ((__u8 *)data)[sizeof(*ip) + 13];
	}
	return 0;
}

/* Protocol numbers end below this: IPPROTO_MPTCP, the last one, is 262. Leaves 443 to the quick way. */
#define WW_PROTOCOL_LIMIT 400

/*
 * Whether a socket is a TCP stream. Asking for the full socket costs a call, and only raw sockets can
 * be mistaken here: the kernel keeps their protocol number where others keep the port.
 */
inline_always bool is_stream(struct bpf_sock *sk)
{
	if (sk->src_port >= WW_PROTOCOL_LIMIT || sk->state == BPF_TCP_NEW_SYN_RECV || sk->state == BPF_TCP_TIME_WAIT)
		return true;
	sk = bpf_sk_fullsock(sk);
	return sk && sk->type == SOCK_STREAM;
}

/* Whether a socket speaks TCP, whatever packet is at hand. Other than is_stream, asks in any case. */
inline_always bool speaks_tcp(struct bpf_sock *sk)
{
	if (sk->state == BPF_TCP_NEW_SYN_RECV || sk->state == BPF_TCP_TIME_WAIT)
		return true;
	sk = bpf_sk_fullsock(sk);
	return sk && sk->type == SOCK_STREAM && sk->protocol == IPPROTO_TCP;
}

#endif /* WW_PARSE_H */
