"""Kernel aggregates as flow samples. Pure: numbers in, samples out."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass

from watchword.enforcer.datapath.base import FlowSample
from watchword.enforcer.datapath.ebpf._layout import Action, Direction, FlowCounts, FlowKey, Reason, VerdictFlag
from watchword.enforcer.datapath.ebpf.names import Numbers
from watchword.enforcer.datapath.ebpf.sockets import address_text

_SUMMED = ("connections", "packets_in", "packets_out", "bytes_in", "bytes_out", "latency_us")


@dataclass(frozen=True, slots=True)
class Clock:
    """How the kernel's time since boot maps to Unix time."""

    boot: float  # Unix time of the kernel's zero, seconds

    def unix(self, nanoseconds: int) -> float:
        """Unix time of a kernel time stamp."""
        return self.boot + nanoseconds / 1e9


def summed(per_cpu: Iterable[FlowCounts]) -> FlowCounts:
    """One record out of the per-CPU ones."""
    total = FlowCounts()
    for counts in per_cpu:
        if not counts.first_seen:
            continue
        for name in _SUMMED:
            setattr(total, name, getattr(total, name) + getattr(counts, name))
        total.first_seen = min(total.first_seen or counts.first_seen, counts.first_seen)
        if counts.last_seen >= total.last_seen:
            total.last_seen, total.revision = counts.last_seen, counts.revision
    return total


def reason_name(number: int) -> str:
    """A reason by the name that docs/reasons.md has it."""
    return Reason(number).name.lower().replace("_", "-")


def sample(key: FlowKey, counts: FlowCounts, rules: Numbers, clock: Clock) -> FlowSample:
    """What a person is told about one aggregate."""
    observed = key.flags & VerdictFlag.OBSERVED
    return FlowSample(
        unit_badge=key.unit,
        direction="incoming" if key.direction == Direction.IN else "outgoing",
        peer_badge=key.peer,
        peer_address="" if key.peer else address_text(key.remote),
        protocol=key.protocol,
        port=key.port,
        action="Allow" if key.action == Action.ALLOW else "Reject",
        reason=reason_name(key.reason),
        rule=rules.text(key.rule),
        observed_action=("Allow" if key.flags & VerdictFlag.OBSERVED_ALLOW else "Reject") if observed else "",
        observed_rule=rules.text(key.observed_rule),
        proved=bool(key.proved),
        revision=counts.revision,
        connections=counts.connections,
        packets_in=counts.packets_in,
        packets_out=counts.packets_out,
        bytes_in=counts.bytes_in,
        bytes_out=counts.bytes_out,
        latency_us_total=counts.latency_us,
        first_seen=clock.unix(counts.first_seen),
        last_seen=clock.unix(counts.last_seen),
    )


def raw(structure: ctypes.Structure) -> bytes:
    """The bytes of a structure, as a dictionary key."""
    return bytes(structure)
