// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * stamp, tc egress of every device: writes the identity option into SYN, SYN-ACK and the client's
 * ACKs until the server is seen to have accepted. It decides nothing and never drops: a packet that
 * it cannot stamp leaves without identity, and the other end judges it as such.
 */
#include "lib/handshake.h"

/*
 * Both headers as far as they change, in one piece so that one call writes them back. The program
 * never writes to the packet directly: the verifier would then unclone every packet on entry, and
 * every data segment is a clone of the one kept for retransmission.
 */
struct headers4 {
	struct iphdr ip;
	struct tcphdr tcp;
};

struct headers6 {
	struct ipv6hdr ip;
	struct tcphdr tcp;
};

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

/*
 * The segment has no payload, so the end of the packet is the end of its options. TCP leaves its
 * checksum to the device: the field then holds the pseudo header's sum, and only the length in that
 * changes. Where it was computed already, the option's bytes have to be added; the helper knows
 * which of the two it is.
 */
inline_always bool append(struct __sk_buff *skb, __u32 at, const struct segment *seg, const void *option,
			  __u32 length)
{
	bool v4 = skb->protocol == bpf_htons(ETH_P_IP);
	__u32 grown = seg->header + length;
	bool partial;
	void *data, *data_end;

	if (bpf_skb_change_tail(skb, seg->tcp_at + grown, 0))
		return false;
	data = (void *)(long)skb->data + at;
	data_end = (void *)(long)skb->data_end;
	if (v4) {
		struct headers4 headers;

		if (data + sizeof(headers) > data_end)
			return false;
		__builtin_memcpy(&headers, data, sizeof(headers));
		partial = headers.tcp.check == pseudo_sum(seg, seg->header);
		headers.ip.check = ~folded((__u16)~headers.ip.check + (__u16)~headers.ip.tot_len +
					   bpf_htons(sizeof(headers.ip) + grown));
		headers.ip.tot_len = bpf_htons(sizeof(headers.ip) + grown);
		headers.tcp.doff = grown / 4;
		if (partial)
			headers.tcp.check = pseudo_sum(seg, grown);
		if (bpf_skb_store_bytes(skb, at, &headers, sizeof(headers), 0))
			return false;
	} else {
		struct headers6 headers;

		if (data + sizeof(headers) > data_end)
			return false;
		__builtin_memcpy(&headers, data, sizeof(headers));
		partial = headers.tcp.check == pseudo_sum(seg, seg->header);
		headers.ip.payload_len = bpf_htons(grown);
		headers.tcp.doff = grown / 4;
		if (partial)
			headers.tcp.check = pseudo_sum(seg, grown);
		if (bpf_skb_store_bytes(skb, at, &headers, sizeof(headers), 0))
			return false;
	}
	if (bpf_skb_store_bytes(skb, seg->tcp_at + seg->header, option, length, 0))
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

inline_always void head_of(struct option_head *head, __u8 length, __u32 badge)
{
	head->kind = WW_OPTION_KIND;
	head->length = length;
	head->exid = bpf_htons(WW_OPTION_EXID);
	head->badge = bpf_htonl(badge);
}

inline_always void stamp_syn(struct __sk_buff *skb, __u32 at, const struct segment *seg)
{
	struct ww_connecting *slot;
	struct syn_option option;
	struct ww_flow_id id;
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return;
	flow_id_of(&id, sk, 0);
	slot = connecting_slot(&id);
	if (!slot || !connecting_is(slot, &id) || slot->isn != seg->seq)
		return;
	if (seg->payload || seg->header > 60 - WW_SYN_OPTION) {
		count(WW_COUNT_STAMP_NO_ROOM);
		return;
	}
	head_of(&option.head, sizeof(option), slot->unit);
	option.epoch = slot->epoch;
	option.version = WW_OPTION_VERSION;
	option.dialled = bpf_htons(slot->dialled);
	store_be64(option.nonce, slot->nonce);
	count(append(skb, at, seg, &option, sizeof(option)) ? WW_COUNT_STAMPED_SYN : WW_COUNT_STAMP_FAILED);
}

inline_always void stamp_synack(struct __sk_buff *skb, __u32 at, const struct segment *seg)
{
	struct ww_announced *slot = announced_slot(&seg->remote, seg->remote_port);
	struct synack_option option;
	struct transcript t = {};
	const __u64 *key;
	struct ww_peer *peer;
	struct ww_keys *pair;
	__u32 badge;

	if (!slot || !announced_is(slot, &seg->remote, seg->remote_port) || slot->client_isn != seg->ack - 1 || !slot->badge)
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
	slot->server_isn = seg->seq;
	slot->server_nonce = t.server_nonce;
	head_of(&option.head, sizeof(option), t.server);
	store_be48(option.nonce, t.server_nonce);
	store_be48(option.proof, proof_of(key, WW_MESSAGE_SYNACK, &t) & WW_PROOF_MASK);
	count(append(skb, at, seg, &option, sizeof(option)) ? WW_COUNT_STAMPED_SYNACK : WW_COUNT_STAMP_FAILED);
}

/*
 * The client's proof, on every ACK until the server has sent or acknowledged something: it does
 * neither before it has let the connection in.
 */
inline_always void stamp_ack(struct __sk_buff *skb, __u32 at, const struct segment *seg)
{
	struct ww_connecting *slot;
	struct bpf_tcp_sock *tcp;
	struct ack_option option;
	struct ww_flow *flow;
	struct ww_flow_id id;
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return;
	tcp = bpf_tcp_sock(sk);
	if (!tcp || tcp->bytes_received || tcp->bytes_acked > 1)
		return;
	flow_id_of(&id, sk, bpf_skb_cgroup_id(skb));
	slot = connecting_slot(&id);
	if (slot && connecting_is(slot, &id) && slot->peer) {
		head_of(&option.head, sizeof(option), slot->unit);
		option.epoch = slot->epoch;
		option.server_epoch = slot->server_epoch;
		option.dialled = bpf_htons(slot->dialled);
		store_be64(option.nonce, slot->nonce);
		store_be64(option.proof, slot->proof);
	} else {
		flow = bpf_map_lookup_elem(&live, &id);
		if (!flow || flow->direction != WW_OUT || !flow->peer)
			return;
		head_of(&option.head, sizeof(option), flow->unit);
		option.epoch = flow->epoch;
		option.server_epoch = flow->server_epoch;
		option.dialled = bpf_htons(flow->port);
		store_be64(option.nonce, flow->nonce);
		store_be64(option.proof, flow->proof);
	}
	if (seg->header > 60 - WW_ACK_OPTION) {
		count(WW_COUNT_STAMP_NO_ROOM);
		return;
	}
	count(append(skb, at, seg, &option, sizeof(option)) ? WW_COUNT_STAMPED_ACK : WW_COUNT_STAMP_FAILED);
}

/*
 * Whether a packet that looks like plain TCP has flags that could carry the option. Cheap and rough:
 * most packets end here, the others are parsed.
 */
inline_always bool may_carry(struct __sk_buff *skb, __u32 at)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	__u32 tcp_at = at + plain_header(skb);
	__u8 flags;

	if (data + tcp_at + sizeof(struct tcphdr) > data_end)
		return false;
	flags = ((__u8 *)data)[tcp_at + 13];
	if (flags & (TCP_FIN | TCP_RST))
		return false;
	return (flags & TCP_SYN) || skb->len <= tcp_at + 60;
}

/* The flags decide before anything is looked up: data, FIN and RST leave at once. */
inline_always int stamp(struct __sk_buff *skb, __u32 at)
{
	struct segment seg;

	if (!skb->sk || !may_carry(skb, at))
		return TC_ACT_UNSPEC;
	if (!parse_segment(skb, at, false, &seg) || seg.tcp_at != at + plain_header(skb))
		return TC_ACT_UNSPEC;
	switch (seg.flags & (TCP_SYN | TCP_ACK)) {
	case TCP_SYN:
		stamp_syn(skb, at, &seg);
		break;
	case TCP_SYN | TCP_ACK:
		stamp_synack(skb, at, &seg);
		break;
	case TCP_ACK:
		if (!seg.payload)
			stamp_ack(skb, at, &seg);
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
