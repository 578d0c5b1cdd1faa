/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything that is not TCP: judged by address, as external network or somewhere, since these
 * packets carry no identity. Replies to what was allowed are free, and so are errors about it. On the
 * loopback device the kernel itself saw who sent, so there the sender's unit is the peer.
 */
#ifndef WW_DATAGRAM_H
#define WW_DATAGRAM_H

#include "device.h"
#include "flow.h"
#include "icmp.h"

/* Datagram flows allowed once, by their two ends; the least recently used give way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WW_MAX_DATAGRAMS);
	__type(key, struct ww_datagram_key);
	__type(value, struct ww_datagram);
} datagrams SEC(".maps");

#define WW_LOOPBACK_IFINDEX 1

struct datagram {
	struct ww_datagram_key key;
	__u32 at;		/* of the upper layer's header */
	__u32 length;		/* of the IP packet */
	__u32 identification;	/* of a fragment */
	__u16 port;		/* what policy judges, host order: the server's port, type and code of ICMP */
	__u8 protocol;
	__u8 piece;		/* enum piece */
	__u8 icmp;		/* enum icmp_kind */
	bool network;		/* the network itself: always allowed */
};

struct ports {
	__be16 source;
	__be16 destination;
};

/* Bytes of the upper layer's header that have to be in the first piece, whatever comes in others. */
inline_always __u32 least_header(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return sizeof(struct tcphdr);
	case IPPROTO_SCTP:
		return 12;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 8;
	default:
		return 0;
	}
}

inline_always bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
	       protocol == IPPROTO_SCTP;
}

/* Names the flow that a packet belongs to, and what policy judges it by; false when its header is cut short. */
inline_always bool parse_upper(struct __sk_buff *skb, const struct packet *p, bool incoming, struct datagram *out)
{
	struct icmp_head icmp;
	struct ports ports;

	out->key.protocol = p->protocol;
	if (has_ports(p->protocol)) {
		if (bpf_skb_load_bytes(skb, p->at, &ports, sizeof(ports)))
			return false;
		out->key.local_port = incoming ? ports.destination : ports.source;
		out->key.remote_port = incoming ? ports.source : ports.destination;
		out->port = bpf_ntohs(ports.destination);
	} else if (is_icmp(p->protocol)) {
		if (bpf_skb_load_bytes(skb, p->at, &icmp, sizeof(icmp)))
			return false;
		icmp_key(&out->key, &icmp, p->protocol, incoming);
		out->port = icmp.type << 8 | icmp.code;
		out->icmp = icmp_kind(p->protocol, icmp.type);
		out->network = p->protocol == IPPROTO_ICMPV6 && is_neighbourly(&p->source, &icmp, p->hop_limit);
	} else {
		out->network = is_group_management(p);
	}
	return true;
}

enum parsing {
	WW_PARSE_INCOMING = 1,	/* the destination is the local end */
	WW_PARSE_QUOTED = 2,	/* an error quotes it: it may be cut short */
};

inline_always int parse_into(struct __sk_buff *skb, __u32 start, __u32 how, struct datagram *out)
{
	bool incoming = how & WW_PARSE_INCOMING;
	struct packet p;

	if (!parse_packet(skb, start, how & WW_PARSE_QUOTED, incoming, &p))
		return false;
	out->at = p.at;
	out->length = p.end - start;
	out->identification = p.identification;
	out->protocol = p.protocol;
	out->piece = p.piece;
	out->key.local = incoming ? p.destination : p.source;
	out->key.remote = incoming ? p.source : p.destination;
	if (p.piece == WW_LATER)
		return true;
	if (p.at + least_header(p.protocol) > p.end)
		return false;
	return parse_upper(skb, &p, incoming, out);
}

#ifdef WW_OLDER
/* What parse_alone() is asked, and what it says. */
struct parse_job {
	__u32 start;
	__u32 how;
	struct datagram out;
};

/* On each CPU one: packets do not interrupt each other. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct parse_job);
} parse_jobs SEC(".maps");

proved_by_packet int parse_alone(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct parse_job *job = bpf_map_lookup_elem(&parse_jobs, &zero);

	return job && parse_into(skb, job->start, job->how, &job->out);
}

/* Without a frame: callers are deep. */
inline_always int parse_any(struct __sk_buff *skb, __u32 start, __u32 how, struct datagram *out)
{
	__u32 zero = 0;
	struct parse_job *job = bpf_map_lookup_elem(&parse_jobs, &zero);

	if (!job)
		return false;
	job->start = start;
	job->how = how;
	job->out = *out;
	if (!parse_alone(skb))
		return false;
	*out = job->out;
	return true;
}
#else
proved_alone int parse_any(struct __sk_buff *skb, __u32 start, __u32 how, struct datagram *out)
{
	return out && parse_into(skb, start, how, out);
}
#endif

inline_always bool parse_datagram(struct __sk_buff *skb, __u32 start, bool incoming, struct datagram *out)
{
	__builtin_memset(out, 0, sizeof(*out));
	return parse_any(skb, start, incoming ? WW_PARSE_INCOMING : 0, out);
}

/*
 * The packet that an ICMP error quotes: *out* is how it stood towards this end when it passed here. Whoever gets the
 * error has sent the packet; an error that says otherwise is a forged one.
 */
inline_always bool parse_quoted(struct __sk_buff *skb, const struct datagram *error, bool incoming, struct datagram *out)
{
	__builtin_memset(out, 0, sizeof(*out));
	if (!parse_any(skb, error->at + sizeof(struct icmp_head), WW_PARSE_QUOTED | (incoming ? 0 : WW_PARSE_INCOMING),
		       out) ||
	    out->piece == WW_LATER)
		return false;
	return address_equal(incoming ? &out->key.local : &out->key.remote,
			     incoming ? &error->key.local : &error->key.remote);
}

/* The unit on this host that sent what now arrives on the loopback device, or 0. */
inline_always __u32 loopback_sender(struct __sk_buff *skb, const struct ww_datagram_key *key)
{
	struct ww_datagram_key mirrored = {
		.local = key->remote,
		.remote = key->local,
		.local_port = key->remote_port,
		.remote_port = key->local_port,
		.protocol = key->protocol,
	};
	struct ww_datagram *sent;

	if (is_icmp(key->protocol & 0xff))
		mirrored.protocol ^= WW_ASKED;
	if (skb->ifindex != WW_LOOPBACK_IFINDEX || !is_at_home(skb))
		return 0;
	sent = bpf_map_lookup_elem(&datagrams, &mirrored);
	return sent ? sent->unit : 0;
}

own_frame void count_datagram(const struct datagram *d, __u32 unit, __u32 peer, __u8 direction,
			      const struct ww_verdict *verdict)
{
	struct ww_flow_counts more = { .connections = 1 };
	struct ww_flow_key key = {
		.unit = unit,
		.peer = peer,
		.port = d->port,
		.protocol = d->protocol,
		.direction = direction,
		.action = WW_ALLOW,
	};

	if (!peer)
		key.remote = d->key.remote;
	if (verdict) {
		key.rule = verdict->rule;
		key.observed_rule = verdict->observed_rule;
		key.flags = verdict->flags;
	}
	if (direction == WW_IN) {
		more.packets_in = 1;
		more.bytes_in = d->length;
	} else {
		more.packets_out = 1;
		more.bytes_out = d->length;
	}
	aggregate(&key, &more);
}

/* Whose datagram it is; found differently by the program that receives and the one that sends. */
struct owner {
	struct ww_unit *unit;
	__u64 place;		/* cgroup id that places the unit; where it was asked for */
	__u32 bank;
	__u32 generation;
};

/* The unit of the host itself, for which the kernel answers what nobody has opened a socket for. */
inline_always struct ww_unit *unit_of_host(void)
{
	return unit_at(READ_ONCE(state.root));
}

/* Badge of the unit of this host that is at the other end, or 0: what the loopback device knows. */
inline_always __u32 loopback_peer(struct __sk_buff *skb, const struct datagram *d, __u8 direction)
{
	struct ww_unit *host;

	if (direction == WW_IN)
		return loopback_sender(skb, &d->key);
	if (skb->ifindex != WW_LOOPBACK_IFINDEX || !is_icmp(d->protocol))
		return 0;
	host = unit_of_host();
	return host ? host->badge : 0;
}

/* What judging has to know of an owner, without a pointer: so it can be proved alone. */
struct asker {
	__u32 badge;
	__u32 class;
	__u32 bank;
	__u32 generation;
};

inline_always void asker_of(struct asker *who, const struct owner *own)
{
	who->badge = own->unit->badge;
	who->class = own->unit->class[own->bank & 1];
	who->bank = own->bank & 1;
	who->generation = own->generation;
}

/* What the tables say of an address without identity, and of the names that this unit has learned it under. */
own_frame void judge_address(const struct datagram *d, const struct asker *who, __u64 flow,
			     struct ww_verdict *verdict)
{
	struct ww_verdict *by_prefix = verdict_of(who->bank, who->class, class_of_address(&d->key.remote, who->bank),
						  flow >> 16, flow >> 24, flow);

	*verdict = (struct ww_verdict){ .action = WW_REJECT };
	if (by_prefix) {
		asm volatile("" : "+r"(by_prefix)); /* no sum with it before it is known to be one */
		*verdict = *by_prefix;
	}
	add_names(&d->key.remote, who->badge | (__u64)who->class << 32, flow, verdict);
}

/*
 * Whether a packet belongs to a flow of this unit that the tables in force let through. After a new revision they are
 * asked again about the packet that began it, whichever way the one at hand goes.
 */
inline_always bool is_known(const struct datagram *d, const struct asker *who)
{
	struct ww_datagram_key key = d->key; /* kernels up to 6.1 take keys from the stack only */
	struct ww_datagram *known = bpf_map_lookup_elem(&datagrams, &key);
	struct ww_verdict verdict;

	if (!known || known->unit != who->badge)
		return false;
	if (known->generation == who->generation)
		return true;
	if (!known->by_address)
		return false;
	judge_address(d, who, stranger_flow(known->port, known->direction, d->protocol, who->bank, true), &verdict);
	if (verdict.action != WW_ALLOW)
		return false;
	known->generation = who->generation;
	return true;
}

proved_alone int datagram_known(const struct datagram *d, const struct asker *who)
{
	return d && who && is_known(d, who);
}

inline_always bool flow_known(const struct datagram *d, const struct owner *own)
{
	struct asker who;

	asker_of(&who, own);
	return datagram_known(d, &who);
}

/* An error that quotes nothing known needs a rule that speaks of it; a default is not enough. */
inline_always bool verdict_allows(const struct ww_verdict *verdict, const struct datagram *d)
{
	return verdict && verdict->action == WW_ALLOW && (d->icmp != WW_ICMP_ERROR || verdict->rule);
}

inline_always enum ww_reason datagram_reason(const struct ww_verdict *verdict, const struct datagram *d)
{
	return d->icmp == WW_ICMP_ERROR && !(verdict && verdict->rule) ? WW_REASON_QUOTE_UNKNOWN : WW_REASON_POLICY;
}

proved_alone int datagram_settle(struct __sk_buff *skb, const struct datagram *d, const struct asker *who,
				 __u32 direction)
{
	struct ww_datagram entry = {};
	struct ww_verdict room, *verdict = NULL;
	struct ww_datagram_key key;
	__u32 peer_badge, peer_class;
	struct ww_peer *peer;

	if (!d || !who)
		return WW_DROP;
	if (is_known(d, who))
		return WW_PASS;
	peer_badge = loopback_peer(skb, d, direction);
	if (!peer_badge || peer_badge != who->badge) {
		if (peer_badge) {
			peer = bpf_map_lookup_elem(&peers, &peer_badge);
			peer_class = peer ? peer->class[who->bank & 1] : WW_CLASS_NONE;
			verdict = verdict_of(who->bank, who->class, peer_class, direction, d->protocol, d->port);
		} else {
			judge_address(d, who, stranger_flow(d->port, direction, d->protocol, who->bank, false), &room);
			verdict = &room;
		}
		if (!verdict_allows(verdict, d)) {
			report_refusal(&d->key.remote, who->badge, peer_badge,
				       refusal_of(d->port, direction, d->protocol, datagram_reason(verdict, d)), verdict);
			return WW_DROP;
		}
	}
	key = d->key;
	entry.unit = who->badge;
	entry.generation = who->generation;
	entry.port = d->port;
	entry.direction = direction;
	entry.by_address = !peer_badge && d->icmp != WW_ICMP_ERROR;
	bpf_map_update_elem(&datagrams, &key, &entry, BPF_ANY);
	count_datagram(d, who->badge, peer_badge, direction, verdict);
	return WW_PASS;
}

inline_always int datagram_judge(struct __sk_buff *skb, const struct datagram *d, const struct owner *own,
				 __u8 direction)
{
	struct asker who;

	asker_of(&who, own);
	return datagram_settle(skb, d, &who, direction) == WW_PASS ? WW_PASS : WW_DROP;
}

/* What has to be so before anything is asked; fills bank and generation. */
inline_always int datagram_ready(struct owner *own)
{
	own->generation = generation_now();
	own->bank = bank_of(own->generation);
	if (own->generation)
		return WW_PASS;
	count_drop(WW_REASON_TABLES_EMPTY);
	return WW_DROP;
}

#endif /* WW_DATAGRAM_H */
