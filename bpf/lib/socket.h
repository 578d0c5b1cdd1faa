/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A socket as iterators and tracing programs see it, in the kernel's own words: its connection, its cgroup, its unit. */
#ifndef WW_SOCKET_H
#define WW_SOCKET_H

#include "kernel.h"
#include "parse.h"
#include "units.h"

inline_always bool socket_id(struct ww_flow_id *id, struct sock *sk)
{
	__builtin_memset(id, 0, sizeof(*id));
	if (sk->__sk_common.skc_family == WW_AF_INET) {
		address_v4(&id->local, sk->__sk_common.skc_rcv_saddr);
		address_v4(&id->remote, sk->__sk_common.skc_daddr);
	} else {
		bpf_core_read(&id->local, sizeof(id->local), &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(&id->remote, sizeof(id->remote), &sk->__sk_common.skc_v6_daddr);
	}
	id->remote_port = sk->__sk_common.skc_dport;
	id->local_port = bpf_htons(sk->__sk_common.skc_num);
	id->cgroup = sk->sk_cgrp_data.cgroup->kn->id;
	return id->cgroup;
}

/* The id of a cgroup's ancestor at one depth, itself at its own; 0 where it has none. */
inline_always __u64 ancestor_id(struct cgroup *group, __u32 level)
{
	struct cgroup *ancestor = NULL;
	const void *ancestors;

	if (group->level < (int)level)
		return 0;
	ancestors = __builtin_preserve_access_index(&group->ancestors);
	if (bpf_probe_read_kernel(&ancestor, sizeof(ancestor), ancestors + level * sizeof(ancestor)) || !ancestor)
		return 0;
	return BPF_CORE_READ(ancestor, kn, id);
}

/* Unit of a socket, as WW_UNIT_FINDER has it; *place* receives the cgroup that places it. */
own_frame __u32 unit_of_cgroup(struct cgroup *group, __u64 *place)
{
	__u32 levels = READ_ONCE(state.levels);
	struct ww_unit *unit;

	*place = group->kn->id;
	unit = unit_at(*place);
	for (int level = WW_MAX_LEVELS - 1; !unit && level >= 0; level--) {
		if (!(levels & (1U << level)))
			continue;
		*place = ancestor_id(group, level);
		unit = unit_at(*place);
	}
	return unit ? unit->badge : 0;
}

/* Whether the socket is below this Enforcer's root, as is_ours() asks of a packet. */
inline_always bool socket_is_ours(struct sock *sk)
{
	return ancestor_id(sk->sk_cgrp_data.cgroup, READ_ONCE(state.root_level)) == READ_ONCE(state.root);
}

#endif /* WW_SOCKET_H */
