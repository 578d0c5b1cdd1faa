// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * capture_verify: verify with a witness, as capture_in is enforce with one. It tells of the datagrams of one unit that
 * end here, as they came in: refused, or meant for the Enforcer and no socket. All others capture_in tells of.
 */
#define WW_CAPTURE
#include "verify.bpf.c"

#include "lib/witness.h"

own_frame void witness_datagram(struct __sk_buff *skb)
{
	const struct ww_filter *filter = this_filter();
	struct scene *scene = this_scene();

	if (filter && scene && notice(filter, scene->unit, refusal_of_scene() == WW_REASON_MAX))
		tell(skb, filter, WW_IN);
}

inline_always int witnessed(struct __sk_buff *skb, __u32 at)
{
	const struct ww_filter *filter = this_filter();
	bool wanted;
	int verdict;

	if (!filter || !is_udp(skb, at))
		return TC_ACT_UNSPEC;
	begin_scene();
	wanted = is_wanted(skb, at, filter, WW_IN);
	if (wanted)
		take_bytes(skb, at, filter); /* what is sent back takes the packet's place */
	verdict = datagram(skb, at);
	if (wanted && verdict != TC_ACT_UNSPEC)
		witness_datagram(skb);
	return verdict;
}

SEC("tc")
int verify_ethernet(struct __sk_buff *skb)
{
	return witnessed(skb, ETH_HLEN);
}

SEC("tc")
int verify_plain(struct __sk_buff *skb)
{
	return witnessed(skb, 0);
}
