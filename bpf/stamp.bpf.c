// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * stamp, tc egress of every device: writes the identity option into SYN, SYN-ACK and the client's
 * ACKs until the server has accepted, and polices what leaves: no data to a server that has proved
 * nothing, no datagram that policy rejects, nothing from a revoked connection. Sockets outside the
 * Enforcer's root are left alone.
 */
#include "lib/closing.h"
#include "lib/fragment.h"
#include "lib/resolving.h"
#include "lib/stamping.h"
#include "lib/udp_leaving.h"

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

/* The kernel's own control sockets live in the root of the cgroup tree. */
inline_always bool is_kernels(struct __sk_buff *skb)
{
	return bpf_skb_cgroup_id(skb) == bpf_skb_ancestor_cgroup_id(skb, 0);
}

/* RST and bare ACK answer for closed ports and connections that are over, and carry and open nothing. */
inline_always bool kernel_reply(struct __sk_buff *skb, __u32 at)
{
	struct segment seg;

	return parse_segment(skb, at, false, &seg) && !seg.payload && !(seg.flags & (TCP_SYN | TCP_FIN));
}

/* Whether an error that leaves quotes what somebody there has sent. */
own_frame bool error_answers(struct __sk_buff *skb, const struct datagram *error)
{
	struct datagram quoted;

	return parse_quoted(skb, error, false, &quoted);
}

/* The same, and that it belongs to a flow of the unit that reports it. */
own_frame bool error_belongs(struct __sk_buff *skb, const struct datagram *error, const struct owner *own)
{
	struct datagram quoted;

	return parse_quoted(skb, error, false, &quoted) && flow_known(&quoted, own);
}

inline_always int let_out(struct __sk_buff *skb, const struct datagram *d, const struct owner *own, __u8 direction)
{
	if (datagram_judge(skb, d, own, direction) != WW_PASS)
		return TC_ACT_SHOT;
	if (d->piece == WW_FIRST)
		fragment_begins(skb, d, 0, true);
	return TC_ACT_UNSPEC;
}

/* To no device: for its sender it has left, or the rest of the datagram would not follow. */
inline_always int kept_back(void)
{
	return bpf_redirect(0, 0);
}

/* A first fragment that leaves as a call for the rest is none any more. */
inline_always int udp_out(struct __sk_buff *skb, const struct datagram *d, const struct owner *own, __u32 at)
{
	int verdict = udp_leaves(skb, d, own, at);
	struct udp_work *w = udp_room();

	if (verdict == WW_BY_ADDRESS)
		return let_out(skb, d, own, WW_OUT);
	if (verdict == WW_DROP)
		return TC_ACT_SHOT;
	if (verdict != WW_REDUCED && d->piece == WW_FIRST)
		fragment_begins(skb, d, w && !skb->ingress_ifindex ? w->parking.first : 0, verdict == WW_PASS);
	return verdict == WW_KEPT ? kept_back() : TC_ACT_UNSPEC;
}

/* A later fragment leaves when its first one has, and is kept when that is. */
inline_always int fragment_out(struct __sk_buff *skb, const struct datagram *d, __u32 at)
{
	struct fragment_begun *begun = fragment_follows(skb, d);
	int verdict;

	if (!begun) {
		count_drop(WW_REASON_MALFORMED);
		return TC_ACT_SHOT;
	}
	if (!begun->kept || skb->ingress_ifindex)
		return TC_ACT_UNSPEC;
	verdict = udp_follows(skb, begun, at);
	if (verdict == WW_DROP)
		return TC_ACT_SHOT;
	return verdict == WW_KEPT ? kept_back() : TC_ACT_UNSPEC;
}

/* What a socket of a unit sends. */
own_frame int unit_out(struct __sk_buff *skb, const struct datagram *d, __u32 at)
{
	struct owner own;

	if (d->network)
		return TC_ACT_UNSPEC;
	if (d->piece == WW_LATER)
		return fragment_out(skb, d, at);
	if (!datagram_ready(&own))
		return TC_ACT_SHOT;
	own.unit = unit_of_packet(skb, &own.place);
	if (!own.unit || !own.unit->class[own.bank & 1]) {
		count_drop(WW_REASON_UNIT_UNKNOWN);
		return TC_ACT_SHOT;
	}
	if (d->icmp == WW_ICMP_ERROR && error_belongs(skb, d, &own))
		return TC_ACT_UNSPEC;
	if (is_resolving(d)) /* before anything of it is changed; who may not have the answer learns nothing of it */
		note_question(skb, d, own.unit->badge);
	return d->protocol == IPPROTO_UDP ? udp_out(skb, d, &own, at) : let_out(skb, d, &own, WW_OUT);
}

/*
 * The kernel answers echo requests for the host's unit, without a socket of its own: whoever may not ask gets no
 * answer. That is judged here, as what has come in. Its errors quote what somebody has sent, and go back there.
 */
inline_always int kernel_out(struct __sk_buff *skb, struct datagram *d, __u32 at)
{
	struct owner own;

	if (d->icmp == WW_ICMP_ERROR && error_answers(skb, d))
		return TC_ACT_UNSPEC;
	own.unit = d->icmp == WW_ICMP_REPLY && d->piece != WW_LATER ? unit_of_host() : NULL;
	if (!own.unit)
		return is_ours(skb) ? unit_out(skb, d, at) : TC_ACT_UNSPEC;
	if (!datagram_ready(&own))
		return TC_ACT_SHOT;
	if (!own.unit->class[own.bank & 1]) {
		count_drop(WW_REASON_UNIT_UNKNOWN);
		return TC_ACT_SHOT;
	}
	d->icmp = WW_ICMP_REQUEST;
	d->port = icmp_request_of(d->protocol, d->port >> 8) << 8;
	return let_out(skb, d, &own, WW_IN);
}

/*
 * What is not plain TCP, or only says so. TCP sends plain headers only, for others cannot be stamped; what follows the
 * first fragment of a segment was judged with that.
 */
inline_always int tcp_out(const struct datagram *d)
{
	if (d->piece == WW_LATER)
		return TC_ACT_UNSPEC;
	count_drop(WW_REASON_MALFORMED);
	return TC_ACT_SHOT;
}

/*
 * By a device that is left alone. Of what leaves there only a question to a resolver is of interest: what its answer
 * teaches may count elsewhere.
 */
own_frame int leave_alone(struct __sk_buff *skb, __u32 at)
{
	struct ww_unit *unit;
	struct datagram d;
	__u64 place;

	if (!is_ours(skb))
		return TC_ACT_UNSPEC;
	count(WW_COUNT_EXCLUDED);
	if (!READ_ONCE(state.named) || !is_ip(skb->protocol) || !parse_datagram(skb, at, false, &d) ||
	    d.piece == WW_LATER || !is_resolving(&d))
		return TC_ACT_UNSPEC;
	unit = unit_of_packet(skb, &place);
	if (unit)
		note_question(skb, &d, unit->badge);
	return TC_ACT_UNSPEC;
}

own_frame int datagram_out(struct __sk_buff *skb, __u32 at)
{
	bool kernels = is_kernels(skb);
	struct datagram d;

	if (is_disguised(skb, at) && is_ours(skb)) {
		count_drop(WW_REASON_MALFORMED);
		return TC_ACT_SHOT;
	}
	if (!is_ip(skb->protocol))
		return TC_ACT_UNSPEC; /* ARP and other link business */
	if (kernels ? kernel_reply(skb, at) : !is_ours(skb) || is_agent(bpf_skb_cgroup_id(skb)))
		return TC_ACT_UNSPEC;
	if (!parse_datagram(skb, at, false, &d)) {
		if (!is_ours(skb))
			return TC_ACT_UNSPEC;
		count_drop(WW_REASON_MALFORMED);
		return TC_ACT_SHOT;
	}
	if (kernels)
		return kernel_out(skb, &d, at);
	return skb->sk && speaks_tcp(skb->sk) ? tcp_out(&d) : unit_out(skb, &d, at);
}

/* A connection that sends RST is over for its own kernel, which may be about to clear the socket's counters. */
own_frame int record_out(struct __sk_buff *skb, struct bpf_sock *sk, __u8 flags)
{
	struct moment now = { .reset = flags & TCP_RST, .last = flags & TCP_RST };
	struct tcp_sock *tcp = now.last ? bpf_skc_to_tcp_sock(sk) : NULL;
	int verdict;

	if (tcp) {
		numbers_of(&now.numbers, tcp);
		now.local_port = ((struct inet_sock *)tcp)->inet_sport;
	}
	now.cookie = cookie_of(skb, sk);
	verdict = young_segment(&now);
	return verdict == WW_NO_RECORD ? live_segment(sk, bpf_skb_cgroup_id(skb), &now) : verdict;
}

/*
 * What writes into packets, by kind of device and packet: programs of their own, to which stamp goes over. Before a program
 * that writes the kernel makes every packet writable, and every data segment is a clone of the one kept for
 * retransmission: so none that sees data may write. A program that captures does so all the same, for nothing of a
 * capture is to stay in the kernel when that ends; these are functions then.
 */
#ifdef WW_CAPTURE
#define WW_WRITER(name) own_frame int name(struct __sk_buff *skb)
#else
#define WW_WRITER(name) SEC("tc") int name(struct __sk_buff *skb)
#endif

WW_WRITER(stamp_syn_ethernet)
{
	return stamp_segment(skb, ETH_HLEN, WW_STAMP_SYN);
}

WW_WRITER(stamp_synack_ethernet)
{
	return stamp_segment(skb, ETH_HLEN, WW_STAMP_SYNACK);
}

WW_WRITER(stamp_ack_ethernet)
{
	return stamp_segment(skb, ETH_HLEN, WW_STAMP_ACK);
}

WW_WRITER(stamp_syn_plain)
{
	return stamp_segment(skb, 0, WW_STAMP_SYN);
}

WW_WRITER(stamp_synack_plain)
{
	return stamp_segment(skb, 0, WW_STAMP_SYNACK);
}

WW_WRITER(stamp_ack_plain)
{
	return stamp_segment(skb, 0, WW_STAMP_ACK);
}

#ifdef WW_CAPTURE
inline_always int stamp_by(struct __sk_buff *skb, __u32 at, enum stamped kind)
{
	if (kind == WW_STAMP_SYN)
		return at ? stamp_syn_ethernet(skb) : stamp_syn_plain(skb);
	if (kind == WW_STAMP_SYNACK)
		return at ? stamp_synack_ethernet(skb) : stamp_synack_plain(skb);
	return at ? stamp_ack_ethernet(skb) : stamp_ack_plain(skb);
}
#else
/*
 * Those programs, by kind of device and enum stamped. Pinned like all tables: the kernel empties one of programs when its
 * last pin or descriptor goes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2 * WW_STAMPS);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct __sk_buff *));
} writers SEC(".maps") = {
	.values = {
		[WW_STAMP_SYN] = (void *)&stamp_syn_ethernet,
		[WW_STAMP_SYNACK] = (void *)&stamp_synack_ethernet,
		[WW_STAMP_ACK] = (void *)&stamp_ack_ethernet,
		[WW_STAMPS + WW_STAMP_SYN] = (void *)&stamp_syn_plain,
		[WW_STAMPS + WW_STAMP_SYNACK] = (void *)&stamp_synack_plain,
		[WW_STAMPS + WW_STAMP_ACK] = (void *)&stamp_ack_plain,
	},
};

/* Goes over to the program that stamps. Where that is missing, nothing of ours may leave without saying who it is. */
inline_always int stamp_by(struct __sk_buff *skb, __u32 at, enum stamped kind)
{
	bpf_tail_call_static(skb, &writers, at ? kind : WW_STAMPS + kind);
	count(WW_COUNT_STAMP_FAILED);
	return is_ours(skb) && !is_agent(bpf_skb_cgroup_id(skb)) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}
#endif

/* An ACK without payload from a socket that has neither received data nor had any acknowledged. */
inline_always bool unconfirmed(struct __sk_buff *skb, struct bpf_sock *sk, __u32 at)
{
	__u64 received, acked;

	if (skb->len > at + plain_header(skb) + 60 || sk->state == BPF_TCP_NEW_SYN_RECV || sk->state == BPF_TCP_TIME_WAIT)
		return false;
	if (can_cast()) {
		struct tcp_sock *tcp = tcp_of(sk);

		received = tcp->bytes_received;
		acked = tcp->bytes_acked;
	} else {
		struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);

		if (!tcp)
			return false;
		received = tcp->bytes_received;
		acked = tcp->bytes_acked;
		asm volatile("" : "+r"(received), "+r"(acked)); /* or both are read at the end, by a computed pointer */
	}
	return !received && acked <= 1;
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
			return stamp_by(skb, at, WW_STAMP_SYNACK);
		return flags ? TC_ACT_UNSPEC : companion_out(skb);
	}
	if (!flags || !is_stream(sk))
		return excluded_device(skb) ? leave_alone(skb, at) : datagram_out(skb, at);
	if (flags & TCP_SYN) {
		if (flags & TCP_ACK)
			return stamp_by(skb, at, WW_STAMP_SYNACK);
		return stamp_by(skb, at, WW_STAMP_SYN);
	}
	if (((flags & TCP_RST) || !all_judged()) && record_out(skb, sk, flags) == WW_DROP && is_ours(skb))
		return TC_ACT_SHOT;
	if ((flags & (TCP_FIN | TCP_RST)) || !(flags & TCP_ACK) || !unconfirmed(skb, sk, at))
		return TC_ACT_UNSPEC;
	return stamp_by(skb, at, WW_STAMP_ACK);
}

#ifndef WW_CAPTURE
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
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";
