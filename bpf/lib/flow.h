/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Live connections and their aggregation.
 *
 * A connection has a record from the moment it is proved until it ends. A young one has it in the slot
 * of its handshake (handshake.h); one that lives longer, or whose slot another handshake needs, has it
 * in the table below. Its packets do not look the record up: an established socket exists only because
 * its handshake was let through. After a new revision (state.swept differs from state.generation)
 * every packet does, until the agent has had all records judged and has reset the connections that
 * were refused.
 */
#ifndef WW_FLOW_H
#define WW_FLOW_H

#ifdef WW_CAPTURE
#include "scene.h"
#endif
#include "device.h"
#include "kernel.h"
#include "names.h"
#include "siphash.h"
#include "units.h"

/* Live connections past their first second. Not LRU: a full table refuses newcomers, evicts nobody. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_LIVE);
	__type(key, __u64);
	__type(value, struct ww_flow);
} live SEC(".maps");

/*
 * Key of a connection: its id through a pseudo-random function, since hashing eight bytes is what the
 * table does fastest. Nobody who does not know this host's secret can make two ids meet, and whoever
 * finds a record compares the id.
 */
inline_always __u64 flow_key(const struct ww_flow_id *id)
{
	return prf5(state.secret, (__u64)id->remote.word[1] << 32 | id->remote.word[0],
		    (__u64)id->remote.word[3] << 32 | id->remote.word[2],
		    (__u64)id->local.word[1] << 32 | id->local.word[0],
		    (__u64)id->local.word[3] << 32 | id->local.word[2],
		    id->cgroup << 32 | (__u64)id->remote_port << 16 | id->local_port);
}

inline_always bool same_flow(const struct ww_flow_id *a, const struct ww_flow_id *b)
{
	return a->remote_port == b->remote_port && a->local_port == b->local_port && a->cgroup == b->cgroup &&
	       address_equal(&a->remote, &b->remote) && address_equal(&a->local, &b->local);
}

/* Aggregates by what a person would tell apart; read in bulk, never cleared while in use. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, WW_MAX_FLOWS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ww_flow_key);
	__type(value, struct ww_flow_counts);
} flows SEC(".maps");

/* What the agent has reported of each aggregate; no program uses it, it only outlives the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_FLOWS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ww_flow_key);
	__type(value, struct ww_flow_counts);
} reported SEC(".maps");

/* Action << 8 | reason -> what aggregates held that are dropped by now; no program uses it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * WW_REASON_MAX);
	__type(key, __u32);
	__type(value, struct ww_flow_counts);
} totals SEC(".maps");

/* Aggregates of the builds before this one; no program uses it, the agent adds them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_FLOWS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ww_flow_key);
	__type(value, struct ww_flow_counts);
} earlier_flows SEC(".maps");

/* Names behind the numbers in verdicts and peers; no program uses them, they outlive the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_VERDICTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ww_name_key);
	__type(value, struct ww_name);
} names SEC(".maps");

inline_always void aggregate(const struct ww_flow_key *key, const struct ww_flow_counts *more)
{
	struct ww_flow_counts *counts = bpf_map_lookup_elem(&flows, key);
	__u64 now = coarse_now();

	if (!counts) {
		struct ww_flow_counts fresh = { .first_seen = now };

		bpf_map_update_elem(&flows, key, &fresh, BPF_NOEXIST);
		counts = bpf_map_lookup_elem(&flows, key);
		if (!counts) {
			count(WW_COUNT_FLOW_LOST);
			return;
		}
	}
	if (!counts->first_seen)
		counts->first_seen = now;
	counts->last_seen = now;
	counts->connections += more->connections;
	counts->packets_in += more->packets_in;
	counts->packets_out += more->packets_out;
	counts->bytes_in += more->bytes_in;
	counts->bytes_out += more->bytes_out;
	counts->latency_us += more->latency_us;
	counts->revision = state.revision;
}

/* TCP's own numbers (RFC 4898 counters), so that nothing is counted per packet. */
struct numbers {
	__u64 bytes_in;
	__u64 bytes_out;
	__u32 segments_in;
	__u32 segments_out;
	__u32 latency_us;
	__u32 pad;
};

#define sock_flag(tcp, flag) \
	(((struct sock *)(tcp))->__sk_common.skc_flags & (1UL << bpf_core_enum_value(enum sock_flags, flag)))

/*
 * What has been received in order, without the FIN, which occupies one number of the sequence and is no
 * byte; what has been sent at least once.
 */
inline_always void numbers_of(struct numbers *n, struct tcp_sock *tcp)
{
	n->bytes_in = tcp->bytes_received - (sock_flag(tcp, SOCK_DONE) && tcp->bytes_received);
	n->bytes_out = tcp->bytes_sent - tcp->bytes_retrans;
	n->segments_in = tcp->segs_in;
	n->segments_out = tcp->segs_out;
	n->latency_us = tcp->srtt_us >> 3;
}

/* The two ends of a connection, which way it goes, and where its judgement stands. */
struct ends {
	const struct ww_flow_id *id;
	struct ww_judgement *judged;
	__u64 place;
	__u32 unit;
	__u32 peer;
	__u16 port;
	__u8 direction;
};

inline_always void ends_of_flow(struct ends *ends, struct ww_flow *flow)
{
	ends->id = &flow->id;
	ends->judged = &flow->judged;
	ends->place = flow->place;
	ends->unit = flow->unit;
	ends->peer = flow->peer;
	ends->port = flow->port;
	ends->direction = flow->direction;
}

inline_always void aggregate_key_of(struct ww_flow_key *key, const struct ends *ends)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->unit = ends->unit;
	key->peer = ends->peer;
	if (!ends->peer)
		key->remote = ends->id->remote;
	key->rule = ends->judged->rule;
	key->observed_rule = ends->judged->observed_rule;
	key->port = ends->port;
	key->protocol = IPPROTO_TCP;
	key->direction = ends->direction;
	key->action = ends->judged->action;
	key->reason = ends->judged->reason;
	key->flags = ends->judged->flags;
	key->proved = !!ends->peer;
}

/* Counts a connection for the first time, with all that it has moved. */
inline_always void account_whole(const struct ends *ends, const struct numbers *n)
{
	struct ww_flow_counts more = {
		.connections = 1,
		.packets_in = n->segments_in,
		.packets_out = n->segments_out,
		.bytes_in = n->bytes_in,
		.bytes_out = n->bytes_out,
		.latency_us = ends->direction == WW_OUT ? n->latency_us : 0,
	};
	struct ww_flow_key key;

	aggregate_key_of(&key, ends);
	aggregate(&key, &more);
}

own_frame void account_first(const struct ends *ends, const struct numbers *n)
{
	account_whole(ends, n);
}

/* The same for a connection that has its record in a slot: most never have it elsewhere. */
roomy void account_young(const struct ends *ends, const struct numbers *n)
{
	account_whole(ends, n);
}

/* Adds to the aggregate what a connection has moved since the last time. */
own_frame void account_more(struct ww_flow *flow, const struct numbers *n)
{
	struct ww_flow_counts more = {
		.packets_in = n->segments_in - flow->segments_in,
		.packets_out = n->segments_out - flow->segments_out,
		.bytes_in = n->bytes_in > flow->bytes_in ? n->bytes_in - flow->bytes_in : 0,
		.bytes_out = n->bytes_out > flow->bytes_out ? n->bytes_out - flow->bytes_out : 0,
	};
	struct ww_flow_key key;
	struct ends ends;

	flow->bytes_in = n->bytes_in;
	flow->bytes_out = n->bytes_out;
	flow->segments_in = n->segments_in;
	flow->segments_out = n->segments_out;
	ends_of_flow(&ends, flow);
	aggregate_key_of(&key, &ends);
	aggregate(&key, &more);
}

inline_always void account(struct ww_flow *flow, const struct numbers *n)
{
	struct ends ends;

	if (flow->counted) {
		account_more(flow, n);
		return;
	}
	flow->counted = 1;
	flow->bytes_in = n->bytes_in;
	flow->bytes_out = n->bytes_out;
	flow->segments_in = n->segments_in;
	flow->segments_out = n->segments_out;
	ends_of_flow(&ends, flow);
	account_first(&ends, n);
}

_Static_assert(offsetof(struct ww_judgement, generation) == 8, "the second half of a judgement is one word");
_Static_assert(offsetof(struct ww_judgement, action) == 12, "action, flags and reason in the order of their shifts");

inline_always void judgement_mark(struct ww_judgement *judged, __u32 generation, __u64 action, __u64 flags,
				  __u64 reason)
{
	__u64 word = generation | action << 32 | flags << 40 | reason << 48;

	WRITE_ONCE(*(__u64 *)&judged->generation, word);
}

/*
 * Allowed, by a verdict or (none) because a unit may always talk to itself, or because the connection came about on a
 * device that is left alone.
 */
inline_always void judgement_admit(struct ww_judgement *judged, const struct ww_verdict *verdict, __u32 generation,
				   __u32 device)
{
	judged->rule = verdict ? verdict->rule : 0;
	judged->observed_rule = verdict ? verdict->observed_rule : 0;
	judgement_mark(judged, generation, WW_ALLOW, verdict ? verdict->flags : 0,
		       device ? WW_REASON_EXCLUDED : WW_REASON_POLICY);
}

/*
 * Asks the tables in force again about a live connection, after a new revision. Its two ends are who
 * they were when it was opened; whether they may still talk is what may have changed.
 */
own_frame bool judge_again(const struct ends *ends, __u32 generation)
{
	__u32 bank = bank_of(generation), peer_class = WW_CLASS_NONE;
	struct ww_verdict room = { .action = WW_REJECT }, *verdict;
	struct ww_unit *unit;
	struct ww_peer *peer;

	if (ends->id->device && is_left_alone(ends->id->device)) {
		judgement_admit(ends->judged, NULL, generation, ends->id->device);
		return true;
	}
	unit = unit_at(ends->place);
	if (unit && unit->badge == ends->unit && unit->class[bank]) {
		if (ends->peer && ends->peer == ends->unit) {
			judgement_admit(ends->judged, NULL, generation, 0);
			return true;
		}
		if (ends->peer) {
			peer = bpf_map_lookup_elem(&peers, &ends->peer);
			peer_class = peer ? peer->class[bank] : WW_CLASS_NONE;
		} else {
			peer_class = class_of_stranger(&ends->id->remote, bank);
		}
		verdict = peer_class ? verdict_of(bank, unit->class[bank], peer_class, ends->direction, IPPROTO_TCP,
						  ends->port) :
				       NULL;
		if (verdict) {
			asm volatile("" : "+r"(verdict)); /* no sum with it before it is known to be one */
			room = *verdict;
		}
		asm volatile("" : "+r"(ends), "+r"(generation)); /* read again, not kept in pieces: the stack is short here */
		if (!ends->peer)
			add_names(&ends->id->remote, unit->badge | (__u64)unit->class[bank] << 32,
				  stranger_flow(ends->port, ends->direction, IPPROTO_TCP, bank_of(generation), true), &room);
	}
	if (room.action == WW_ALLOW) {
		judgement_admit(ends->judged, &room, generation, 0);
		return true;
	}
	ends->judged->rule = room.rule;
	ends->judged->observed_rule = room.observed_rule;
	judgement_mark(ends->judged, generation, WW_REJECT, room.flags, WW_REASON_REVOKED);
	return false;
}

inline_always bool still_allowed(const struct ends *ends)
{
	__u32 generation = generation_now();

	if (ends->judged->generation == generation)
		return ends->judged->action == WW_ALLOW;
	return judge_again(ends, generation);
}

/* Whether every live connection has been judged by the tables in force. */
inline_always bool all_judged(void)
{
	return READ_ONCE(state.swept) == generation_now();
}

/* A packet or SYN that is refused before there is a flow. Own stack frame: callers are deep. */
own_frame void report_refusal(const struct ww_address *remote, __u32 unit, __u32 peer, __u64 why,
			      const struct ww_verdict *verdict)
{
	struct ww_flow_counts more = { .connections = 1 };
	struct ww_flow_key key = {
		.unit = unit,
		.peer = peer,
		.port = why,
		.protocol = why >> 16,
		.direction = why >> 24,
		.action = WW_REJECT,
		.reason = why >> 32,
	};

	if (!peer)
		key.remote = *remote;
	if (verdict) {
		key.rule = verdict->rule;
		key.observed_rule = verdict->observed_rule;
		key.flags = verdict->flags;
	}
	count_drop(why >> 32);
	aggregate(&key, &more);
#ifdef WW_CAPTURE
	note_refusal(peer, key.rule);
#endif
}

/* Where and why a packet was refused, in one register: a call takes five. */
inline_always __u64 refusal_of(__u16 port, __u8 direction, __u8 protocol, enum ww_reason reason)
{
	return port | (__u64)protocol << 16 | (__u64)direction << 24 | (__u64)reason << 32;
}

#endif /* WW_FLOW_H */
