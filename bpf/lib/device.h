/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Devices that a profile leaves alone. Indices repeat between network namespaces, and whoever is root in one of his own
 * may call his devices what he likes: so a device is one of these only if its index, its name and the agent's own
 * namespace are all as the agent has them. Whoever is renamed is none any more at once, with an agent or without.
 */
#ifndef WW_DEVICE_H
#define WW_DEVICE_H

#include "kernel.h"
#include "state.h"

/* Index of a device that is left alone -> its name, filled by the agent as devices come and go. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WW_MAX_EXCLUDED);
	__type(key, __u32);
	__type(value, struct ww_device);
} excluded SEC(".maps");

inline_always bool is_of_agents_namespace(struct net_device *device)
{
	return BPF_CORE_READ(device, nd_net.net, ns.inum) == READ_ONCE(state.namespace);
}

/* Whether a device that is in the agent's namespace is one to leave alone now. */
inline_always bool is_left_alone(__u32 index)
{
	return READ_ONCE(state.excluding) && bpf_map_lookup_elem(&excluded, &index);
}

/* Index of the device if it is left alone, else 0. */
inline_always __u32 left_alone(struct net_device *device)
{
	__u32 index = BPF_CORE_READ(device, ifindex);
	struct ww_device *known = bpf_map_lookup_elem(&excluded, &index);
	struct ww_device now = {};

	if (!known || !is_of_agents_namespace(device))
		return 0;
	bpf_core_read_str(now.name, sizeof(now.name), &device->name);
	return *(__u64 *)now.name == *(__u64 *)known->name && *(__u64 *)(now.name + 8) == *(__u64 *)(known->name + 8) ?
		       index :
		       0;
}

/* The device of a packet: by which it leaves, or came to its socket's namespace. */
inline_always struct net_device *device_of(struct __sk_buff *skb)
{
	__u64 held = 0;

	if (bpf_probe_read_kernel(&held, sizeof(held), &skb))
		return NULL;
	return BPF_CORE_READ((struct sk_buff *)held, dev);
}

/*
 * Whether the packet is in the agent's own network namespace. Only there it has been seen who sends over loopback;
 * another namespace has the same addresses, ports and index of the device.
 */
proved_by_packet int is_at_home(struct __sk_buff *skb)
{
	struct net_device *device = device_of(skb);

	return device && is_of_agents_namespace(device);
}

proved_by_packet int left_alone_by(struct __sk_buff *skb)
{
	struct net_device *device = device_of(skb);

	return device ? left_alone(device) : 0;
}

/* Index of the packet's device if that is left alone, else 0: while none is, at the price of one look at a word. */
inline_always __u32 excluded_device(struct __sk_buff *skb)
{
	return READ_ONCE(state.excluding) ? left_alone_by(skb) : 0;
}

#endif /* WW_DEVICE_H */
