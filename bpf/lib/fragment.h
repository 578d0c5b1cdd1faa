/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments on their way out. The first one has the upper layer's header and is judged; the others follow when it
 * was let through, and only then. What comes in has been put together before anybody here sees it.
 */
#ifndef WW_FRAGMENT_H
#define WW_FRAGMENT_H

#include "datagram.h"

struct fragment_key {
	struct ww_address local;
	struct ww_address remote;
	__u32 identification;	/* network order */
	__u32 family;		/* 4 has 16 bits for its identification, 6 has 32 */
};

/* First fragments that left lately; value unused. The least recently used give way: their rest stays behind. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fragment_key);
	__type(value, __u32);
} fragmented SEC(".maps");

inline_always void fragment_key_of(struct fragment_key *key, const struct __sk_buff *skb, const struct datagram *d)
{
	key->local = d->key.local;
	key->remote = d->key.remote;
	key->identification = d->identification;
	key->family = skb->protocol;
}

/* The first one may leave. */
own_frame void fragment_begins(struct __sk_buff *skb, const struct datagram *d)
{
	struct fragment_key key;
	__u32 unused = 0;

	fragment_key_of(&key, skb, d);
	bpf_map_update_elem(&fragmented, &key, &unused, BPF_ANY);
}

/* Whether the first one has left. */
own_frame bool fragment_follows(struct __sk_buff *skb, const struct datagram *d)
{
	struct fragment_key key;

	fragment_key_of(&key, skb, d);
	return bpf_map_lookup_elem(&fragmented, &key);
}

#endif /* WW_FRAGMENT_H */
