"""Random worlds in force on real datapaths: every connection fares, and is recorded, as the naive oracle says.

A world is rendered, sent, compiled and loaded; then every unit connects to every unit and to addresses without
identity, and those connect to it. What the application meets, which rule either end's record names, what would
have happened by an observed rule: all of it is predicted from the world alone. Then the world changes, and what
still stands has to be cut if, and only if, the oracle now refuses it.

``WATCHWORD_KERNEL_SECONDS`` (default 40) bounds the time, ``WATCHWORD_KERNEL_SEED`` (default 1) chooses the worlds.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.datapath.kernel_estate import OUTSIDE, PORTS, KernelEstate, kernel_estates
from tests.datapath.workload import read
from tests.property import oracle
from tests.property.worlds import TAGS, namespaces, networks, rulesets, units, worlds
from watchword.enforcer.datapath.base import FlowSample
from watchword.policy.world import Unit, World

SECONDS = float(os.environ.get("WATCHWORD_KERNEL_SECONDS", "40"))
SEED = int(os.environ.get("WATCHWORD_KERNEL_SEED", "1"))

#: What an application meets: connected; EPERM from connect(); RST; ended after the answer; no answer at all.
Fate = Literal["connected", "forbidden", "refused", "aborted", "silence"]

_ERRORS: dict[int, Fate] = {
    errno.EPERM: "forbidden",
    errno.ECONNREFUSED: "refused",
    errno.ECONNABORTED: "aborted",
    errno.ECONNRESET: "aborted",
}
_TCP = 6
_KEPT = 16  # connections carried over into the next world
_SILENCE = 0.3  # seconds without an answer after everybody else has got one


class Record(NamedTuple):
    """A flow record without its counts."""

    unit: int
    direction: str
    peer: int
    address: str
    port: int
    action: str
    reason: str
    rule: str
    observed_action: str
    observed_rule: str
    proved: bool


def record_of(sample: FlowSample) -> Record:
    return Record(
        sample.unit_badge,
        sample.direction,
        sample.peer_badge,
        sample.peer_address,
        sample.port,
        sample.action,
        sample.reason,
        sample.rule,
        sample.observed_action,
        sample.observed_rule,
        sample.proved,
    )


@dataclass(frozen=True)
class Attempt:
    """One connection: from a unit or an address, to a unit or an address."""

    source: Unit | str
    destination: Unit | str
    version: int
    port: int


class Outlook(NamedTuple):
    """What is to become of an attempt: its fate, and the records that it leaves at Enforcers."""

    fate: Fate
    records: dict[str, Record]


class Prophet:
    """Predicts from the world alone; from the estate it takes only who knows whom, and addresses."""

    def __init__(self, world: World, estate: KernelEstate) -> None:
        self._world, self._estate = world, estate

    def outlook(self, attempt: Attempt) -> Outlook:
        """In the order in which the handshake asks: connect(), the SYN's receiver, the SYN-ACK's receiver."""
        source, destination = attempt.source, attempt.destination
        if isinstance(source, Unit):
            forbidden = self._forbidden(attempt, source)
            if forbidden:
                return Outlook("forbidden", {source.enforcer: forbidden})
        if isinstance(destination, Unit):
            refused = self._refused(attempt, destination)
            if refused:
                return refused
        records = {}
        if isinstance(source, Unit):
            made = self._record(source, destination, "out", attempt.port)
            if isinstance(destination, Unit) and not self._estate.knows(source, destination):
                return Outlook("silence", {source.enforcer: _unknown(made)})
            if made.action == "Reject":
                return Outlook("aborted", {source.enforcer: made})
            records[source.enforcer + "/out"] = made
        if isinstance(destination, Unit):
            records[destination.enforcer + "/in"] = self._record(destination, source, "in", attempt.port)
        return Outlook("connected", records)

    def lives(self, attempt: Attempt) -> bool:
        """Whether what stands may stand: both ends, as they are now, allow it. Of connect() nobody asks any more."""
        ends = [(attempt.source, attempt.destination, "out"), (attempt.destination, attempt.source, "in")]
        return all(
            oracle.judge(self._world, unit, peer, direction, _TCP, attempt.port).action == "Allow"
            for unit, peer, direction in ends
            if isinstance(unit, Unit)
        )

    def _forbidden(self, attempt: Attempt, source: Unit) -> Record | None:
        """No peer with identity could be allowed on this port, and the address is not."""
        address = attempt.destination
        if isinstance(address, Unit):
            address = self._estate.address(address, attempt.version)
        made = self._record(source, address, "out", attempt.port)
        hopeful = oracle.hopeful(self._world, source, _TCP, attempt.port)
        return None if hopeful or made.action == "Allow" else made

    def _refused(self, attempt: Attempt, destination: Unit) -> Outlook | None:
        source = attempt.source
        made = self._record(destination, source, "in", attempt.port)
        if isinstance(source, Unit) and not self._estate.knows(destination, source):
            return Outlook("silence", {destination.enforcer: _unknown(made)})
        if made.action == "Allow":
            return None
        return Outlook("refused" if made.rule else "silence", {destination.enforcer: made})

    def _record(self, unit: Unit, peer: Unit | str, direction: Literal["in", "out"], port: int) -> Record:
        opinion = oracle.judge(self._world, unit, peer, direction, _TCP, port)
        allowed, known = opinion.action == "Allow", isinstance(peer, Unit)
        return Record(
            unit.badge,
            "incoming" if direction == "in" else "outgoing",
            peer.badge if isinstance(peer, Unit) else 0,
            "" if isinstance(peer, Unit) else peer,
            port,
            opinion.action,
            "policy",
            opinion.rule,
            opinion.observed_action,
            opinion.observed_rule,
            allowed and known,
        )


def _unknown(made: Record) -> Record:
    """The Enforcer was not told of the peer, whom no rule names: it drops what it cannot verify."""
    assert (made.action, made.rule) == ("Reject", ""), made
    return made._replace(reason="badge-unknown", observed_action="", observed_rule="", proved=False)


@dataclass
class Standing:
    """A connection that was let in, both of its ends, and where its units were."""

    attempt: Attempt
    near: socket.socket
    far: socket.socket

    def close(self) -> None:
        self.near.close()
        self.far.close()


class Play:
    """One sequence of worlds on one estate."""

    def __init__(self, estate: KernelEstate) -> None:
        self.estate = estate
        self.standing: list[Standing] = []
        self.fates: Counter[str] = Counter()
        self._unclaimed: list[socket.socket] = []  # accepted on the way to another one

    def step(self, world: World, random: Random) -> None:
        """Put a world in force; see who is cut, who gets in, and what the Enforcers say about it."""
        self.estate.become(world)
        prophet = Prophet(world, self.estate)
        self._cut(world, prophet)
        attempts = list(_attempts(world, random))
        outlooks = {attempt: prophet.outlook(attempt) for attempt in attempts}
        before = self._counts()
        made = self._connect(outlooks)
        self._check_records(outlooks, before)
        random.shuffle(made)
        self.standing += made[:_KEPT]
        for one in made[_KEPT:]:
            one.close()

    def _connect(self, outlooks: dict[Attempt, Outlook]) -> list[Standing]:
        """All at once; whoever is to be answered is waited for, the others a little longer."""
        fates: dict[Attempt, Fate] = {}
        callers: dict[int, tuple[Attempt, socket.socket]] = {}
        poll = select.poll()
        for attempt in outlooks:
            try:
                caller = self._begin(attempt)
            except OSError as error:
                fates[attempt] = _ERRORS[error.errno or 0]
                continue
            callers[caller.fileno()] = attempt, caller
            poll.register(caller, select.POLLOUT)
        waiting = {attempt for attempt, outlook in outlooks.items() if outlook.fate != "silence"} - set(fates)
        deadline = time.monotonic() + 20
        until = deadline
        while time.monotonic() < until:
            if not waiting:
                until = min(until, time.monotonic() + _SILENCE)
                waiting = {Attempt("", "", 0, 0)}  # nobody: the rest of the time is for those who are to get no answer
            for descriptor, _ in poll.poll(20):
                attempt, caller = callers[descriptor]
                poll.unregister(caller)
                number = caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                fates[attempt] = _ERRORS[number] if number else "connected"
                waiting.discard(attempt)
        made = []
        for attempt, caller in callers.values():
            fate = fates.setdefault(attempt, "silence")
            if fate == "connected" and outlooks[attempt].fate == "connected":
                made.append(self._accepted(attempt, caller))
            else:
                caller.close()
        for attempt, outlook in outlooks.items():
            assert fates[attempt] == outlook.fate, (attempt, outlook)
            self.fates[outlook.fate] += 1
        return made

    def _begin(self, attempt: Attempt) -> socket.socket:
        self._listener(attempt)
        source, to = attempt.source, attempt.destination
        if isinstance(to, Unit):
            to = self.estate.address(to, attempt.version)
        if isinstance(source, Unit):
            own = (self.estate.address(source, attempt.version), 0)
            return self.estate.app(source).begin(to, attempt.port, source=own)
        return self.estate.app(None).begin(to, attempt.port, source=(source, 0))

    def _listener(self, attempt: Attempt) -> socket.socket:
        to = attempt.destination
        if isinstance(to, Unit):
            return self.estate.listener(to, self.estate.address(to, attempt.version), attempt.port)
        return self.estate.listener(None, to, attempt.port)

    def _accepted(self, attempt: Attempt, near: socket.socket) -> Standing:
        """The other end of one connection; those that are found before it belong to others and wait their turn."""
        wanted = near.getpeername()[:2], near.getsockname()[:2]  # two connections may share one of them
        for waiting in self._unclaimed:
            if _ends(waiting) == wanted:
                self._unclaimed.remove(waiting)
                return Standing(attempt, near, waiting)
        while True:
            try:
                far, _ = self._listener(attempt).accept()
            except TimeoutError:
                raise AssertionError(f"connected at one end only: {attempt}") from None
            far.settimeout(10)
            near.settimeout(10)
            if _ends(far) == wanted:
                return Standing(attempt, near, far)
            self._unclaimed.append(far)

    def _counts(self) -> dict[str, Counter[Record]]:
        """Connections by record, at each Enforcer."""
        counted = {}
        for name, samples in self.estate.flows().items():
            counted[name] = Counter[Record]()
            for sample in samples:
                counted[name][record_of(sample)] += sample.connections
        return counted

    def _check_records(self, outlooks: dict[Attempt, Outlook], before: dict[str, Counter[Record]]) -> None:
        after = self._counts()
        for attempt, outlook in outlooks.items():
            for where, record in outlook.records.items():
                enforcer = where.partition("/")[0]
                grown = after[enforcer][record] - before[enforcer][record]
                found = [each for each in after[enforcer] if each[:5] == record[:5]]
                # A SYN without an answer is sent again, and each one is recorded.
                exact = outlook.fate in ("connected", "forbidden")
                assert grown == 1 if exact else grown >= 1, (attempt, outlook, record, grown, found)

    def _cut(self, world: World, prophet: Prophet) -> None:
        """Of what has been let in, that lives which would be let in again, and nothing else."""
        for one in self.standing:
            attempt = _now(world, one.attempt)
            lives = attempt is not None and prophet.lives(attempt)
            if lives:
                one.near.sendall(b"question")
                assert read(one.far, 8) == b"question", one.attempt
                one.far.sendall(b"answer")
                assert read(one.near, 6) == b"answer", one.attempt
                self.fates["kept"] += 1
            else:
                told = [_told(end) for end in (one.near, one.far)]
                assert set(told) <= {"ConnectionResetError", "ConnectionAbortedError"}, (told, one.attempt, attempt)
                self.fates["cut"] += 1
            one.close()
        self.standing.clear()

    def close(self) -> None:
        """Close what stands."""
        for one in self.standing:
            one.close()
        self.standing.clear()


def _ends(accepted: socket.socket) -> tuple[object, object]:
    """Own and other address and port."""
    return accepted.getsockname()[:2], accepted.getpeername()[:2]


def _told(end: socket.socket) -> str:
    """How an end hears that its connection is over; TimeoutError if it does not."""
    try:
        return f"{len(end.recv(1))} bytes"
    except OSError as error:
        return type(error).__name__


def _now(world: World, attempt: Attempt) -> Attempt | None:
    """The same attempt between the units as they are now; None if one has gone or is elsewhere."""
    ends: dict[str, Unit] = {}
    for name in ("source", "destination"):
        end = getattr(attempt, name)
        if isinstance(end, Unit):
            now = world.units.get(end.id)
            if now is None or (now.enforcer, now.badge) != (end.enforcer, end.badge):
                return None
            ends[name] = now
    return dataclasses.replace(attempt, **ends)  # type: ignore[arg-type]


def _attempts(world: World, random: Random) -> Iterator[Attempt]:
    """Every pair of units on three ports, also of one with itself; every unit with four addresses, both ways."""
    everybody = sorted(world.units.values(), key=lambda unit: unit.id)
    for source in everybody:
        for destination in everybody:
            for port in random.sample(PORTS, 3):
                yield Attempt(source, destination, random.choice((4, 6)), port)
    for unit in everybody:
        for address in random.sample(OUTSIDE, 4):
            version = 6 if ":" in address else 4
            yield Attempt(unit, address, version, random.choice(PORTS))
            yield Attempt(address, unit, version, random.choice(PORTS))


def _with_badges(world: World) -> World:
    """Every unit has a badge: one without is not placed by an agent."""
    fixed = {key: dataclasses.replace(unit, badge=100 + int(key[1:])) for key, unit in world.units.items()}
    return dataclasses.replace(world, units=fixed)


_Change = Callable[[World], World]


@st.composite
def changes(draw: st.DrawFn) -> _Change:
    """One create, update, delete, relabel or move."""
    number = draw(st.integers(0, 4))
    part, key, strategy = draw(
        st.sampled_from((("units", "u", units), ("networks", "n", networks), ("rulesets", "s", rulesets)))
    )
    what = draw(st.sampled_from(("put", "put", "drop", "relabel", "relabel", "namespaces")))
    entry = draw(strategy(number))
    paths, tags = draw(namespaces()), draw(st.frozensets(st.sampled_from(TAGS), max_size=4))

    def change(world: World) -> World:
        found: dict[str, Any] = {}
        if what == "namespaces":
            found["namespaces"] = paths
        elif what == "relabel":
            victim = sorted(world.units)[number % len(world.units)]
            relabelled = dataclasses.replace(world.units[victim], tags=tags | {"all=1"})
            found["units"] = {**world.units, victim: relabelled}
        else:
            table = {**getattr(world, part)}
            table.pop(f"{key}{number}", None)
            if what == "put" or not table:
                table[f"{key}{number}"] = entry
            found[part] = table
        return _with_badges(dataclasses.replace(world, revision=world.revision + 1, **found))

    return change


@pytest.fixture(scope="module")
def estate() -> Iterator[KernelEstate]:
    with kernel_estates("verdicts") as made:
        yield made


def plays(number: int) -> list[tuple[World, list[_Change], Random]]:
    """Worlds with changes, drawn before anything is tried: what is tried must not sway what is drawn."""
    drawn: list[tuple[World, list[_Change], Random]] = []

    @seed(SEED)
    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(worlds(), st.lists(changes(), min_size=3, max_size=5), st.integers(0, 1 << 32))
    def draw(world: World, sequence: list[_Change], ports: int) -> None:
        drawn.append((_with_badges(world), sequence, Random(ports)))

    draw()
    Random(SEED).shuffle(drawn)
    return drawn


def test_connections_fare_as_the_oracle_says(estate: KernelEstate) -> None:
    play, revision = Play(estate), 0
    drawn = plays(20 + int(SECONDS))
    deadline = time.monotonic() + SECONDS
    try:
        for world, sequence, random in drawn:
            for change in [lambda same: same, *sequence]:
                revision += 1
                world = dataclasses.replace(change(world), revision=revision)
                play.step(world, random)
            if time.monotonic() > deadline:
                break
    finally:
        play.close()
    print(f"{revision} worlds: {dict(play.fates)}")
    assert set(play.fates) >= {"connected", "forbidden", "silence", "kept", "cut"}
