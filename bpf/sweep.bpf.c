// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * sweep, iterators run by the agent, one after the other. tally goes over the sockets of a network
 * namespace: it moves young connections to the table of live ones, moves what they have carried into
 * the aggregate, marks the records that have a socket, and writes out the sockets that have no record.
 * judge_young and judge go over all records: after a new revision judge writes
 * out the connections that may not live, one struct ww_event each, for the agent to reset.
 */
#define WW_ITERATOR
#include "lib/adoption.h"
#include "lib/closing.h"

/*
 * Records without a socket for two looks in a row are forgotten, if they have had one for certain or are
 * not younger than this.
 */
#define WW_STALE_NS (10ULL * 1000 * 1000 * 1000)

/* For the agent: end the socket of this connection. */
inline_always void abort_of(struct ww_event *event, const struct ends *ends)
{
	event->kind = WW_EVENT_ABORT;
	event->badge = ends->unit;
	event->local = ends->id->local;
	event->remote = ends->id->remote;
	event->remote_port = ends->id->remote_port;
	event->local_port = ends->id->local_port;
}

/*
 * Young connections may have no socket yet that tally could find; their records are there before it is.
 * One that is refused moves to the table, where judge finds it next; without room there it is written out
 * where it stands.
 */
SEC("iter/bpf_map_elem")
int judge_young(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *found = ctx->key, index;
	struct ww_young *slot;
	struct ww_event event = {};
	struct ends ends;

	if (!found)
		return 0;
	index = *found;
	slot = bpf_map_lookup_elem(&young, &index);
	if (!slot || !is_open(&slot->judged) || !take(&slot->busy))
		return 0;
	if (is_open(&slot->judged)) {
		ends_of_young(&ends, slot);
		if (!still_allowed(&ends)) {
			abort_of(&event, &ends);
			if (keep_young(slot))
				event.kind = 0;
		}
	}
	give_back(&slot->busy);
	if (event.kind)
		bpf_seq_write(ctx->meta->seq, &event, sizeof(event));
	return 0;
}

SEC("iter/bpf_map_elem")
int judge(struct bpf_iter__bpf_map_elem *ctx)
{
	struct ww_flow *flow = ctx->value;
	struct ww_event event = {};
	__u64 *found = ctx->key, key;
	struct ends ends;

	if (!found || !flow)
		return 0;
	key = *found;
	if ((__s32)(state.tally - flow->tally) >= 2 &&
	    (flow->half_closed || coarse_now() - flow->opened > WW_STALE_NS)) {
		bpf_map_delete_elem(&live, &key);
		return 0;
	}
	ends_of_flow(&ends, flow);
	if (flow->existing ? existing_allowed(flow) : still_allowed(&ends))
		return 0;
	abort_of(&event, &ends);
	bpf_seq_write(ctx->meta->seq, &event, sizeof(event));
	return 0;
}

/*
 * A socket that carries data and has no record was not admitted by any program here (TCP_REPAIR makes
 * such), or somebody made its record go away. The agent resets it if it sees it twice.
 */
inline_always void stray(struct bpf_iter__tcp *ctx, struct sock *sk, const struct ww_flow_id *id)
{
	struct ww_event event = {
		.kind = WW_EVENT_STRAY,
		.local = id->local,
		.remote = id->remote,
		.local_port = id->local_port,
		.remote_port = id->remote_port,
		.socket = cookie_in(sk),
	};

	if (is_agent(id->cgroup) || !socket_is_ours(sk))
		return;
	bpf_seq_write(ctx->meta->seq, &event, sizeof(event));
}

/* The device by which a socket sends, if that is left alone, else 0. */
inline_always __u32 excluded_way(struct sock *sk)
{
	struct dst_entry *route = NULL;
	struct net_device *device;

	if (!READ_ONCE(state.excluding) || bpf_core_read(&route, sizeof(route), &sk->sk_dst_cache) || !route)
		return 0;
	device = BPF_CORE_READ(route, dev);
	return device ? left_alone(device) : 0;
}

/* A connection whose device has come to be left alone since it was judged. */
inline_always void come_to_be_left_alone(struct ww_flow *flow, __u32 device)
{
	if (!device || flow->id.device)
		return;
	flow->id.device = device;
	flow->judged.generation = 0; /* judged anew, whatever was decided */
}

inline_always bool carries_data(__u8 tcp_state)
{
	return tcp_state == BPF_TCP_ESTABLISHED || tcp_state == BPF_TCP_CLOSE_WAIT || tcp_state == BPF_TCP_FIN_WAIT1 ||
	       tcp_state == BPF_TCP_FIN_WAIT2;
}

SEC("iter/tcp")
int tally(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct numbers numbers = {};
	struct tcp_sock *tcp;
	struct ww_flow_id id;
	struct ww_flow *flow;
	__u8 now;

	if (!common)
		return 0;
	now = common->skc_state;
	if (!carries_data(now) && now != BPF_TCP_LAST_ACK && now != BPF_TCP_CLOSING)
		return 0;
	tcp = (struct tcp_sock *)bpf_skc_to_tcp_sock(common);
	if (!tcp || !socket_id(&id, (struct sock *)tcp) || !outgrow(common->skc_cookie.counter))
		return 0;
	id.device = excluded_way((struct sock *)tcp);
	flow = flow_find(&id);
	if (!flow) {
		if (state.adopting == WW_ADOPTING_RECORDS && socket_is_ours((struct sock *)tcp))
			adopt(tcp, &id, now);
		else if (carries_data(now))
			stray(ctx, (struct sock *)tcp, &id);
		return 0;
	}
	flow->tally = state.tally;
	come_to_be_left_alone(flow, id.device);
	if (!flow->peer && flow->direction == WW_OUT && READ_ONCE(state.named))
		keep_learned(flow->unit, &flow->id.remote);
	numbers_of(&numbers, tcp);
	if (state.adopting == WW_ADOPTING_NEIGHBOURS && flow->existing)
		meet_neighbour(flow);
	if (!flow->revision) {
		flow->revision = flow->judged.generation == generation_now() ? state.revision : state.before;
		flow->latency_us = numbers.latency_us;
	}
	if (flow->counted && numbers.segments_in == flow->segments_in && numbers.segments_out == flow->segments_out)
		return 0;
	if (flow->existing)
		account_existing(flow, &numbers);
	else
		account(flow, &numbers);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
