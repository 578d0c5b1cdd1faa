/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which processing unit a socket or a task belongs to: the nearest placed cgroup above it. */
#ifndef WW_UNITS_H
#define WW_UNITS_H

#include "state.h"

/* cgroup id -> unit, filled by the agent; one entry for each placement. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_UNITS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct ww_unit);
} units SEC(".maps");

inline_always struct ww_unit *unit_at(__u64 place)
{
	return place ? bpf_map_lookup_elem(&units, &place) : NULL;
}

/* The three ways to ask for the cgroup of whom a program acts upon, and for its ancestors. */
#define WW_UNIT_FINDER(name, type, own, ancestor)			\
	inline_always struct ww_unit *name(type subject, __u64 *place)	\
	{								\
		__u32 levels = READ_ONCE(state.levels);			\
		struct ww_unit *unit;					\
									\
		*place = own;						\
		unit = unit_at(*place);					\
		if (unit)						\
			return unit;					\
		for (int level = WW_MAX_LEVELS - 1; level >= 0; level--) { \
			if (!(levels & (1U << level)))			\
				continue;				\
			*place = ancestor;				\
			unit = unit_at(*place);				\
			if (unit)					\
				return unit;				\
		}							\
		return NULL;						\
	}

/* Unit of a socket; *place* receives the cgroup that places it. For cgroup_skb. */
WW_UNIT_FINDER(unit_of_socket, struct bpf_sock *, bpf_sk_cgroup_id(subject), bpf_sk_ancestor_cgroup_id(subject, level))

/* Unit of the socket that sent a packet. For tc. */
WW_UNIT_FINDER(unit_of_packet, struct __sk_buff *, bpf_skb_cgroup_id(subject),
	       bpf_skb_ancestor_cgroup_id(subject, level))

/* Unit of the current task. For connect. */
WW_UNIT_FINDER(unit_of_task, void *, bpf_get_current_cgroup_id(), bpf_get_current_ancestor_cgroup_id(level))

/* The agent's own connections keep the Enforcer in touch with its Console whatever the policy is. */
inline_always bool is_agent(__u64 cgroup)
{
	return cgroup && cgroup == READ_ONCE(state.agent);
}

/* Whether the sender of a packet is below this Enforcer's root at all; other sockets are not ours. */
inline_always bool is_ours(struct __sk_buff *skb)
{
	return bpf_skb_ancestor_cgroup_id(skb, READ_ONCE(state.root_level)) == READ_ONCE(state.root);
}

#endif /* WW_UNITS_H */
