/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What units ask resolvers, and what they are told: the two ends of a look-up, as the hooks see it. */
#ifndef WW_RESOLVING_H
#define WW_RESOLVING_H

#include "datagram.h"
#include "dns.h"

/* Offset and size of what a UDP datagram carries; 0: it has no whole header. */
inline_always __u32 udp_payload(struct __sk_buff *skb, const struct datagram *d, __u32 *size)
{
	struct udp_header udp;

	if (bpf_skb_load_bytes(skb, d->at, &udp, sizeof(udp)))
		return 0;
	*size = bpf_ntohs(udp.length) - sizeof(udp);
	return d->at + sizeof(udp);
}

/* Whether a datagram goes to, or comes from, a resolver whose answers are believed. */
inline_always bool is_resolving(const struct datagram *d)
{
#ifdef WW_OLDER
	return false; /* reading takes loops by call (5.17) */
#endif
	return d->protocol == IPPROTO_UDP && d->key.remote_port == bpf_htons(WW_DNS_PORT) &&
	       bpf_map_lookup_elem(&resolvers, &d->key.remote);
}

inline_always void asked_key_of(struct ww_asked_key *key, struct __sk_buff *skb, const struct dns *dns, __u32 unit)
{
	key->socket = bpf_get_socket_cookie(skb);
	key->name = dns->name;
	key->id = number_at(dns, 0);
	key->type = dns->type;
	key->unit = unit;
}

/* A datagram to a resolver leaves: if it is a question, its answer may teach. */
own_frame void note_question(struct __sk_buff *skb, const struct datagram *d, __u32 unit)
{
	struct ww_asked value = { .resolver = d->key.remote };
	__u32 size = 0, at = udp_payload(skb, d, &size);
	struct ww_asked_key key = {};
	struct dns *dns;

	dns = at ? load_message(skb, at, size) : NULL;
	if (!dns)
		return;
	if (!(number_at(dns, 2) & (WW_DNS_RESPONSE | WW_DNS_OPCODE)) && read_question(dns)) {
		asked_key_of(&key, skb, dns, unit);
		value.at = dns->now;
		bpf_map_update_elem(&asked, &key, &value, BPF_ANY);
	}
	give_back(&dns->busy);
}

/* Whether this is the first answer to a question of this very socket, from whom it went to, in time. */
inline_always bool was_asked(struct __sk_buff *skb, const struct dns *dns, const struct datagram *d, __u32 unit)
{
	struct ww_asked_key key = {};
	struct ww_asked *known;
	bool fits;

	asked_key_of(&key, skb, dns, unit);
	known = bpf_map_lookup_elem(&asked, &key);
	if (!known)
		return false;
	fits = address_equal(&known->resolver, &d->key.remote) && elapsed(dns->now, known->at) < WW_DNS_PATIENCE_NS;
	return !bpf_map_delete_elem(&asked, &key) && fits;
}

/* On the loopback device whoever sent the answer is known, and it must be somebody else. */
inline_always bool is_own_answer(struct __sk_buff *skb, const struct datagram *d, __u32 unit)
{
	__u32 sender;

	if (skb->ifindex != WW_LOOPBACK_IFINDEX)
		return false;
	sender = loopback_sender(skb, &d->key);
	return !sender || sender == unit;
}

/* Adds a look-up to its aggregate. *name*: keyed hash of what was asked for, which lookup.text spells. */
own_frame void count_lookup(struct dns *dns, __u64 name, __u32 result)
{
	struct ww_lookup_key key = { .name = name, .unit = dns->unit, .type = dns->type, .result = result };
	struct ww_lookup *found = bpf_map_lookup_elem(&lookups, &key);

	if (!found) {
		dns->lookup.count = 0;
		dns->lookup.first_seen = dns->now;
		bpf_map_update_elem(&lookups, &key, &dns->lookup, BPF_NOEXIST);
		found = bpf_map_lookup_elem(&lookups, &key);
	}
	if (!found) {
		count(WW_COUNT_LOOKUP_LOST);
		return;
	}
	__sync_fetch_and_add(&found->count, 1);
	found->last_seen = dns->now;
	found->addresses = dns->addresses;
}

/* An answer that was not read whole is asked for once more, by the agent, for this unit. */
own_frame void ask_again(const struct dns *dns, __u64 name)
{
	struct ww_event event = {
		.kind = WW_EVENT_NAME,
		.badge = dns->unit,
		.sequence = dns->type,
		.socket = name,
		.remote = dns->lookup.resolver,
	};

	count(WW_COUNT_ANSWER_UNREAD);
	emit(&event);
}

/* The answer in *dns*, whose question has been read and was asked. Returns whether the unit may have it. */
inline_always int take_answer(struct dns *dns)
{
	__u64 name = dns->name;
	__u32 result;

	dns->lookup.length = dns->length;
	__builtin_memcpy(dns->lookup.text, dns->text, sizeof(dns->lookup.text));
	result = learn_answer(dns);
	count_lookup(dns, name, result);
	if (result == WW_LOOKUP_TRUNCATED || result == WW_LOOKUP_UNREAD)
		ask_again(dns, name);
	if (result != WW_LOOKUP_LOST)
		return WW_PASS;
	count(WW_COUNT_NAME_LOST); /* a name that some rule is about: better no answer than one that nobody judges */
	return WW_DROP;
}

/* A datagram from a resolver has come for a unit, which policy lets it have. */
own_frame int receive_answer(struct __sk_buff *skb, const struct datagram *d, __u32 unit)
{
	__u32 size = 0, at = udp_payload(skb, d, &size);
	int verdict = WW_PASS;
	struct dns *dns;

	dns = at ? load_message(skb, at, size) : NULL;
	if (!dns) {
		count(WW_COUNT_ANSWER_UNREAD);
		return WW_PASS;
	}
	dns->unit = unit;
	dns->lookup.resolver = d->key.remote;
	if ((number_at(dns, 2) & (WW_DNS_RESPONSE | WW_DNS_OPCODE)) != WW_DNS_RESPONSE || !read_question(dns) ||
	    is_own_answer(skb, d, unit) || !was_asked(skb, dns, d, unit))
		count(WW_COUNT_ANSWER_STRAY);
	else
		verdict = take_answer(dns);
	give_back(&dns->busy);
	return verdict;
}

#endif /* WW_RESOLVING_H */
