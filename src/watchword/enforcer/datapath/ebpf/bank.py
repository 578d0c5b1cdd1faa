"""Desired tables against the two banks the kernel holds.

The kernel decides by one bank. :class:`Banks` fills the other with only what differs from what
stands there, so that a revision costs what it changes; flipping is the datapath's business. What
stands in the kernel is read back, so that a restarted agent goes on where the last one was. From
then on only what differs between the tables of two fillings of a bank is looked at; after a filling
that failed half-way, everything is. Of verdicts, which are many, no copy is kept beside those tables:
they are read from the kernel whenever everything is looked at.
"""

from __future__ import annotations

import ctypes
import ipaddress
import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

from watchword.enforcer.datapath.ebpf._layout import (
    Limit,
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
from watchword.policy.ledger import differing, differing_members

#: Of each map of segments the protocols, in the order of its entries.
_PORTS, _TYPES = (6, 17), (1, 58)
_DIRECTIONS = {"in": 0, "out": 1}
_NAMES: tuple[policy.Direction, policy.Direction] = ("in", "out")

#: (local, peer, bank, direction, protocol, segment)
_Key = tuple[int, int, int, int, int, int]
#: (action, flags, rule, observed rule)
_Value = tuple[int, int, int, int]


class _Shared(NamedTuple):
    """An entry that both banks use: a fixed part and a class in each."""

    fixed: int
    classes: tuple[int, int]


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
        icmp_types: int,
        rules: Numbers,
        enforcers: Numbers,
    ) -> None:
        self._units_map, self._peers_map, self._verdicts_map = units, peers, verdicts
        self._prefix_maps: dict[int, Map[Any, PrefixClass]] = {4: prefixes4, 6: prefixes6}
        self._rules, self._enforcers = rules, enforcers
        self._segments_memory = {
            protocols: mmap.mmap(fd, 4 * ctypes.sizeof(Segments))
            for protocols, fd in ((_PORTS, segments), (_TYPES, icmp_types))
        }
        self._units = {k.value: _Shared(v.badge, tuple(getattr(v, "class"))) for k, v in units.items_batched()}
        self._peers = {k.value: _Shared(v.enforcer, tuple(getattr(v, "class"))) for k, v in peers.items_batched()}
        self._prefixes: dict[tuple[int, str], int] = {
            (k.bank, _network(k)): getattr(v, "class")
            for family in self._prefix_maps.values()
            for k, v in family.items()
        }
        self._filled: list[policy.Tables | None] = [None, None]

    def fill(self, bank: int, tables: policy.Tables, places: Mapping[int, int]) -> None:
        """Write ``tables`` to ``bank``. ``places`` is cgroup ID to the badge of the unit placed there.

        A unit that the tables do not know yet is placed all the same, without a class: its sockets are
        refused, rather than taken for those of the unit around it.
        """
        before, self._filled[bank] = self._filled[bank], None
        local = {unit.badge: unit.local_class for unit in tables.units.values()}
        if before is None or before.segments != tables.segments:
            self._fill_segments(bank, tables.segments)
        self._fill_verdicts(bank, before, tables)
        self._fill_prefixes(bank, {_canonical(cidr): number for cidr, number in tables.prefixes.items()})
        stale = {*self._peers, *tables.peers} if before is None else differing(before.peers, tables.peers)
        self._fill_shared(bank, self._peers, lambda badge: self._peer(tables.peers.get(badge)), stale, self._put_peer)
        units = {place: (badge, local.get(badge, 0)) for place, badge in places.items()}
        self._fill_shared(bank, self._units, units.get, {*self._units, *units}, self._put_unit)
        self._filled[bank] = tables

    def _peer(self, peer: policy.Peer | None) -> tuple[int, int] | None:
        return (self._enforcers.number(peer.enforcer), peer.peer_class) if peer else None

    def enforcer_number(self, enforcer: str) -> int:
        """The index of an Enforcer's keys."""
        return self._enforcers.number(enforcer)

    def _fill_shared(
        self, bank: int, actual: dict[Any, _Shared], desired: Callable[[Any], Any], stale: Iterable[Any], put: Any
    ) -> None:
        """Bring the entries ``stale`` to what ``desired`` says: (fixed part, class), or None for nothing.

        What goes goes first: its room may be needed, also that of a revision that did not fit.
        """
        present = []
        for key in stale:
            wanted = desired(key)
            if wanted is None:
                self._clear_shared(bank, actual, key, put)
            else:
                present.append((key, wanted))
        for key, (fixed, number) in present:
            entry = actual.get(key) or _Shared(fixed, (0, 0))
            classes = list(entry.classes)
            if entry.fixed != fixed:  # another unit or Enforcer under an old name: the other bank forgets it
                classes = [0, 0]
                self._filled[1 - bank] = None
            classes[bank] = number
            fresh = _Shared(fixed, (classes[0], classes[1]))
            if actual.get(key) != fresh:
                put(key, fresh)
                actual[key] = fresh

    def _clear_shared(self, bank: int, actual: dict[Any, _Shared], key: Any, put: Any) -> None:
        entry = actual.get(key)
        if entry is None or (entry.classes[bank] == 0 and entry.classes[1 - bank] != 0):
            return
        if entry.classes[1 - bank] == 0:
            put(key, None)
            del actual[key]
        else:
            left = _Shared(entry.fixed, (0, entry.classes[1]) if bank == 0 else (entry.classes[0], 0))
            put(key, left)
            actual[key] = left

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

    def _fill_prefixes(self, bank: int, desired: Mapping[str, int]) -> None:
        for where in [where for where in self._prefixes if where[0] == bank and where[1] not in desired]:
            self._family(where[1]).remove(self._prefix_key(*where))
            del self._prefixes[where]
        for cidr, number in desired.items():
            if self._prefixes.get((bank, cidr)) != number:
                self._family(cidr).put(self._prefix_key(bank, cidr), PrefixClass(number))
                self._prefixes[bank, cidr] = number

    def _family(self, cidr: str) -> Map[Any, PrefixClass]:
        return self._prefix_maps[6 if ":" in cidr else 4]

    def _prefix_key(self, bank: int, cidr: str) -> Prefix4 | Prefix6:
        network = ipaddress.ip_network(cidr)
        packed = network.network_address.packed
        key: Prefix4 | Prefix6 = self._family(cidr).key(
            Limit.BANK_BITS + network.prefixlen, bank, (ctypes.c_uint8 * len(packed))(*packed)
        )
        return key

    def _fill_segments(self, bank: int, segments: Iterable[policy.Segment]) -> None:
        size = ctypes.sizeof(Segments)
        numbers = {protocol: (ctypes.c_uint16 * 65536)() for protocol in (*_PORTS, *_TYPES)}
        for segment in segments:
            if segment.protocol in numbers:
                count = segment.last - segment.first + 1
                numbers[segment.protocol][segment.first : segment.last + 1] = [segment.number] * count
        for protocols, memory in self._segments_memory.items():
            for index, protocol in enumerate(protocols):
                at, fresh = (bank * 2 + index) * size, bytes(numbers[protocol])
                if memory[at : at + size] != fresh:
                    memory[at : at + size] = fresh

    def _fill_verdicts(self, bank: int, before: policy.Tables | None, tables: policy.Tables) -> None:
        """Write what differs from what stands there. What goes goes first: its room may be needed."""
        if before is None:
            standing = self._standing(bank)
            gone = [key for key in standing if self._wanted(key, tables) is None]
            changed = ((key, value) for key, value in self._desired(bank, tables) if standing.get(key) != value)
        else:
            stale = [(key, self._wanted(key, tables)) for key in _stale_verdicts(bank, before, tables)]
            gone = [key for key, value in stale if value is None]
            changed = ((key, value) for key, value in stale if value is not None)
        self._verdicts_map.remove_all(_kernel_key(key) for key in gone)
        self._verdicts_map.put_all((_kernel_key(k), Verdict(v[0], v[1], 0, v[2], v[3])) for k, v in changed)

    def _standing(self, bank: int) -> dict[_Key, _Value]:
        """The kernel's verdicts of one bank. Nobody keeps them: tables that filled a bank say what stands there."""
        values: dict[_Value, _Value] = {}  # one object for each: there are few, and many verdicts
        found = ((_key_of(k), _value_of(v)) for k, v in self._verdicts_map.each_batched() if k.bank == bank)
        return {key: values.setdefault(value, value) for key, value in found}

    def _desired(self, bank: int, tables: policy.Tables) -> Iterator[tuple[_Key, _Value]]:
        """All that is to stand in a bank."""
        reachable = (_reachable_at(bank, *where) for where in tables.reachable)
        for key in chain((_at(bank, key) for key in tables.verdicts), reachable):
            if (value := self._wanted(key, tables)) is not None:
                yield key, value

    def _wanted(self, key: _Key, tables: policy.Tables) -> _Value | None:
        """What is to stand there: a verdict, that a flow is reachable, both, or nothing."""
        local, peer, bank, direction, protocol, segment = key
        verdict = tables.verdicts.get(policy.VerdictKey(local, peer, _NAMES[direction], protocol, segment))
        hoped = key == _reachable_at(bank, local, protocol, segment) and (local, protocol, segment) in tables.reachable
        if verdict is None and not hoped:
            return None
        # without a verdict it says only "reachable": no look-up for a verdict comes there
        action, flags, rule, observed = self._value(verdict) if verdict else (0, 0, 0, 0)
        return action, int(flags | VerdictFlag.REACHABLE * hoped), rule, observed

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
        """Let go of the mappings."""
        for memory in self._segments_memory.values():
            memory.close()


def _stale_verdicts(bank: int, before: policy.Tables, tables: policy.Tables) -> set[_Key]:
    """Where the verdicts of tables that filled a bank may not be those of ``tables``."""
    stale = {_at(bank, key) for key in differing(before.verdicts, tables.verdicts)}
    return stale | {_reachable_at(bank, *where) for where in differing_members(before.reachable, tables.reachable)}


def _at(bank: int, key: policy.VerdictKey) -> _Key:
    return key.local, key.peer, bank, _DIRECTIONS[key.direction], key.protocol, key.segment


def _reachable_at(bank: int, local: int, protocol: int, segment: int) -> _Key:
    return local, policy.NO_CLASS, bank, _DIRECTIONS["out"], protocol, segment


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
    return f"{address}/{key.length - Limit.BANK_BITS}"
