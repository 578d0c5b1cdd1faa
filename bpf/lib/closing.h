/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The packets that a connection's record is looked up for: the last that its socket will see, and every one
 * while not all records have been judged by the tables in force.
 */
#ifndef WW_CLOSING_H
#define WW_CLOSING_H

#include "existing.h"
#include "handshake.h"

/* What a packet means for the record of its connection. */
struct moment {
	struct numbers numbers;	/* of the socket, if it is the last packet or closes one half */
	__u64 cookie;		/* of the socket, 0 when it never had one */
	__u16 local_port;	/* network order; of a socket that sends RST, which has left the table of ports */
	bool last;
	bool half;		/* the other end has our FIN, and the socket is still somebody's */
	bool reset;
};

/* Whether the other end has sent its FIN. */
inline_always bool fin_received(__u8 tcp_state)
{
	return tcp_state == BPF_TCP_CLOSE_WAIT || tcp_state == BPF_TCP_LAST_ACK || tcp_state == BPF_TCP_CLOSING;
}

/*
 * What a segment that came in ends: fills *now*, and the socket's numbers if it ends anything. Only what
 * the kernel is going to accept counts, or anybody could end the record of a connection that lives on,
 * and with it what policy has a hold on. (Should the kernel refuse the segment all the same, the agent
 * finds a socket without record.)
 *
 * A socket that was closed and whose FIN is acknowledged is at once replaced by a TIME_WAIT entry; what
 * comes after passes no program. One that is still open may be closed later, without a packet.
 */
inline_always void ends_connection(struct __sk_buff *skb, struct bpf_sock *sk, struct moment *now)
{
	struct tcp_sock *tcp = tcp_of(sk);
	__u8 tcp_state = sk->state;
	struct segment seg;
	__u32 next, after;
	bool acknowledged;

	if (!tcp || !parse_segment(skb, 0, true, &seg))
		return;
	now->cookie = ((struct sock *)tcp)->__sk_common.skc_cookie.counter;
	numbers_of(&now->numbers, tcp);
	now->numbers.segments_in += skb->gso_segs > 1 ? skb->gso_segs : 1; /* the kernel counts it later */
	next = tcp->rcv_nxt;
	if (seg.flags & TCP_RST) {
		now->last = seg.seq == next || (fin_received(tcp_state) && seg.seq + 1 == next);
		return;
	}
	acknowledged = seg.ack == tcp->write_seq;
	if ((seg.flags & TCP_FIN) && !fin_received(tcp_state)) {
		after = seg.seq + seg.payload;
		if ((__s32)(next - seg.seq) < 0 || (__s32)(after - next) < 0)
			return; /* out of order: the end is not there yet */
		now->numbers.bytes_in += after - next;
		now->last = tcp_state == BPF_TCP_FIN_WAIT2 || acknowledged;
		return;
	}
	if (!acknowledged)
		return;
	now->last = tcp_state != BPF_TCP_FIN_WAIT1 || sock_flag(tcp, SOCK_DEAD);
	now->half = !now->last;
}

/* Whether the packet may pass; RSTs always may, so that the other end learns that it is over. */
inline_always int pass_if_allowed(const struct ends *ends, const struct moment *now)
{
	if (all_judged() || now->reset || still_allowed(ends))
		return WW_PASS;
	count_drop(WW_REASON_REVOKED);
	return WW_DROP;
}

own_frame int existing_segment(struct ww_flow *flow, const struct moment *now)
{
	__u64 key = flow_key(&flow->id);

	if (now->last)
		account_existing(flow, &now->numbers);
	if (!all_judged() && !now->reset && !existing_allowed(flow)) {
		count_drop(WW_REASON_EXISTING_REFUSED);
		return WW_DROP;
	}
	if (now->last)
		bpf_map_delete_elem(&live, &key);
	return WW_PASS;
}

inline_always int grown_segment(struct ww_flow *flow, const struct moment *now)
{
	__u64 key = flow_key(&flow->id);
	struct ends ends;
	int verdict;

	if (flow->existing)
		return existing_segment(flow, now);
	ends_of_flow(&ends, flow);
	if (now->last)
		account(flow, &now->numbers);
	verdict = pass_if_allowed(&ends, now);
	if (now->last && verdict == WW_PASS)
		bpf_map_delete_elem(&live, &key);
	return verdict;
}

#define WW_NO_RECORD 2
#define WW_HALF 3 /* the other end has our FIN: half_in() in enforce.bpf.c has the verdict */

/*
 * Cookie of a socket: one that was admitted has one. Asking the kernel for it would give one to every socket that
 * has none, and then look up a slot that cannot be its own.
 */
inline_always __u64 cookie_of(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	return tcp ? ((struct sock *)tcp)->__sk_common.skc_cookie.counter : bpf_get_socket_cookie(skb);
}

inline_always int judged_young(struct ww_young *slot, const struct moment *now)
{
	struct ends ends;
	int verdict;

	ends_of_young(&ends, slot);
	if (now->last)
		account_young(&ends, &now->numbers);
	verdict = pass_if_allowed(&ends, now);
	if (now->last && verdict == WW_PASS) {
		slot->judged.generation = 0;
		slot->cookie = 0;
	}
	return verdict;
}

/* A packet of a connection that has its record in a slot. */
roomy int young_segment(const struct moment *now)
{
	struct ww_young *slot = opened(now->cookie);
	int verdict = WW_NO_RECORD;

	if (!slot || !take(&slot->busy))
		return WW_NO_RECORD;
	if (slot->cookie == now->cookie && is_open(&slot->judged))
		verdict = judged_young(slot, now);
	give_back(&slot->busy);
	return verdict;
}

/* The same from where little of the stack is left. */
own_frame int young_segment_apart(const struct moment *now)
{
	return young_segment(now);
}

/*
 * Takes a young connection's record out of its slot. False when it stays there: somebody else is at it, or
 * the table is full.
 */
inline_always bool outgrow(__u64 cookie)
{
	struct ww_young *slot = opened(cookie);
	bool moved = true;

	if (!slot)
		return true;
	if (!take(&slot->busy))
		return false;
	if (slot->cookie == cookie && is_open(&slot->judged))
		moved = keep_young(slot);
	give_back(&slot->busy);
	return moved;
}

/* The record of a socket's connection in the table, or NULL. */
own_frame struct ww_flow *record_of(struct bpf_sock *sk, __u64 cgroup, const struct moment *now)
{
	struct ww_flow_id id;

	flow_id_of(&id, sk, cgroup);
	if (now->local_port)
		id.local_port = now->local_port;
	return flow_find(&id);
}

/* Counts a connection of which one half is closed: nothing may tell when the other one is. */
own_frame void half_closed(struct bpf_sock *sk, __u64 cgroup, const struct moment *now)
{
	struct ww_flow *flow;

	if (!outgrow(now->cookie))
		return;
	flow = record_of(sk, cgroup, now);
	if (!flow)
		return;
	flow->half_closed = 1;
	if (flow->existing)
		account_existing(flow, &now->numbers);
	else
		account(flow, &now->numbers);
}

/* A packet of a connection that has its record in the table, or none. */
own_frame int live_segment(struct bpf_sock *sk, __u64 cgroup, const struct moment *now)
{
	struct ww_flow *flow = record_of(sk, cgroup, now);

	if (flow)
		return grown_segment(flow, now);
	if (all_judged() || now->reset || is_agent(cgroup) || sk->state == BPF_TCP_LAST_ACK ||
	    sk->state == BPF_TCP_CLOSING)
		return WW_PASS; /* in these two states what was queued leaves, and nothing comes in any more */
	count_drop(WW_REASON_STATE_MISSING); /* until the agent has looked at all sockets */
	return WW_DROP;
}

#endif /* WW_CLOSING_H */
