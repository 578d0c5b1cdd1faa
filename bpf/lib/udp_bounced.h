/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The client's side of what comes back: a bounce, for which the datagram is sent again with a proof, and the answer
 * by which the server proves itself.
 */
#ifndef WW_UDP_BOUNCED_H
#define WW_UDP_BOUNCED_H

#include "udp_resent.h"

/* Who is there, from now on. */
inline_always void settle_place(const struct ww_datagram_key *key, __u32 badge, __u64 now)
{
	struct ww_udp_place place = { .address = key->remote, .port = key->remote_port };
	struct ww_udp_resident resident = { .seen = now, .badge = badge };

	bpf_map_update_elem(&udp_places, &place, &resident, BPF_ANY);
}

/* The key shared with a peer, for the epochs that a trailer names; NULL when he is not known here. */
own_frame const __u64 *key_of_server(const struct trailer *t, __u32 bank)
{
	__u32 badge = bpf_ntohl(t->badge);
	struct ww_peer *peer = bpf_map_lookup_elem(&peers, &badge);
	struct ww_keys *keyring = peer && peer->class[bank & 1] ? keys_of(peer->enforcer) : NULL;

	return keyring ? pairwise_key(keyring, t->epoch, t->server_epoch) : NULL;
}

/* What a bounce changes about its flow: who the server is, and the proof for it. */
inline_always void settle_flow(struct udp_work *w, struct ww_udp_flow *flow, const __u64 *key, __u64 now)
{
	struct trailer *t = &w->trailer;
	__u32 server = bpf_ntohl(t->badge);

	flow->server_nonce = load_be64(t->server_nonce);
	flow->server_epoch = t->server_epoch;
	flow->epoch = t->epoch;
	flow->message = WW_MESSAGE_CHALLENGE;
	flow->proof = trailer_proof(key, WW_MESSAGE_CHALLENGE, flow->unit, server, t);
	flow->peer = server;
	flow->by_address = 0;
	flow->answered = 0;
	flow->action = WW_ALLOW;
	flow->stamped = now;
	settle_place(&w->packet.key, server, now);
}

/* What left before the server proved itself on the flow was not bounced by it: then somebody has sent a copy. */
inline_always bool arrived(const struct ww_udp_flow *flow, const struct ww_udp_parked *slot)
{
	return slot->sent && flow->answered && slot->when <= flow->asked;
}

/*
 * A bounce. Only one that names a datagram which is still kept, of this flow, and that the server's key vouches for
 * does anything; the outgoing rules decide whether the proof, and the data, go there.
 */
own_frame int udp_bounced(struct __sk_buff *skb, struct udp_work *w)
{
	__u32 ticket = bpf_ntohl(w->trailer.ticket), index = ticket & (WW_PARKED - 1), generation = generation_now();
	struct ww_udp_parked *slot = bpf_map_lookup_elem(&udp_parked, &index);
	struct ww_udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &w->packet.key);
	struct owner own = { .generation = generation, .bank = bank_of(generation) };
	__u64 now = coarse_now(), nonce = load_be64(w->trailer.nonce);
	struct ww_verdict *verdict;
	const __u64 *key;

	if (!flow || flow->direction != WW_OUT || flow->nonce != nonce)
		return TC_ACT_SHOT;
	found_unit(flow->unit);
	if (!slot || !ticket || READ_ONCE(slot->ticket) != ticket || slot->nonce != nonce ||
	    slot->key.local_port != w->packet.key.local_port || slot->key.remote_port != w->packet.key.remote_port ||
	    !address_equal(&slot->key.remote, &w->packet.key.remote) ||
	    !address_equal(&slot->key.local, &w->packet.key.local) || arrived(flow, slot)) {
		count(WW_COUNT_UDP_LATE);
		return TC_ACT_SHOT;
	}
	key = key_of_server(&w->trailer, own.bank);
	if (!key || load_be64(w->trailer.proof) != trailer_proof(key, WW_MESSAGE_BOUNCE, flow->unit,
								 bpf_ntohl(w->trailer.badge), &w->trailer)) {
		count_drop(key ? WW_REASON_PROOF_WRONG : WW_REASON_KEY_MISSING);
		return TC_ACT_SHOT;
	}
	own.unit = unit_at(slot->place);
	if (!own.unit || own.unit->badge != flow->unit || !own.unit->class[own.bank & 1]) {
		count_drop(WW_REASON_UNIT_UNKNOWN);
		return TC_ACT_SHOT;
	}
	verdict = udp_verdict(&own, bpf_ntohl(w->trailer.badge), WW_OUT, flow->port);
	if (!verdict || verdict->action != WW_ALLOW) {
		report_refusal(&w->packet.key.remote, flow->unit, bpf_ntohl(w->trailer.badge),
			       refusal_of(flow->port, WW_OUT, IPPROTO_UDP, WW_REASON_POLICY), verdict);
		return TC_ACT_SHOT;
	}
	if (flow->by_address)
		bpf_map_delete_elem(&datagrams, &w->packet.key);
	if (flow->peer != bpf_ntohl(w->trailer.badge)) {
		flow->peer = bpf_ntohl(w->trailer.badge);
		udp_count(flow, w->packet.udp_at - w->packet.at + slot->length, verdict);
	}
	flow->generation = generation;
	settle_flow(w, flow, key, now);
	return resend(skb, w, ticket, flow);
}

/* The server's proof, in a reply or ahead of one. */
own_frame int udp_answered(struct __sk_buff *skb, struct udp_work *w)
{
	struct ww_udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &w->packet.key);
	struct trailer *t = &w->trailer;
	int bodyless = t->flags & WW_TRAILER_BODYLESS ? TC_ACT_SHOT : TC_ACT_UNSPEC;
	struct ww_udp_opened session = {}, *known;
	struct ww_udp_pair pair = {};
	__u64 now = coarse_now();
	const __u64 *key;

	if (!flow || flow->direction != WW_OUT || flow->nonce != load_be64(t->nonce) || !flow->peer ||
	    flow->peer != bpf_ntohl(t->badge))
		return bodyless; /* no flow of ours: what has a payload is judged as any other */
	found_unit(flow->unit);
	if (flow->answered)
		return bodyless;
	key = key_of_server(t, bank_of(generation_now()));
	if (!key || load_be64(t->proof) != trailer_proof(key, WW_MESSAGE_ANSWER, flow->unit, flow->peer, t)) {
		count_drop(key ? WW_REASON_PROOF_WRONG : WW_REASON_KEY_MISSING);
		return TC_ACT_SHOT;
	}
	flow->answered = 1;
	flow->asked = now;
	settle_place(&w->packet.key, flow->peer, now);
	pair.client = w->packet.key.local;
	pair.unit = flow->unit;
	pair.peer = flow->peer;
	session.nonce = load_be64(t->server_nonce);
	session.epoch = t->epoch;
	session.server_epoch = t->server_epoch;
	known = bpf_map_lookup_elem(&udp_opened, &pair);
	if (!known || known->nonce != session.nonce)
		bpf_map_update_elem(&udp_opened, &pair, &session, BPF_ANY);
	return bodyless;
}

#endif /* WW_UDP_BOUNCED_H */
