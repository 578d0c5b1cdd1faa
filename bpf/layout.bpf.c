// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Not a program: names every shared type, so that its BTF describes all of include/api.h. */
#include "lib/types.h"

struct ww_layout {
	struct ww_state state;
	struct ww_unit unit;
	struct ww_peer peer;
	struct ww_keys keys;
	struct ww_prefix4 prefix4;
	struct ww_prefix6 prefix6;
	struct ww_prefix_class prefix_class;
	struct ww_segments segments;
	struct ww_verdict_key verdict_key;
	struct ww_verdict verdict;
	struct ww_young young;
	struct ww_flow_id flow_id;
	struct ww_judgement judgement;
	struct ww_flow flow;
	struct ww_end end;
	struct ww_flow_key flow_key;
	struct ww_flow_counts flow_counts;
	struct ww_datagram_key datagram_key;
	struct ww_datagram datagram;
	struct ww_event event;
	struct ww_name_key name_key;
	struct ww_name name;
	struct ww_suffix suffix;
	struct ww_spelled spelled;
	struct ww_learned_key learned_key;
	struct ww_learned learned;
	struct ww_asked_key asked_key;
	struct ww_asked asked;
	struct ww_lookup_key lookup_key;
	struct ww_lookup lookup;
	enum ww_option option;
	enum ww_limit limit;
	enum ww_class class;
	enum ww_direction direction;
	enum ww_action action;
	enum ww_reason reason;
	enum ww_counter counter;
	enum ww_verdict_flag verdict_flag;
	enum ww_event_kind event_kind;
	enum ww_name_kind name_kind;
	enum ww_adopting adopting;
	struct ww_filter filter;
	struct ww_captured captured;
	enum ww_known known;
	enum ww_missed missed;
	enum ww_lookup_result lookup_result;
} layout;
