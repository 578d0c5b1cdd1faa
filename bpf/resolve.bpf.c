// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * resolve, cgroup_skb ingress of the Enforcer's cgroup root while policy has host names: reads what resolvers answer
 * over TCP, before the sockets get it. Whether the connection may be is enforce's to say.
 */
#ifdef WW_OLDER
#include "lib/types.h" /* no host name is learned there, and nothing is ever attached */

inline_always int resolve_segment(struct __sk_buff *skb)
{
	return WW_PASS;
}
#else
#include "lib/stream.h"

inline_always int resolve_segment(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk || sk->dst_port != bpf_htons(WW_DNS_PORT))
		return WW_PASS;
	return resolve(skb, sk);
}
#endif

SEC("cgroup_skb/ingress")
int resolve_in(struct __sk_buff *skb)
{
	return resolve_segment(skb);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
