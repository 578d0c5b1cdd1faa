/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sending again what was kept: the bounce becomes the datagram, with a proof in it or ahead of it. What was kept in pieces
 * that are packets of their own follows the proof, one packet after the other.
 */
#ifndef WW_UDP_RESENT_H
#define WW_UDP_RESENT_H

#include "udp_leaving.h"

#define WW_SUM_STEP 256 /* bytes; what one call sums */

/* Sum over header and payload; the body has room for the bytes that make whole words of it. */
own_frame __u32 sum_of_body(__u8 *body, __u32 length)
{
	__u32 sum = 0, at, left;

	if (length > WW_PARKED_SIZE)
		return 0;
	for (__u32 i = 0; i < 3; i++) {
		at = length + i;
		if (at & 3)
			body[at] = 0;
		else
			break;
	}
	for (at = 0; at < WW_PARKED_SIZE; at += WW_SUM_STEP) {
		if (at + WW_SUM_STEP <= length) {
			sum = bpf_csum_diff(NULL, 0, (__be32 *)(body + at), WW_SUM_STEP, sum);
			continue;
		}
		left = length - at;
		asm volatile("" : "+r"(left));
		left = (left + 3) & (WW_SUM_STEP - 4);
		if (left)
			sum = bpf_csum_diff(NULL, 0, (__be32 *)(body + at), left, sum);
		if ((length - at + 3) & WW_SUM_STEP) /* the last words fill the step */
			sum = bpf_csum_diff(NULL, 0, (__be32 *)(body + at), WW_SUM_STEP, sum);
		break;
	}
	return sum;
}

/* Whoever takes a slot first sends what is in it. */
inline_always struct ww_udp_parked *take_parked(__u32 ticket)
{
	struct ww_udp_parked *slot = parked(ticket);

	if (slot && ticket && clear_word(&slot->ticket, ticket))
		return slot;
	count(WW_COUNT_UDP_LATE);
	return NULL;
}

/* Writes the headers that were kept, for a packet of so many bytes behind them. */
own_frame bool refill_head(struct __sk_buff *skb, const struct udp_packet *p, struct ww_udp_parked *slot, __u32 length)
{
	__u32 head = head_end(p);

	if (slot->at != p->at || length > WW_PARTS * WW_PARKED_SIZE || bpf_skb_change_tail(skb, head + length, 0))
		return false;
	return WW_WITHIN(head, sizeof(struct iphdr), sizeof(slot->head)) && !bpf_skb_store_bytes(skb, 0, slot->head, head, 0);
}

/* Writes what a slot holds behind what has been written, and adds it to the sum. */
inline_always bool refill_body(struct __sk_buff *skb, struct udp_work *w, struct ww_udp_parked *slot)
{
	__u32 length = slot->length;

	if (!WW_WITHIN(length, 1, WW_PARKED_SIZE) ||
	    bpf_skb_store_bytes(skb, head_end(&w->packet) + w->filled, slot->body, length, 0))
		return false;
	w->filled += length;
	w->sum = folded((__u64)w->sum + folded(sum_of_body(slot->body, length)));
	return true;
}

/* One more part of the packet in hand; the number of the next. */
proved_by_packet int refill_part(struct __sk_buff *skb, __u32 ticket)
{
	struct ww_udp_parked *slot = take_parked(ticket);
	struct udp_work *w = udp_room();

	return w && slot && refill_body(skb, w, slot) ? slot->next : 0;
}

/*
 * Fills the packet in hand with the datagram that was kept. Whatever had become of its checksum when it was kept, it is
 * computed here.
 */
own_frame bool refill(struct __sk_buff *skb, struct udp_work *w, struct ww_udp_parked *slot)
{
	struct udp_header *udp = (void *)slot->body;
	struct udp_packet *p = &w->packet;
	__u32 length = bpf_ntohs(udp->length), ticket = slot->kind == WW_KEPT_PART ? slot->next : 0;

	p->udp = *udp;
	udp->check = 0;
	w->filled = w->sum = 0;
	if (!refill_head(skb, p, slot, length) || !refill_body(skb, w, slot))
		return false;
	for (__u32 i = 0; i < WW_PARTS && ticket; i++)
		ticket = refill_part(skb, ticket);
	if (w->filled != length)
		return false;
	p->udp_at = head_end(p);
	p->length = length;
	p->total = p->udp_at - p->at + length;
	p->fragment = false;
	if (p->udp.check) /* else the sender wants none */
		return store_check(skb, p->udp_at + WW_UDP_CHECK, udp_pseudo_sum(&p->key, length), 0, w->sum);
	return true;
}

/* One of the datagrams of a buffer: it has a length of its own, and a number as the kernel would count. */
inline_always bool refill_segment(struct __sk_buff *skb, struct udp_work *w, struct ww_udp_parked *slot)
{
	__u32 at = w->packet.at + offsetof(struct iphdr, id);
	__be16 id;

	if (!refill(skb, w, slot))
		return false;
	if (w->packet.v4) {
		if (bpf_skb_load_bytes(skb, at, &id, sizeof(id)))
			return false;
		id = bpf_htons(bpf_ntohs(id) + slot->number);
		if (bpf_skb_store_bytes(skb, at, &id, sizeof(id), 0))
			return false;
	}
	return store_ip(skb, &w->packet, w->packet.total, false);
}

#define WW_CHECKSUM_PARTIAL 3 /* include/linux/skbuff.h */

/* Whether the device is going to write a checksum into the packet, where that of the bounce was. */
own_frame bool left_to_device(struct __sk_buff *skb)
{
	__u64 held = 0;

	return bpf_probe_read_kernel(&held, sizeof(held), &skb) ||
	       BPF_CORE_READ_BITFIELD_PROBED((struct sk_buff *)held, ip_summed) == WW_CHECKSUM_PARTIAL;
}

/* A fragment, as it stands: its datagram's checksum is in the first one, complete. So must be that of the bounce. */
inline_always bool refill_fragment(struct __sk_buff *skb, struct udp_work *w, struct ww_udp_parked *slot)
{
	w->filled = w->sum = 0;
	return !left_to_device(skb) && refill_head(skb, &w->packet, slot, slot->length) && refill_body(skb, w, slot);
}

/* Sends one piece that is a packet of its own; the number of the next. */
proved_by_packet int resend_piece(struct __sk_buff *skb, __u32 ticket)
{
	struct ww_udp_parked *slot = take_parked(ticket);
	struct udp_work *w = udp_room();
	__u32 next, ifindex;

	if (!w || !slot)
		return 0;
	next = slot->next;
	ifindex = slot->ifindex;
	if (!(slot->kind == WW_KEPT_FRAGMENT ? refill_fragment(skb, w, slot) : refill_segment(skb, w, slot))) {
		count(WW_COUNT_STAMP_FAILED);
		return 0;
	}
	bpf_clone_redirect(skb, ifindex, 0);
	return next;
}

/* The proof, and behind it all pieces. */
inline_always int resend_pieces(struct __sk_buff *skb, struct udp_work *w, __u32 ticket)
{
	if (bpf_clone_redirect(skb, skb->ifindex, 0))
		return TC_ACT_SHOT;
	for (__u32 i = 0; i < WW_PIECES && ticket; i++)
		ticket = resend_piece(skb, ticket);
	count(WW_COUNT_UDP_RESENT);
	return TC_ACT_SHOT;
}

/* Sends a datagram that was kept once more, with a proof in it or ahead of it. */
inline_always int resend(struct __sk_buff *skb, struct udp_work *w, __u32 ticket, const struct ww_udp_flow *flow)
{
	struct ww_udp_parked *slot = parked(ticket);
	bool known = slot && slot->length, pieces = slot && slot->kind >= WW_KEPT_FRAGMENT;
	__u32 ifindex;

	trailer_of_flow(&w->trailer, flow, flow->message);
	if (!known || pieces) {
		if (!known && !take_parked(ticket)) /* too large to be kept: the proof alone, for what comes next */
			return TC_ACT_SHOT;
		if (!reduce(skb, &w->packet, &w->trailer, true))
			return TC_ACT_SHOT;
		count(WW_COUNT_STAMPED_DATAGRAM);
		return known ? resend_pieces(skb, w, ticket) : bpf_redirect(skb->ifindex, 0);
	}
	slot = take_parked(ticket);
	if (!slot)
		return TC_ACT_SHOT;
	ifindex = slot->ifindex;
	if (!refill(skb, w, slot)) {
		count(WW_COUNT_STAMP_FAILED);
		return TC_ACT_SHOT;
	}
	carry(skb, w);
	count(WW_COUNT_UDP_RESENT);
	return bpf_redirect(ifindex, 0);
}

#endif /* WW_UDP_RESENT_H */
