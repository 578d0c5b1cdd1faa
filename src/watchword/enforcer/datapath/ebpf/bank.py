"""Desired tables against the two banks the kernel holds.

The kernel decides by one bank. :class:`Banks` fills the other with only what differs from what
stands there, so that a revision costs what it changes; flipping is the datapath's business. What
stands in the kernel is read back once, so that a restarted agent goes on where the last one was.
"""

from __future__ import annotations

import ctypes
import ipaddress
import mmap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from watchword.enforcer.datapath.ebpf._layout import (
    Peer,
    Prefix4,
    Prefix6,
    PrefixClass,
    Segments,
    Unit,
    Verdict,
    VerdictFlag,
    VerdictKey,
)
from watchword.enforcer.datapath.ebpf.names import Numbers
from watchword.enforcer.datapath.ebpf.object import Map
from watchword.policy import tables as policy
from watchword.wire.policy import ANY_PROTOCOL

_PROTOCOLS = {6: 0, 17: 1}
_DIRECTIONS = {"in": 0, "out": 1}

#: (local, peer, bank, direction, protocol, segment)
_Key = tuple[int, int, int, int, int, int]
#: (action, flags, rule, observed rule)
_Value = tuple[int, int, int, int]


@dataclass(slots=True)
class _Shared:
    """An entry that both banks use: a fixed part and a class in each."""

    fixed: int
    classes: list[int]


class Banks:
    """The maps that a verdict is made of."""

    def __init__(
        self,
        units: Map[ctypes.c_uint64, Unit],
        peers: Map[ctypes.c_uint32, Peer],
        prefixes4: Map[Prefix4, PrefixClass],
        prefixes6: Map[Prefix6, PrefixClass],
        verdicts: Map[VerdictKey, Verdict],
        segments: int,
        rules: Numbers,
        enforcers: Numbers,
    ) -> None:
        self._units_map, self._peers_map, self._verdicts_map = units, peers, verdicts
        self._prefix_maps: dict[int, Map[Any, PrefixClass]] = {4: prefixes4, 6: prefixes6}
        self._rules, self._enforcers = rules, enforcers
        self._segments_memory = mmap.mmap(segments, 4 * ctypes.sizeof(Segments))
        self._units = {k.value: _Shared(v.badge, list(getattr(v, "class"))) for k, v in units.items_batched()}
        self._peers = {k.value: _Shared(v.enforcer, list(getattr(v, "class"))) for k, v in peers.items_batched()}
        self._prefixes = {
            _network(k): _Shared(0, list(getattr(v, "class")))
            for family in self._prefix_maps.values()
            for k, v in family.items()
        }
        self._verdicts = {_key_of(k): _value_of(v) for k, v in verdicts.items_batched()}

    def fill(self, bank: int, tables: policy.Tables, places: Mapping[int, int]) -> None:
        """Write ``tables`` to ``bank``. ``places`` is cgroup ID to the badge of the unit placed there.

        A unit that the tables do not know yet is placed all the same, without a class: its sockets are
        refused, rather than taken for those of the unit around it.
        """
        local = {unit.badge: unit.local_class for unit in tables.units.values()}
        self._fill_segments(bank, tables.segments)
        self._fill_verdicts(bank, tables)
        self._fill_shared(
            bank,
            self._prefixes,
            {_canonical(cidr): (0, number) for cidr, number in tables.prefixes.items()},
            self._put_prefix,
        )
        self._fill_shared(
            bank,
            self._peers,
            {badge: (self._enforcers.number(p.enforcer), p.peer_class) for badge, p in tables.peers.items()},
            self._put_peer,
        )
        self._fill_shared(
            bank,
            self._units,
            {place: (badge, local.get(badge, 0)) for place, badge in places.items()},
            self._put_unit,
        )

    def enforcer_number(self, enforcer: str) -> int:
        """The index of an Enforcer's keys."""
        return self._enforcers.number(enforcer)

    def _fill_shared(
        self, bank: int, actual: dict[Any, _Shared], desired: Mapping[Any, tuple[int, int]], put: Any
    ) -> None:
        for key, (fixed, number) in desired.items():
            entry = actual.get(key)
            if entry is None:
                entry = actual[key] = _Shared(fixed, [0, 0])
            elif entry.fixed == fixed and entry.classes[bank] == number:
                continue
            if entry.fixed != fixed:  # another unit or Enforcer under an old name: the other bank forgets it
                entry.fixed, entry.classes = fixed, [0, 0]
            entry.classes[bank] = number
            put(key, entry)
        for key in [key for key, entry in actual.items() if key not in desired]:
            entry = actual[key]
            if entry.classes[bank] == 0 and entry.classes[1 - bank] != 0:
                continue
            entry.classes[bank] = 0
            if entry.classes[1 - bank] == 0:
                put(key, None)
                del actual[key]
            else:
                put(key, entry)

    def _put_unit(self, place: int, entry: _Shared | None) -> None:
        key = ctypes.c_uint64(place)
        if entry is None:
            self._units_map.remove(key)
        else:
            self._units_map.put(key, Unit(entry.fixed, (ctypes.c_uint32 * 2)(*entry.classes)))

    def _put_peer(self, badge: int, entry: _Shared | None) -> None:
        key = ctypes.c_uint32(badge)
        if entry is None:
            self._peers_map.remove(key)
        else:
            self._peers_map.put(key, Peer(entry.fixed, (ctypes.c_uint32 * 2)(*entry.classes)))

    def _put_prefix(self, cidr: str, entry: _Shared | None) -> None:
        network = ipaddress.ip_network(cidr)
        family: Map[Any, PrefixClass] = self._prefix_maps[network.version]
        packed = network.network_address.packed
        key = family.key(network.prefixlen, (ctypes.c_uint8 * len(packed))(*packed))
        if entry is None:
            family.remove(key)
        else:
            family.put(key, PrefixClass((ctypes.c_uint32 * 2)(*entry.classes)))

    def _fill_segments(self, bank: int, segments: Iterable[policy.Segment]) -> None:
        size = ctypes.sizeof(Segments)
        for protocol, index in _PROTOCOLS.items():
            numbers = (ctypes.c_uint16 * 65536)()
            for segment in segments:
                if segment.protocol == protocol:
                    count = segment.last - segment.first + 1
                    numbers[segment.first : segment.last + 1] = [segment.number] * count
            at = (bank * 2 + index) * size
            fresh = bytes(numbers)
            if self._segments_memory[at : at + size] != fresh:
                self._segments_memory[at : at + size] = fresh

    def _fill_verdicts(self, bank: int, tables: policy.Tables) -> None:
        desired: dict[_Key, _Value] = {}
        for key, verdict in tables.verdicts.items():
            direction = _DIRECTIONS[key.direction]
            desired[(key.local, key.peer, bank, direction, key.protocol, key.segment)] = self._value(verdict)
        for local, protocol, segment in tables.reachable:
            at = (local, policy.NO_CLASS, bank, _DIRECTIONS["out"], protocol, segment)
            action, flags, rule, observed = desired.get(at, (0, 0, 0, 0))
            if protocol != ANY_PROTOCOL and at not in desired:
                action = 0  # says only "reachable"; no look-up for a verdict comes here
            desired[at] = (action, flags | VerdictFlag.REACHABLE, rule, observed)
        changed = [(k, v) for k, v in desired.items() if self._verdicts.get(k) != v]
        gone = [k for k in self._verdicts if k[2] == bank and k not in desired]
        self._verdicts_map.put_all((_kernel_key(k), Verdict(v[0], v[1], 0, v[2], v[3])) for k, v in changed)
        self._verdicts_map.remove_all(_kernel_key(k) for k in gone)
        self._verdicts.update(changed)
        for k in gone:
            del self._verdicts[k]

    def _value(self, verdict: policy.Verdict) -> _Value:
        flags = VerdictFlag.EXPLICIT * verdict.explicit | VerdictFlag.LOG * verdict.log
        if verdict.observed_action:
            flags |= VerdictFlag.OBSERVED | VerdictFlag.OBSERVED_ALLOW * (verdict.observed_action == "Allow")
        return (
            int(verdict.action == "Allow"),
            int(flags),
            self._rules.number(verdict.rule),
            self._rules.number(verdict.observed_rule),
        )

    def close(self) -> None:
        """Let go of the mapping."""
        self._segments_memory.close()


def _kernel_key(key: _Key) -> VerdictKey:
    local, peer, bank, direction, protocol, segment = key
    return VerdictKey(local, peer, bank, direction, protocol, 0, segment)


def _key_of(key: VerdictKey) -> _Key:
    return (key.local, key.peer, key.bank, key.direction, key.protocol, key.segment)


def _value_of(verdict: Verdict) -> _Value:
    return (verdict.action, verdict.flags, verdict.rule, verdict.observed_rule)


def _canonical(cidr: str) -> str:
    return str(ipaddress.ip_network(cidr))


def _network(key: Prefix4 | Prefix6) -> str:
    address = ipaddress.ip_address(bytes(key.address))
    return f"{address}/{key.length}"
