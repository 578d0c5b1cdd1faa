/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Datagram flows between identities, and what the two ends remember of each other.
 *
 * All of this may be forgotten at any time: tables give up what was used least recently, and who is not known any
 * more is asked to prove itself once more. Nothing here is let in because it is not found.
 */
#ifndef WW_UDP_FLOW_H
#define WW_UDP_FLOW_H

#include "handshake.h"
#include "identity.h"
#include "udp_trailer.h"

/* A flow without a datagram for so long has to be proved anew. */
#define WW_UDP_IDLE_NS (120ULL * 1000 * 1000 * 1000)
/* How long an address stands for who proved itself there: without bounce, data goes there at once. */
#define WW_UDP_PLACE_NS (60ULL * 1000 * 1000 * 1000)
/* How often a proved flow says so again, in case the other end has forgotten. */
#define WW_UDP_AGAIN_NS (1000ULL * 1000 * 1000)
#define WW_UDP_ANSWER_NS (100ULL * 1000 * 1000)
#define WW_UDP_ANSWERS 4
/* A bounce can be answered for one tick (4.3 s) and the rest of the one it began in. */
#define WW_UDP_TICK_SHIFT 32
#define WW_NONCE_FLOW 5
#define WW_NONCE_CHALLENGE 6

/* Verdicts beside WW_DROP and WW_PASS. */
#define WW_REDUCED 2	/* what leaves is not what was sent */
#define WW_BY_ADDRESS 3	/* no identity is involved: the address is judged */
#define WW_KEPT 4	/* nothing leaves yet: more of the datagram follows */

/* Flows between identities by their two ends on the wire. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WW_MAX_UDP_FLOWS);
	__type(key, struct ww_datagram_key);
	__type(value, struct ww_udp_flow);
} udp_flows SEC(".maps");

/* The datagram that is being kept, in pieces. */
struct parking {
	__u64 nonce;	/* of its flow */
	__u64 place;	/* cgroup id that places the sender */
	__u32 first;	/* tickets of its pieces; 0: none yet */
	__u32 last;
	__u32 number;	/* pieces so far */
	__u32 kind;	/* enum ww_kept */
	__u32 sent;	/* the data leaves all the same */
	__u32 lost;	/* some piece found no room */
};

/* Room for what one program puts together; what runs below it (companion) has its own. */
struct udp_work {
	struct udp_packet packet;
	struct trailer trailer;
	struct ww_udp_flow flow;
	struct ww_udp_admitted admitted;
	struct asker who;
	struct ww_verdict stranger;	/* what is decided about an address */
	struct ww_flow_key key;
	struct ww_flow_counts more;
	struct parking parking;
	__u32 filled;			/* bytes of UDP header and payload put back so far, and their sum */
	__u32 sum;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct udp_work);
} udp_work SEC(".maps");

/* Two comparisons that the compiler may not make one of, nor one of them "not 0": verifiers up to 6.1 understand no other. */
#define WW_WITHIN(number, low, high)				\
	({							\
		bool within = false;				\
		__u32 least = (low);				\
		asm volatile("" : "+r"(number));		\
		if ((number) <= (high)) {			\
			asm volatile("" : "+r"(number), "+r"(least));	\
			within = (number) >= least;		\
		}						\
		within;						\
	})

/* Whose datagram it is that has no socket yet: for a capture. */
inline_always void found_unit(__u32 badge)
{
#ifdef WW_CAPTURE
	note_unit(badge);
#endif
}

inline_always struct udp_work *udp_room(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&udp_work, &zero);
}

/* Server's nonce for one flow of one remote end; computed again when the proof arrives, so nothing is kept of a bounce. */
inline_always __u64 challenge_nonce(const struct ww_datagram_key *key, __u64 nonce, __u64 tick, __u8 epoch)
{
	__u64 made = prf5(state.secret, (__u64)key->remote.word[1] << 32 | key->remote.word[0],
			  (__u64)key->remote.word[3] << 32 | key->remote.word[2],
			  (__u64)key->local.word[3] << 32 | (__u64)key->remote_port << 16 | key->local_port, nonce,
			  (tick & 0xffffffff) << 8 | WW_NONCE_CHALLENGE);

	return (made & ~1ULL) | (epoch & 1);
}

own_frame __u64 trailer_proof(const __u64 *key, __u8 message, __u32 client, __u32 server, const struct trailer *t)
{
	struct transcript script = {
		.client = client,
		.server = server,
		.client_nonce = load_be64(t->nonce),
		.server_nonce = load_be64(t->server_nonce),
		.dialled = bpf_ntohs(t->dialled),
		.client_epoch = t->epoch,
		.server_epoch = t->server_epoch,
	};

	return proof_of(key, message, &script);
}

inline_always bool udp_in_use(const struct ww_udp_flow *flow, __u32 unit, __u64 now)
{
	return flow && flow->unit == unit && elapsed(now, flow->seen) < WW_UDP_IDLE_NS;
}

/* One datagram for each flow that is opened, and each that is refused, as with datagrams judged by address. */
own_frame void udp_count(const struct ww_udp_flow *flow, __u32 bytes, const struct ww_verdict *verdict)
{
	struct udp_work *w = udp_room();

	if (!w)
		return;
	__builtin_memset(&w->key, 0, sizeof(w->key));
	__builtin_memset(&w->more, 0, sizeof(w->more));
	w->key.unit = flow->unit;
	w->key.peer = flow->peer;
	w->key.rule = verdict->rule;
	w->key.observed_rule = verdict->observed_rule;
	w->key.port = flow->port;
	w->key.protocol = IPPROTO_UDP;
	w->key.direction = flow->direction;
	w->key.action = WW_ALLOW;
	w->key.flags = verdict->flags;
	w->key.proved = 1;
	w->more.connections = 1;
	if (flow->direction == WW_IN) {
		w->more.packets_in = 1;
		w->more.bytes_in = bytes;
	} else {
		w->more.packets_out = 1;
		w->more.bytes_out = bytes;
	}
	aggregate(&w->key, &w->more);
}

own_frame struct ww_verdict *udp_verdict(const struct owner *own, __u32 badge, __u8 direction, __u16 port)
{
	struct ww_peer *peer = bpf_map_lookup_elem(&peers, &badge);

	if (!peer || !peer->class[own->bank & 1])
		return NULL;
	return verdict_of(own->bank, own->unit->class[own->bank & 1], peer->class[own->bank & 1], direction,
			  IPPROTO_UDP, port);
}

/* Whether a proved flow may go on; after a new revision the tables are asked again. */
inline_always bool udp_still_allowed(struct ww_udp_flow *flow, const struct owner *own, const struct ww_address *remote)
{
	struct ww_verdict *verdict;

	if (flow->generation != own->generation) {
		verdict = udp_verdict(own, flow->peer, flow->direction, flow->port);
		flow->action = verdict && verdict->action == WW_ALLOW;
		WRITE_ONCE(flow->generation, own->generation);
		if (flow->action)
			udp_count(flow, 0, verdict);
		else
			report_refusal(remote, flow->unit, flow->peer,
				       refusal_of(flow->port, flow->direction, IPPROTO_UDP, WW_REASON_REVOKED), verdict);
		return flow->action;
	}
	if (!flow->action)
		count_drop(WW_REASON_REVOKED);
	return flow->action;
}

/*
 * A datagram for a socket. Trailers have been dealt with when it came in by its device (verify); here it counts
 * what is known of the two ends.
 */
own_frame int udp_arrives(struct __sk_buff *skb, const struct datagram *d, const struct owner *own)
{
	struct ww_udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &d->key);
	__u64 now = coarse_now();

	if (skb->ifindex == WW_LOOPBACK_IFINDEX || !udp_in_use(flow, own->unit->badge, now))
		return WW_BY_ADDRESS;
	if (flow->direction == WW_OUT && !flow->answered) {
		if (flow->by_address)
			return WW_BY_ADDRESS;
		report_refusal(&d->key.remote, flow->unit, flow->peer,
			       refusal_of(flow->port, WW_OUT, IPPROTO_UDP, WW_REASON_PROOF_MISSING), NULL);
		return WW_DROP;
	}
	if (!udp_still_allowed(flow, own, &d->key.remote))
		return WW_DROP;
	flow->seen = now;
	return WW_PASS;
}

#endif /* WW_UDP_FLOW_H */
