// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * capture_in: enforce with a witness. It takes the place of enforce while somebody captures, judges as it does (the
 * source is the same), and tells of the packets of one unit.
 */
#define WW_CAPTURE
#include "enforce.bpf.c"

#include "lib/witness.h"

own_frame void witness_in(struct __sk_buff *skb, int verdict)
{
	const struct ww_filter *filter = this_filter();
	struct bpf_sock *sk = skb->sk;
	struct scene *scene = this_scene();
	__u64 place;

	if (!filter || !sk || !scene || !is_wanted(skb, 0, filter, WW_IN) ||
	    !notice(filter, badge_of(unit_of_socket(sk, &place)), verdict == WW_PASS))
		return;
	if (sk->dst_port)
		recognise(&scene->told, sk, bpf_sk_cgroup_id(sk));
	take_bytes(skb, 0, filter);
	tell(skb, filter, WW_IN);
}

SEC("cgroup_skb/ingress")
int enforce_in(struct __sk_buff *skb)
{
	int verdict;

	begin_scene();
	verdict = enforce(skb);
	witness_in(skb, verdict);
	return verdict;
}
