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

/* What has become of a first fragment. */
struct fragment_begun {
	__u32 kept;	/* ticket of its copy, if the rest is to be kept too */
	__u32 last;	/* of the piece that was kept last */
	__u32 sent;	/* it has left, kept or not */
};

/* First fragments that left, or were kept, lately. The least recently used give way: their rest stays behind. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fragment_key);
	__type(value, struct fragment_begun);
} fragmented SEC(".maps");

inline_always void fragment_key_of(struct fragment_key *key, const struct __sk_buff *skb, const struct datagram *d)
{
	key->local = d->key.local;
	key->remote = d->key.remote;
	key->identification = d->identification;
	key->family = skb->protocol;
}

/* The first one may leave (*sent*), or has been kept in the slot of that ticket. */
own_frame void fragment_begins(struct __sk_buff *skb, const struct datagram *d, __u32 kept, bool sent)
{
	struct fragment_begun begun = { .kept = kept, .last = kept, .sent = sent };
	struct fragment_key key;

	fragment_key_of(&key, skb, d);
	bpf_map_update_elem(&fragmented, &key, &begun, BPF_ANY);
}

/* What has become of the first one; NULL when it may not leave. */
own_frame struct fragment_begun *fragment_follows(struct __sk_buff *skb, const struct datagram *d)
{
	struct fragment_key key;

	fragment_key_of(&key, skb, d);
	return bpf_map_lookup_elem(&fragmented, &key);
}

/* Whether no other follows: by the IP header, or the extension header right behind it. */
own_frame bool is_last_fragment(struct __sk_buff *skb, __u32 at)
{
	struct extension head;
	struct iphdr ip;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		return !bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) && !(ip.frag_off & bpf_htons(WW_MORE_FRAGMENTS4));
	return !bpf_skb_load_bytes(skb, at + sizeof(struct ipv6hdr), &head, sizeof(head)) &&
	       !(head.fragment & bpf_htons(WW_MORE_FRAGMENTS6));
}

#endif /* WW_FRAGMENT_H */
