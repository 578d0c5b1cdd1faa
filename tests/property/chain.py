"""The chain from a world to tables as Console and Enforcer run it: engine, delta, frame, apply, compile.

Both sides keep state from step to step; :meth:`Enforcer.check` holds what came of it against what starting
anew gives, and against the oracle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tests.property.agreement import Flows, check_tables
from watchword.policy.amendments import Amendment, merged
from watchword.policy.compile import Compiler, compile
from watchword.policy.engine import Engine
from watchword.policy.render import render
from watchword.policy.tables import NO_CLASS, SOMEWHERE, Tables
from watchword.policy.versions import EMPTY, alterations
from watchword.policy.world import World
from watchword.wire import messages
from watchword.wire.policy import PolicyDocument, UnitEntry, digest, patch


class Console:
    """Follows worlds with one engine and remembers what each Enforcer was sent."""

    def __init__(self) -> None:
        self._engine = Engine()
        self._world = EMPTY
        self._sent: dict[str, int] = {}  # revisions
        self._pending: defaultdict[str, list[Amendment]] = defaultdict(list)

    def frame(self, world: World, enforcer: str, asked: Iterable[int] = ()) -> bytes:
        """The next frame of one Enforcer's session; ``signature`` stands for the signed digest."""
        if world is not self._world:
            publication = self._engine.apply(world.revision, alterations(self._world, world))
            self._world = world
            for each, amendment in publication.amendments.items():
                self._pending[each].append(amendment)
        self._pending[enforcer].append(self._engine.ask(enforcer, asked))
        signature = self._engine.digest(enforcer)
        changes, before = self._pending.pop(enforcer), self._sent.get(enforcer)
        self._sent[enforcer] = world.revision
        if before is None:
            return messages.encode(messages.Snapshot(self._engine.document(enforcer), signature))
        return messages.encode(messages.Delta(merged(changes).delta(before, world.revision), signature))

    def forget(self, enforcer: str) -> None:
        """The session ended: the next frame is a snapshot."""
        self._sent.pop(enforcer, None)


class Enforcer:
    """Applies frames and compiles."""

    def __init__(self) -> None:
        self._compiler = Compiler()
        self._meanings = Meanings()
        self.document: PolicyDocument | None = None
        self.tables = Tables(revision=0)
        self._touched: dict[str, set[str | int]] | None = None  # since the last compilation

    def take(self, frame: bytes, busy: bool = False) -> None:
        """Apply one frame, checking the digest as an Enforcer does, and compile unless ``busy``."""
        message = messages.decode_to_enforcer(frame)
        if isinstance(message, messages.Snapshot):
            document, touched = message.document, None
        else:
            assert isinstance(message, messages.Delta)
            assert self.document is not None
            document, touched = patch(self.document, message.delta)
        assert digest(document) == message.signature
        self.document = document
        if self._touched is not None and touched is not None:
            for table, keys in touched.items():
                self._touched.setdefault(table, set()).update(keys)
        else:
            self._touched = None
        if not busy:
            self._compile(document)

    def _compile(self, document: PolicyDocument) -> None:
        if self._touched is None:
            self.tables = self._compiler.compile(document)
        else:
            self.tables = self._compiler.follow(document, self._touched)
        self._touched = {}
        self._meanings.learn(document, self.tables)

    def restart(self) -> None:
        """The agent is started anew: it compiles the document it has from disk."""
        self._compiler, self._meanings, self._touched = Compiler(), Meanings(), None
        if self.document is not None:
            self._compile(self.document)

    def check(self, world: World, enforcer: str, flows: Flows, addresses: Iterable[str], asked: Iterable[int]) -> None:
        """Nothing that was kept from step to step shows."""
        assert self.document is not None
        anew = render(world, enforcer, tuple(asked))
        assert digest(self.document) == digest(anew)
        assert meaning(self.document, self.tables) == meaning(anew, compile(anew))
        check_tables(world, enforcer, self.document, self.tables, flows, addresses)


class Meanings:
    """What each number has meant so far; a number that comes to mean something else is an error."""

    def __init__(self) -> None:
        self.known: dict[object, object] = {}

    def learn(self, document: PolicyDocument, tables: Tables) -> None:
        """Take in the numbers of the next tables."""
        for kind, numbers in _numbers(document, tables).items():
            for number, what in numbers.items():
                assert self.known.setdefault((kind, number), what) == what


def meaning(document: PolicyDocument, tables: Tables) -> dict[str, object]:
    """Tables with every number replaced by what it stands for; fails on a number that stands for nothing."""
    numbers = _numbers(document, tables)
    local, peer, segment = numbers["local"], numbers["peer"], numbers["segment"]
    return {
        "revision": tables.revision,
        "units": {key: (unit.native_id, unit.badge, local[unit.local_class]) for key, unit in tables.units.items()},
        "peers": {badge: (entry.enforcer, peer[entry.peer_class]) for badge, entry in tables.peers.items()},
        "prefixes": {prefix: peer[number] for prefix, number in tables.prefixes.items()},
        "networks": dict(tables.prefix_networks),
        "names": {name: (peer[number], tables.name_networks[name]) for name, number in tables.names.items()},
        "segments": [found[:3] for found in tables.segments],
        "verdicts": {
            (local[key.local], peer[key.peer], key.direction, key.protocol, segment[key.protocol, key.segment]): verdict
            for key, verdict in tables.verdicts.items()
        },
        "reachable": {
            (local[where], protocol, segment[protocol, number]) for where, protocol, number in tables.reachable
        },
    }


def _numbers(document: PolicyDocument, tables: Tables) -> dict[str, dict[object, object]]:
    selectors: dict[object, object] = {NO_CLASS: "no class", SOMEWHERE: "somewhere"}
    for badge, peer in tables.peers.items():
        selectors[peer.peer_class] = ("identity", frozenset(document.peers[badge].selectors))
    covered = [(number, tables.prefix_networks[prefix]) for prefix, number in tables.prefixes.items()]
    covered += [(number, tables.name_networks[name]) for name, number in tables.names.items()]
    for peer_class, members in covered:
        if peer_class != SOMEWHERE:
            matched = frozenset(key for member in members for key in document.networks[member].selectors)
            selectors[peer_class] = ("address", matched)
    segments: dict[object, object] = {(protocol, 0): 0 for protocol in range(256)}
    segments |= {(found.protocol, found.number): found[:3] for found in tables.segments}
    return {
        "local": {unit.local_class: _rules_of(document.units[key]) for key, unit in tables.units.items()},
        "peer": selectors,
        "segment": segments,
    }


def _rules_of(unit: UnitEntry) -> object:
    return unit.incoming, unit.outgoing, unit.default_incoming, unit.default_outgoing
