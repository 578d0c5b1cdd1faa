/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the tables said lately. Who may meet whom takes four look-ups in hash tables; that two units which
 * have just met may meet again takes one in an array. Only what was allowed between identities is here, and only
 * while the generation that was asked is in force, so nothing needs to be taken back.
 */
#ifndef WW_ANSWER_H
#define WW_ANSWER_H

#include "units.h"

/* May sockets of this cgroup meet this peer at this port? Compared as a whole. */
struct question {
	__u64 cgroup;
	__u32 generation;
	__u32 peer;
	__u32 port;		/* the server's, host order */
	__u32 direction;
};

/* In the place of a direction: which unit do sockets of this cgroup speak for? Without peer, port and verdict. */
#define WW_SPEAKER 2

struct answer {
	struct question question;
	__u64 place;		/* cgroup that places the local unit */
	__u32 unit;
	__u32 enforcer;		/* index of the peer's Enforcer */
	struct ww_verdict verdict;
	__u32 pad;
};

#define WW_ANSWERS 256 /* power of two */

/* One for each pair lately met; of two that fall on one place the later stays. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WW_ANSWERS);
	__type(key, __u32);
	__type(value, struct answer);
} answers SEC(".maps");

/* Where the answer to a question is, or is going to be. */
inline_always struct answer *answer_slot(const struct question *q)
{
	__u32 mix = (__u32)q->cgroup * 0x9e3779b1 ^ q->peer * 0x85ebca6b ^ (q->port * 2 + q->direction) * 0xc2b2ae35;
	__u32 index = (mix >> 16 ^ mix >> 8) & (WW_ANSWERS - 1);

	return bpf_map_lookup_elem(&answers, &index);
}

inline_always bool is_answered(const struct answer *a, const struct question *q)
{
	return a->question.cgroup == q->cgroup && a->question.generation == q->generation &&
	       a->question.peer == q->peer && a->question.port == q->port && a->question.direction == q->direction;
}

/* Remembers an Allow; no verdict is that of a unit and itself. */
inline_always void remember(struct answer *a, const struct question *q, const struct ww_verdict *verdict, __u32 unit,
			    __u64 place, __u32 enforcer)
{
	a->question = *q;
	a->place = place;
	a->unit = unit;
	a->enforcer = enforcer;
	if (verdict)
		a->verdict = *verdict;
	else
		a->verdict = (struct ww_verdict){ .action = WW_ALLOW };
}

#endif /* WW_ANSWER_H */
