"""A datapath in memory: the whole contract of ``enforcer.datapath.base``, without a kernel.

It decides by :func:`watchword.policy.lookup.lookup` over the tables it was given, for units at the
cgroups where it was told they are, with pairwise keys as it was given them. Its state lives in a
:class:`Kernel`, which outlives the agent that filled it, as pinned maps do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from watchword.enforcer.datapath.base import DatapathError, Event, FlowSample, Lookup, PeerKeys, Placement
from watchword.policy.lookup import lookup
from watchword.policy.tables import Direction, Tables, Verdict
from watchword.wire.policy import Action


@dataclass
class Kernel:
    """What stays when the agent goes."""

    tables: Tables | None = None
    placements: tuple[Placement, ...] = ()
    own_epochs: tuple[int, ...] = ()
    keys: dict[str, Mapping[tuple[int, int], bytes]] = field(default_factory=dict)
    flows: dict[tuple[object, ...], FlowSample] = field(default_factory=dict)
    reported: dict[tuple[object, ...], FlowSample] = field(default_factory=dict)
    flow_limit: int = 10_000
    lost: int = 0
    applied: list[int] = field(default_factory=list)  # revisions, in order
    history: list[str] = field(default_factory=list)  # calls, in order
    refuse: str = ""  # what the next apply fails with
    keep_existing: bool = True
    excluded: tuple[str, ...] = ()  # interfaces
    resolvers: tuple[str, ...] = ()
    lookups: dict[tuple[int, int], Lookup] = field(default_factory=dict)  # by badge and number of the name
    lookups_told: dict[tuple[int, int], Lookup] = field(default_factory=dict)
    lookups_lost: int = 0
    lessons: list[tuple[int, bytes]] = field(default_factory=list)  # DNS answers by badge, in order

    def unit_of(self, cgroup: str) -> str | None:
        """The native ID of the unit whose cgroup is nearest above ``cgroup``."""
        best = max(
            (p for p in self.placements if Path(cgroup).is_relative_to(p.cgroup)),
            key=lambda p: len(p.cgroup),
            default=None,
        )
        return best.native_id if best else None

    def decide(
        self,
        cgroup: str,
        peer: int | str,
        direction: Literal["incoming", "outgoing"],
        protocol: int,
        port: int,
        at: float = 1000.0,
    ) -> Action:
        """Judge and count one connection of a socket in ``cgroup``; a peer with a badge needs a key."""
        verdict, reason, badge = self._verdict(cgroup, peer, "in" if direction == "incoming" else "out", protocol, port)
        address, peer_badge = ("", peer) if isinstance(peer, int) else (peer, 0)
        revision = self.tables.revision if self.tables else 0
        sample = FlowSample(
            unit_badge=badge, direction=direction, peer_badge=peer_badge, peer_address=address, protocol=protocol,
            port=port, action=verdict.action, reason=reason, rule=verdict.rule,
            observed_action=verdict.observed_action, observed_rule=verdict.observed_rule,
            proved=isinstance(peer, int) and reason == "policy", revision=revision, connections=0, packets_in=0,
            packets_out=0, bytes_in=0, bytes_out=0, latency_us_total=0, first_seen=at, last_seen=at,
        )  # fmt: skip
        key = _key(sample)
        if key not in self.flows and len(self.flows) >= self.flow_limit:
            self.lost += 1
        else:
            known = self.flows.get(key, sample)
            self.flows[key] = replace(
                known,
                connections=known.connections + 1,
                bytes_out=known.bytes_out + 100,
                last_seen=at,
                revision=revision,
            )
        return verdict.action

    def _verdict(
        self, cgroup: str, peer: int | str, direction: Direction, protocol: int, port: int
    ) -> tuple[Verdict, str, int]:
        refused = Verdict("Reject")
        if self.tables is None:
            return refused, "tables-empty", 0
        native_id = self.unit_of(cgroup)
        local = next((u for u in self.tables.units.values() if u.native_id == native_id), None)
        if local is None:
            return refused, "unit-unknown", 0
        if isinstance(peer, int):
            known = self.tables.peers.get(peer)
            if known is None:
                return refused, "badge-unknown", local.badge
            if not self.keys.get(known.enforcer):
                return refused, "key-missing", local.badge
        return lookup(self.tables, local.unit, peer, direction, protocol, port), "policy", local.badge


class MemoryDatapath:
    """One agent's hold on a :class:`Kernel`."""

    name: Literal["ebpf", "netfilter", "windows"] = "ebpf"

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._events: list[Event] = []
        self._handler: Callable[[Event], None] | None = None
        self._descriptor = -1
        self._installed = False

    def install(self) -> None:
        self.kernel.history.append("install")
        self._installed = True

    def place(self, placements: Sequence[Placement]) -> None:
        self._check()
        for placement in placements:
            if not Path(placement.cgroup).is_dir():
                raise DatapathError(f"{placement.cgroup} does not exist")
        self.kernel.history.append("place")
        self.kernel.placements = tuple(placements)

    def set_keys(self, own_epochs: Sequence[int], peers: Sequence[PeerKeys]) -> None:
        self._check()
        self.kernel.history.append("set_keys")
        self.kernel.own_epochs = tuple(own_epochs)
        self.kernel.keys = {peer.enforcer: dict(peer.keys) for peer in peers}

    def apply(self, tables: Tables) -> None:
        self._check()
        if self.kernel.refuse:
            raise DatapathError(self.kernel.refuse)
        self.kernel.history.append(f"apply {tables.revision}")
        self.kernel.tables = tables
        self.kernel.applied.append(tables.revision)

    def keep_existing(self, keep: bool) -> None:
        self._check()
        if keep != self.kernel.keep_existing:
            self.kernel.keep_existing = keep
            self.kernel.history.append("keep_existing" if keep else "cut_existing")

    def exclude(self, interfaces: Sequence[str]) -> None:
        self._check()
        self.kernel.excluded = tuple(interfaces)

    def reattach(self) -> None:
        self._check()
        self.kernel.history.append("reattach")

    def look(self) -> None:
        self._check()

    def attend(self) -> None:
        self._check()

    def revision(self) -> int:
        self._check()
        return self.kernel.tables.revision if self.kernel.tables else 0

    def flows(self) -> list[FlowSample]:
        self._check()
        return list(self.kernel.flows.values())

    def reported(self, samples: Sequence[FlowSample]) -> None:
        self._check()
        for sample in samples:
            self.kernel.reported[_key(sample)] = sample

    def unreported(self) -> list[tuple[FlowSample, FlowSample | None]]:
        self._check()
        return [
            (sample, self.kernel.reported.get(key))
            for key, sample in self.kernel.flows.items()
            if self.kernel.reported.get(key) != sample
        ]

    def counters(self) -> dict[str, int]:
        self._check()
        return {"flow-lost": self.kernel.lost, "lookup-lost": self.kernel.lookups_lost, "event-lost": 0}

    def believe(self, resolvers: Sequence[str]) -> None:
        self._check()
        self.kernel.resolvers = tuple(resolvers)

    def learn(self, badge: int, answer: bytes) -> bool:
        self._check()
        self.kernel.lessons.append((badge, answer))
        return True

    def learned(self, badge: int, address: str) -> list[str]:
        self._check()
        return []

    def lookups(self) -> list[Lookup]:
        self._check()
        return list(self.kernel.lookups.values())

    def unreported_lookups(self) -> list[tuple[Lookup, Lookup | None]]:
        self._check()
        told = self.kernel.lookups_told
        found = [(each, told.get((each.unit_badge, each.number))) for each in self.kernel.lookups.values()]
        return [(each, before) for each, before in found if before is None or before.count != each.count]

    def reported_lookups(self, lookups: Sequence[Lookup]) -> None:
        self._check()
        self.kernel.lookups_told |= {(each.unit_badge, each.number): each for each in lookups}

    def forget(self, lookups: Sequence[Lookup]) -> None:
        self._check()

    def watch(self, handler: Callable[[Event], None]) -> int:
        self._check()
        self._handler = handler
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        return self._descriptor

    def poll(self) -> None:
        os.eventfd_read(self._descriptor)
        events, self._events = self._events, []
        for event in events:
            if self._handler is not None:
                self._handler(event)

    def raise_event(self, event: Event) -> None:
        """What the kernel would put into its ring."""
        self._events.append(event)
        os.eventfd_write(self._descriptor, 1)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._installed = False

    def uninstall(self) -> None:
        self.close()
        self.kernel.history.append("uninstall")
        self.kernel.tables, self.kernel.placements = None, ()
        self.kernel.keys, self.kernel.flows, self.kernel.reported = {}, {}, {}

    def _check(self) -> None:
        if not self._installed:
            raise DatapathError("the datapath is not installed")


def _key(sample: FlowSample) -> tuple[object, ...]:
    return (
        sample.unit_badge, sample.direction, sample.peer_badge, sample.peer_address, sample.protocol, sample.port,
        sample.action, sample.reason, sample.rule, sample.observed_action, sample.observed_rule, sample.proved,
    )  # fmt: skip
