/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The state word, the exact counters and the event ring. */
#ifndef WW_STATE_H
#define WW_STATE_H

#include "types.h"

/* What is in force; written by the agent through a memory mapping, one word at a time. */
struct ww_state state SEC(".data.state");

/* Exact counters, summed over CPUs by the reader; index is enum ww_counter. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WW_COUNT_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* Counters of the builds before this one; no program uses it, the agent adds them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WW_COUNT_MAX);
	__type(key, __u32);
	__type(value, __u64);
} earlier_counters SEC(".maps");

/* Events for the agent: rare things only; a full ring costs an event, never a verdict. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

inline_always void count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		(*value)++;
}

inline_always void count_drop(enum ww_reason reason)
{
	count(WW_COUNT_DROPPED + reason);
}

inline_always void emit(struct ww_event *event)
{
	if (bpf_ringbuf_output(&events, event, sizeof(*event), 0))
		count(WW_COUNT_EVENT_LOST);
}

/*
 * Nanoseconds since boot to a few milliseconds, the cheap way where there is one: helper 160 came
 * with 5.11, and iterators (WW_ITERATOR) may not call it.
 */
inline_always __u64 ask_time(void)
{
#ifndef WW_ITERATOR
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_ktime_get_coarse_ns))
		return bpf_ktime_get_coarse_ns();
#endif
	return bpf_ktime_get_ns();
}

#ifndef WW_ITERATOR
/* When each CPU last asked for the time. */
struct clock {
	__u64 jiffies;
	__u64 now;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct clock);
} clocks SEC(".maps");
#endif

/* The same, asked for once in a jiffy. Whoever is interrupted halfway leaves no wrong time: jiffies come last. */
inline_always __u64 coarse_now(void)
{
#ifndef WW_ITERATOR
	__u64 jiffies = bpf_jiffies64(), now;
	__u32 zero = 0;
	struct clock *clock = bpf_map_lookup_elem(&clocks, &zero);

	if (!clock)
		return ask_time();
	if (READ_ONCE(clock->jiffies) == jiffies)
		return READ_ONCE(clock->now);
	now = ask_time();
	WRITE_ONCE(clock->now, now);
	WRITE_ONCE(clock->jiffies, jiffies);
	return now;
#else
	return ask_time();
#endif
}

/*
 * Time since then. Two CPUs may be told different times in one jiffy, for jiffies count up before the time does: then may
 * be ahead of now.
 */
inline_always __u64 elapsed(__u64 now, __u64 then)
{
	return now > then ? now - then : 0;
}

inline_always __u32 generation_now(void)
{
	return READ_ONCE(state.generation);
}

inline_always __u32 bank_of(__u32 generation)
{
	return generation & 1;
}

#endif /* WW_STATE_H */
