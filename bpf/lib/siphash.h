/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012) over whole 64-bit words: the MAC of all proofs and the
 * pseudo-random function behind nonces. Fixed lengths only, fully unrolled.
 */
#ifndef WW_SIPHASH_H
#define WW_SIPHASH_H

#include "types.h"

#define WW_ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

#define WW_SIPROUND(a, b, c, d)		\
	do {				\
		(a) += (b);		\
		(b) = WW_ROTL(b, 13);	\
		(b) ^= (a);		\
		(a) = WW_ROTL(a, 32);	\
		(c) += (d);		\
		(d) = WW_ROTL(d, 16);	\
		(d) ^= (c);		\
		(a) += (d);		\
		(d) = WW_ROTL(d, 21);	\
		(d) ^= (a);		\
		(c) += (b);		\
		(b) = WW_ROTL(b, 17);	\
		(b) ^= (c);		\
		(c) = WW_ROTL(c, 32);	\
	} while (0)

#define WW_SIPWORD(word)			\
	do {					\
		__u64 w = (word);		\
		d ^= w;				\
		WW_SIPROUND(a, b, c, d);	\
		WW_SIPROUND(a, b, c, d);	\
		a ^= w;				\
	} while (0)

#define WW_SIPBEGIN(key)				\
	__u64 a = (key)[0] ^ 0x736f6d6570736575ULL;	\
	__u64 b = (key)[1] ^ 0x646f72616e646f6dULL;	\
	__u64 c = (key)[0] ^ 0x6c7967656e657261ULL;	\
	__u64 d = (key)[1] ^ 0x7465646279746573ULL

/* MAC of the four words under the key; equals SipHash-2-4 of their 32 bytes in little endian. */
inline_always __u64 siphash4(const __u64 key[2], __u64 w0, __u64 w1, __u64 w2, __u64 w3)
{
	WW_SIPBEGIN(key);

	WW_SIPWORD(w0);
	WW_SIPWORD(w1);
	WW_SIPWORD(w2);
	WW_SIPWORD(w3);
	WW_SIPWORD(32ULL << 56);
	c ^= 0xff;
	WW_SIPROUND(a, b, c, d);
	WW_SIPROUND(a, b, c, d);
	WW_SIPROUND(a, b, c, d);
	WW_SIPROUND(a, b, c, d);
	return a ^ b ^ c ^ d;
}

#define WW_SIPWORD1(word)			\
	do {					\
		__u64 w = (word);		\
		d ^= w;				\
		WW_SIPROUND(a, b, c, d);	\
		a ^= w;				\
	} while (0)

#define WW_SIPEND1(bytes)			\
	do {					\
		WW_SIPWORD1((bytes) << 56);	\
		c ^= 0xff;			\
		WW_SIPROUND(a, b, c, d);	\
		WW_SIPROUND(a, b, c, d);	\
		WW_SIPROUND(a, b, c, d);	\
	} while (0)

/* SipHash-1-3: a pseudo-random function for numbers that never leave this host's trust. */
inline_always __u64 prf3(const __u64 key[2], __u64 w0, __u64 w1, __u64 w2)
{
	WW_SIPBEGIN(key);

	WW_SIPWORD1(w0);
	WW_SIPWORD1(w1);
	WW_SIPWORD1(w2);
	WW_SIPEND1(24ULL);
	return a ^ b ^ c ^ d;
}

inline_always __u64 prf5(const __u64 key[2], __u64 w0, __u64 w1, __u64 w2, __u64 w3, __u64 w4)
{
	WW_SIPBEGIN(key);

	WW_SIPWORD1(w0);
	WW_SIPWORD1(w1);
	WW_SIPWORD1(w2);
	WW_SIPWORD1(w3);
	WW_SIPWORD1(w4);
	WW_SIPEND1(40ULL);
	return a ^ b ^ c ^ d;
}

#endif /* WW_SIPHASH_H */
