// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * stamp, tc egress of every device: writes the identity option into SYN, SYN-ACK and the client's
 * ACKs until the server has accepted, and polices what leaves: no data to a server that has proved
 * nothing, no datagram that policy rejects, nothing from a revoked connection. Sockets outside the
 * Enforcer's root are left alone.
 */
#include "lib/client.h"
#include "lib/datagram.h"

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
own_frame bool append(struct __sk_buff *skb, __u32 at, const struct segment *seg, const void *option,
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

inline_always void head_of(struct option_head *head, __u8 length, __u32 badge)
{
	head->kind = WW_OPTION_KIND;
	head->length = length;
	head->exid = bpf_htons(WW_OPTION_EXID);
	head->badge = bpf_htonl(badge);
}

/* TCP Fast Open hands data to a server that has proved nothing: only where no proof is asked for. */
inline_always bool may_send_early(struct ww_unit *unit, const struct segment *seg, __u32 bank)
{
	struct ww_verdict *verdict;

	verdict = verdict_of(bank, unit->class[bank & 1], class_of_address(&seg->remote, bank), WW_OUT, IPPROTO_TCP,
			     bpf_ntohs(seg->remote_port));
	return verdict && verdict->action == WW_ALLOW;
}

#define TCPOPT_MPTCP 30

/*
 * Whether there is no room for two options: this SYN's, and that of its answer. The answer to MPTCP has none
 * left. Linux writes that option last; unanswered, it calls again without.
 */
inline_always bool too_full(struct __sk_buff *skb, const struct segment *seg)
{
	__u8 last[4];

	if (seg->header > 60 - WW_SYN_OPTION)
		return true;
	if (seg->header < sizeof(struct tcphdr) + sizeof(last))
		return false;
	return load_header(skb, seg->tcp_at + seg->header - sizeof(last), last, sizeof(last)) &&
	       last[0] == TCPOPT_MPTCP && last[1] == sizeof(last);
}

/* Writes down what a socket announces; another's young connection leaves the slot for the table before. */
inline_always bool begin_connecting(struct ww_connecting *slot, __u64 cookie, const struct segment *seg,
				    struct ww_unit *unit, __u64 place, __u16 dialled)
{
	if (!take(&slot->busy))
		return false;
	if (is_open(&slot->judged) && slot->cookie != cookie && !keep_connecting(slot)) {
		count_drop(WW_REASON_NO_MEMORY);
		give_back(&slot->busy);
		return false;
	}
	slot->judged.generation = 0;
	slot->isn = seg->seq;
	slot->unit = unit->badge;
	slot->peer = 0;
	slot->place = place;
	slot->dialled = dialled;
	slot->epoch = state.epoch;
	slot->bad_proofs = 0;
	slot->nonce = client_nonce(cookie, seg->seq);
	slot->cookie = cookie;
	give_back(&slot->busy);
	return true;
}

/* A SYN about to leave; refuse has asked the tables. A retransmission repeats what was announced. */
inline_always int stamp_syn(struct __sk_buff *skb, struct bpf_sock *sk, __u32 at, const struct segment *seg)
{
	__u32 generation = generation_now(), bank = bank_of(generation);
	__u64 cookie = bpf_get_socket_cookie(skb), place;
	struct ww_connecting *slot = connecting_slot(cookie);
	struct syn_option option;
	struct ww_unit *unit;

	if (!slot)
		return TC_ACT_SHOT;
	if (slot->cookie != cookie || slot->isn != seg->seq || seg->payload) {
		if (is_agent(bpf_skb_cgroup_id(skb)))
			return TC_ACT_UNSPEC; /* as the host's unit it would be subject to the host's policy */
		unit = unit_of_packet(skb, &place);
		if (!unit || !unit->class[bank]) {
			if (!is_ours(skb))
				return TC_ACT_UNSPEC;
			count_drop(generation ? WW_REASON_UNIT_UNKNOWN : WW_REASON_TABLES_EMPTY);
			return TC_ACT_SHOT;
		}
		if (seg->payload && !may_send_early(unit, seg, bank)) {
			count_drop(WW_REASON_SYN_PAYLOAD);
			return TC_ACT_SHOT;
		}
		if (!begin_connecting(slot, cookie, seg, unit, place, bpf_ntohs(sk->dst_port)))
			return TC_ACT_SHOT;
	}
	if (seg->payload || too_full(skb, seg)) {
		count(WW_COUNT_STAMP_NO_ROOM);
		return TC_ACT_UNSPEC;
	}
	head_of(&option.head, sizeof(option), slot->unit);
	option.epoch = slot->epoch;
	option.version = WW_OPTION_VERSION;
	option.dialled = bpf_htons(slot->dialled);
	store_be64(option.nonce, slot->nonce);
	count(append(skb, at, seg, &option, sizeof(option)) ? WW_COUNT_STAMPED_SYN : WW_COUNT_STAMP_FAILED);
	return TC_ACT_UNSPEC;
}

/*
 * Whether the segment answers the SYN that this CPU let in last. The local end is another here where this host
 * translates it (REDIRECT): the SYN came in behind the translation, its answer has passed back through it.
 */
inline_always bool is_answer_to(const struct segment *seg, const struct announcement *syn)
{
	return syn->isn == seg->ack - 1 && syn->remote_port == seg->remote_port &&
	       address_equal(&syn->remote, &seg->remote);
}

/*
 * Keeps what a SYN announced for the SYN-ACK's retransmission and the ACK. Where there is no room both do
 * without: the nonce can be computed again, and the client asks again.
 */
inline_always void keep_announcement(const struct announcement *syn, const struct segment *seg, __u64 nonce)
{
	struct ww_announced *slot = announced_slot(&seg->remote, seg->remote_port);

	if (!slot || !take(&slot->busy))
		return;
	if (emptied(slot, NULL)) {
		slot->id.local = syn->local;
		slot->id.remote = syn->remote;
		slot->id.remote_port = syn->remote_port;
		slot->id.local_port = syn->local_port;
		slot->client_isn = syn->isn;
		slot->server_isn = seg->seq;
		slot->server_nonce = nonce;
		slot->nonce = syn->nonce;
		slot->badge = syn->badge;
		slot->unit = syn->unit;
		slot->enforcer = syn->enforcer;
		slot->dialled = syn->dialled;
		slot->epoch = syn->epoch;
	}
	give_back(&slot->busy);
}

/* The same SYN later on, for a SYN-ACK that is sent again; false when its slot holds another one. */
inline_always bool recall(struct announcement *syn, const struct segment *seg, __u64 nonce)
{
	struct ww_announced *slot = announced_slot(&seg->remote, seg->remote_port);
	bool found;

	if (!slot || !take(&slot->busy))
		return false;
	found = announced_is(slot, &seg->remote, seg->remote_port) && slot->client_isn == seg->ack - 1;
	if (found) {
		/* A replayed ACK may have opened it for an older handshake of the two ends; that proves nothing here. */
		if (slot->server_isn != seg->seq)
			slot->judged.generation = 0;
		slot->server_isn = seg->seq;
		slot->server_nonce = nonce;
		syn->remote_port = 0; /* this is no SYN that was let in just now */
		syn->nonce = slot->nonce;
		syn->badge = slot->badge;
		syn->unit = slot->unit;
		syn->enforcer = slot->enforcer;
		syn->dialled = slot->dialled;
		syn->epoch = slot->epoch;
	}
	give_back(&slot->busy);
	return found;
}

/* Proves this end to who announced the SYN. */
inline_always int prove_synack(struct __sk_buff *skb, __u32 at, const struct segment *seg,
			       const struct announcement *syn, __u64 nonce)
{
	struct synack_option option;
	struct transcript t = {
		.client = syn->badge,
		.server = syn->unit,
		.client_nonce = syn->nonce,
		.server_nonce = nonce,
		.dialled = syn->dialled,
		.client_epoch = syn->epoch,
		.server_epoch = nonce & 1,
	};
	struct ww_keys *pair;
	const __u64 *key;

	if (!syn->badge)
		return TC_ACT_UNSPEC;
	if (seg->payload || seg->header > 60 - WW_SYNACK_OPTION) {
		count(WW_COUNT_STAMP_NO_ROOM);
		return TC_ACT_UNSPEC;
	}
	pair = keys_of(syn->enforcer);
	key = pair ? pairwise_key(pair, t.server_epoch, t.client_epoch) : NULL;
	if (!key)
		return TC_ACT_SHOT;
	head_of(&option.head, sizeof(option), t.server);
	store_be48(option.nonce, nonce);
	store_be48(option.proof, proof_of(key, WW_MESSAGE_SYNACK, &t) & WW_PROOF_MASK);
	count(append(skb, at, seg, &option, sizeof(option)) ? WW_COUNT_STAMPED_SYNACK : WW_COUNT_STAMP_FAILED);
	return TC_ACT_UNSPEC;
}

/*
 * A SYN-ACK whose SYN is not known any more cannot say who it is, and one that says nothing would be
 * taken for a server without identity. It does not leave; the client asks again.
 */
inline_always int stamp_synack(struct __sk_buff *skb, __u32 at, const struct segment *seg)
{
	__u64 nonce = server_nonce(&seg->remote, seg->remote_port, seg->seq, coarse_now() >> WW_TICK_SHIFT, state.epoch);
	__u32 zero = 0;
	struct announcement *syn = bpf_map_lookup_elem(&answering, &zero);

	if (!syn)
		return TC_ACT_SHOT;
	if (is_answer_to(seg, syn)) {
		keep_announcement(syn, seg, nonce);
	} else if (!recall(syn, seg, nonce)) {
		if (!is_ours(skb) || is_agent(bpf_skb_cgroup_id(skb)))
			return TC_ACT_UNSPEC;
		count(WW_COUNT_SYNACK_UNKNOWN);
		return TC_ACT_SHOT;
	}
	return prove_synack(skb, at, seg, syn, nonce);
}

/*
 * The client's proof, on every ACK until the server has sent or acknowledged something: it does
 * neither before it has let the connection in.
 */
inline_always void stamp_ack(struct __sk_buff *skb, struct bpf_sock *sk, __u32 at, const struct segment *seg)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct ww_connecting *slot = connecting_slot(cookie);
	struct ack_option option;
	struct ww_flow *flow;
	struct ww_flow_id id;

	if (seg->header > 60 - WW_ACK_OPTION) {
		count(WW_COUNT_STAMP_NO_ROOM);
		return;
	}
	if (slot && slot->cookie == cookie) {
		if (!slot->peer)
			return;
		head_of(&option.head, sizeof(option), slot->unit);
		option.epoch = slot->epoch;
		option.server_epoch = slot->server_epoch;
		option.dialled = bpf_htons(slot->dialled);
		store_be64(option.nonce, slot->nonce);
		store_be64(option.proof, slot->proof);
	} else {
		flow_id_of(&id, sk, bpf_skb_cgroup_id(skb));
		flow = flow_find(&id);
		if (!flow || flow->direction != WW_OUT || !flow->peer)
			return;
		head_of(&option.head, sizeof(option), flow->unit);
		option.epoch = flow->epoch;
		option.server_epoch = flow->server_epoch;
		option.dialled = bpf_htons(flow->port);
		store_be64(option.nonce, flow->nonce);
		store_be64(option.proof, flow->proof);
	}
	count(append(skb, at, seg, &option, sizeof(option)) ? WW_COUNT_STAMPED_ACK : WW_COUNT_STAMP_FAILED);
}

/* An ACK without payload from a socket that has neither received data nor had any acknowledged. */
inline_always bool unconfirmed(struct __sk_buff *skb, struct bpf_sock *sk, __u32 at)
{
	struct bpf_tcp_sock *tcp;

	if (skb->len > at + plain_header(skb) + 60)
		return false;
	tcp = bpf_tcp_sock(sk);
	return tcp && !tcp->bytes_received && tcp->bytes_acked <= 1;
}

own_frame int stamp_segment(struct __sk_buff *skb, struct bpf_sock *sk, __u32 at, __u8 flags)
{
	struct segment seg;

	if (!parse_segment(skb, at, false, &seg))
		return TC_ACT_UNSPEC;
	switch (flags & (TCP_SYN | TCP_ACK)) {
	case TCP_SYN:
		return stamp_syn(skb, sk, at, &seg);
	case TCP_SYN | TCP_ACK:
		return stamp_synack(skb, at, &seg);
	case TCP_ACK:
		if (!seg.payload)
			stamp_ack(skb, sk, at, &seg);
	}
	return TC_ACT_UNSPEC;
}

own_frame int stamp_cookie(struct __sk_buff *skb, __u32 at)
{
	struct segment seg;

	return parse_segment(skb, at, false, &seg) ? stamp_synack(skb, at, &seg) : TC_ACT_UNSPEC;
}

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
