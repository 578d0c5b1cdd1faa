/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What several CPUs change at once. Kernels before 5.12 have no atomic operation that returns what was there: for them
 * (WW_OLDER) a word is taken by an entry in a table that has room for one of its name.
 */
#ifndef WW_ATOMIC_H
#define WW_ATOMIC_H

#include "kernel.h"

#define WW_PATIENCE 32 /* tries; a slot is held for some hundred nanoseconds at most */

#ifdef WW_OLDER

#define WW_TRIES 4 /* each a call that waits for the others of its bucket */

/* Words that are held now, by their address; a program holds one or two, for some microseconds. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u8);
} taken SEC(".maps");

inline_always bool take(void *busy)
{
	__u64 key = (__u64)busy;
	__u8 one = 1;

	for (int i = 0; i < WW_TRIES; i++) {
		if (!bpf_map_update_elem(&taken, &key, &one, BPF_NOEXIST))
			return true;
	}
	return false;
}

inline_always void give_back(void *busy)
{
	__u64 key = (__u64)busy;

	bpf_map_delete_elem(&taken, &key);
}

/* The next number after *last*; 0 when too many want one. */
#define NEXT_NUMBER(last) ({						\
		typeof(*(last)) number__ = 0;				\
		if (take(last)) {					\
			number__ = ++*(last);				\
			give_back(last);				\
		}							\
		number__; })

/* Makes *word* zero if it is *old*; whether it was. */
inline_always bool clear_word(__u32 *word, __u32 old)
{
	bool was;

	if (!take(word))
		return false;
	was = READ_ONCE(*word) == old;
	if (was)
		WRITE_ONCE(*word, 0);
	give_back(word);
	return was;
}

/* Counts one more, which may be among the first *limit*; of those that count at once, some may be told that they are not. */
#define COUNTED_WITHIN(word, limit) ({					\
		__sync_fetch_and_add(word, 1);				\
		(__u32)READ_ONCE(*(word)) <= (limit); })

#else

inline_always bool take(__u32 *busy)
{
	for (int i = 0; i < WW_PATIENCE; i++) {
		if (!__sync_val_compare_and_swap(busy, 0, 1))
			return true;
	}
	return false;
}

inline_always void give_back(__u32 *busy)
{
	asm volatile("" : : : "memory");
	if (bpf_core_type_exists(struct cpuinfo_x86)) /* where no store overtakes another */
		WRITE_ONCE(*busy, 0);
	else
		__sync_lock_test_and_set(busy, 0); /* with a full barrier */
}

/* The next number after *last*. */
#define NEXT_NUMBER(last) (__sync_fetch_and_add(last, 1) + 1)

/* Makes *word* zero if it is *old*; whether it was. */
inline_always bool clear_word(__u32 *word, __u32 old)
{
	return __sync_val_compare_and_swap(word, old, 0) == old;
}

/* Counts one more; whether it is among the first *limit*. */
#define COUNTED_WITHIN(word, limit) ((__u32)__sync_fetch_and_add(word, 1) < (limit))

#endif

#endif /* WW_ATOMIC_H */
