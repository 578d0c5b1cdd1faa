/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is noted of a packet while it is judged, for a capture. Nothing of this is in programs that do not capture. */
#ifndef WW_SCENE_H
#define WW_SCENE_H

#include "state.h"

/* The record that goes out begins with told; its bytes end where the packet does. */
struct scene {
	__u64 dropped[WW_REASON_MAX];	/* counters before */
	__u32 rule;
	__u32 peer;
	__u32 named;
	__u32 unit;			/* whose packet it is, where it has no socket yet */
	struct ww_captured told;
	__u8 bytes[WW_SNAP_MAX];
};

/* Judging is not interrupted by judging on the same CPU: bottom halves are off. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scene);
} scenes SEC(".maps");

inline_always struct scene *this_scene(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scenes, &zero);
}

/* What has been found out of a packet before it has a socket. */
inline_always void note_unit(__u32 badge)
{
	struct scene *scene = this_scene();

	if (scene)
		scene->unit = badge;
}

/* A refusal names its rule. */
inline_always void note_refusal(__u32 peer, __u32 rule)
{
	struct scene *scene = this_scene();

	if (!scene)
		return;
	scene->peer = peer;
	scene->rule = rule;
	scene->named = 1;
}

#endif /* WW_SCENE_H */
