// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * enforce, cgroup_skb of the Enforcer's cgroup root: every packet of every socket below it. On an
 * established connection that means one comparison; everything else happens once for each handshake,
 * end of a connection, or revision.
 */
#include "lib/client.h"
#include "lib/datagram.h"
#include "lib/server.h"

/* TCP flags of the packet, 0 where the header is not where it usually is. */
inline_always __u8 flags_of(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	__u32 at = plain_header(skb);

	if (data + at + sizeof(struct tcphdr) > data_end)
		return 0;
	return ((__u8 *)data)[at + 13];
}

inline_always bool closing(struct bpf_sock *sk)
{
	return sk->state == BPF_TCP_FIN_WAIT1 || sk->state == BPF_TCP_FIN_WAIT2 || sk->state == BPF_TCP_LAST_ACK ||
	       sk->state == BPF_TCP_CLOSING;
}

/* Whether this is the last that the connection will receive. */
inline_always bool ends(struct bpf_sock *sk, __u8 flags)
{
	if (flags & TCP_RST)
		return true;
	if (sk->state == BPF_TCP_LAST_ACK || sk->state == BPF_TCP_CLOSING)
		return true;
	return (flags & TCP_FIN) && closing(sk);
}

/* A packet that needs the connection's record: it may be the last, or the tables have changed. */
own_frame int live_segment(struct __sk_buff *skb, struct bpf_sock *sk, __u8 flags, bool last)
{
	__u64 cgroup = bpf_sk_cgroup_id(sk);
	struct numbers numbers = {};
	struct bpf_tcp_sock *tcp;
	struct ww_flow_id id;
	struct ww_flow *flow;

	flow_id_of(&id, sk, cgroup);
	flow = bpf_map_lookup_elem(&live, &id);
	if (!flow) {
		if (all_judged() || is_agent(cgroup) || closing(sk))
			return WW_PASS;
		count_drop(WW_REASON_STATE_MISSING); /* until the agent has looked at all sockets */
		return WW_DROP;
	}
	if (last) {
		tcp = bpf_tcp_sock(sk);
		if (tcp) {
			numbers_of(&numbers, tcp);
			account(&id, flow, &numbers);
		}
	}
	if (!all_judged() && !flow_judge(&id, flow, generation_now()) && !(flags & TCP_RST)) {
		count_drop(WW_REASON_REVOKED);
		return WW_DROP;
	}
	if (last)
		bpf_map_delete_elem(&live, &id);
	return WW_PASS;
}

inline_always bool is_tcp(struct bpf_sock *sk)
{
	return sk->protocol == IPPROTO_TCP && sk->type == SOCK_STREAM;
}

SEC("cgroup_skb/ingress")
int enforce_in(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	bool last;
	__u8 flags;

	if (!sk)
		return WW_PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return WW_PASS;
	if (!is_tcp(sk))
		return datagram(skb, sk, WW_IN);
	if (sk->state == BPF_TCP_LISTEN)
		return server_segment(skb, sk);
	if (sk->state == BPF_TCP_SYN_SENT)
		return client_segment(skb, sk);
	flags = flags_of(skb);
	last = ends(sk, flags);
	if (!last && all_judged())
		return WW_PASS;
	return live_segment(skb, sk, flags, last);
}

SEC("cgroup_skb/egress")
int enforce_out(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	bool last;
	__u8 flags;

	if (!sk)
		return WW_PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return WW_PASS;
	if (!is_tcp(sk))
		return datagram(skb, sk, WW_OUT);
	if (sk->state == BPF_TCP_LISTEN)
		return WW_PASS; /* SYN-ACK: its SYN was let in */
	if (sk->state == BPF_TCP_SYN_SENT)
		return client_syn(skb, sk);
	flags = flags_of(skb);
	last = flags & TCP_RST;
	if (!last && all_judged())
		return WW_PASS;
	return live_segment(skb, sk, flags, last);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
