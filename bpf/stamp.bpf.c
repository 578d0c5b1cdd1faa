// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * stamp, tc egress of every device: writes the identity option into SYN, SYN-ACK and the client's
 * ACKs until the server is seen to have accepted. It decides nothing and never drops: a packet that
 * it cannot stamp leaves without identity, and the other end judges it as such.
 */
#include "lib/handshake.h"

/*
 * Appends the option and mends lengths and checksums. The segment has no payload, so the end of the
 * packet is the end of its options. bpf_l4_csum_replace knows whether the checksum is partial (the
 * pseudo header only) or complete; one call covers the length, the other the bytes.
 */
inline_always bool append(struct __sk_buff *skb, __u32 at, const struct segment *seg, const void *option,
			  __u32 length)
{
	__u32 check_at = seg->tcp_at + offsetof(struct tcphdr, check);
	__u16 old_header, new_header;
	void *data, *data_end;
	struct tcphdr *tcp;
	__s64 sum;

	if (bpf_skb_change_tail(skb, seg->tcp_at + seg->header + length, 0))
		return false;
	data = (void *)(long)skb->data;
	data_end = (void *)(long)skb->data_end;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + at;
		__u32 check;

		if ((void *)(ip + 1) > data_end)
			return false;
		check = (__u16)~ip->check + (__u16)~ip->tot_len;
		ip->tot_len = bpf_htons(bpf_ntohs(ip->tot_len) + length);
		check += ip->tot_len;
		check = (check & 0xffff) + (check >> 16);
		check = (check & 0xffff) + (check >> 16);
		ip->check = ~check;
	} else {
		struct ipv6hdr *ip = data + at;

		if ((void *)(ip + 1) > data_end)
			return false;
		ip->payload_len = bpf_htons(bpf_ntohs(ip->payload_len) + length);
	}
	tcp = data + seg->tcp_at;
	if ((void *)(tcp + 1) > data_end)
		return false;
	old_header = ((__u16 *)tcp)[6];
	tcp->doff = (seg->header + length) / 4;
	new_header = ((__u16 *)tcp)[6];
	if (bpf_skb_store_bytes(skb, seg->tcp_at + seg->header, option, length, 0))
		return false;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)option, length, 0);
	sum += (__u16)~old_header;
	sum += new_header;
	bpf_l4_csum_replace(skb, check_at, 0, sum, 0);
	bpf_l4_csum_replace(skb, check_at, bpf_htons(seg->header), bpf_htons(seg->header + length),
			    BPF_F_PSEUDO_HDR | sizeof(__u16));
	return true;
}

inline_always void head_of(struct option_head *head, __u8 length, __u32 badge)
{
	head->kind = WW_OPTION_KIND;
	head->length = length;
	head->exid = bpf_htons(WW_OPTION_EXID);
	head->badge = bpf_htonl(badge);
}

inline_always void stamp_syn(struct __sk_buff *skb, __u32 at, const struct segment *seg, const struct ww_flow *flow)
{
	struct syn_option option;

	if (seg->payload || seg->header > 60 - WW_SYN_OPTION) {
		count(WW_COUNT_STAMP_NO_ROOM);
		return;
	}
	head_of(&option.head, sizeof(option), flow->unit);
	option.epoch = flow->epoch;
	option.version = WW_OPTION_VERSION;
	option.dialled = bpf_htons(flow->port);
	store_be64(option.nonce, flow->nonce);
	count(append(skb, at, seg, &option, sizeof(option)) ? WW_COUNT_STAMPED_SYN : WW_COUNT_STAMP_FAILED);
}

inline_always void stamp_synack(struct __sk_buff *skb, __u32 at, const struct segment *seg)
{
	struct ww_half_open *slot = half_open_slot(&seg->remote, seg->remote_port);
	struct synack_option option;
	struct transcript t = {};
	const __u64 *key;
	struct ww_peer *peer;
	struct ww_keys *pair;
	__u32 badge;

	if (!half_open_is(slot, &seg->remote, seg->remote_port) || slot->client_isn != seg->ack - 1 || !slot->badge)
		return;
	if (seg->payload || seg->header > 60 - WW_SYNACK_OPTION) {
		count(WW_COUNT_STAMP_NO_ROOM);
		return;
	}
	badge = slot->badge;
	peer = bpf_map_lookup_elem(&peers, &badge);
	if (!peer)
		return;
	pair = keys_of(peer->enforcer);
	if (!pair)
		return;
	t.client = badge;
	t.server = slot->unit;
	t.client_epoch = slot->epoch;
	t.server_epoch = state.epoch;
	t.dialled = slot->dialled;
	t.client_nonce = slot->nonce;
	t.server_nonce = server_nonce(&seg->remote, seg->remote_port, seg->seq, coarse_now() >> WW_TICK_SHIFT,
				      state.epoch);
	key = pairwise_key(pair, t.server_epoch, t.client_epoch);
	if (!key)
		return;
	head_of(&option.head, sizeof(option), t.server);
	store_be48(option.nonce, t.server_nonce);
	store_be48(option.proof, proof_of(key, WW_MESSAGE_SYNACK, &t) & WW_PROOF_MASK);
	count(append(skb, at, seg, &option, sizeof(option)) ? WW_COUNT_STAMPED_SYNACK : WW_COUNT_STAMP_FAILED);
}

inline_always void stamp_ack(struct __sk_buff *skb, __u32 at, const struct segment *seg, const struct ww_flow *flow)
{
	struct ack_option option;

	if (seg->header > 60 - WW_ACK_OPTION) {
		count(WW_COUNT_STAMP_NO_ROOM);
		return;
	}
	head_of(&option.head, sizeof(option), flow->unit);
	option.epoch = flow->epoch;
	option.server_epoch = flow->server_epoch;
	option.dialled = bpf_htons(flow->port);
	store_be64(option.nonce, flow->nonce);
	store_be64(option.proof, flow->proof);
	count(append(skb, at, seg, &option, sizeof(option)) ? WW_COUNT_STAMPED_ACK : WW_COUNT_STAMP_FAILED);
}

/* The flags decide before anything is looked up: data, FIN and RST leave at once. */
inline_always int stamp(struct __sk_buff *skb, __u32 at)
{
	struct segment seg;
	struct bpf_sock *sk;
	struct ww_flow *flow;

	if (!skb->sk || !parse_segment(skb, at, false, &seg))
		return TC_ACT_UNSPEC;
	if (seg.flags & (TCP_FIN | TCP_RST))
		return TC_ACT_UNSPEC;
	if ((seg.flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)) {
		stamp_synack(skb, at, &seg);
		return TC_ACT_UNSPEC;
	}
	if (!(seg.flags & TCP_SYN) && seg.payload)
		return TC_ACT_UNSPEC;
	sk = skb->sk;
	if (!sk)
		return TC_ACT_UNSPEC;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return TC_ACT_UNSPEC;
	flow = bpf_sk_storage_get(&live, sk, NULL, 0);
	if (!flow)
		return TC_ACT_UNSPEC;
	if (seg.flags & TCP_SYN) {
		if (flow->phase == WW_PHASE_CONNECTING)
			stamp_syn(skb, at, &seg, flow);
	} else if (flow->phase == WW_PHASE_PROVED) {
		stamp_ack(skb, at, &seg, flow);
	}
	return TC_ACT_UNSPEC;
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
