/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A socket as iterators and tracing programs see it, in the kernel's own words: its connection, its cgroup, its unit. */
#ifndef WW_SOCKET_H
#define WW_SOCKET_H

#include "kernel.h"
#include "parse.h"
#include "units.h"

/* For BPF_CORE_READ: on older kernels it is not known for a pointer. NULL: it has none. */
inline_always struct cgroup *cgroup_in(struct sock *sk)
{
	struct cgroup *group = NULL;

	return group_at(sk, &group) ? group : NULL;
}

/* The cookie of a socket, which gets one if it has none; before 5.12 such a one stays without. */
inline_always __u64 cookie_in(struct sock *sk)
{
#ifdef WW_OLDER
	return sk->__sk_common.skc_cookie.counter;
#else
	return bpf_get_socket_cookie(sk);
#endif
}

inline_always bool socket_id(struct ww_flow_id *id, struct sock *sk)
{
	struct cgroup *group;

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
	group = cgroup_in(sk);
	id->cgroup = group ? BPF_CORE_READ(group, kn, id) : 0;
	return id->cgroup;
}

/* The same at any depth. */
inline_always __u64 ancestor_id(const struct cgroup *group, __u32 level)
{
	return BPF_CORE_READ(group, level) < (int)level ? 0 : id_at_level(group, level);
}

/* Unit of a socket, as WW_UNIT_FINDER has it; *place* receives the cgroup that places it. */
own_frame __u32 unit_of_cgroup(struct cgroup *group, __u64 *place)
{
	__u32 levels = READ_ONCE(state.levels);
	struct ww_unit *unit;

	*place = BPF_CORE_READ(group, kn, id);
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
	return ancestor_id(cgroup_in(sk), READ_ONCE(state.root_level)) == READ_ONCE(state.root);
}

#endif /* WW_SOCKET_H */
