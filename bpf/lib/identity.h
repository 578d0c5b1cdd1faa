/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Nonces and proofs. identity/transcript.py computes the same bytes; tests compare the two.
 *
 * A transcript is 32 bytes, little endian:
 *   message (1 SYN-ACK, 2 ACK), client epoch, server epoch & 1, 0, dialled port (u16), 0 (u16),
 *   client badge (u32), server badge (u32), client nonce (u64), server nonce (u64, 48 bits used).
 * The dialled port is the server's port as the client saw it, before any translation on the path.
 *
 * The server keeps nothing for a connection that is not yet proved: its nonce is a keyed function
 * of the remote end, its own ISN and a slow clock, so it can be computed again when the ACK arrives.
 * With SYN cookies this is what makes proofs work at all.
 */
#ifndef WW_IDENTITY_H
#define WW_IDENTITY_H

#include "policy.h"
#include "siphash.h"

#define WW_MESSAGE_SYNACK 1
#define WW_MESSAGE_ACK 2
#define WW_NONCE_SERVER 3
#define WW_NONCE_CLIENT 4

#define WW_NONCE_MASK 0xffffffffffffULL	/* 48 bits on the wire */
#define WW_PROOF_MASK 0xffffffffffffULL

/* A server nonce is good for this tick and the next: 68.7 s, longer than any handshake lasts. */
#define WW_TICK_SHIFT 36

/* Pairwise keys by index of the peer's Enforcer; index 0 is this Enforcer itself. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WW_MAX_ENFORCERS);
	__type(key, __u32);
	__type(value, struct ww_keys);
} keys SEC(".maps");

struct transcript {
	__u32 client;
	__u32 server;
	__u64 client_nonce;
	__u64 server_nonce;
	__u16 dialled;
	__u8 client_epoch;
	__u8 server_epoch;
};

inline_always __u64 proof_of(const __u64 key[2], __u8 message, const struct transcript *t)
{
	__u64 head = message | (__u64)t->client_epoch << 8 | (__u64)(t->server_epoch & 1) << 16 |
		     (__u64)t->dialled << 32;

	return siphash4(key, head, (__u64)t->server << 32 | t->client, t->client_nonce, t->server_nonce);
}

inline_always __u64 server_nonce(const struct ww_address *remote, __u16 remote_port, __u32 server_isn, __u64 tick,
				 __u8 epoch)
{
	__u64 nonce = prf3(state.secret, (__u64)remote->word[1] << 32 | remote->word[0],
			   (__u64)remote->word[3] << 32 | remote->word[2],
			   (__u64)server_isn << 32 | (__u64)remote_port << 16 | (tick & 0xfff) << 4 | WW_NONCE_SERVER);

	return (nonce & WW_NONCE_MASK & ~1ULL) | (epoch & 1);
}

/* No socket has another's cookie, and no SYN of a socket the number of another. */
inline_always __u64 client_nonce(__u64 cookie, __u32 isn)
{
	return prf3(state.secret, cookie, isn, WW_NONCE_CLIENT);
}

/* Our epoch as announced, theirs by its lowest bit; NULL when no such key is in force. */
inline_always const __u64 *pairwise_key(struct ww_keys *pair, __u8 own, __u8 peer)
{
	__u32 i = own & 1, j = peer & 1;

	if (!(pair->valid & (1U << (i * 2 + j))))
		return NULL;
	return pair->key[i][j];
}

inline_always struct ww_keys *keys_of(__u32 enforcer)
{
	return bpf_map_lookup_elem(&keys, &enforcer);
}

inline_always __u64 load_be64(const __u8 bytes[8])
{
	__u64 value;

	__builtin_memcpy(&value, bytes, sizeof(value));
	return bpf_be64_to_cpu(value);
}

inline_always __u64 load_be48(const __u8 bytes[6])
{
	return (__u64)bytes[0] << 40 | (__u64)bytes[1] << 32 | (__u64)bytes[2] << 24 | (__u64)bytes[3] << 16 |
	       (__u64)bytes[4] << 8 | bytes[5];
}

inline_always void store_be64(__u8 bytes[8], __u64 value)
{
	value = bpf_cpu_to_be64(value);
	__builtin_memcpy(bytes, &value, sizeof(value));
}

inline_always void store_be48(__u8 bytes[6], __u64 value)
{
	bytes[0] = value >> 40;
	bytes[1] = value >> 32;
	bytes[2] = value >> 24;
	bytes[3] = value >> 16;
	bytes[4] = value >> 8;
	bytes[5] = value;
}

#endif /* WW_IDENTITY_H */
