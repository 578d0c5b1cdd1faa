// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * sweep, iterator over all live flows, run by the agent: aggregates what long connections have
 * moved, and after a new revision judges the quiet ones. Those that may not live are written out,
 * one struct ww_event each, for the agent to reset.
 */
#define WW_ITERATOR
#include "lib/flow.h"

/* The few kernel fields read here, relocated when the object is loaded (CO-RE). */
struct sock_common {
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	struct in6_addr skc_v6_rcv_saddr;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
} __attribute__((preserve_access_index));

struct tcp_sock {
	__u64 bytes_received;
	__u64 bytes_acked;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 segs_in;
	__u32 segs_out;
	__u32 srtt_us;
} __attribute__((preserve_access_index));

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_map;
struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk;
	void *value;
} __attribute__((preserve_access_index));

SEC("iter/bpf_sk_storage_map")
int sweep(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	__u32 generation = generation_now();
	struct ww_flow *flow = ctx->value;
	struct sock *sk = ctx->sk;
	struct bpf_tcp_sock numbers = {};
	struct ww_event event = {};
	struct tcp_sock *tcp;

	if (!flow || !sk)
		return 0;
	tcp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return 0;
	if (flow->phase == WW_PHASE_PROVED || flow->phase == WW_PHASE_RELEASED) {
		numbers.bytes_received = tcp->bytes_received;
		numbers.bytes_acked = tcp->bytes_acked;
		numbers.snd_nxt = tcp->snd_nxt;
		numbers.snd_una = tcp->snd_una;
		numbers.segs_in = tcp->segs_in;
		numbers.segs_out = tcp->segs_out;
		numbers.srtt_us = tcp->srtt_us;
		if (!flow->counted || numbers.segs_in != flow->segments_in || numbers.segs_out != flow->segments_out)
			account(flow, &numbers, 0);
		if (flow->generation != generation)
			flow_judge(flow, generation);
	}
	if (flow->phase != WW_PHASE_REFUSED)
		return 0;
	event.kind = WW_EVENT_ABORT;
	event.badge = flow->unit;
	event.remote = flow->remote;
	event.remote_port = sk->__sk_common.skc_dport;
	event.local_port = bpf_htons(sk->__sk_common.skc_num);
	if (sk->__sk_common.skc_family == WW_AF_INET)
		address_v4(&event.local, sk->__sk_common.skc_rcv_saddr);
	else
		bpf_core_read(&event.local, sizeof(event.local), &sk->__sk_common.skc_v6_rcv_saddr);
	bpf_seq_write(ctx->meta->seq, &event, sizeof(event));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
