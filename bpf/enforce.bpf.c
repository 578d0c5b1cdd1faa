// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * enforce, cgroup_skb ingress of the Enforcer's cgroup root: every packet to every socket below it. On
 * an established connection that means one comparison; everything else happens once for each
 * handshake, end of a connection, or revision. What leaves is policed by refuse and stamp.
 */
#include "lib/client.h"
#include "lib/closing.h"
#include "lib/datagram.h"
#include "lib/server.h"

/* Whether this may be the last that the connection will receive, or the acknowledgement of our FIN. */
inline_always bool may_end(struct bpf_sock *sk, __u8 flags)
{
	if (flags & TCP_RST)
		return true;
	if (sk->state == BPF_TCP_LAST_ACK || sk->state == BPF_TCP_CLOSING || sk->state == BPF_TCP_FIN_WAIT1)
		return true;
	return (flags & TCP_FIN) && sk->state == BPF_TCP_FIN_WAIT2;
}

own_frame int record_in(struct __sk_buff *skb, struct bpf_sock *sk, __u8 flags)
{
	struct moment now = { .reset = flags & TCP_RST };

	if (may_end(sk, flags))
		ends_connection(skb, sk, &now);
	if (now.half)
		half_closed(skb, sk, bpf_sk_cgroup_id(sk), &now);
	if (!now.last && all_judged())
		return WW_PASS;
	return live_segment(skb, sk, bpf_sk_cgroup_id(sk), &now);
}

own_frame int datagram_in(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct owner own;
	struct datagram d;
	__u64 place;

	if (!parse_datagram(skb, 0, true, &d)) {
		count_drop(WW_REASON_MALFORMED);
		return WW_DROP;
	}
	if (always_allowed(&d) || is_agent(bpf_sk_cgroup_id(sk)))
		return WW_PASS;
	if (!datagram_ready(&own))
		return WW_DROP;
	own.unit = unit_of_socket(sk, &place);
	if (!own.unit || !own.unit->class[own.bank & 1]) {
		count_drop(WW_REASON_UNIT_UNKNOWN);
		return WW_DROP;
	}
	return datagram_judge(skb, &d, &own, WW_IN);
}

SEC("cgroup_skb/ingress")
int enforce_in(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	__u8 flags;

	if (!sk)
		return WW_PASS;
	if (sk->state == BPF_TCP_LISTEN || sk->state == BPF_TCP_SYN_RECV)
		return server_segment(skb, sk); /* the latter by Fast Open, with a peer that needs no identity */
	if (sk->state == BPF_TCP_SYN_SENT)
		return client_segment(skb, sk);
	flags = tcp_flags(skb, 0);
	if (!flags || !is_stream(sk))
		return datagram_in(skb, sk);
	if (!may_end(sk, flags) && all_judged())
		return WW_PASS;
	return record_in(skb, sk, flags);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
