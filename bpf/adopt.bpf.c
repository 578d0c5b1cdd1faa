// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * adopt, iterator over the TCP sockets of a network namespace, run once when enforcement begins:
 * gives every connection that is older than the Enforcer a record that says so. After that an
 * established socket without a record is one that was not let in.
 */
#define WW_ITERATOR
#include "lib/flow.h"

struct sock_common {
	unsigned char skc_state;
} __attribute__((preserve_access_index));

struct bpf_iter_meta;
struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

SEC("iter/tcp")
int adopt(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct ww_flow *flow;
	struct tcp_sock *tcp;
	__u8 state_now;

	if (!common)
		return 0;
	state_now = common->skc_state;
	if (state_now == BPF_TCP_LISTEN || state_now == BPF_TCP_NEW_SYN_RECV || state_now == BPF_TCP_TIME_WAIT)
		return 0;
	tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp || bpf_sk_storage_get(&live, tcp, NULL, 0))
		return 0;
	flow = bpf_sk_storage_get(&live, tcp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!flow)
		return 0;
	flow->phase = WW_PHASE_EXISTING;
	count(WW_COUNT_EXISTING);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
