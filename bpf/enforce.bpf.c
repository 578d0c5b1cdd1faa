// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * enforce, cgroup_skb ingress of the Enforcer's cgroup root: every packet to every socket below it. On
 * an established connection that means one comparison; everything else happens once for each
 * handshake, end of a connection, or revision, in programs of their own to which it goes over by a tail
 * call: each has a whole stack, and what it does takes no calls. What leaves is policed by refuse and stamp.
 */
#ifndef WW_CAPTURE
#define WW_ROOMY
#endif

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

/* A verdict, or who has it: WW_HALF half_in(), WW_NO_RECORD grown_in(). */
inline_always int record_in(struct __sk_buff *skb, struct bpf_sock *sk)
{
	__u8 flags = tcp_flags(skb, 0);
	struct moment now = { .reset = flags & TCP_RST };

	if (may_end(sk, flags))
		ends_connection(skb, sk, &now);
	if (now.half)
		return WW_HALF;
	if (!now.last && all_judged())
		return WW_PASS;
	if (!now.cookie)
		now.cookie = cookie_of(skb, sk);
	return young_segment(&now);
}

/* What closes one half; a verdict, or WW_NO_RECORD. */
inline_always int half_in(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct moment now = {};

	ends_connection(skb, sk, &now);
	half_closed(sk, cgroup_id_of(sk), &now);
	return all_judged() ? WW_PASS : young_segment_apart(&now);
}

/* A segment of a connection that has outgrown its slot. */
inline_always int grown_in(struct __sk_buff *skb, struct bpf_sock *sk)
{
	__u8 flags = tcp_flags(skb, 0);
	struct moment now = { .reset = flags & TCP_RST };

	if (may_end(sk, flags))
		ends_connection(skb, sk, &now);
	return live_segment(sk, cgroup_id_of(sk), &now);
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
	bool alone = excluded_device(skb);
	struct owner own;
	struct datagram d;
	int verdict;
	__u64 place;

	/* TCP takes plain headers only: its packets are judged by their record, and by nothing else. */
	if (speaks_tcp(sk) || !parse_datagram(skb, 0, true, &d) || d.piece != WW_WHOLE) {
		if (alone && !speaks_tcp(sk))
			return WW_PASS;
		count_drop(WW_REASON_MALFORMED);
		return WW_DROP;
	}
	if (d.network || is_agent(bpf_sk_cgroup_id(sk)))
		return WW_PASS;
	if (!datagram_ready(&own))
		return WW_DROP;
	own.unit = unit_of_socket(sk, &place);
	if (alone) {
		count(WW_COUNT_EXCLUDED);
		return own.unit && is_resolving(&d) ? receive_answer(skb, &d, own.unit->badge) : WW_PASS;
	}
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

/* The packets that count, by who judges them. */
enum judge {
	WW_JUDGE_SERVER,	/* what a listener gets */
	WW_JUDGE_PLAIN,		/* what it gets without a proof, and is no SYN */
	WW_JUDGE_CLIENT,	/* what a connecting socket gets */
	WW_JUDGE_RECORD,	/* what may end a connection, or comes before all have been judged */
	WW_JUDGE_HALF,		/* what closes one half of a connection */
	WW_JUDGE_GROWN,		/* what may end a connection that has outgrown its slot */
	WW_JUDGES,
};

#ifdef WW_CAPTURE
#define WW_JUDGE(name, judges)						\
	own_frame int name(struct __sk_buff *skb, struct bpf_sock *sk)	\
	{								\
		return judges(skb, sk);					\
	}

WW_JUDGE(judge_server, server_segment)
WW_JUDGE(judge_plain, server_plain_segment)
WW_JUDGE(judge_client, client_segment)
WW_JUDGE(judge_record, record_in)
WW_JUDGE(judge_half, half_in)
WW_JUDGE(judge_grown, grown_in)

/* Everything in one program, for nothing of a capture is to stay in the kernel when that ends. */
inline_always int judge_by(struct __sk_buff *skb, struct bpf_sock *sk, enum judge judge)
{
	int verdict;

	if (judge == WW_JUDGE_CLIENT)
		return judge_client(skb, sk);
	if (judge == WW_JUDGE_SERVER) {
		verdict = judge_server(skb, sk);
		return verdict == WW_WITHOUT_PROOF ? judge_plain(skb, sk) : verdict;
	}
	verdict = judge_record(skb, sk);
	if (verdict == WW_HALF)
		verdict = judge_half(skb, sk);
	return verdict == WW_NO_RECORD ? judge_grown(skb, sk) : verdict;
}
#else
int judge_server(struct __sk_buff *skb);
int judge_plain(struct __sk_buff *skb);
int judge_client(struct __sk_buff *skb);
int judge_record(struct __sk_buff *skb);
int judge_half(struct __sk_buff *skb);
int judge_grown(struct __sk_buff *skb);

/* The programs that judge. Pinned like all tables: the kernel empties one of programs when its last pin or descriptor goes. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, WW_JUDGES);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct __sk_buff *));
} judges SEC(".maps") = {
	.values = {
		[WW_JUDGE_SERVER] = (void *)&judge_server,
		[WW_JUDGE_PLAIN] = (void *)&judge_plain,
		[WW_JUDGE_CLIENT] = (void *)&judge_client,
		[WW_JUDGE_RECORD] = (void *)&judge_record,
		[WW_JUDGE_HALF] = (void *)&judge_half,
		[WW_JUDGE_GROWN] = (void *)&judge_grown,
	},
};

/* Goes over to one of them. Where it is missing nothing comes in but what is the agent's own. */
inline_always int judge_by(struct __sk_buff *skb, struct bpf_sock *sk, enum judge judge)
{
	bpf_tail_call_static(skb, &judges, judge);
	if (is_agent(bpf_sk_cgroup_id(sk)))
		return WW_PASS;
	count_drop(WW_REASON_STATE_MISSING);
	return WW_DROP;
}

/* *other* has the verdict where this one says so. */
#define WW_JUDGE(name, judges, says_so, other)			\
	SEC("cgroup_skb/ingress")				\
	int name(struct __sk_buff *skb)				\
	{							\
		struct bpf_sock *sk = skb->sk;			\
		int verdict;					\
								\
		if (!sk)					\
			return WW_DROP; /* never */		\
		verdict = judges(skb, sk);			\
		if (verdict == (says_so))			\
			return judge_by(skb, sk, other);	\
		return verdict == WW_PASS;			\
	}

#define WW_LAST_JUDGE(name, judges)		\
	SEC("cgroup_skb/ingress")		\
	int name(struct __sk_buff *skb)		\
	{					\
		struct bpf_sock *sk = skb->sk;	\
						\
		return sk ? judges(skb, sk) : WW_DROP; \
	}

WW_JUDGE(judge_server, server_segment, WW_WITHOUT_PROOF, WW_JUDGE_PLAIN)
WW_LAST_JUDGE(judge_plain, server_plain_segment)
WW_LAST_JUDGE(judge_client, client_segment)
WW_JUDGE(judge_half, half_in, WW_NO_RECORD, WW_JUDGE_GROWN)
WW_LAST_JUDGE(judge_grown, grown_in)

SEC("cgroup_skb/ingress")
int judge_record(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	int verdict;

	if (!sk)
		return WW_DROP; /* never */
	verdict = record_in(skb, sk);
	if (verdict == WW_HALF)
		return judge_by(skb, sk, WW_JUDGE_HALF);
	if (verdict == WW_NO_RECORD)
		return judge_by(skb, sk, WW_JUDGE_GROWN);
	return verdict == WW_PASS;
}
#endif

inline_always int enforce(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	__u8 flags;

	if (!sk)
		return WW_PASS;
	if (sk->state == BPF_TCP_LISTEN || sk->state == BPF_TCP_SYN_RECV)
		return judge_by(skb, sk, WW_JUDGE_SERVER); /* the latter by Fast Open, with a peer that needs no identity */
	if (sk->state == BPF_TCP_SYN_SENT)
		return judge_by(skb, sk, WW_JUDGE_CLIENT);
	flags = tcp_flags(skb, 0);
	if (!flags || !is_stream(sk))
		return datagram_in(skb, sk);
	if (!may_end(sk, flags) && all_judged())
		return WW_PASS;
	return judge_by(skb, sk, WW_JUDGE_RECORD);
}

#ifndef WW_CAPTURE
SEC("cgroup_skb/ingress")
int enforce_in(struct __sk_buff *skb)
{
	return enforce(skb);
}
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";
