// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * enforce, cgroup_skb of the Enforcer's cgroup root: every packet of every socket below it. A live
 * flow costs one look-up in its own socket and one comparison; everything else happens once for
 * each connection or revision.
 */
#include "lib/client.h"
#include "lib/datagram.h"
#include "lib/server.h"

inline_always bool is_tcp(struct bpf_sock *sk)
{
	return sk->protocol == IPPROTO_TCP && sk->type == SOCK_STREAM;
}

/* TCP flags of the packet, 0 where the header is not where it usually is. */
inline_always __u8 flags_of(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	__u32 at = skb->protocol == bpf_htons(ETH_P_IP) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);

	if (data + at + sizeof(struct tcphdr) > data_end)
		return 0;
	return ((__u8 *)data)[at + 13];
}

inline_always void account_end(struct __sk_buff *skb, struct bpf_sock *sk, struct ww_flow *flow, bool outgoing)
{
	struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
	struct segment seg = {};

	if (!tcp)
		return;
	if (outgoing && !parse_segment(skb, 0, false, &seg))
		seg.payload = 0;
	account(flow, tcp, outgoing ? seg.payload : 0);
}

/* A connection without a record: the agent's, older than the Enforcer, or not let in by it. */
inline_always int recordless(struct __sk_buff *skb, struct bpf_sock *sk)
{
	if (is_agent(bpf_sk_cgroup_id(sk)))
		return WW_PASS;
	if (!state.existing) {
		count_drop(WW_REASON_STATE_MISSING);
		return WW_DROP;
	}
	count(WW_COUNT_EXISTING);
	return WW_PASS;
}

inline_always int live_in(struct __sk_buff *skb, struct bpf_sock *sk, struct ww_flow *flow)
{
	__u32 generation = generation_now();
	__u8 flags;

	switch (flow->phase) {
	case WW_PHASE_CONNECTING:
		return client_segment(skb, sk, flow);
	case WW_PHASE_PROVED:
		if (flags_of(skb) & TCP_SYN)
			return WW_PASS; /* the server asks again; our answer will carry the proof */
		flow->phase = WW_PHASE_RELEASED;
		break;
	case WW_PHASE_RELEASED:
		break;
	case WW_PHASE_EXISTING:
		return WW_PASS;
	default:
		count_drop(flow->reason);
		return WW_DROP;
	}
	flags = flags_of(skb);
	if (flow->generation != generation && !flow_judge(flow, generation)) {
		count_drop(WW_REASON_REVOKED);
		return WW_DROP;
	}
	if (flags & TCP_RST)
		account_end(skb, sk, flow, false);
	return WW_PASS;
}

SEC("cgroup_skb/ingress")
int enforce_in(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct ww_flow *flow;

	if (!sk)
		return WW_PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return WW_PASS;
	flow = bpf_sk_storage_get(&live, sk, NULL, 0);
	if (flow && sk->state != BPF_TCP_LISTEN)
		return live_in(skb, sk, flow);
	if (!is_tcp(sk))
		return datagram(skb, sk, WW_IN);
	if (sk->state == BPF_TCP_LISTEN)
		return server_segment(skb, sk);
	return recordless(skb, sk);
}

inline_always int live_out(struct __sk_buff *skb, struct bpf_sock *sk, struct ww_flow *flow)
{
	__u32 generation = generation_now();
	__u8 flags = flags_of(skb);

	switch (flow->phase) {
	case WW_PHASE_CONNECTING:
		/* TCP Fast Open would hand data to a server that has proved nothing */
		if ((flags & TCP_SYN) && flow->action != WW_ALLOW) {
			struct segment seg;

			if (!parse_segment(skb, 0, false, &seg) || seg.payload) {
				count_drop(WW_REASON_SYN_PAYLOAD);
				return WW_DROP;
			}
		}
		return WW_PASS;
	case WW_PHASE_PROVED:
	case WW_PHASE_RELEASED:
		break;
	case WW_PHASE_EXISTING:
		return WW_PASS;
	default:
		if (flags & TCP_RST)
			return WW_PASS; /* let the other end know that it is over */
		count_drop(flow->reason);
		return WW_DROP;
	}
	if (flow->generation != generation && !flow_judge(flow, generation)) {
		if (flags & TCP_RST)
			return WW_PASS;
		count_drop(WW_REASON_REVOKED);
		return WW_DROP;
	}
	if (flags & (TCP_FIN | TCP_RST))
		account_end(skb, sk, flow, true);
	return WW_PASS;
}

SEC("cgroup_skb/egress")
int enforce_out(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct ww_flow *flow;

	if (!sk)
		return WW_PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return WW_PASS;
	flow = bpf_sk_storage_get(&live, sk, NULL, 0);
	if (flow && sk->state != BPF_TCP_LISTEN)
		return live_out(skb, sk, flow);
	if (!is_tcp(sk))
		return datagram(skb, sk, WW_OUT);
	if (sk->state == BPF_TCP_LISTEN)
		return WW_PASS; /* SYN-ACK: its SYN was let in */
	return recordless(skb, sk);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
