// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * establish, sock_ops: gives the socket that a verified ACK has just created its record, in the
 * same softirq, before it can receive or send anything. No grant, no record, no connection.
 */
#include "lib/handshake.h"

/* All fields are read before the choice: the verifier allows no computed pointer into the context. */
inline_always void remote_of(struct bpf_sock_ops *ctx, struct ww_address *remote)
{
	__u32 v4 = READ_ONCE(ctx->remote_ip4);

	remote->word[0] = READ_ONCE(ctx->remote_ip6[0]);
	remote->word[1] = READ_ONCE(ctx->remote_ip6[1]);
	remote->word[2] = READ_ONCE(ctx->remote_ip6[2]);
	remote->word[3] = READ_ONCE(ctx->remote_ip6[3]);
	if (READ_ONCE(ctx->family) == WW_AF_INET)
		address_v4(remote, v4);
}

SEC("sockops")
int establish(struct bpf_sock_ops *ctx)
{
	struct ww_address remote;
	struct ww_grant *slot;
	struct ww_flow *flow;
	struct bpf_sock *sk;

	if (ctx->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return 1;
	slot = grant_slot();
	sk = ctx->sk;
	if (!slot || !sk || !slot->valid)
		return 1;
	remote_of(ctx, &remote);
	if (!address_equal(&slot->remote, &remote) || slot->remote_port != (__u16)(ctx->remote_port >> 16) ||
	    slot->local_port != bpf_htons((__u16)ctx->local_port))
		return 1;
	slot->valid = 0;
	flow = bpf_sk_storage_get(&live, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!flow) {
		count_drop(WW_REASON_NO_MEMORY);
		return 1;
	}
	flow->generation = slot->generation;
	flow->phase = WW_PHASE_RELEASED;
	flow->direction = WW_IN;
	flow->action = WW_ALLOW;
	flow->flags = slot->flags;
	flow->unit = slot->unit;
	flow->peer = slot->peer;
	flow->place = slot->place;
	flow->rule = slot->rule;
	flow->observed_rule = slot->observed_rule;
	flow->port = ctx->local_port;
	flow->remote = remote;
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
