"""The two banks in real maps, step by step: what stands there is what the tables last put into each bank say."""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import secrets
import shutil
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from bench.compiler import Estate
from testbed.remains import ensure_bpffs
from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf.bank import Banks
from watchword.enforcer.datapath.ebpf.editions import OBJECTS
from watchword.enforcer.datapath.ebpf.names import Numbers
from watchword.enforcer.datapath.ebpf.object import BpfObject, Map
from watchword.policy.compile import Compiler, compile
from watchword.policy.tables import NO_CLASS, Tables, Verdict, VerdictKey
from watchword.wire.policy import NetworkEntry, PolicyDocument

WAYS = ("in", "out")


class Refusing(Map[Any, Any]):
    """A map that the kernel has no room in, while armed; counts what is written."""

    armed = False
    written = 0

    def put(self, key: Any, value: Any) -> None:
        self._check()
        self.written += 1
        super().put(key, value)

    def put_all(self, entries: Iterable[tuple[Any, Any]]) -> None:
        entries = list(entries)
        self.written += len(entries)
        super().put_all(entries[: len(entries) // 2])
        if entries:
            self._check()
        super().put_all(entries[len(entries) // 2 :])

    def _check(self) -> None:
        if self.armed:
            raise DatapathError("no room")


@dataclass
class Kernel:
    """The maps, and the banks of the agent that fills them."""

    fds: dict[str, int]

    def __post_init__(self) -> None:
        self.names = Map(self.fds["names"], layout.NameKey, layout.Name)
        self.rules = Numbers(self.names, layout.NameKind.RULE)
        self.enforcers = Numbers(self.names, layout.NameKind.ENFORCER, layout.Limit.MAX_ENFORCERS)
        self.units = Map(self.fds["units"], ctypes.c_uint64, layout.Unit)
        self.peers = Refusing(self.fds["peers"], ctypes.c_uint32, layout.Peer)
        self.prefixes4 = Map(self.fds["prefixes4"], layout.Prefix4, layout.PrefixClass)
        self.prefixes6 = Map(self.fds["prefixes6"], layout.Prefix6, layout.PrefixClass)
        self.verdicts = Refusing(self.fds["verdicts"], layout.VerdictKey, layout.Verdict)
        self.start_agent()

    def start_agent(self) -> None:
        """A new agent reads back what stands in the maps."""
        self.banks = Banks(
            self.units,
            self.peers,
            self.prefixes4,
            self.prefixes6,
            self.verdicts,
            self.fds["segments"],
            self.fds["icmp_types"],
            self.rules,
            self.enforcers,
        )

    def stands(self, bank: int) -> dict[str, object]:
        """What the maps say to a packet that is judged by this bank."""
        prefixes = [*self.prefixes4.items(), *self.prefixes6.items()]
        return {
            "verdicts": {
                (k.local, k.peer, k.direction, k.protocol, k.segment): (
                    v.action,
                    v.flags,
                    self.rules.text(v.rule),
                    self.rules.text(v.observed_rule),
                )
                for k, v in self.verdicts.items()
                if k.bank == bank
            },
            "peers": {
                k.value: (self.enforcers.text(v.enforcer), number)
                for k, v in self.peers.items()
                if (number := getattr(v, "class")[bank])
            },
            "units": {k.value: (v.badge, getattr(v, "class")[bank]) for k, v in self.units.items()},
            "prefixes": {
                f"{ipaddress.ip_address(bytes(k.address))}/{k.length - layout.Limit.BANK_BITS}": getattr(v, "class")
                for k, v in prefixes
                if k.bank == bank
            },
        }


def says(tables: Tables, places: dict[int, int]) -> dict[str, object]:
    """The same, straight from tables: no difference, no state."""
    verdicts: dict[tuple[int, ...], tuple[int, int, str, str]] = {}
    for key, verdict in tables.verdicts.items():
        place = (key.local, key.peer, WAYS.index(key.direction), key.protocol, key.segment)
        verdicts[place] = (int(verdict.action == "Allow"), flags(verdict), verdict.rule, verdict.observed_rule)
    for local, protocol, segment in tables.reachable:
        place = (local, NO_CLASS, WAYS.index("out"), protocol, segment)
        action, bits, rule, observed = verdicts.get(place, (0, 0, "", ""))
        verdicts[place] = (action, bits | layout.VerdictFlag.REACHABLE, rule, observed)
    local_classes = {unit.badge: unit.local_class for unit in tables.units.values()}
    return {
        "verdicts": verdicts,
        "peers": {badge: (peer.enforcer, peer.peer_class) for badge, peer in tables.peers.items()},
        "units": {place: (badge, local_classes.get(badge, 0)) for place, badge in places.items()},
        "prefixes": dict(tables.prefixes),
    }


def flags(verdict: Verdict) -> int:
    bits = layout.VerdictFlag.EXPLICIT * verdict.explicit | layout.VerdictFlag.LOG * verdict.log
    if verdict.observed_action:
        bits |= layout.VerdictFlag.OBSERVED
    return int(bits | layout.VerdictFlag.OBSERVED_ALLOW * (verdict.observed_action == "Allow"))


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    ensure_bpffs()
    path = Path("/sys/fs/bpf") / f"watchword-test-{secrets.token_hex(4)}"
    path.mkdir()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, path)
        fds: dict[str, int] = {}
        for name in ("refuse", "enforce", "stamp", "verify", "sweep"):
            loaded = BpfObject(OBJECTS / f"{name}.bpf.o", path)
            stack.callback(loaded.close)
            fds.update(loaded.maps)
        made = Kernel(fds)
        yield made
        made.banks.close()


class Host:
    """Documents of a small host that change a little at a time, in every table."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.estate = Estate(units=6, peers=60, rules=80, seed=seed)
        self.places = {1000 + number: number + 1 for number in range(6)}

    def change(self) -> PolicyDocument:
        what = self.random.choice(("peer", "rule", "enforcer", "networks", "unit", "nothing"))
        document = self.estate.document
        if what == "peer":
            self.estate.change_a_peer()
        elif what == "rule":
            self.estate.change_a_rule()
        elif what == "enforcer":
            self._move_a_peer(document)
        elif what == "networks":
            self._replace(networks=self._networks())
        elif what == "unit":
            key = self.random.choice(list(document.units))
            unit = document.units[key]
            cut = self.random.randrange(len(unit.incoming) + 1)
            default = self.random.choice(("Allow", "Reject"))
            changed = msgspec.structs.replace(unit, outgoing=unit.outgoing[:cut], default_outgoing=default)
            self._replace(units={**document.units, key: changed})
        return self.estate.document

    def _move_a_peer(self, document: PolicyDocument) -> None:
        """There and back: the same entries as two steps before, and others between."""
        badge = self.random.choice(list(document.peers))
        peer = document.peers[badge]
        other = "enforcer-7" if peer.enforcer != "enforcer-7" else f"enforcer-{badge}"
        self._replace(peers={**document.peers, badge: msgspec.structs.replace(peer, enforcer=other)})

    def _networks(self) -> dict[str, NetworkEntry]:
        prefixes = ["10.0.0.0/8", "10.1.0.0/16", "!10.1.2.0/24", "fd00::/8", "192.0.2.0/24"]
        selectors = sorted({rule.selector for rule in self.estate.document.rules.values()})
        return {
            f"n{number}": NetworkEntry(
                "", "/", tuple(self.random.sample(prefixes, 3)), tuple(self.random.sample(selectors, 2))
            )
            for number in range(self.random.randrange(3))
        }

    def _replace(self, **tables: Any) -> None:
        document = self.estate.document
        self.estate.document = msgspec.structs.replace(document, revision=document.revision + 1, **tables)


@pytest.mark.parametrize("seed", range(4))
def test_both_banks_say_what_they_were_filled_with(kernel: Kernel, seed: int) -> None:
    host, compiler = Host(seed), Compiler()
    filled: list[tuple[Tables, dict[int, int]]] = [(Tables(0), {}), (Tables(0), {})]
    for step in range(60):
        tables = compiler.compile(host.change())
        if step % 17 == 5:
            tables = replace(tables, peers={})  # tables from elsewhere, which know of no step before
        if step % 23 == 11:
            kernel.banks.close()
            kernel.start_agent()
        bank = step & 1
        kernel.banks.fill(bank, tables, host.places)
        filled[bank] = (tables, dict(host.places))
        assert kernel.stands(bank) == says(tables, host.places)
        other, places = filled[1 - bank]
        assert kernel.stands(1 - bank)["verdicts"] == says(other, places)["verdicts"]


@pytest.mark.parametrize("seed", range(4))
def test_a_filling_that_failed_half_way_is_made_good_by_the_next(kernel: Kernel, seed: int) -> None:
    host, compiler, chance = Host(seed), Compiler(), Random(seed)
    failures = 0
    for step in range(40):
        tables = compiler.compile(host.change())
        victim = chance.choice((kernel.verdicts, kernel.peers))
        victim.armed = chance.random() < 0.5
        try:
            kernel.banks.fill(step & 1, tables, host.places)
        except DatapathError:
            failures += 1
            victim.armed = False
            kernel.banks.fill(step & 1, compiler.compile(host.change()), host.places)
            tables = compiler.compile(host.estate.document)
        victim.armed = False
        assert kernel.stands(step & 1) == says(tables, host.places)
    assert failures > 2


def test_what_a_peer_keeps_from_before_is_gone_when_its_enforcer_changes_there_and_back(kernel: Kernel) -> None:
    """The entry of a badge is shared by both banks; another Enforcer's key would be used for the old class."""
    estate = Estate(units=2, peers=10, rules=20, seed=1)
    there = estate.document
    moved = msgspec.structs.replace(there.peers[5], enforcer="enforcer-7")
    elsewhere = msgspec.structs.replace(there, revision=2, peers={**there.peers, 5: moved})
    back = msgspec.structs.replace(there, revision=3)
    compiler = Compiler()
    for bank, document in ((1, there), (0, there), (1, elsewhere), (0, back)):
        kernel.banks.fill(bank, compiler.compile(document), {})
        assert kernel.stands(bank) == says(compile(document), {})


def test_a_step_writes_what_it_changes(kernel: Kernel) -> None:
    estate = Estate(units=20, peers=400, rules=400, seed=2)
    compiler = Compiler()
    for bank in (1, 0):
        kernel.banks.fill(bank, compiler.compile(estate.document), {})
    kernel.peers.written = kernel.verdicts.written = 0
    estate.change_a_peer()
    before = compiler.compile(estate.document)
    kernel.banks.fill(1, before, {})
    assert 0 < kernel.peers.written <= 2
    assert kernel.verdicts.written < len(before.verdicts) / 10


def test_no_copy_of_verdicts_is_kept(kernel: Kernel) -> None:
    """There may be a million; the tables say what they are, and the kernel what stands there."""
    many = 20_000
    verdicts = {VerdictKey(16, 16 + number, "in", 6, 1): Verdict("Allow", "rule") for number in range(many)}
    tables = [Tables(revision=revision, verdicts=dict(verdicts)) for revision in (1, 2)]
    kernel.banks.fill(0, tables[0], {})  # whatever is made once is made
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kernel.banks.fill(1, tables[1], {})
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept < many * 20
    assert len(kernel.stands(1)["verdicts"]) == many  # type: ignore[arg-type]
