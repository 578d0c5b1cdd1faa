/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Datagrams that are kept until the other end has answered. What is too large for one slot of the ring is kept in
 * several, each of which names the next: a datagram of many bytes, the fragments of one, the datagrams of one buffer
 * that the device is going to segment.
 */
#ifndef WW_UDP_PARKED_H
#define WW_UDP_PARKED_H

#include "fragment.h"
#include "udp_flow.h"

#define WW_PIECES 128	/* of one datagram; the kernel takes no more segments in one buffer */
#define WW_PARTS 10	/* of one packet: helpers make none longer than 16,064 bytes */

/* Datagrams that may have to be sent again; each overwrites the oldest. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WW_PARKED);
	__type(key, __u32);
	__type(value, struct ww_udp_parked);
} udp_parked SEC(".maps");

/* The number of the datagram that was kept last. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} udp_ticket SEC(".maps");

inline_always void trailer_of_flow(struct trailer *t, const struct ww_udp_flow *flow, __u8 message)
{
	__builtin_memset(t, 0, sizeof(*t));
	t->message = message;
	t->epoch = flow->epoch;
	t->server_epoch = flow->server_epoch;
	t->dialled = bpf_htons(flow->dialled);
	t->badge = bpf_htonl(flow->unit);
	store_be64(t->nonce, flow->nonce);
	store_be64(t->server_nonce, flow->server_nonce);
	store_be64(t->proof, flow->proof);
}

inline_always struct ww_udp_parked *parked(__u32 ticket)
{
	__u32 index = ticket & (WW_PARKED - 1);

	return bpf_map_lookup_elem(&udp_parked, &index);
}

/* Where the IP header ends; nothing is kept of packets with options. */
inline_always __u32 head_end(const struct udp_packet *p)
{
	return p->at + (p->v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

/* Copies headers, and bytes of the packet; how many, with the UDP header that a segment is given. */
inline_always __u32 park_bytes(struct __sk_buff *skb, const struct udp_work *w, __u32 from, __u32 length,
			   struct ww_udp_parked *slot)
{
	__u32 head = head_end(&w->packet);
	struct udp_header *udp = (void *)slot->body;

	if (!WW_WITHIN(head, sizeof(struct iphdr), sizeof(slot->head)) || bpf_skb_load_bytes(skb, 0, slot->head, head))
		return 0;
	if (w->parking.kind != WW_KEPT_SEGMENT)
		return WW_WITHIN(length, 1, WW_PARKED_SIZE) && !bpf_skb_load_bytes(skb, from, slot->body, length) ?
			       length : 0;
	if (!WW_WITHIN(length, 1, WW_PARKED_SIZE - sizeof(*udp)) ||
	    bpf_skb_load_bytes(skb, from, slot->body + sizeof(*udp), length))
		return 0;
	*udp = w->packet.udp;
	udp->length = bpf_htons(sizeof(*udp) + length);
	return sizeof(*udp) + length;
}

/* Keeps a piece of the packet in hand behind the one that was kept last. Where there is no room for it, its slot says so. */
proved_by_packet int park_piece(struct __sk_buff *skb, __u32 from, __u32 length)
{
	__u32 zero = 0, *numbers = bpf_map_lookup_elem(&udp_ticket, &zero), ticket;
	struct ww_udp_parked *slot, *before;
	struct udp_work *w = udp_room();

	if (!w || !numbers)
		return 0;
	ticket = NEXT_NUMBER(numbers);
	slot = parked(ticket);
	if (!slot || !ticket) {
		w->parking.lost = 1;
		return 0;
	}
	WRITE_ONCE(slot->ticket, 0);
	slot->length = park_bytes(skb, w, from, length, slot);
	if (!slot->length)
		w->parking.lost = 1;
	slot->key = w->packet.key;
	slot->nonce = w->parking.nonce;
	slot->place = w->parking.place;
	slot->sent = w->parking.sent;
	slot->kind = w->parking.kind;
	slot->number = w->parking.number++;
	slot->next = 0;
	slot->when = coarse_now();
	slot->ifindex = skb->ifindex;
	slot->at = w->packet.at;
	WRITE_ONCE(slot->ticket, ticket);
	before = w->parking.last ? parked(w->parking.last) : NULL;
	if (before && READ_ONCE(before->ticket) == w->parking.last)
		before->next = ticket;
	if (!w->parking.first)
		w->parking.first = ticket;
	w->parking.last = ticket;
	return 0;
}

/* What of the packet in hand has to be kept, from where on, and in pieces of which size; how many bytes, 0 if it cannot be. */
inline_always __u32 park_plan(struct __sk_buff *skb, struct udp_work *w, __u32 *from, __u32 *size)
{
	const struct udp_packet *p = &w->packet;

	*from = p->udp_at;
	*size = WW_PARKED_SIZE;
	w->parking.kind = WW_KEPT_WHOLE;
	if (p->fragment) {
		w->parking.kind = WW_KEPT_FRAGMENT;
		*from = head_end(p);
		return skb->len - *from <= WW_PARKED_SIZE ? skb->len - *from : 0;
	}
	if (p->total != p->udp_at - p->at + p->length || p->udp_at != head_end(p))
		return 0;
	if (skb->gso_size) {
		w->parking.kind = WW_KEPT_SEGMENT;
		*from += sizeof(struct udp_header);
		*size = skb->gso_size;
		return p->length - sizeof(struct udp_header);
	}
	if (p->length <= WW_PARKED_SIZE)
		return p->length;
	w->parking.kind = WW_KEPT_PART;
	return p->length <= WW_PARTS * WW_PARKED_SIZE ? p->length : 0;
}

/* Keeps so many bytes in pieces of that size. */
proved_by_packet int park_pieces(struct __sk_buff *skb, __u32 from, __u32 left, __u32 size)
{
	struct udp_work *w = udp_room();
	__u32 piece;

	if (!w)
		return 0;
	for (__u32 i = 0; i < WW_PIECES; i++) {
		piece = left < size ? left : size;
		park_piece(skb, from, piece);
		from += piece;
		left -= piece;
		if (!left || w->parking.lost)
			break;
	}
	if (left)
		w->parking.lost = 1;
	return 0;
}

/* Keeps a copy of the datagram in hand, or of one that is too large the mere fact; its number. */
own_frame __u32 park(struct __sk_buff *skb, struct udp_work *w, const struct ww_udp_flow *flow, __u64 place)
{
	struct parking *parking = &w->parking;
	__u32 from, size, left;
	struct ww_udp_parked *first;

	__builtin_memset(parking, 0, sizeof(*parking));
	parking->nonce = flow->nonce;
	parking->place = place;
	parking->sent = flow->peer || flow->by_address;
	left = park_plan(skb, w, &from, &size);
	park_pieces(skb, from, left, size);
	first = parked(parking->first);
	if (first && parking->lost)
		first->length = 0;
	return parking->first;
}

/* Keeps a later fragment of a datagram whose first one is kept. */
own_frame void park_more(struct __sk_buff *skb, struct udp_work *w, struct ww_udp_parked *first,
			 struct fragment_begun *begun, __u32 at)
{
	struct parking *parking = &w->parking;
	__u32 from;

	__builtin_memset(&w->packet, 0, sizeof(w->packet));
	__builtin_memset(parking, 0, sizeof(*parking));
	w->packet.key = first->key;
	w->packet.at = at;
	w->packet.v4 = skb->protocol == bpf_htons(ETH_P_IP);
	w->packet.udp.source = first->key.local_port;
	w->packet.udp.destination = first->key.remote_port;
	parking->nonce = first->nonce;
	parking->place = first->place;
	parking->first = begun->kept;
	parking->last = begun->last;
	parking->number = 1;
	parking->kind = WW_KEPT_FRAGMENT;
	parking->sent = begun->sent;
	from = head_end(&w->packet);
	park_piece(skb, from, skb->len - from);
	begun->last = parking->last;
	if (!parking->lost || !first->length)
		return;
	first->length = 0;
	if (!begun->sent)
		count(WW_COUNT_UDP_UNPARKED);
}

#endif /* WW_UDP_PARKED_H */
