"""Host names in the kernel: the patterns of policy, what units have learned under them, and whom they asked.

Patterns stand in both banks, like prefixes. What a unit has learned is kept by name and not by class: a new
revision only says anew what each name belongs to, so nobody has to look anything up again.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace

from watchword.enforcer.datapath.base import Lookup
from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf import libbpf
from watchword.enforcer.datapath.ebpf.object import Map
from watchword.enforcer.datapath.ebpf.samples import Clock
from watchword.enforcer.datapath.ebpf.sockets import address_text
from watchword.policy.suffixes import candidates

_WILD = "*."
_AAAA = 28
_TEXT = layout.Suffix.text.size

#: What stands before a message for ``learn``: an Ethernet header of no protocol (IEEE 802 local), two bytes, the badge.
_HEADER = bytes(12) + b"\x88\xb5" + bytes(2)

#: Bytes of a message that ``learn`` takes in one go: what a page holds beside the kernel's own (net/bpf/test_run.c).
MESSAGE_LIMIT = 3000

_RESULTS = {
    layout.LookupResult.EMPTY: "empty",
    layout.LookupResult.TRUNCATED: "truncated",
    layout.LookupResult.UNREAD: "unread",
    layout.LookupResult.LOST: "withheld",
}

#: RFC 1035, 4.1.1 and the IANA list of DNS response codes.
_CODES = ("resolved", "format-error", "server-failure", "no-such-name", "not-implemented", "refused")


class HostNames:
    """The maps of ``names.h`` and ``dns.h``, and the programs that only the agent runs."""

    def __init__(self, fds: Mapping[str, int], programs: Mapping[str, int]) -> None:
        self._suffixes = Map(fds["suffixes"], layout.Suffix, layout.PrefixClass, "suffixes")
        self._spelled = Map(fds["spelled"], ctypes.c_uint64, layout.Spelled, "spelled")
        self._learned = Map(fds["learned"], layout.LearnedKey, layout.Learned, "learned")
        self._resolvers = Map(fds["resolvers"], layout.Address, ctypes.c_uint32, "resolvers")
        self._lookups = Map(fds["lookups"], layout.LookupKey, layout.Lookup, "lookups")
        self._told = Map(fds["lookups_told"], layout.LookupKey, ctypes.c_uint64, "lookups_told")
        self._learn = programs["learn"]
        self._passes = [
            libbpf.link_create(f"attach {name}", programs[name], 0, libbpf.TRACE_ITER, fds[table])
            for name, table in (("forget_learned", "learned"), ("forget_spelled", "spelled"))
        ]
        self._banks: tuple[dict[str, int], dict[str, int]] = ({}, {})
        for key, value in self._suffixes.items():
            self._banks[key.bank][_pattern(key)] = getattr(value, "class")

    def fill(self, bank: int, names: Mapping[str, int]) -> None:
        """Make ``names`` (pattern to class) what ``bank`` says, of names learned already too."""
        actual = self._banks[bank]
        for pattern in [pattern for pattern in actual if pattern not in names]:
            self._suffixes.remove(_suffix(bank, pattern))
            del actual[pattern]
        for pattern, number in names.items():
            if actual.get(pattern) != number:
                self._suffixes.put(_suffix(bank, pattern), layout.PrefixClass(number))
                actual[pattern] = number
        self.respell()

    def respell(self) -> None:
        """Say anew what each learned name belongs to.

        Also after a revision has come into force: what was learned while it was being written may have been
        judged by half of it.
        """
        for name, entry in self._spelled.items_batched():
            text = bytes(entry.text)[: entry.length].decode("ascii", "replace")
            classes = tuple(_class(text, bank) for bank in self._banks)
            if tuple(getattr(entry, "class")) != classes:
                getattr(entry, "class")[:] = classes
                self._spelled.put(name, entry)

    def believe(self, resolvers: Iterable[str]) -> None:
        """Learn from the answers of these addresses and of nobody else."""
        wanted = {bytes(_address(text)): _address(text) for text in resolvers}
        for known, _ in self._resolvers.items():
            if bytes(known) not in wanted:
                self._resolvers.remove(known)
        for address in wanted.values():
            self._resolvers.put(address, ctypes.c_uint32(1))

    def learn(self, badge: int, answer: bytes) -> int:
        """Let a unit learn a DNS answer that somebody trusted has got; returns ``enum ww_lookup_result``."""
        data = _HEADER + badge.to_bytes(4, "little") + answer
        return libbpf.run_once(self._learn, data) if len(answer) <= MESSAGE_LIMIT else layout.LookupResult.UNREAD

    def learned(self, badge: int, address: str) -> list[str]:
        """The names under which a unit has learned an address, those that have run out too."""
        entry = self._learned.get(layout.LearnedKey(badge, 0, _address(address)))
        found = [self._spelled.get(ctypes.c_uint64(name)) for name in entry.names[::2] if name] if entry else []
        return sorted(bytes(name.text)[: name.length].decode("ascii", "replace") for name in found if name)

    def lookups(self, clock: Clock) -> list[Lookup]:
        """All aggregated look-ups."""
        return [_lookup(key, value, clock) for key, value in self._lookups.items_batched()]

    def unreported(self, clock: Clock) -> list[tuple[Lookup, Lookup | None]]:
        """What has grown, with the addresses that are good now under names that the unit has asked for."""
        told = {bytes(key): count.value for key, count in self._told.items_batched()}
        grown = [
            (key, value, told.get(bytes(key), 0))
            for key, value in self._lookups.items_batched()
            if value.count != told.get(bytes(key), 0)
        ]
        learned = self._learned_under({(key.unit, key.name) for key, _, _ in grown if not key.result})
        found = []
        for key, value, before in grown:
            addresses = learned[key.unit, key.name] if not key.result else ()
            lookup = replace(_lookup(key, value, clock), learned=_of_type(addresses, key.type))
            found.append((lookup, replace(lookup, count=before) if before else None))
        return found

    def _learned_under(self, wanted: Set[tuple[int, int]]) -> Mapping[tuple[int, int], list[str]]:
        """The addresses of these (unit, name), in order, that are good now."""
        found: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        for key, value in self._learned.items_batched() if wanted else ():
            for name, until in zip(value.names[::2], value.names[1::2], strict=True):
                if name and until > now and (key.unit, name) in wanted:
                    found[key.unit, name].append(address_text(key.address))
        return found

    def reported(self, lookups: Sequence[Lookup]) -> None:
        """Remember what has been handed on."""
        self._told.put_all((_lookup_key(found), ctypes.c_uint64(found.count)) for found in lookups)

    def asked_for(self, badge: int, name: int, kind: int) -> str:
        """The name of which an answer was not read; "" when it is not known any more."""
        for result in (layout.LookupResult.TRUNCATED, layout.LookupResult.UNREAD):
            found = self._lookups.get(layout.LookupKey(name, badge, kind, result))
            if found is not None:
                return _text(found)
        return ""

    def forget(self, lookups: Sequence[Lookup]) -> None:
        """Make room: what has run out goes, and these look-ups, as far as they are reported."""
        for found in lookups:
            key = _lookup_key(found)
            told, now = self._told.get(key), self._lookups.get(key)
            if told is not None and now is not None and told.value == now.count:
                self._lookups.remove(key)
                self._told.remove(key)
        for link in self._passes:
            libbpf.iterate(link)

    def close(self) -> None:
        """Let go of the programs."""
        for link in self._passes:
            os.close(link)


def _class(name: str, patterns: Mapping[str, int]) -> int:
    return next((patterns[pattern] for pattern in candidates(name) if pattern in patterns), 0)


def _suffix(bank: int, pattern: str) -> layout.Suffix:
    """The name from its end. A whole one is closed by a zero, a ``*.domain`` by the dot before the star."""
    wild = pattern.startswith(_WILD)
    text = pattern.removeprefix(_WILD)[::-1].encode() + (b"." if wild else b"\0")
    return layout.Suffix((1 + len(text)) * 8, bank, (ctypes.c_uint8 * _TEXT)(*text))


def _pattern(key: layout.Suffix) -> str:
    text = bytes(key.text)[: key.length // 8 - 1]
    name = text[:-1].decode()[::-1]
    return _WILD + name if text.endswith(b".") else name


def _address(text: str) -> layout.Address:
    parsed = ipaddress.ip_address(text)
    packed = bytes(10) + b"\xff\xff" + parsed.packed if parsed.version == 4 else parsed.packed
    return layout.Address.from_buffer_copy(packed)


def _text(value: layout.Lookup) -> str:
    """What was asked for; bytes that no host name has are spelled out (RFC 1035, 5.1), they may be anything."""
    raw = bytes(value.text)[: value.length]
    return "".join(chr(byte) if 0x21 <= byte < 0x7F and byte != 0x5C else f"\\{byte:03d}" for byte in raw)


def _lookup_key(found: Lookup) -> layout.LookupKey:
    return layout.LookupKey(found.number, found.unit_badge, found.kind, found.result_number)


def _of_type(addresses: Iterable[str], kind: int) -> tuple[str, ...]:
    """Of addresses learned under a name those that an answer of that type can hold, in order."""
    return tuple(sorted(text for text in addresses if (":" in text) == (kind == _AAAA)))


def _lookup(key: layout.LookupKey, value: layout.Lookup, clock: Clock) -> Lookup:
    code = _CODES[key.result] if key.result < len(_CODES) else f"code-{key.result}"
    return Lookup(
        unit_badge=key.unit,
        name=_text(value),
        kind=key.type,
        result=_RESULTS.get(key.result, code),
        resolver=address_text(value.resolver),
        count=value.count,
        addresses=value.addresses,
        first_seen=clock.unix(value.first_seen),
        last_seen=clock.unix(value.last_seen),
        number=key.name,
        result_number=key.result,
    )
