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

/* Unit of a full socket; *place* receives the cgroup that places it. */
inline_always struct ww_unit *unit_of_socket(struct bpf_sock *sk, __u64 *place)
{
	__u32 levels = READ_ONCE(state.levels);
	struct ww_unit *unit;

	*place = bpf_sk_cgroup_id(sk);
	unit = unit_at(*place);
	if (unit)
		return unit;
	for (int level = WW_MAX_LEVELS - 1; level >= 0; level--) {
		if (!(levels & (1U << level)))
			continue;
		*place = bpf_sk_ancestor_cgroup_id(sk, level);
		unit = unit_at(*place);
		if (unit)
			return unit;
	}
	return NULL;
}

/* Unit of the current task; *place* receives the cgroup that places it. */
inline_always struct ww_unit *unit_of_task(__u64 *place)
{
	__u32 levels = READ_ONCE(state.levels);
	struct ww_unit *unit;

	*place = bpf_get_current_cgroup_id();
	unit = unit_at(*place);
	if (unit)
		return unit;
	for (int level = WW_MAX_LEVELS - 1; level >= 0; level--) {
		if (!(levels & (1U << level)))
			continue;
		*place = bpf_get_current_ancestor_cgroup_id(level);
		unit = unit_at(*place);
		if (unit)
			return unit;
	}
	return NULL;
}

/* The agent's own connections keep the Enforcer in touch with its Console whatever the policy is. */
inline_always bool is_agent(__u64 cgroup)
{
	return cgroup && cgroup == READ_ONCE(state.agent);
}

#endif /* WW_UNITS_H */
