// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * capture_out: stamp with a witness, as capture_in is enforce with one. A packet is told as it leaves, with the
 * option that stamp has written.
 */
#define WW_CAPTURE
#include "stamp.bpf.c"

#include "lib/witness.h"

own_frame void witness_out(struct __sk_buff *skb, __u32 at, int verdict)
{
	const struct ww_filter *filter = this_filter();
	struct scene *scene = this_scene();
	struct bpf_sock *sk;
	__u64 place;

	if (!filter || !scene || !is_wanted(skb, at, filter, WW_OUT) ||
	    !notice(filter, badge_of(unit_of_packet(skb, &place)), verdict != TC_ACT_SHOT))
		return;
	sk = skb->sk;
	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (sk && sk->dst_port)
		recognise(&scene->told, sk, bpf_skb_cgroup_id(skb));
	take_bytes(skb, at, filter);
	tell(skb, filter, WW_OUT);
}

inline_always int witnessed(struct __sk_buff *skb, __u32 at)
{
	int verdict;

	begin_scene();
	verdict = stamp(skb, at);
	witness_out(skb, at, verdict);
	return verdict;
}

SEC("tc")
int stamp_ethernet(struct __sk_buff *skb)
{
	return witnessed(skb, ETH_HLEN);
}

SEC("tc")
int stamp_plain(struct __sk_buff *skb)
{
	return witnessed(skb, 0);
}
