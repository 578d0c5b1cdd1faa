/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * DNS messages over UDP (RFC 1035, EDNS: RFC 6891): which questions leave a unit's sockets for a known resolver, and
 * what the answers say, read before the socket gets them.
 *
 * An answer counts only if it comes from the resolver that was asked to the socket that asked, with the
 * same identifier and question, once, and in time. Addresses belong to the name in the question and to the
 * aliases that lead to them, in the order of the answer; everything else in it is not looked at. What is not
 * exactly understood teaches nothing.
 */
#ifndef WW_DNS_H
#define WW_DNS_H

#include "handshake.h"
#include "names.h"

#define WW_DNS_PORT 53
#define WW_DNS_HEADER 12
#define WW_DNS_RESPONSE 0x8000	/* flags of the header, host order */
#define WW_DNS_OPCODE 0x7800
#define WW_DNS_TRUNCATED 0x0200
#define WW_DNS_CODE 0x000f
#define WW_DNS_A 1
#define WW_DNS_CNAME 5
#define WW_DNS_AAAA 28
#define WW_DNS_INTERNET 1
#define WW_DNS_POINTER 0xc0
#define WW_DNS_STEPS 640	/* bytes, dots and pointers of the longest name, with some to spare */
#define WW_DNS_NAME 253
#define WW_DNS_PATIENCE_NS (15ULL * 1000 * 1000 * 1000)	/* an answer that takes longer is late */
#define WW_DNS_LEAST 60		/* seconds that an address is good for at least */
#define WW_DNS_MOST 86400	/* and at most */

/* Addresses of resolvers whose answers are believed, filled by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_RESOLVERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ww_address);
	__type(value, __u32);
} resolvers SEC(".maps");

/* Questions under way; of too many the oldest is forgotten, and its answer teaches nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WW_MAX_ASKED);
	__type(key, struct ww_asked_key);
	__type(value, struct ww_asked);
} asked SEC(".maps");

/* What units have looked up, aggregated; read in bulk by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_LOOKUPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ww_lookup_key);
	__type(value, struct ww_lookup);
} lookups SEC(".maps");

/* One name of a chain of aliases. */
struct alias {
	__u64 name;
	__u32 matched;	/* some network lists it */
	__u32 pad;
};

/* A message being read. */
struct dns {
	__u32 busy;
	__u32 size;
	__u32 position;		/* of what is read next */
	__u32 aliases;
	/* the name being read */
	__u32 cursor;
	__u32 floor;		/* pointers lead to before this */
	__u32 left;		/* bytes of the label at hand */
	__u32 length;
	__u32 jumped;
	__u32 strange;		/* has bytes that no host name has */
	__u32 read;		/* 1: to its end */
	/* the answer */
	__u32 unit;
	__u32 records;
	__u32 addresses;
	__u32 malformed;
	__u32 lost;
	__u32 type;
	__u32 ttl;		/* seconds, the least of the chain */
	__u64 name;		/* keyed hash of the name last read */
	__u64 hash[4];		/* that hash being computed */
	__u64 now;
	struct alias chain[WW_ALIASES];
	struct ww_suffix key;
	struct ww_spelled spelling;
	struct ww_lookup lookup;
	struct ww_learned_key learning;
	struct ww_learned nothing;	/* stays as it is */
	__u64 text[WW_NAME_SIZE / 8];
	__u8 message[WW_DNS_MESSAGE];
};

/* Where each CPU reads a message. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dns);
} reading SEC(".maps");

struct reader {
	struct dns *dns;
};

/* For functions that are looked at by themselves: up to 6.1 no key may lie in memory that was passed to them. */
inline_always struct dns *message_at_hand(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&reading, &zero);
}

inline_always __u8 byte_at(const struct dns *dns, __u32 at)
{
	return dns->message[at & (WW_DNS_MESSAGE - 1)];
}

inline_always __u16 number_at(const struct dns *dns, __u32 at)
{
	return byte_at(dns, at) << 8 | byte_at(dns, at + 1);
}

inline_always void spell(struct dns *dns, __u8 letter)
{
	((__u8 *)dns->text)[dns->length & (WW_NAME_SIZE - 1)] = letter;
	dns->length++;
}

/* A byte of a label: letters count as small ones, what no host name has makes the name nobody's. */
inline_always void spell_byte(struct dns *dns, __u8 byte)
{
	if (byte >= 'A' && byte <= 'Z')
		byte |= 0x20;
	if (!((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '_'))
		dns->strange = 1;
	spell(dns, byte);
}

/* Follows a pointer; each leads further back than the one before, so there is an end. */
inline_always bool follow_pointer(struct dns *dns, __u32 at, __u8 byte)
{
	__u32 target = (byte & ~WW_DNS_POINTER) << 8 | byte_at(dns, at + 1);

	if (at + 1 >= dns->size || target >= dns->floor)
		return false;
	if (!dns->jumped)
		dns->position = at + 2;
	dns->jumped = 1;
	dns->floor = target;
	dns->cursor = target;
	return true;
}

/* One step of reading a name; 1 ends it. */
static long read_step(__u32 index, void *context)
{
	struct dns *dns = ((struct reader *)context)->dns;
	__u32 at = dns->cursor;
	__u8 byte;

	if (at >= dns->size || dns->length > WW_DNS_NAME)
		return 1;
	byte = byte_at(dns, at);
	if (dns->left) {
		dns->left--;
		dns->cursor++;
		spell_byte(dns, byte);
		return 0;
	}
	if ((byte & WW_DNS_POINTER) == WW_DNS_POINTER)
		return !follow_pointer(dns, at, byte);
	if (byte & WW_DNS_POINTER)
		return 1;
	dns->cursor++;
	if (!byte) {
		if (!dns->jumped)
			dns->position = at + 1;
		dns->read = 1;
		return 1;
	}
	if (dns->length)
		spell(dns, '.');
	dns->left = byte;
	return 0;
}

static long hash_step(__u32 index, void *context)
{
	struct dns *dns = ((struct reader *)context)->dns;
	__u64 a = dns->hash[0], b = dns->hash[1], c = dns->hash[2], d = dns->hash[3];

	if (index * 8 >= dns->length || index >= WW_NAME_SIZE / 8)
		return 1;
	WW_SIPWORD1(dns->text[index]);
	dns->hash[0] = a;
	dns->hash[1] = b;
	dns->hash[2] = c;
	dns->hash[3] = d;
	return 0;
}

/* A keyed hash of the name at hand (SipHash-1-3 over its words and length); never 0. */
inline_always __u64 hash_name(struct dns *dns, struct reader *reader)
{
	WW_SIPBEGIN(state.secret);

	dns->hash[0] = a;
	dns->hash[1] = b;
	dns->hash[2] = c;
	dns->hash[3] = d;
	bpf_loop(WW_NAME_SIZE / 8, hash_step, reader, 0);
	a = dns->hash[0];
	b = dns->hash[1];
	c = dns->hash[2];
	d = dns->hash[3];
	WW_SIPEND1((__u64)dns->length);
	return (a ^ b ^ c ^ d) | 1;
}

/* Reads the name at *position*, which then is behind it. False: malformed. */
proved_alone int read_name(struct dns *dns)
{
	struct reader reader = { .dns = dns };

	if (!dns)
		return false;
	dns->cursor = dns->floor = dns->position;
	dns->left = dns->length = dns->jumped = dns->strange = dns->read = 0;
	bpf_loop(WW_DNS_STEPS, read_step, &reader, 0);
	if (!dns->read || dns->length > WW_DNS_NAME)
		return false;
	for (__u32 i = 0; i < 8; i++) /* hashed in words */
		((__u8 *)dns->text)[(dns->length + i) & (WW_NAME_SIZE - 1)] = 0;
	dns->name = hash_name(dns, &reader);
	return true;
}

static long reverse_step(__u32 index, void *context)
{
	struct dns *dns = ((struct reader *)context)->dns;

	if (index >= dns->length || index >= WW_DNS_NAME)
		return 1;
	dns->key.text[index] = ((__u8 *)dns->text)[(dns->length - 1 - index) & (WW_NAME_SIZE - 1)];
	return 0;
}

inline_always __u32 class_of_name(struct dns *dns, __u32 bank)
{
	struct ww_prefix_class *found;

	dns->key.bank = bank;
	found = bpf_map_lookup_elem(&suffixes, &dns->key);
	return found ? found->class : WW_CLASS_NONE;
}

/* Classes of the name at hand in both banks; whether it has any. */
inline_always bool classify(struct dns *dns, struct ww_spelled *spelling)
{
	struct reader reader = { .dns = dns };
	__u32 length = dns->length;

	if (dns->strange || !length || length > WW_DNS_NAME)
		return false;
	bpf_loop(WW_DNS_NAME, reverse_step, &reader, 0);
	dns->key.text[length] = 0;
	dns->key.length = (length + 2) * 8;
	spelling->class[0] = class_of_name(dns, 0);
	spelling->class[1] = class_of_name(dns, 1);
	return spelling->class[0] || spelling->class[1];
}

/* Puts the name at hand where a revision finds it. */
inline_always bool keep_spelling(struct dns *dns)
{
	struct ww_spelled *fresh = &dns->spelling;
	__u64 name = dns->name;

	if (bpf_map_lookup_elem(&spelled, &name))
		return true;
	fresh->used = READ_ONCE(state.forgetting);
	fresh->length = dns->length;
	__builtin_memcpy(fresh->text, dns->text, sizeof(fresh->text));
	bpf_map_update_elem(&spelled, &name, fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&spelled, &name);
}

/* The name at hand is the next in the chain. False: the chain is too long. */
proved_alone int add_alias(void)
{
	struct dns *dns = message_at_hand();
	__u32 index;
	bool matched;

	if (!dns || dns->aliases >= WW_ALIASES)
		return false;
	index = dns->aliases & (WW_ALIASES - 1);
	matched = classify(dns, &dns->spelling);
	if (matched && !keep_spelling(dns))
		dns->lost = 1;
	dns->chain[index].name = dns->name;
	dns->chain[index].matched = matched;
	dns->aliases = index + 1;
	return true;
}

/* Where in the chain the name at hand stands; WW_ALIASES: nowhere. */
inline_always __u32 alias_at_hand(const struct dns *dns)
{
	for (__u32 i = 0; i < WW_ALIASES; i++) {
		if (i >= dns->aliases)
			break;
		if (dns->chain[i].name == dns->name)
			return i;
	}
	return WW_ALIASES;
}

/* The fixed part of a record, behind its name. */
struct record {
	__u32 data;	/* where its data begins */
	__u32 end;
	__u32 ttl;
	__u16 type;
	__u16 class;
};

/* Reads the record at *position*, which then is behind it; its owner is the name at hand. */
inline_always bool read_record(struct dns *dns, struct record *record)
{
	__u32 at;

	if (!read_name(dns))
		return false;
	at = dns->position;
	if (at + 10 > dns->size)
		return false;
	record->type = number_at(dns, at);
	record->class = number_at(dns, at + 2);
	record->ttl = (__u32)number_at(dns, at + 4) << 16 | number_at(dns, at + 6);
	record->data = at + 10;
	record->end = record->data + number_at(dns, at + 8);
	dns->position = record->end;
	return record->end <= dns->size;
}

inline_always bool is_address_record(const struct dns *dns, const struct record *record)
{
	__u32 length = record->end - record->data;

	return record->type == dns->type && ((record->type == WW_DNS_A && length == 4) ||
					     (record->type == WW_DNS_AAAA && length == 16));
}

/* First pass: that all records are whole, and the chain of aliases. 1 ends it. */
static long chain_step(__u32 index, void *context)
{
	struct dns *dns = ((struct reader *)context)->dns;
	struct record record;

	if (index >= dns->records)
		return 1;
	dns->malformed = 1;
	if (!read_record(dns, &record))
		return 1;
	if (record.class == WW_DNS_INTERNET && record.type == WW_DNS_CNAME && dns->aliases &&
	    alias_at_hand(dns) == dns->aliases - 1) {
		dns->position = record.data;
		if (!read_name(dns) || dns->position != record.end || alias_at_hand(dns) < WW_ALIASES || !add_alias())
			return 1;
		if (record.ttl < dns->ttl)
			dns->ttl = record.ttl;
	}
	dns->malformed = 0;
	return 0;
}

/*
 * Addresses that no name gives a right to: those of this host and link, of groups and of nobody. Whoever
 * runs a name server for its own domain could otherwise name them.
 */
inline_always bool is_nobodys(const struct ww_address *address)
{
	__u8 first = address->word[3] & 0xff, second = address->word[3] >> 8 & 0xff; /* network order, little endian */

	if (address_is_v4(address))
		return first == 0 || first == 127 || first >= 224 || (first == 169 && second == 254);
	if (!address->word[0] && !address->word[1])
		return true; /* ::, ::1, and IPv4 in other clothes */
	return (address->word[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000) ||
	       (address->word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

inline_always bool same_classes(__u64 one, __u64 other)
{
	struct ww_spelled *first = bpf_map_lookup_elem(&spelled, &one);
	struct ww_spelled *second = bpf_map_lookup_elem(&spelled, &other);

	return first && second && first->class[0] == second->class[0] && first->class[1] == second->class[1];
}

/*
 * The place for a name among those of an address: its own, else an empty one, else that of a name that says
 * the same, else one that has run out. WW_NAMES_EACH: none.
 */
own_frame __u32 place_of_name(const struct ww_learned *entry, __u64 name, __u64 now)
{
	__u32 empty = WW_NAMES_EACH, over = WW_NAMES_EACH;

	for (__u32 i = 0; i < WW_NAMES_EACH; i++) {
		if (entry->names[2 * i] == name)
			return i;
		if (!entry->names[2 * i])
			empty = i;
		else if (entry->names[2 * i + 1] < now)
			over = i;
	}
	if (empty < WW_NAMES_EACH)
		return empty;
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < WW_NAMES_EACH; i++) {
		if (same_classes(entry->names[2 * i], name))
			return i;
	}
	return over;
}

inline_always bool write_name(struct ww_learned *entry, __u64 name, __u64 now, __u64 until)
{
	__u32 place = place_of_name(entry, name, now);

	if (place >= WW_NAMES_EACH)
		return false;
	if (entry->names[2 * place] != name) { /* never a moment in which one name has another's time */
		WRITE_ONCE(entry->names[2 * place], 0);
		WRITE_ONCE(entry->names[2 * place + 1], until);
		WRITE_ONCE(entry->names[2 * place], name);
	} else if (entry->names[2 * place + 1] < until) {
		WRITE_ONCE(entry->names[2 * place + 1], until);
	}
	return true;
}

/* The unit has learned the address in dns->learning under that name. False: there was no room. */
proved_alone int learn_name(__u64 name, __u32 ttl)
{
	struct dns *dns = message_at_hand();
	struct ww_learned *entry;
	bool written;

	if (!dns)
		return false;
	entry = bpf_map_lookup_elem(&learned, &dns->learning);
	if (!entry) {
		bpf_map_update_elem(&learned, &dns->learning, &dns->nothing, BPF_NOEXIST);
		entry = bpf_map_lookup_elem(&learned, &dns->learning);
	}
	if (!entry || !take(&entry->busy))
		return false;
	written = write_name(entry, name, dns->now, dns->now + ttl * 1000000000ULL);
	give_back(&entry->busy);
	return written;
}

inline_always void learn_address(struct dns *dns, const struct ww_address *address, __u32 last, __u32 ttl)
{
	dns->learning.unit = dns->unit;
	dns->learning.address = *address;
	if (ttl > dns->ttl)
		ttl = dns->ttl;
	if (ttl < WW_DNS_LEAST)
		ttl = WW_DNS_LEAST;
	if (ttl > WW_DNS_MOST)
		ttl = WW_DNS_MOST;
	for (__u32 i = 0; i < WW_ALIASES; i++) {
		if (i > last)
			break;
		if (dns->chain[i].matched && !learn_name(dns->chain[i].name, ttl))
			dns->lost = 1;
	}
}

inline_always void address_at(const struct dns *dns, __u32 at, bool v4, struct ww_address *address)
{
	for (__u32 i = 0; i < 4; i++)
		address->word[i] = bpf_htonl((__u32)number_at(dns, at + i * 4) << 16 | number_at(dns, at + i * 4 + 2));
	if (v4)
		address_v4(address, address->word[0]);
}

/* Second pass: the addresses of the names in the chain. 1 ends it. */
static long address_step(__u32 index, void *context)
{
	struct dns *dns = ((struct reader *)context)->dns;
	struct ww_address address;
	struct record record;
	__u32 owner;

	if (index >= dns->records || !read_record(dns, &record))
		return 1;
	owner = alias_at_hand(dns);
	if (record.class != WW_DNS_INTERNET || owner >= WW_ALIASES || !is_address_record(dns, &record))
		return 0;
	dns->addresses++;
	address_at(dns, record.data, record.type == WW_DNS_A, &address);
	if (!is_nobodys(&address))
		learn_address(dns, &address, owner, record.ttl);
	return 0;
}

/* Reads the question behind the header; the name at hand is what is asked for. */
inline_always bool read_question(struct dns *dns)
{
	if (dns->size < WW_DNS_HEADER || number_at(dns, 4) != 1)
		return false;
	dns->position = WW_DNS_HEADER;
	if (!read_name(dns) || dns->position + 4 > dns->size || number_at(dns, dns->position + 2) != WW_DNS_INTERNET)
		return false;
	dns->type = number_at(dns, dns->position);
	dns->position += 4;
	return true;
}

/* Learns what an answer says whose question has just been read. Returns enum ww_lookup_result. */
inline_always __u32 learn_answer(struct dns *dns)
{
	struct reader reader = { .dns = dns };
	__u16 flags = number_at(dns, 2);
	__u32 first = dns->position;

	dns->records = number_at(dns, 6);
	dns->aliases = dns->addresses = dns->malformed = dns->lost = 0;
	dns->ttl = WW_DNS_MOST;
	if (flags & WW_DNS_CODE)
		return flags & WW_DNS_CODE;
	if (flags & WW_DNS_TRUNCATED)
		return WW_LOOKUP_TRUNCATED;
	if (dns->records > WW_DNS_MESSAGE / 11) /* no record is shorter */
		return WW_LOOKUP_UNREAD;
	add_alias();
	bpf_loop(WW_DNS_MESSAGE / 11, chain_step, &reader, 0);
	if (dns->malformed)
		return WW_LOOKUP_UNREAD;
	dns->position = first;
	bpf_loop(WW_DNS_MESSAGE / 11, address_step, &reader, 0);
	if (dns->lost)
		return WW_LOOKUP_LOST;
	return dns->addresses ? 0 : WW_LOOKUP_EMPTY;
}

/* Where this CPU reads messages, with *size* bytes *at* into the packet; to be given back. NULL: cannot be read. */
inline_always struct dns *load_message(struct __sk_buff *skb, __u32 at, __u32 size)
{
	struct dns *dns = message_at_hand();

	if (!dns || !take(&dns->busy))
		return NULL;
	dns->size = size;
	dns->now = bpf_ktime_get_ns();
	asm volatile("" : "+r"(size)); /* what is compared is what is passed on */
	/* The upper bound first: from 7.2 on the verifier keeps one range, and what a difference may be lies on both ends. */
	if (size > WW_DNS_MESSAGE || size < WW_DNS_HEADER || bpf_skb_load_bytes(skb, at, dns->message, size)) {
		give_back(&dns->busy);
		return NULL;
	}
	return dns;
}

#endif /* WW_DNS_H */
