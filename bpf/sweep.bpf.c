// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * sweep, two iterators run by the agent, one after the other. tally goes over the sockets of a network
 * namespace: it moves young connections to the table of live ones, moves what they have carried into
 * the aggregate, and marks the records that have a socket; after a new revision it writes out the
 * sockets whose connection may not live, one struct ww_event each, for the agent to reset. judge goes
 * over that table afterwards: it writes out what is refused and still there, one struct ww_event each.
 */
#define WW_ITERATOR
#include "lib/handshake.h"

/* The few kernel fields read here, relocated when the object is loaded (CO-RE). */
struct kernfs_node {
	__u64 id;
} __attribute__((preserve_access_index));

struct cgroup {
	struct kernfs_node *kn;
} __attribute__((preserve_access_index));

struct sock_cgroup_data {
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

typedef struct {
	__s64 counter;
} atomic64_t;

struct sock_common {
	atomic64_t skc_cookie;
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	unsigned char skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data;
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
struct bpf_map;

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
} __attribute__((preserve_access_index));

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

/* Records without a socket for two looks in a row, and not younger than this, are forgotten. */
#define WW_STALE_NS (10ULL * 1000 * 1000 * 1000)

SEC("iter/bpf_map_elem")
int judge(struct bpf_iter__bpf_map_elem *ctx)
{
	struct ww_flow *flow = ctx->value;
	struct ww_event event = {};
	__u64 *found = ctx->key, key;
	struct ends ends;

	if (!found || !flow)
		return 0;
	key = *found;
	if ((__s32)(state.tally - flow->tally) >= 2 && coarse_now() - flow->opened > WW_STALE_NS) {
		bpf_map_delete_elem(&live, &key);
		return 0;
	}
	if (flow->existing)
		return 0;
	ends_of_flow(&ends, flow);
	if (still_allowed(&ends))
		return 0;
	event.kind = WW_EVENT_ABORT;
	event.badge = flow->unit;
	bpf_seq_write(ctx->meta->seq, &event, sizeof(event));
	return 0;
}

/* A connection that is older than the Enforcer gets a record that says so. */
inline_always void adopt(const struct ww_flow_id *id)
{
	__u64 key = flow_key(id);
	struct ww_flow flow = {
		.id = *id, .existing = 1, .judged.action = WW_ALLOW, .tally = state.tally, .opened = coarse_now(),
	};

	if (bpf_map_update_elem(&live, &key, &flow, BPF_NOEXIST))
		count_drop(WW_REASON_NO_MEMORY);
	else
		count(WW_COUNT_EXISTING);
}

inline_always bool iterated_id(struct ww_flow_id *id, struct sock *sk)
{
	__builtin_memset(id, 0, sizeof(*id));
	if (sk->__sk_common.skc_family == WW_AF_INET)
		address_v4(&id->remote, sk->__sk_common.skc_daddr);
	else
		bpf_core_read(&id->remote, sizeof(id->remote), &sk->__sk_common.skc_v6_daddr);
	id->remote_port = sk->__sk_common.skc_dport;
	id->local_port = bpf_htons(sk->__sk_common.skc_num);
	id->cgroup = sk->sk_cgrp_data.cgroup->kn->id;
	return id->cgroup;
}

/* The record of a socket's connection, taken out of its slot if it was still there. */
inline_always struct ww_flow *flow_of_socket(const struct ww_flow_id *id, __u64 cookie)
{
	struct ww_connecting *out = connecting_slot(cookie);
	struct ww_announced *in = announced_slot(&id->remote, id->remote_port);

	if (out && cookie && out->cookie == cookie && is_open(&out->judged))
		keep_connecting(out);
	else if (in && is_open(&in->judged) && same_flow(&in->id, id))
		keep_announced(in);
	return flow_find(id);
}

/* For the agent, which resets the socket: its own address is in no record, only here. */
inline_always void report_refused(struct seq_file *seq, const struct ww_flow *flow, struct sock *sk)
{
	struct ww_event event = {
		.kind = WW_EVENT_ABORT,
		.badge = flow->unit,
		.remote = flow->id.remote,
		.remote_port = flow->id.remote_port,
		.local_port = flow->id.local_port,
	};

	if (sk->__sk_common.skc_family == WW_AF_INET)
		address_v4(&event.local, sk->__sk_common.skc_rcv_saddr);
	else
		bpf_core_read(&event.local, sizeof(event.local), &sk->__sk_common.skc_v6_rcv_saddr);
	bpf_seq_write(seq, &event, sizeof(event));
}

SEC("iter/tcp")
int tally(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct numbers numbers = {};
	struct tcp_sock *tcp;
	struct ww_flow_id id;
	struct ww_flow *flow;
	struct ends ends;
	__u8 now;

	if (!common)
		return 0;
	now = common->skc_state;
	if (now == BPF_TCP_LISTEN || now == BPF_TCP_NEW_SYN_RECV || now == BPF_TCP_TIME_WAIT || now == BPF_TCP_SYN_SENT)
		return 0;
	tcp = (struct tcp_sock *)bpf_skc_to_tcp_sock(common);
	if (!tcp || !iterated_id(&id, (struct sock *)tcp))
		return 0;
	flow = flow_of_socket(&id, common->skc_cookie.counter);
	if (!flow) {
		if (state.adopting)
			adopt(&id);
		return 0;
	}
	flow->tally = state.tally;
	numbers.bytes_in = tcp->bytes_received;
	numbers.bytes_out = tcp->bytes_acked + (tcp->snd_nxt - tcp->snd_una);
	numbers.segments_in = tcp->segs_in;
	numbers.segments_out = tcp->segs_out;
	numbers.latency_us = tcp->srtt_us >> 3;
	if (!flow->existing && (!flow->counted || numbers.segments_in != flow->segments_in ||
				numbers.segments_out != flow->segments_out))
		account(flow, &numbers);
	if (flow->existing)
		return 0;
	ends_of_flow(&ends, flow);
	if (!still_allowed(&ends))
		report_refused(ctx->meta->seq, flow, (struct sock *)tcp);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
