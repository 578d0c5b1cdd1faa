// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * names, run by the agent alone: learn reads an answer that the agent itself has got from a resolver, as
 * enforce reads those of units; forget_learned and forget_spelled, in this order, let go of what has run out.
 */
#define WW_ITERATOR
#include "lib/resolving.h"

/* What stands before the message: an Ethernet header of no protocol, and for whom it is. */
struct lesson {
	__u8 header[ETH_HLEN];
	__u8 pad[2];
	__u32 unit;
};

/* What the agent has reported of each count of look-ups; no program uses it, it only outlives the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_LOOKUPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ww_lookup_key);
	__type(value, __u64);
} lookups_told SEC(".maps");

/* Returns enum ww_lookup_result; WW_LOOKUP_UNREAD for what is no answer at all. */
SEC("tc")
int learn(struct __sk_buff *skb)
{
	__u32 result = WW_LOOKUP_UNREAD;
	struct lesson lesson;
	struct dns *dns;

	if (bpf_skb_load_bytes(skb, 0, &lesson, sizeof(lesson)))
		return WW_LOOKUP_UNREAD;
	dns = load_message(skb, sizeof(lesson), skb->len - sizeof(lesson));
	if (!dns)
		return WW_LOOKUP_UNREAD;
	dns->unit = lesson.unit;
	if ((number_at(dns, 2) & (WW_DNS_RESPONSE | WW_DNS_OPCODE)) == WW_DNS_RESPONSE && read_question(dns))
		result = learn_answer(dns);
	give_back(&dns->busy);
	return result;
}

/* What has run out is kept for connections that live, and this long for those that nobody sees (datagrams). */
#define WW_GRACE_NS (600ULL * 1000 * 1000 * 1000)

inline_always bool is_over(const struct ww_learned *entry, __u64 now)
{
	if (entry->kept + WW_GRACE_NS > now)
		return false;
	for (int i = 0; i < WW_NAMES_EACH; i++) {
		if (entry->names[2 * i] && entry->names[2 * i + 1] + WW_GRACE_NS > now)
			return false;
	}
	return true;
}

SEC("iter/bpf_map_elem")
int forget_learned(struct bpf_iter__bpf_map_elem *ctx)
{
	struct ww_learned_key *found = ctx->key, key;
	struct ww_learned *entry = ctx->value;
	struct ww_spelled *known;
	__u64 name;

	if (!found || !entry)
		return 0;
	if (is_over(entry, bpf_ktime_get_ns())) {
		key = *found;
		bpf_map_delete_elem(&learned, &key);
		return 0;
	}
	for (int i = 0; i < WW_NAMES_EACH; i++) {
		name = entry->names[2 * i];
		known = bpf_map_lookup_elem(&spelled, &name);
		if (known)
			known->used = state.forgetting;
	}
	return 0;
}

/* A name that two passes found no address under; the second because one may have been about to be learned. */
SEC("iter/bpf_map_elem")
int forget_spelled(struct bpf_iter__bpf_map_elem *ctx)
{
	struct ww_spelled *entry = ctx->value;
	__u64 *found = ctx->key, name;

	if (!found || !entry || state.forgetting - entry->used < 2)
		return 0;
	name = *found;
	bpf_map_delete_elem(&spelled, &name);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
