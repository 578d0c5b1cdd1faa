"""The kernel's counters by name, how full its tables are, and what aggregates that are gone had counted."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping

from watchword.enforcer.datapath.base import TableFill, VerdictTotal
from watchword.enforcer.datapath.ebpf import libbpf, samples
from watchword.enforcer.datapath.ebpf._layout import Action, Counter, FlowCounts, FlowKey, Reason
from watchword.enforcer.datapath.ebpf.object import Map

_BATCH = 4096
_ENOENT = 2

#: enum bpf_map_type (linux/bpf.h): tables of which the entries can be counted, and those with a value for each CPU.
_HASH, _PERCPU_HASH, _LRU_HASH, _LPM_TRIE = 1, 5, 9, 11
_COUNTED = (_HASH, _PERCPU_HASH, _LRU_HASH, _LPM_TRIE)


def _names() -> dict[int, str]:
    names = {Counter.DROPPED + reason: f"dropped-{reason.name}" for reason in Reason if reason is not Reason.MAX}
    names |= {counter: counter.name for counter in Counter if counter not in (Counter.DROPPED, Counter.MAX)}
    return {number: name.lower().replace("_", "-") for number, name in names.items()}


#: Number to name of every counter; docs/reasons.md explains each.
NAMES = _names()


def counters_map(fd: int) -> Map[ctypes.c_uint32, ctypes.Array[ctypes.c_char]]:
    """The counters, one for each CPU, as a typed map."""
    cpus = libbpf.checked("count CPUs", libbpf.library().libbpf_num_possible_cpus())
    return Map(fd, ctypes.c_uint32, ctypes.c_uint64 * cpus)  # type: ignore[arg-type]


def counted(fds: Mapping[str, int]) -> dict[str, int]:
    """All counters by name, summed over CPUs and over the builds of the programs, those that are zero too.

    ``fds`` are the descriptors of maps by name.
    """
    counters = counters_map(fds["counters"])
    earlier = Map(fds["earlier_counters"], ctypes.c_uint32, ctypes.c_uint64)
    now = {key.value: sum(values) for key, values in counters.items_batched()}
    before = {key.value: value.value for key, value in earlier.items_batched()}
    return {name: now.get(number, 0) + before.get(number, 0) for number, name in NAMES.items()}


def aggregates(fds: Mapping[str, int]) -> list[tuple[FlowKey, FlowCounts]]:
    """All aggregates, summed over CPUs and over the builds of the programs."""
    cpus = libbpf.checked("count CPUs", libbpf.library().libbpf_num_possible_cpus())
    flows = Map(fds["flows"], FlowKey, FlowCounts * cpus)  # type: ignore[type-var]
    before = Map(fds["earlier_flows"], FlowKey, FlowCounts)
    earlier = {samples.raw(key): counts for key, counts in before.items_batched()}
    found = []
    for key, per_cpu in flows.items_batched():
        more = earlier.pop(samples.raw(key), None)
        found.append((key, samples.summed([*per_cpu, more] if more else per_cpu)))
    return found + [(FlowKey.from_buffer_copy(key), counts) for key, counts in earlier.items()]


def added(
    totals: Map[ctypes.c_uint32, FlowCounts], key: FlowKey, counts: FlowCounts
) -> tuple[ctypes.c_uint32, FlowCounts]:
    """The entry of ``totals`` that an aggregate belongs to, with its counts added."""
    where = ctypes.c_uint32(key.action << 8 | key.reason)
    return where, samples.summed([each for each in (totals.get(where), counts) if each is not None])


def verdicts(
    totals: Map[ctypes.c_uint32, FlowCounts], flows: Iterable[tuple[FlowKey, FlowCounts]]
) -> list[VerdictTotal]:
    """What flows of each verdict and reason have carried: aggregates that are gone, and those there are."""
    found = {key.value: [counts] for key, counts in totals.items_batched()}
    for key, counts in flows:
        found.setdefault(key.action << 8 | key.reason, []).append(counts)
    return [_total(where, samples.summed(each)) for where, each in sorted(found.items())]


def _total(where: int, counts: FlowCounts) -> VerdictTotal:
    return VerdictTotal(
        action="Allow" if where >> 8 == Action.ALLOW else "Reject",
        reason=samples.reason_name(where & 0xFF),
        connections=counts.connections,
        packets_in=counts.packets_in,
        packets_out=counts.packets_out,
        bytes_in=counts.bytes_in,
        bytes_out=counts.bytes_out,
    )


def fills(maps: Mapping[str, int]) -> list[TableFill]:
    """How full each table is, of the descriptors of maps by name; those that never fill up are left out."""
    found = []
    for name, fd in sorted(maps.items()):
        info = libbpf.map_info(fd)
        if info.type in _COUNTED:
            found.append(TableFill(name, _entries(fd, info), info.max_entries))
    return found


def _entries(fd: int, info: libbpf.MapInfo) -> int:
    """How many entries there are. The kernel keeps no count: they are read in bulk and thrown away."""
    cpus = libbpf.library().libbpf_num_possible_cpus() if info.type == _PERCPU_HASH else 1
    keys = ctypes.create_string_buffer(info.key_size * _BATCH)
    values = ctypes.create_string_buffer((info.value_size + 7) // 8 * 8 * cpus * _BATCH)
    options = libbpf.BatchOptions(sz=ctypes.sizeof(libbpf.BatchOptions))
    position, total, first = ctypes.create_string_buffer(max(64, info.key_size)), 0, True
    while True:
        number = ctypes.c_uint32(_BATCH)
        result = libbpf.library().bpf_map_lookup_batch(
            fd, None if first else position, position, keys, values, ctypes.byref(number), ctypes.byref(options)
        )
        failed = ctypes.get_errno() if result < 0 else 0
        if failed not in (0, _ENOENT):
            raise libbpf.KernelError("count the entries of a table", failed)
        total += number.value
        if failed == _ENOENT:
            return total
        first = False
