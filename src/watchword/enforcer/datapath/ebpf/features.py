"""What the programs need of a kernel beyond what every kernel with BPF has, asked of the kernel itself.

Asked by trying, never by a version number: distributions backport, and builds leave out. Only what has been found
missing on a kernel in use is listed; whatever else is missing the verifier says when an object is loaded.
"""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from watchword.enforcer.datapath.ebpf import libbpf

#: enum bpf_prog_type (linux/bpf.h)
SOCKET_FILTER, SCHED_CLS, CGROUP_SKB = 1, 3, 8
#: enum bpf_func_id
_SKC_TO_TCP_SOCK, _LOOP = 137, 181

_KERNEL_TYPES = Path("/sys/kernel/btf/vmlinux")


class Instruction(ctypes.Structure):
    """struct bpf_insn; ``registers`` is the destination, and the source times 16."""

    _fields_ = [
        ("code", ctypes.c_uint8),
        ("registers", ctypes.c_uint8),
        ("offset", ctypes.c_int16),
        ("immediate", ctypes.c_int32),
    ]


#: Adds 1 to a zeroed word on the stack and gets back what was there.
_FETCHING = (
    Instruction(0x7A, 10, -8, 0),  # *(u64 *)(r10 - 8) = 0
    Instruction(0xB7, 0, 0, 1),  # r0 = 1
    Instruction(0xDB, 10, -8, 0x01),  # r0 = atomic_fetch_add((u64 *)(r10 - 8), r0)
    Instruction(0xB7, 0, 0, 0),  # r0 = 0
    Instruction(0x95),  # exit
)


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that a kernel has or has not; ``name`` is for people."""

    name: str
    there: Callable[[], bool]


def takes(instructions: tuple[Instruction, ...]) -> bool:
    """Whether the kernel's verifier takes this program. Raises :class:`KernelError` where it may not be asked."""
    program = (Instruction * len(instructions))(*instructions)
    return libbpf.may_load("try a program", SOCKET_FILTER, program) != errno.EINVAL


def lets_call(kind: int, helper: int) -> bool:
    """Whether programs of a type may call this helper."""
    return libbpf.has_helper("ask for a helper", kind, helper)


#: What every edition of the programs needs.
FEATURES = (
    Feature("types of its own structures (CONFIG_DEBUG_INFO_BTF)", _KERNEL_TYPES.exists),
    Feature(
        "the view of a socket as TCP's in programs of cgroups and devices (bpf_skc_to_tcp_sock)",
        lambda: lets_call(CGROUP_SKB, _SKC_TO_TCP_SOCK) and lets_call(SCHED_CLS, _SKC_TO_TCP_SOCK),
    ),
)

#: What the newer edition needs besides; see :mod:`.editions`.
NEWER = (
    Feature("atomic operations that return what was there (Linux 5.12)", lambda: takes(_FETCHING)),
    Feature("loops by call (bpf_loop, Linux 5.17)", lambda: lets_call(CGROUP_SKB, _LOOP)),
)


def lacking(features: tuple[Feature, ...] = FEATURES) -> Iterator[str]:
    """Names of those of ``features`` that this kernel has not."""
    return (feature.name for feature in features if not feature.there())
