/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The server's side: a datagram that says who calls. It is let through when it proves that, for a session and a call
 * number not seen before or for the nonce of a bounce that fits its two ends; else it is bounced, once, reduced to
 * what the client's kernel needs to prove itself and to send it again. Nothing is kept of a bounce.
 */
#ifndef WW_UDP_CALLED_H
#define WW_UDP_CALLED_H

#include "udp_flow.h"

/* Sessions with those who have called, by own unit, caller and the address he proved himself from. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WW_MAX_SESSIONS);
	__type(key, struct ww_udp_pair);
	__type(value, struct ww_udp_admitted);
} udp_admitted SEC(".maps");

/* Bounces by source (the last one counts all), in one word each: the second, and how many in it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WW_BOUNCES + 1);
	__type(key, __u32);
	__type(value, __u64);
} udp_bounces SEC(".maps");

#define WW_BOUNCE_SHIFT 30 /* of ns: about a second */
#define WW_BOUNCES_SOURCE 2048
#define WW_BOUNCES_ALL 32768
/* A session is not replaced while both ends may still be finding out about it. */
#define WW_SESSION_SETTLES_NS (1000ULL * 1000 * 1000)

inline_always bool bounce_counted(__u32 index, __u32 limit, __u64 now)
{
	__u64 *word = bpf_map_lookup_elem(&udp_bounces, &index), second = now >> WW_BOUNCE_SHIFT;

	if (!word)
		return false;
	if (READ_ONCE(*word) >> 32 != (second & 0xffffffff)) {
		WRITE_ONCE(*word, second << 32 | 1);
		return true;
	}
	return COUNTED_WITHIN(word, limit);
}

/* An IPv6 source is its /64: within it, addresses cost nothing. */
inline_always bool may_bounce(const struct ww_address *remote, __u64 now)
{
	__u64 mix = (__u64)remote->word[1] << 32 | remote->word[0];

	if (address_is_v4(remote))
		mix = remote->word[3];
	mix = prf3(state.secret, mix, 0, WW_NONCE_CHALLENGE);
	return bounce_counted(mix & (WW_BOUNCES - 1), WW_BOUNCES_SOURCE, now) &&
	       bounce_counted(WW_BOUNCES, WW_BOUNCES_ALL, now);
}

/* The cgroup of a socket that was looked up; the helper that asks for its ID is not there for tc programs. */
inline_always struct cgroup *cgroup_of(struct bpf_sock *sk)
{
	struct cgroup *group = NULL;
	__u64 held = 0;

	if (bpf_probe_read_kernel(&held, sizeof(held), &sk) || !group_at((void *)held, &group))
		return NULL;
	return group;
}

/*
 * The unit placed nearest above a cgroup that is below this Enforcer's root. Levels that it does not reach are taken
 * out beforehand: a comparison for each of them makes the verifier look at ten times as many states.
 */
own_frame struct ww_unit *unit_of_cgroup(struct cgroup *group)
{
	__u32 depth = BPF_CORE_READ(group, level), root_level = READ_ONCE(state.root_level);
	__u32 levels = READ_ONCE(state.levels);
	struct ww_unit *unit;

	if (depth < WW_MAX_LEVELS)
		levels &= (2U << depth) - 1;
	if (depth < root_level || id_at_level(group, root_level) != READ_ONCE(state.root))
		return NULL;
	unit = unit_at(BPF_CORE_READ(group, kn, id));
	for (int level = WW_MAX_LEVELS - 1; level >= 0 && !unit; level--) {
		if (levels & (1U << level))
			unit = unit_at(id_at_level(group, level));
	}
	return unit;
}

/* Whose socket the datagram is for; NULL when it is nobody's here, or one that is not judged. */
own_frame struct ww_unit *unit_called(struct __sk_buff *skb, const struct udp_packet *p)
{
	struct bpf_sock_tuple tuple = {};
	struct ww_unit *unit = NULL;
	struct cgroup *group;
	struct bpf_sock *sk;

	if (p->v4) {
		tuple.ipv4.saddr = p->key.remote.word[3];
		tuple.ipv4.daddr = p->key.local.word[3];
		tuple.ipv4.sport = p->key.remote_port;
		tuple.ipv4.dport = p->key.local_port;
		sk = bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, p->key.remote.word, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, p->key.local.word, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = p->key.remote_port;
		tuple.ipv6.dport = p->key.local_port;
		sk = bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!sk)
		return NULL;
	group = cgroup_of(sk);
	if (group && !is_agent(BPF_CORE_READ(group, kn, id)))
		unit = unit_of_cgroup(group);
	bpf_sk_release(sk);
	return unit;
}

/* Refuses the datagram on the record of the unit that it was for. */
inline_always int called_drop(const struct udp_work *w, const struct owner *own, enum ww_reason reason,
			      const struct ww_verdict *verdict)
{
	report_refusal(&w->packet.key.remote, own->unit->badge, bpf_ntohl(w->trailer.badge),
		       refusal_of(bpf_ntohs(w->packet.key.local_port), WW_IN, IPPROTO_UDP, reason), verdict);
	return TC_ACT_SHOT;
}

/* Sends back who was called and what to prove for. */
own_frame int bounce(struct __sk_buff *skb, struct udp_work *w, const struct owner *own, const __u64 *key)
{
	__u64 now = coarse_now();
	struct trailer *t = &w->trailer;
	__u32 client = bpf_ntohl(t->badge);

	if (!may_bounce(&w->packet.key.remote, now)) {
		count(WW_COUNT_BOUNCE_LIMITED);
		count_drop(WW_REASON_PROOF_MISSING);
		return TC_ACT_SHOT;
	}
	t->message = WW_MESSAGE_BOUNCE;
	t->server_epoch = state.epoch & 1;
	t->badge = bpf_htonl(own->unit->badge);
	store_be64(t->server_nonce, challenge_nonce(&w->packet.key, load_be64(t->nonce), now >> WW_UDP_TICK_SHIFT,
						    state.epoch));
	store_be64(t->proof, trailer_proof(key, WW_MESSAGE_BOUNCE, client, own->unit->badge, t));
	if (!reduce(skb, &w->packet, t, true)) {
		count(WW_COUNT_STAMP_FAILED);
		return TC_ACT_SHOT;
	}
	count(WW_COUNT_BOUNCED);
	return bpf_redirect(skb->ifindex, 0);
}

/* Whether this call of the session is the first with its number; what is too old to be known is not. */
inline_always bool window_takes(struct ww_udp_admitted *session, __u64 call)
{
	__u64 bit = 1ULL << (call & 63), gap;
	__u32 word = (call >> 6) & 15;

	if (call > session->highest) {
		gap = (call >> 6) - (session->highest >> 6);
		for (__u32 i = 1; i <= 16; i++) { /* the words that come into the window begin empty */
			if (i <= gap)
				session->bits[((session->highest >> 6) + i) & 15] = 0;
		}
		session->highest = call;
	} else if ((session->highest >> 6) - (call >> 6) >= 16 || (session->bits[word] & bit)) {
		return false;
	}
	session->bits[word] |= bit;
	return true;
}

own_frame bool call_is_new(struct ww_udp_admitted *session, __u64 call)
{
	bool taken;

	if (!call || !take(&session->busy))
		return false;
	taken = window_takes(session, call);
	give_back(&session->busy);
	return taken;
}

inline_always struct ww_udp_admitted *session_of(const struct udp_work *w, __u32 unit, __u32 peer)
{
	struct ww_udp_pair pair = { .client = w->packet.key.remote, .unit = unit, .peer = peer };

	return bpf_map_lookup_elem(&udp_admitted, &pair);
}

/*
 * The session that later calls of a peer come under, made anew when he has proved himself by a bounce. Its nonce is
 * random, so no call of an earlier session opens anything under it.
 */
own_frame __u64 begin_session(struct udp_work *w, __u32 unit, __u32 peer, __u64 now)
{
	struct ww_udp_pair pair = { .client = w->packet.key.remote, .unit = unit, .peer = peer };
	struct ww_udp_admitted *session = bpf_map_lookup_elem(&udp_admitted, &pair);

	if (session && elapsed(now, session->since) < WW_SESSION_SETTLES_NS)
		return session->nonce;
	__builtin_memset(&w->admitted, 0, sizeof(w->admitted));
	w->admitted.since = now;
	w->admitted.nonce = (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
	w->admitted.nonce = (prf3(state.secret, w->admitted.nonce, bpf_ktime_get_ns(), unit) & ~1ULL) | (state.epoch & 1);
	bpf_map_update_elem(&udp_admitted, &pair, &w->admitted, BPF_ANY);
	return w->admitted.nonce;
}

/* The flow that a proof has opened, with the answer that its replies are going to carry. */
inline_always int admit(struct udp_work *w, const struct owner *own, const __u64 *key, const struct ww_verdict *verdict,
			__u64 session)
{
	__u64 now = coarse_now();
	struct trailer *t = &w->trailer;
	struct ww_udp_flow *flow = &w->flow;
	bool bodyless = t->flags & WW_TRAILER_BODYLESS;

	__builtin_memset(flow, 0, sizeof(*flow));
	flow->nonce = load_be64(t->nonce);
	flow->server_nonce = session;
	flow->opened = flow->seen = flow->asked = now;
	flow->unit = own->unit->badge;
	flow->peer = bpf_ntohl(t->badge);
	flow->generation = own->generation;
	flow->dialled = bpf_ntohs(t->dialled);
	flow->port = bpf_ntohs(w->packet.key.local_port);
	flow->epoch = t->epoch;
	flow->server_epoch = t->server_epoch;
	flow->direction = WW_IN;
	flow->action = WW_ALLOW;
	flow->owed = WW_UDP_ANSWERS;
	store_be64(t->server_nonce, session);
	flow->proof = trailer_proof(key, WW_MESSAGE_ANSWER, flow->peer, flow->unit, t);
	if (bpf_map_update_elem(&udp_flows, &w->packet.key, flow, BPF_ANY))
		return called_drop(w, own, WW_REASON_NO_MEMORY, NULL);
	count(WW_COUNT_UDP_PROVED);
	udp_count(flow, w->packet.total - surplus_of(w->packet.length), verdict);
	return bodyless ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

/* Whether the nonce of a bounce is proved for, by the two ends and the call that it was made for. */
inline_always bool challenge_met(const struct udp_work *w, const __u64 *key, __u32 unit)
{
	const struct trailer *t = &w->trailer;
	__u64 tick = coarse_now() >> WW_UDP_TICK_SHIFT, nonce = load_be64(t->nonce), made = load_be64(t->server_nonce);

	if (made != challenge_nonce(&w->packet.key, nonce, tick, t->server_epoch) &&
	    made != challenge_nonce(&w->packet.key, nonce, tick - 1, t->server_epoch))
		return false;
	return load_be64(t->proof) == trailer_proof(key, WW_MESSAGE_CHALLENGE, bpf_ntohl(t->badge), unit, t);
}

/* A caller that policy lets in, with the key that it has to prove itself by. */
inline_always int called_prove(struct __sk_buff *skb, struct udp_work *w, const struct owner *own, const __u64 *key,
			   const struct ww_verdict *verdict)
{
	struct trailer *t = &w->trailer;
	__u32 unit = own->unit->badge, peer = bpf_ntohl(t->badge);
	struct ww_udp_admitted *session;

	if (t->message == WW_MESSAGE_CHALLENGE) {
		if (challenge_met(w, key, unit))
			return admit(w, own, key, verdict, begin_session(w, unit, peer, coarse_now()));
		if (!t->ticket) /* it has been bounced before */
			return called_drop(w, own, WW_REASON_PROOF_WRONG, NULL);
	}
	session = session_of(w, unit, peer);
	if (t->message == WW_MESSAGE_SESSION && session && session->nonce == load_be64(t->server_nonce) &&
	    load_be64(t->proof) == trailer_proof(key, WW_MESSAGE_SESSION, peer, unit, t) &&
	    call_is_new(session, load_be64(t->nonce)))
		return admit(w, own, key, verdict, session->nonce);
	return bounce(skb, w, own, key);
}

own_frame void badge_missed(const struct udp_work *w)
{
	struct ww_event event = {
		.kind = WW_EVENT_BADGE_UNKNOWN,
		.badge = bpf_ntohl(w->trailer.badge),
		.local = w->packet.key.local,
		.remote = w->packet.key.remote,
		.local_port = w->packet.key.local_port,
		.remote_port = w->packet.key.remote_port,
	};

	emit(&event);
}

own_frame int called_judge(struct __sk_buff *skb, struct udp_work *w, const struct owner *own)
{
	__u32 badge = bpf_ntohl(w->trailer.badge);
	struct ww_peer *peer = bpf_map_lookup_elem(&peers, &badge);
	struct ww_verdict *verdict;
	struct ww_keys *keyring;
	const __u64 *key;
	__u8 own_epoch = w->trailer.message == WW_MESSAGE_HELLO ? state.epoch : w->trailer.server_epoch;

	if (!peer || !peer->class[own->bank & 1]) {
		badge_missed(w);
		return called_drop(w, own, WW_REASON_BADGE_UNKNOWN, NULL);
	}
	verdict = verdict_of(own->bank, own->unit->class[own->bank & 1], peer->class[own->bank & 1], WW_IN, IPPROTO_UDP,
			     bpf_ntohs(w->packet.key.local_port));
	if (!verdict || verdict->action != WW_ALLOW)
		return called_drop(w, own, WW_REASON_POLICY, verdict);
	keyring = keys_of(peer->enforcer);
	key = keyring ? pairwise_key(keyring, own_epoch, w->trailer.epoch) : NULL;
	if (!key && keyring) {
		w->trailer.message = WW_MESSAGE_HELLO; /* by a key that is gone here: asked for another proof */
		key = pairwise_key(keyring, state.epoch, w->trailer.epoch);
	}
	if (!key)
		return called_drop(w, own, WW_REASON_KEY_MISSING, NULL);
	return called_prove(skb, w, own, key, verdict);
}

/* A datagram that says who calls. What is not for a unit here goes on as it came. */
own_frame int udp_called(struct __sk_buff *skb, struct udp_work *w)
{
	struct ww_udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &w->packet.key);
	struct owner own = { .generation = generation_now() };
	__u64 now = coarse_now();

	/* A call without its data is asked for that, also when others of its flow have been let in meanwhile. */
	if (w->trailer.message == WW_MESSAGE_HELLO && (w->trailer.flags & WW_TRAILER_BODYLESS))
		flow = NULL;
	if (flow && flow->direction == WW_IN && flow->peer == bpf_ntohl(w->trailer.badge) &&
	    flow->nonce == load_be64(w->trailer.nonce) && udp_in_use(flow, flow->unit, now)) {
		flow->seen = flow->asked = now;
		flow->owed = WW_UDP_ANSWERS;
		found_unit(flow->unit);
		return w->trailer.flags & WW_TRAILER_BODYLESS ? TC_ACT_SHOT : TC_ACT_UNSPEC;
	}
	own.bank = bank_of(own.generation);
	if (class_of_address(&w->packet.key.remote, own.bank) == WW_CLASS_EXCLUDED)
		return TC_ACT_UNSPEC; /* left alone: what it says of itself does not matter */
	own.unit = unit_called(skb, &w->packet);
	if (!own.unit)
		return TC_ACT_UNSPEC;
	found_unit(own.unit->badge);
	if (!own.generation || !own.unit->class[own.bank & 1]) {
		count_drop(own.generation ? WW_REASON_UNIT_UNKNOWN : WW_REASON_TABLES_EMPTY);
		return TC_ACT_SHOT;
	}
	return called_judge(skb, w, &own);
}

#endif /* WW_UDP_CALLED_H */
