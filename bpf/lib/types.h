/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Kernel headers, builtins and the few constants every program needs. No vmlinux.h: only UAPI. */
#ifndef WW_TYPES_H
#define WW_TYPES_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "api.h"

#ifdef WW_OLDER /* nothing there calls what would need it, see is_resolving() */
#define bpf_loop(times, step, context, flags) (0 && step(0, context))
#endif

#define inline_always static __attribute__((always_inline)) inline
/* A BPF-to-BPF call: costs a few instructions, saves stack (512 bytes for a whole call chain). */
#define own_frame static __attribute__((noinline, unused))

/*
 * What a connection cannot do without: part of its caller in programs that have their stack to themselves (WW_ROOMY), a
 * frame of its own in all others. A call costs some ten nanoseconds.
 */
#ifdef WW_ROOMY
#define roomy inline_always
#else
#define roomy own_frame
#endif

/*
 * Like own_frame, and the verifier looks at it once, by itself, whoever calls and whatever is known there; a pointer may be
 * NULL for all it knows, and what it points to is written before the call.
 */
#ifdef WW_OLDER /* before 5.12 the verifier looks only at numbers by themselves */
#define proved_alone own_frame
#else
#define proved_alone __attribute__((noinline))
#endif

/* The same for a function of the packet and of numbers, on every kernel. */
#define proved_by_packet __attribute__((noinline))

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3

#define WW_AF_INET 2
#define WW_AF_INET6 10
#define WW_AF_PACKET 17

/* cgroup_skb return values */
#define WW_DROP 0
#define WW_PASS 1

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

/* TCP flags, byte 13 of the header */
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10

#endif /* WW_TYPES_H */
