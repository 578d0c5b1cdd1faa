// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * refuse, cgroup connect: fails connect() with EPERM when no identity and no network at that address
 * could be allowed, instead of a time-out. It saves the application a wait; what it lets pass is
 * judged by enforce all the same.
 */
#include "lib/flow.h"

#define WW_HOPES 256 /* power of two */

/*
 * Where units may hope to be let in, as last found on this CPU: which cgroup, port and generation, in one word
 * each, because a task that asks may be interrupted by another. Two that look alike cost a wait, no more.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WW_HOPES);
	__type(key, __u32);
	__type(value, __u64);
} hopes SEC(".maps");

inline_always bool is_loopback(const struct ww_address *address)
{
	if (address_is_v4(address))
		return (address->word[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return !address->word[0] && !address->word[1] && !address->word[2] && address->word[3] == bpf_htonl(1);
}

/*
 * Whether what the socket sends may leave by a device that is left alone: nobody knows the route yet. Then stamp and
 * enforce decide alone, by the device that it does take.
 */
inline_always bool may_be_left_alone(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	__u32 bound;
	__u64 held = 0;

	if (!READ_ONCE(state.excluding) || !sk)
		return false;
	bound = sk->bound_dev_if;
	if (bound && !is_left_alone(bound))
		return false;
	return !bpf_probe_read_kernel(&held, sizeof(held), &sk) &&
	       BPF_CORE_READ((struct sock *)held, __sk_common.skc_net.net, ns.inum) == READ_ONCE(state.namespace);
}

inline_always int refuse(struct bpf_sock_addr *ctx, const struct ww_address *remote)
{
	__u32 generation = generation_now(), bank = bank_of(generation);
	__u16 port = bpf_ntohs((__u16)ctx->user_port);
	struct ww_verdict verdict;
	struct ww_unit *unit;
	__u64 place, hope, *hoped, cgroup = bpf_get_current_cgroup_id();
	__u32 index;

	if (ctx->type != SOCK_STREAM || ctx->protocol != IPPROTO_TCP)
		return WW_PASS;
	if (is_agent(cgroup))
		return WW_PASS;
	if (!generation) {
		count_drop(WW_REASON_TABLES_EMPTY);
		return WW_DROP;
	}
	if (may_be_left_alone(ctx))
		return WW_PASS;
	hope = (cgroup * 0x9e3779b97f4a7c15ULL) ^ ((__u64)generation << 16 | port);
	hope *= 0xbf58476d1ce4e5b9ULL;
	index = hope >> 56;
	hoped = bpf_map_lookup_elem(&hopes, &index);
	if (hoped && READ_ONCE(*hoped) == hope)
		return WW_PASS;
	unit = unit_of_task(NULL, &place);
	if (!unit || !unit->class[bank]) {
		count_drop(WW_REASON_UNIT_UNKNOWN);
		return WW_DROP;
	}
	if (is_loopback(remote))
		return WW_PASS; /* it may be the unit itself, which no table names */
	if (identity_reachable(bank, unit->class[bank], IPPROTO_TCP, port)) {
		if (hoped)
			WRITE_ONCE(*hoped, hope);
		return WW_PASS;
	}
	judge_stranger(remote, unit, stranger_flow(port, WW_OUT, IPPROTO_TCP, bank, false), &verdict);
	if (verdict.action == WW_ALLOW)
		return WW_PASS;
	report_refusal(remote, unit->badge, 0, refusal_of(port, WW_OUT, IPPROTO_TCP, WW_REASON_POLICY), &verdict);
	return WW_DROP;
}

SEC("cgroup/connect4")
int refuse4(struct bpf_sock_addr *ctx)
{
	struct ww_address remote;

	address_v4(&remote, ctx->user_ip4);
	return refuse(ctx, &remote);
}

SEC("cgroup/connect6")
int refuse6(struct bpf_sock_addr *ctx)
{
	struct ww_address remote;

	remote.word[0] = ctx->user_ip6[0];
	remote.word[1] = ctx->user_ip6[1];
	remote.word[2] = ctx->user_ip6[2];
	remote.word[3] = ctx->user_ip6[3];
	return refuse(ctx, &remote);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
