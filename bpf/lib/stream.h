/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * DNS messages over TCP (RFC 1035 4.2.2, RFC 7766): the segments that a resolver sends to a unit's connection are put
 * together, in their order, and each whole message is read as one that came by UDP.
 *
 * Only the segment that continues what has been read counts. What comes too early is dropped, TCP sends it again; what
 * has been read before passes. So nothing that the application has from its socket has gone by unread. Nobody needs to
 * have seen the questions: the connection is the unit's own, and only who knows its sequence numbers can answer on it.
 */
#ifndef WW_STREAM_H
#define WW_STREAM_H

#include "resolving.h"

#define WW_STREAMS 128
#define WW_STREAM_STEPS 1024	/* pieces of one segment; four for each message */
#define WW_STREAM_ROOM (3 * WW_DNS_MESSAGE)
/* How old an acknowledgement may be that the kernel still accepts (RFC 5961 5.2), at most: the largest window. */
#define WW_ACK_BEHIND (1U << 30)

/* What a resolver sends to one socket, up to where it has been read. */
struct stream {
	__u32 busy;
	__u32 next;	/* sequence number */
	__u32 have;	/* bytes of the message at hand, with the two of its length */
	__u32 skip;	/* bytes still to come of a message that is too long to be read */
	__u32 withheld;	/* an answer found no room: the application gets no more */
	__u32 unit;
	struct ww_address resolver;
	__u8 bytes[WW_STREAM_ROOM];
};

/* Connections to resolvers, by socket; of too many the least recently used goes on unread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WW_STREAMS);
	__type(key, __u64);
	__type(value, struct stream);
} streams SEC(".maps");

/* What every stream begins as; never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stream);
} no_stream SEC(".maps");

/* A segment being taken apart. */
struct pieces {
	struct __sk_buff *skb;
	struct stream *stream;
	__u32 at;
	__u32 left;
	__u32 verdict;
};

/* Reads the whole message that a stream holds. Returns whether the unit may have it. */
proved_alone int read_whole(struct stream *stream, __u32 size)
{
	struct dns *dns = message_at_hand();
	int verdict = WW_PASS;

	if (!stream || !dns || !take(&dns->busy))
		return WW_DROP;
	dns->size = size;
	dns->now = bpf_ktime_get_ns();
	dns->unit = stream->unit;
	dns->lookup.resolver = stream->resolver;
	asm volatile("" : "+r"(size));
	if (size > WW_DNS_MESSAGE || size < WW_DNS_HEADER ||
	    bpf_probe_read_kernel(dns->message, size, stream->bytes + 2) ||
	    (number_at(dns, 2) & (WW_DNS_RESPONSE | WW_DNS_OPCODE)) != WW_DNS_RESPONSE || !read_question(dns))
		count(WW_COUNT_ANSWER_UNREAD);
	else
		verdict = take_answer(dns);
	give_back(&dns->busy);
	return verdict;
}

inline_always void leave_out(struct pieces *p)
{
	__u32 size = p->stream->skip < p->left ? p->stream->skip : p->left;

	p->stream->skip -= size;
	p->at += size;
	p->left -= size;
}

/* One step of taking a segment apart: a byte of a message's length, or of the message what there is. 1 ends it. */
static long take_piece(__u32 index, void *context)
{
	struct pieces *p = context;
	struct stream *stream = p->stream;
	__u32 have = stream->have & (2 * WW_DNS_MESSAGE - 1), whole, size = 1;

	if (!p->left)
		return 1;
	if (stream->skip) {
		leave_out(p);
		return 0;
	}
	whole = (stream->bytes[0] << 8 | stream->bytes[1]) + 2;
	if (have >= 2)
		size = whole - have < p->left ? whole - have : p->left;
	if (size > WW_DNS_MESSAGE || size < 1) {
		p->verdict = WW_DROP;
		return 1;
	}
	/* 6.1 learns nothing from "not zero": the same number again, in a form that shows it. */
	asm volatile("" : "+r"(size));
	size = ((size - 1) & (WW_DNS_MESSAGE - 1)) + 1;
	if (bpf_skb_load_bytes(p->skb, p->at, stream->bytes + have, size)) {
		p->verdict = WW_DROP;
		return 1;
	}
	p->at += size;
	p->left -= size;
	have += size;
	whole = (stream->bytes[0] << 8 | stream->bytes[1]) + 2;
	stream->have = have;
	if (have < 2)
		return 0;
	if (whole > WW_DNS_MESSAGE + 2) {
		count(WW_COUNT_ANSWER_UNREAD);
		stream->skip = whole - have;
		stream->have = 0;
	} else if (have >= whole) {
		stream->have = 0;
		p->verdict = read_whole(stream, whole - 2);
	}
	return p->verdict != WW_PASS;
}

/* The segment continues what has been read. */
inline_always int continue_stream(struct __sk_buff *skb, const struct segment *seg, struct stream *stream)
{
	__u32 behind = stream->next - seg->seq;
	struct pieces pieces = {
		.skb = skb,
		.stream = stream,
		.at = seg->tcp_at + seg->header + behind,
		.left = seg->payload - behind,
		.verdict = WW_PASS,
	};

	bpf_loop(WW_STREAM_STEPS, take_piece, &pieces, 0);
	if (pieces.verdict != WW_PASS || pieces.left) {
		stream->withheld = 1;
		return WW_DROP;
	}
	stream->next = seg->seq + seg->payload;
	return WW_PASS;
}

/*
 * Whether the kernel may accept what the segment acknowledges; else it drops it, and nothing is learned from it. What is
 * being sent at this moment is not in snd_nxt yet when the answer comes at once.
 */
inline_always bool ack_fits(struct bpf_sock *sk, const struct segment *seg)
{
	struct tcp_sock *tcp = tcp_of(sk);

	return tcp && (__s32)(seg->ack - tcp->write_seq) <= 0 && seg->ack - tcp->snd_una + WW_ACK_BEHIND <= 2 * WW_ACK_BEHIND;
}

inline_always int stream_data(struct __sk_buff *skb, struct bpf_sock *sk, const struct segment *seg)
{
	__u64 cookie = cookie_from(skb, sk), place;
	struct stream *stream = bpf_map_lookup_elem(&streams, &cookie);
	__s32 behind;
	int verdict;

	if (!stream) {
		if (unit_of_socket(sk, &place))
			count(WW_COUNT_ANSWER_UNREAD);
		return WW_PASS;
	}
	if (!ack_fits(sk, seg))
		return WW_PASS;
	if (!take(&stream->busy))
		return WW_DROP;
	behind = stream->next - seg->seq;
	if (stream->withheld || behind < 0)
		verdict = WW_DROP;
	else if ((__u32)behind >= seg->payload)
		verdict = WW_PASS;
	else
		verdict = continue_stream(skb, seg, stream);
	give_back(&stream->busy);
	return verdict;
}

/* A connection to a resolver comes about: what it sends begins behind its SYN. */
inline_always void begin_stream(struct __sk_buff *skb, struct bpf_sock *sk, const struct segment *seg)
{
	struct tcp_sock *tcp = tcp_of(sk);
	__u64 cookie = cookie_from(skb, sk), place;
	struct ww_unit *unit = unit_of_socket(sk, &place);
	struct stream *stream;
	__u32 zero = 0;

	stream = bpf_map_lookup_elem(&no_stream, &zero);
	if (!tcp || !unit || seg->ack != tcp->write_seq || seg->payload || !stream)
		return;
	bpf_map_update_elem(&streams, &cookie, stream, BPF_ANY);
	stream = bpf_map_lookup_elem(&streams, &cookie);
	if (!stream)
		return;
	stream->unit = unit->badge;
	stream->resolver = seg->remote;
	stream->next = seg->seq + 1;
}

/* A segment from port 53 of somebody, for a connection. */
inline_always int resolve(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct segment seg;

	if (skb->ifindex == WW_LOOPBACK_IFINDEX || !is_stream(sk) || !parse_segment(skb, 0, true, &seg) ||
	    !bpf_map_lookup_elem(&resolvers, &seg.remote))
		return WW_PASS;
	if (sk->state == BPF_TCP_SYN_SENT) {
		if ((seg.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == (TCP_SYN | TCP_ACK))
			begin_stream(skb, sk, &seg);
		return WW_PASS;
	}
	if (!seg.payload || (seg.flags & (TCP_SYN | TCP_RST)) || sk->state == BPF_TCP_TIME_WAIT ||
	    sk->state == BPF_TCP_NEW_SYN_RECV)
		return WW_PASS;
	return stream_data(skb, sk, &seg);
}

#endif /* WW_STREAM_H */
