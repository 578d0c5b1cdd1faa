/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel structures that are read here, reduced to the fields that are; their offsets are
 * relocated when the object is loaded (CO-RE).
 */
#ifndef WW_KERNEL_H
#define WW_KERNEL_H

#include "types.h"

struct kernfs_node {
	__u64 id;
} __attribute__((preserve_access_index));

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[0];
} __attribute__((preserve_access_index));

/* Before 6.1: ids alone. */
struct cgroup___older {
	__u64 ancestor_ids[0];
} __attribute__((preserve_access_index));

struct sock_cgroup_data {
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

/* Before 5.15: a cgroup, or in its two lowest bits that it is something else. */
struct sock_cgroup_data___older {
	__u64 val;
} __attribute__((preserve_access_index));

typedef struct {
	__s64 counter;
} atomic64_t;

struct ns_common {
	unsigned int inum;
} __attribute__((preserve_access_index));

struct net {
	struct ns_common ns;
} __attribute__((preserve_access_index));

typedef struct {
	struct net *net;
} possible_net_t;

struct net_device {
	char name[WW_DEVICE_NAME];
	int ifindex;
	possible_net_t nd_net;
} __attribute__((preserve_access_index));

struct sk_buff {
	struct net_device *dev;
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

struct dst_entry {
	struct net_device *dev;
} __attribute__((preserve_access_index));

struct sock_common {
	atomic64_t skc_cookie;
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	unsigned char skc_state;
	unsigned long skc_flags;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
	struct dst_entry *sk_dst_cache;
	struct sock_cgroup_data sk_cgrp_data;
} __attribute__((preserve_access_index));

struct sock___older {
	struct sock_cgroup_data___older sk_cgrp_data;
} __attribute__((preserve_access_index));

enum sock_flags {
	SOCK_DEAD = 0,
	SOCK_DONE = 1,
};

struct inet_sock {
	__be16 inet_sport;
} __attribute__((preserve_access_index));

struct tcp_sock {
	__u64 bytes_received;
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u64 bytes_acked;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 write_seq;
	__u32 segs_in;
	__u32 segs_out;
	__u32 srtt_us;
} __attribute__((preserve_access_index));

struct cpuinfo_x86 {
};

/*
 * A socket as the kernel has it, without asking through a call: a cast that costs nothing (6.2). Which kind of socket
 * it is nobody checks, so only where that is known. Whatever it is, reading it harms nothing.
 */
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

enum bpf_func_id___cast {
	BPF_FUNC_cgrp_storage_get___cast = 210, /* as old as the cast is */
};

inline_always bool can_cast(void)
{
#ifdef WW_OLDER
	return false;
#endif
	return bpf_core_enum_value_exists(enum bpf_func_id___cast, BPF_FUNC_cgrp_storage_get___cast);
}

/* The TCP side of a socket that speaks TCP and is more than a request or what remains of one; else NULL or nonsense. */
inline_always struct tcp_sock *tcp_of(struct bpf_sock *sk)
{
	if (can_cast())
		return bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct tcp_sock));
	return (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
}

/* Cookie of any socket, which gets one if it has none. */
inline_always __u64 cookie_from(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct sock_common *common;
	__u64 cookie;

	if (can_cast()) {
		common = bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct sock_common));
		cookie = common->skc_cookie.counter;
		if (cookie)
			return cookie;
	}
	return bpf_get_socket_cookie(skb);
}

/* Id of the cgroup of a whole socket: no request, and not what remains of one. For cgroup_skb. */
inline_always __u64 cgroup_id_of(struct bpf_sock *sk)
{
	struct sock *whole;

	if (!can_cast())
		return bpf_sk_cgroup_id(sk);
	whole = bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct sock));
	return whole->sk_cgrp_data.cgroup->kn->id;
}

/* Where a socket has its cgroup; whether it is one. */
inline_always bool group_at(const void *sk, struct cgroup **group)
{
	__u32 offset;

#ifdef WW_OLDER
	if (!bpf_core_field_exists(((struct sock *)0)->sk_cgrp_data.cgroup))
		offset = bpf_core_field_offset(struct sock___older, sk_cgrp_data.val);
	else
#endif
		offset = bpf_core_field_offset(struct sock, sk_cgrp_data.cgroup);
	return !bpf_probe_read_kernel(group, sizeof(*group), sk + offset) && !((__u64)*group & 3);
}

/* The id of a cgroup's ancestor at a depth not below its own, itself at its own; 0 where it has none. */
inline_always __u64 id_at_level(const struct cgroup *group, __u32 level)
{
	struct cgroup *ancestor = NULL;
	const void *ancestors;
#ifdef WW_OLDER
	const void *ids;
	__u64 id = 0;

	if (!bpf_core_field_exists(group->ancestors)) {
		ids = __builtin_preserve_access_index(&((struct cgroup___older *)group)->ancestor_ids);
		return bpf_probe_read_kernel(&id, sizeof(id), ids + level * sizeof(id)) ? 0 : id;
	}
#endif
	ancestors = __builtin_preserve_access_index(&group->ancestors);
	if (bpf_probe_read_kernel(&ancestor, sizeof(ancestor), ancestors + level * sizeof(ancestor)) || !ancestor)
		return 0;
	return BPF_CORE_READ(ancestor, kn, id);
}

struct seq_file;
struct bpf_map;

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
} __attribute__((preserve_access_index));

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

#endif /* WW_KERNEL_H */
