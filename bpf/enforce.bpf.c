// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * enforce, cgroup_skb ingress of the Enforcer's cgroup root: every packet to every socket below it. On
 * an established connection that means one comparison; everything else happens once for each
 * handshake, end of a connection, or revision. What leaves is policed by refuse and stamp.
 */
#include "lib/client.h"
#include "lib/closing.h"
#include "lib/resolving.h"
#include "lib/server.h"
#include "lib/udp_flow.h"

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
	int verdict;

	if (may_end(sk, flags))
		ends_connection(skb, sk, &now);
	if (now.half)
		half_closed(sk, cgroup_id_of(sk), &now);
	if (!now.last && all_judged())
		return WW_PASS;
	if (!now.cookie)
		now.cookie = cookie_of(skb, sk);
	verdict = young_segment(&now);
	return verdict == WW_NO_RECORD ? live_segment(sk, cgroup_id_of(sk), &now) : verdict;
}

/* Whether a connection of this unit is the one that an error quotes. */
own_frame bool quotes_connection(struct __sk_buff *skb, const struct ww_datagram_key *key, __u32 badge)
{
	struct bpf_sock_tuple tuple = {};
	struct ww_unit *unit = NULL;
	struct bpf_sock *sk;
	__u64 place;

	if (address_is_v4(&key->remote)) {
		tuple.ipv4.saddr = key->remote.word[3];
		tuple.ipv4.daddr = key->local.word[3];
		tuple.ipv4.sport = key->remote_port;
		tuple.ipv4.dport = key->local_port;
		sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, key->remote.word, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, key->local.word, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = key->remote_port;
		tuple.ipv6.dport = key->local_port;
		sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!sk)
		return false;
	if (sk->state != BPF_TCP_LISTEN)
		unit = unit_of_socket(sk, &place);
	bpf_sk_release(sk);
	return unit && unit->badge == badge;
}

/* An error for a raw socket; what the kernel takes for its own sockets it matches with them itself. */
own_frame bool error_belongs(struct __sk_buff *skb, const struct datagram *error, const struct owner *own)
{
	struct datagram quoted;

	if (!parse_quoted(skb, error, true, &quoted))
		return false;
	if (quoted.protocol == IPPROTO_TCP && quotes_connection(skb, &quoted.key, own->unit->badge))
		return true;
	return flow_known(&quoted, own);
}

own_frame int datagram_in(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct owner own;
	struct datagram d;
	int verdict;
	__u64 place;

	/* TCP takes plain headers only: its packets are judged by their record, and by nothing else. */
	if (speaks_tcp(sk) || !parse_datagram(skb, 0, true, &d) || d.piece != WW_WHOLE) {
		count_drop(WW_REASON_MALFORMED);
		return WW_DROP;
	}
	if (d.network || is_agent(bpf_sk_cgroup_id(sk)))
		return WW_PASS;
	if (!datagram_ready(&own))
		return WW_DROP;
	own.unit = unit_of_socket(sk, &place);
	if (!own.unit || !own.unit->class[own.bank & 1]) {
		count_drop(WW_REASON_UNIT_UNKNOWN);
		return WW_DROP;
	}
	if (d.icmp == WW_ICMP_ERROR && error_belongs(skb, &d, &own))
		return WW_PASS;
	verdict = d.protocol == IPPROTO_UDP ? udp_arrives(skb, &d, &own) : WW_BY_ADDRESS;
	if (verdict == WW_BY_ADDRESS)
		verdict = datagram_judge(skb, &d, &own, WW_IN);
	if (verdict == WW_DROP)
		return WW_DROP;
	return is_resolving(&d) ? receive_answer(skb, &d, own.unit->badge) : WW_PASS;
}

inline_always int enforce(struct __sk_buff *skb)
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

#ifndef WW_CAPTURE
SEC("cgroup_skb/ingress")
int enforce_in(struct __sk_buff *skb)
{
	return enforce(skb);
}
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";
