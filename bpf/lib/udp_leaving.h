/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Datagrams on their way out. Where it is known who is at the other end, the first one leaves with a proof. Where it
 * is not, only a datagram without payload leaves: data goes to who has proved itself, or to an address that is
 * allowed. What left, or could not leave, is kept until the other end has answered, to be sent again.
 */
#ifndef WW_UDP_LEAVING_H
#define WW_UDP_LEAVING_H

#include "fragment.h"
#include "udp_flow.h"
#include "udp_parked.h"

/* Who proved itself lately at an address and port. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WW_MAX_PLACES);
	__type(key, struct ww_udp_place);
	__type(value, struct ww_udp_resident);
} udp_places SEC(".maps");

/* Sessions of this host's units with those they called. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WW_MAX_SESSIONS);
	__type(key, struct ww_udp_pair);
	__type(value, struct ww_udp_opened);
} udp_opened SEC(".maps");

/* A trailer that a copy of the packet in hand is to carry, ahead of it. */
struct companion {
	__u32 wanted;
	struct udp_packet packet;
	struct trailer trailer;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct companion);
} udp_companion SEC(".maps");

inline_always struct companion *companion_room(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&udp_companion, &zero);
}

/* Sends a datagram without payload ahead of one that has no room; the copy passes companion_out. */
own_frame bool send_ahead(struct __sk_buff *skb, struct udp_packet *p, struct trailer *t)
{
	struct companion *c = companion_room();
	bool sent;

	if (!c)
		return false;
	c->packet = *p;
	c->trailer = *t;
	c->wanted = 1;
	sent = !bpf_clone_redirect(skb, skb->ifindex, 0);
	c->wanted = 0;
	return sent;
}

/* The copy that send_ahead() made. It has no socket, and comes before that call returns. */
own_frame int companion_out(struct __sk_buff *skb)
{
	struct companion *c = companion_room();

	if (!c || !c->wanted)
		return TC_ACT_UNSPEC;
	c->wanted = 0;
	return reduce(skb, &c->packet, &c->trailer, false) ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

/* Lets a datagram that may leave carry the trailer, in itself or ahead of it. */
inline_always int carry(struct __sk_buff *skb, struct udp_work *w)
{
	w->trailer.flags = WW_TRAILER_VERSION << 4;
	if (grow(skb, &w->packet, &w->trailer))
		count(WW_COUNT_STAMPED_DATAGRAM);
	else if (w->trailer.message == WW_MESSAGE_HELLO)
		return WW_PASS; /* by its address: nothing goes ahead to who may have no Enforcer */
	else
		count(send_ahead(skb, &w->packet, &w->trailer) ? WW_COUNT_STAMPED_DATAGRAM : WW_COUNT_STAMP_FAILED);
	return WW_PASS;
}

/* The call leaves without its data. */
own_frame int call_alone(struct __sk_buff *skb, struct udp_work *w)
{
	if (!reduce(skb, &w->packet, &w->trailer, false)) {
		count(WW_COUNT_STAMP_FAILED);
		return WW_DROP;
	}
	count(WW_COUNT_STAMPED_DATAGRAM);
	return WW_REDUCED;
}

/* A datagram of a flow that this end opened. */
inline_always int udp_onward(struct __sk_buff *skb, struct udp_work *w, struct ww_udp_flow *flow,
			     const struct owner *own, __u64 now)
{
	bool lately = elapsed(now, flow->stamped) < WW_UDP_AGAIN_NS;
	__u32 ticket;

	if (lately && (flow->answered || (flow->by_address && flow->tries >= WW_UDP_ANSWERS)))
		return WW_PASS;
	trailer_of_flow(&w->trailer, flow, flow->message);
	ticket = park(skb, w, flow, own->place);
	w->trailer.ticket = bpf_htonl(ticket);
	flow->stamped = now;
	if (flow->tries < WW_UDP_ANSWERS)
		flow->tries++;
	if (flow->peer || flow->by_address)
		return carry(skb, w);
	if (w->parking.lost)
		count(WW_COUNT_UDP_UNPARKED);
	if (elapsed(now, flow->opened) > WW_UDP_AGAIN_NS) /* nobody there who would say who it is */
		report_refusal(&w->packet.key.remote, flow->unit, 0,
			       refusal_of(flow->port, WW_OUT, IPPROTO_UDP, WW_REASON_POLICY), NULL);
	if (w->packet.fragment && !w->parking.lost)
		return WW_KEPT;
	return call_alone(skb, w);
}

/* A datagram of a flow that the other end opened: the first ones prove who answers. */
inline_always int udp_reply(struct __sk_buff *skb, struct udp_work *w, struct ww_udp_flow *flow, __u64 now)
{
	if (!flow->owed && elapsed(now, flow->stamped) < WW_UDP_ANSWER_NS)
		return WW_PASS;
	if (flow->owed)
		flow->owed--;
	flow->stamped = now;
	trailer_of_flow(&w->trailer, flow, WW_MESSAGE_ANSWER);
	return carry(skb, w);
}

own_frame struct ww_udp_resident *udp_resident(const struct ww_datagram_key *key, __u64 now)
{
	struct ww_udp_place place = { .address = key->remote, .port = key->remote_port };
	struct ww_udp_resident *found = bpf_map_lookup_elem(&udp_places, &place);

	return found && elapsed(now, found->seen) < WW_UDP_PLACE_NS ? found : NULL;
}

/* Opens a flow under the session with who is at that address, if there is one and policy lets them meet. */
own_frame struct ww_verdict *udp_begin_session(struct ww_udp_flow *flow, const struct owner *own, __u32 badge,
					       const struct ww_address *local)
{
	struct ww_udp_pair pair = { .client = *local, .unit = flow->unit, .peer = badge };
	struct ww_udp_opened *session = bpf_map_lookup_elem(&udp_opened, &pair);
	struct ww_peer *peer = bpf_map_lookup_elem(&peers, &badge);
	struct ww_verdict *verdict;
	struct ww_keys *keyring;
	const __u64 *key;

	if (!session || !peer)
		return NULL;
	verdict = udp_verdict(own, badge, WW_OUT, flow->port);
	if (!verdict || verdict->action != WW_ALLOW)
		return NULL;
	keyring = keys_of(peer->enforcer);
	key = keyring ? pairwise_key(keyring, session->epoch, session->server_epoch) : NULL;
	if (!key)
		return NULL;
	flow->peer = badge;
	flow->message = WW_MESSAGE_SESSION;
	flow->epoch = session->epoch;
	flow->server_epoch = session->server_epoch;
	flow->server_nonce = session->nonce;
	flow->nonce = NEXT_NUMBER(&session->calls);
	struct transcript script = {
		.client = flow->unit,
		.server = badge,
		.client_nonce = flow->nonce,
		.server_nonce = flow->server_nonce,
		.dialled = flow->dialled,
		.client_epoch = flow->epoch,
		.server_epoch = flow->server_epoch,
	};
	flow->proof = proof_of(key, WW_MESSAGE_SESSION, &script);
	return verdict;
}

/* Whether an identity could be met there. In a frame of its own, for its keys. */
own_frame bool udp_reachable(const struct owner *own, __u16 port)
{
	return identity_reachable(own->bank, own->unit->class[own->bank & 1], IPPROTO_UDP, port);
}

/* An answer by address alone will do: what datagram_judge() writes down. */
own_frame void admit_address(const struct datagram *d, const struct owner *own)
{
	struct ww_datagram entry = {
		.unit = own->unit->badge,
		.generation = own->generation,
		.port = d->port,
		.direction = WW_OUT,
		.by_address = 1,
	};

	bpf_map_update_elem(&datagrams, &d->key, &entry, BPF_ANY);
}

/*
 * Begins a flow, or begins one anew that nobody has proved anything about: calls of that under *nonce* are still on their
 * way, and what comes back to them has to fit. Where two CPUs begin the same flow, the first has begun it.
 */
inline_always int udp_opens(struct __sk_buff *skb, const struct datagram *d, struct udp_work *w, const struct owner *own,
			    __u64 nonce, __u64 how)
{
	__u16 port = bpf_ntohs(w->packet.key.remote_port);
	struct ww_udp_resident *resident;
	struct ww_udp_flow *flow = &w->flow, *made;
	struct ww_verdict *verdict;
	__u64 now = coarse_now();

	asker_of(&w->who, own);
	if (datagram_known(d, &w->who) || class_of_stranger(&d->key.remote, own->bank) == WW_CLASS_EXCLUDED)
		return WW_BY_ADDRESS; /* of a flow that an address was allowed, or to one that is left alone */
	if (!udp_reachable(own, port))
		return WW_BY_ADDRESS;
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->unit = own->unit->badge;
	flow->generation = own->generation;
	flow->action = WW_ALLOW;
	flow->direction = WW_OUT;
	flow->opened = flow->seen = now;
	flow->dialled = flow->port = port;
	resident = udp_resident(&w->packet.key, now);
	verdict = resident && !nonce ? udp_begin_session(flow, own, resident->badge, &w->packet.key.local) : NULL;
	if (verdict) {
		udp_count(flow, d->length, verdict);
	} else {
		flow->message = WW_MESSAGE_HELLO;
		flow->epoch = state.epoch;
		if (!nonce)
			nonce = prf3(state.secret, bpf_ktime_get_ns(), bpf_get_prandom_u32(), WW_NONCE_FLOW);
		flow->nonce = nonce;
		judge_address(d, &w->who, stranger_flow(port, WW_OUT, IPPROTO_UDP, own->bank, false), &w->stranger);
		/* Where somebody has proved himself, an address alone does not do. */
		flow->by_address = !resident && w->stranger.action == WW_ALLOW;
		if (flow->by_address) {
			admit_address(d, own);
			count_datagram(d, own->unit->badge, 0, WW_OUT, &w->stranger);
		}
	}
	bpf_map_update_elem(&udp_flows, &w->packet.key, flow, how);
	made = bpf_map_lookup_elem(&udp_flows, &w->packet.key);
	if (!made || made->unit != flow->unit) {
		count_drop(WW_REASON_NO_MEMORY);
		return WW_DROP;
	}
	return udp_onward(skb, w, made, own, now);
}

/* A datagram of a unit's, which has been found. */
own_frame int udp_leaves(struct __sk_buff *skb, const struct datagram *d, const struct owner *own, __u32 at)
{
	struct udp_work *w = udp_room();
	struct ww_udp_flow *flow;
	__u64 now = coarse_now();

	if (skb->ingress_ifindex)
		return WW_PASS; /* sent again by verify; it may still have the socket that sent it first */
	if (w)
		w->parking.first = 0;
	if (!w || skb->ifindex == WW_LOOPBACK_IFINDEX || !parse_udp(skb, at, false, &w->packet) ||
	    is_for_many(skb, &w->packet, &w->packet.key.remote))
		return WW_BY_ADDRESS;
	flow = bpf_map_lookup_elem(&udp_flows, &w->packet.key);
	if (!udp_in_use(flow, own->unit->badge, now))
		return udp_opens(skb, d, w, own, 0, flow ? BPF_ANY : BPF_NOEXIST);
	if (flow->direction == WW_OUT && elapsed(now, flow->stamped) >= WW_UDP_AGAIN_NS && flow->epoch != (__u8)state.epoch)
		flow->peer = 0; /* the proof is by a key that may be gone */
	if (!flow->peer && (flow->generation != own->generation || flow->message != WW_MESSAGE_HELLO))
		return udp_opens(skb, d, w, own, flow->message == WW_MESSAGE_HELLO ? flow->nonce : 0, BPF_ANY);
	if (flow->peer && !udp_still_allowed(flow, own, &w->packet.key.remote))
		return WW_DROP;
	flow->seen = now;
	return flow->direction == WW_IN ? udp_reply(skb, w, flow, now) : udp_onward(skb, w, flow, own, now);
}

/*
 * A later fragment of a datagram whose first one has been kept. The call leaves in the last one's place, when all of it
 * can be called for; where the data has left by itself the call has gone ahead.
 */
own_frame int udp_follows(struct __sk_buff *skb, struct fragment_begun *begun, __u32 at)
{
	struct udp_work *w = udp_room();
	struct ww_udp_parked *first = parked(begun->kept);
	struct ww_udp_flow *flow;

	if (!w || !first || READ_ONCE(first->ticket) != begun->kept) { /* called for already, or overwritten */
		if (!begun->sent)
			count(WW_COUNT_UDP_LATE);
		return begun->sent ? WW_PASS : WW_DROP;
	}
	park_more(skb, w, first, begun, at);
	if (begun->sent)
		return WW_PASS;
	if (!is_last_fragment(skb, at))
		return WW_KEPT;
	flow = bpf_map_lookup_elem(&udp_flows, &w->packet.key);
	if (!flow || flow->direction != WW_OUT || flow->nonce != w->parking.nonce) {
		count(WW_COUNT_UDP_LATE);
		return WW_DROP;
	}
	trailer_of_flow(&w->trailer, flow, WW_MESSAGE_HELLO);
	store_be64(w->trailer.server_nonce, 0);
	store_be64(w->trailer.proof, 0);
	w->trailer.ticket = bpf_htonl(begun->kept);
	return call_alone(skb, w);
}

#endif /* WW_UDP_LEAVING_H */
