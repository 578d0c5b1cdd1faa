"""Dense documents, written directly, that change in several places at a time: following them is compiling anew.

Seeded and without shrinking: many steps in little time. The worlds of the other tests reach the compiler only
with what a Console would render; here units, rules, peers and networks have nothing to do with each other.
"""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from tests.property.chain import Meanings, meaning
from watchword.model.ports import ANYTHING, PortRange
from watchword.policy.compile import Compiler, compile
from watchword.policy.ledger import differing, differing_members
from watchword.policy.tables import Tables
from watchword.wire.policy import Action, NetworkEntry, PeerEntry, PolicyDocument, RuleEntry, UnitEntry

SELECTORS = "abcd"
PORTS = (
    *(ANYTHING,) * 4,
    *(PortRange(6, first, last) for first, last in ((80, 80), (80, 90), (85, 100), (1, 65535), (443, 443))),
    *(PortRange(1, first, last) for first, last in ((0, 65535), (2048, 2303), (2048, 2048), (768, 770))),
    *(PortRange(protocol, 0, 65535) for protocol in (47, 50)),
    PortRange(17, 53, 53),
)
PREFIXES = ("10.0.0.0/8", "10.1.0.0/16", "!10.1.2.0/24", "fd00::/8", "!10.0.0.0/9", "192.0.2.0/24")


class Documents:
    """A document and random changes to it, each in several entries of several tables."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.document = PolicyDocument(revision=1)
        for _ in range(6):
            self.change()

    def change(self) -> dict[str, set[Any]]:
        """The next document; returns what it touched."""
        touched: dict[str, set[Any]] = {}
        tables: dict[str, dict[Any, Any]] = {}
        for table in ("rules", "units", "peers", "networks"):
            entries = tables[table] = dict(getattr(self.document, table))
            touched[table] = set()
            for _ in range(self.random.choice((0, 0, 1, 1, 2, 5))):
                key = self._key(table)
                touched[table].add(key)
                if self.random.random() < 0.25:
                    entries.pop(key, None)
                else:
                    entries[key] = getattr(self, f"_{table}")(tables)
        for key, unit in tables["units"].items():  # rules that are gone are gone from units too
            kept = {
                side: tuple(r for r in getattr(unit, side) if r in tables["rules"]) for side in ("incoming", "outgoing")
            }
            if kept["incoming"] != unit.incoming or kept["outgoing"] != unit.outgoing:
                tables["units"][key] = msgspec.structs.replace(unit, **kept)
                touched["units"].add(key)
        self.document = msgspec.structs.replace(self.document, revision=self.document.revision + 1, **tables)
        return touched

    def _key(self, table: str) -> Any:
        number = self.random.randrange({"rules": 9, "units": 5, "peers": 8, "networks": 3}[table])
        return number if table == "peers" else f"{table}/{number}"

    def _some(self, things: Any, most: int) -> tuple[Any, ...]:
        things = list(things)
        return tuple(sorted(self.random.sample(things, min(self.random.randrange(most + 1), len(things)))))

    def _rules(self, _tables: Any) -> RuleEntry:
        return RuleEntry(
            ruleset="s",
            ruleset_name="",
            namespace="/",
            name="",
            action=self.random.choice(("Allow", "Allow", "Reject")),
            selector=self.random.choice(SELECTORS),
            ports=tuple({self.random.choice(PORTS) for _ in range(self.random.choice((1, 1, 2)))}),
            observed=self.random.random() < 0.2,
            log=self.random.random() < 0.8,
        )

    def _units(self, tables: Any) -> UnitEntry:
        number = self.random.randrange(100)
        incoming, outgoing = self._some(tables["rules"], 4), self._some(tables["rules"], 6)
        defaults: list[Action] = [self.random.choice(("Reject", "Reject", "Reject", "Allow")) for _ in range(2)]
        return UnitEntry(f"native-{number}", number, "", "/", (), incoming, outgoing, defaults[0], defaults[1])

    def _peers(self, _tables: Any) -> PeerEntry:
        return PeerEntry("", "", "/", self.random.choice(("e1", "e2")), self._some(SELECTORS, 4))

    def _networks(self, _tables: Any) -> NetworkEntry:
        return NetworkEntry("", "/", self._some(PREFIXES, 4), self._some(SELECTORS, 2))


class Follower:
    """Keeps a copy of the tables by their differences alone, as a datapath does."""

    def __init__(self) -> None:
        self.held = Tables(0)
        self.copies: dict[str, dict[Any, Any]] = {"units": {}, "peers": {}, "verdicts": {}, "prefixes": {}}
        self.reachable: set[Any] = set()

    def take(self, tables: Tables) -> None:
        """Apply what differs, and find nothing missing."""
        for name, copy in self.copies.items():
            before, after = getattr(self.held, name), getattr(tables, name)
            for key in differing(before, after):
                assert before.get(key) != after.get(key)
                copy.pop(key, None)
                if key in after:
                    copy[key] = after[key]
            assert copy == after
        self.reachable ^= differing_members(self.held.reachable, tables.reachable)
        assert self.reachable == set(tables.reachable)
        self.held = tables


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_following_is_compiling_anew(seed: int, told: bool) -> None:
    documents, compiler, meanings, follower = Documents(seed), Compiler(), Meanings(), Follower()
    before: tuple[Tables, dict[str, object]] | None = None
    compiler.compile(documents.document)
    for _ in range(100):
        touched = documents.change()
        document = documents.document
        tables = compiler.follow(document, touched) if told else compiler.compile(document)
        anew = meaning(document, compile(document))
        assert meaning(document, tables) == anew
        meanings.learn(document, tables)
        follower.take(tables)
        if before is not None:
            assert plain(before[0]) == before[1], "tables never change"
        before = tables, plain(tables)


def plain(tables: Tables) -> dict[str, object]:
    """A copy of everything in tables."""
    names = ("units", "peers", "prefixes", "prefix_networks", "verdicts")
    copies: dict[str, object] = {name: dict(getattr(tables, name)) for name in names}
    return copies | {"reachable": set(tables.reachable), "segments": tables.segments, "revision": tables.revision}


@pytest.mark.parametrize("seed", range(2))
def test_after_a_document_that_does_not_compile_the_next_one_does(seed: int) -> None:
    documents, compiler, random = Documents(seed), Compiler(), Random(seed)
    for step in range(60):
        touched = documents.change()
        document = documents.document
        if step % 3 == 0:
            with pytest.raises((LookupError, ValueError)):
                compiler.follow(*broken(document, touched, random))
            tables = compiler.compile(document)
        else:
            tables = compiler.follow(document, touched)
        assert meaning(document, tables) == meaning(document, compile(document))


def broken(document: PolicyDocument, touched: dict[str, set[Any]], random: Random) -> tuple[PolicyDocument, Any]:
    """A document with a key that leads nowhere or an entry that is no prefix."""
    if random.random() < 0.5:
        networks = {**document.networks, "bad": NetworkEntry("", "/", ("example",), ("a",))}
        return msgspec.structs.replace(document, networks=networks), {
            **touched,
            "networks": {"bad", *touched["networks"]},
        }
    unit = UnitEntry("bad", 1, "", "/", (), ("nowhere",), (), "Reject", "Reject")
    units = {**document.units, "bad": unit}
    return msgspec.structs.replace(document, units=units), {**touched, "units": {"bad", *touched["units"]}}


def test_a_rule_that_goes_while_a_unit_still_names_it_is_an_error() -> None:
    rule = RuleEntry("s", "", "/", "", "Allow", "a", (ANYTHING,))
    unit = UnitEntry("native", 1, "", "/", (), ("rule",), (), "Reject", "Reject")
    document = PolicyDocument(1, {"u": unit}, {"rule": rule}, {}, {}, {}, {})
    compiler = Compiler()
    compiler.compile(document)
    with pytest.raises(LookupError):
        compiler.compile(msgspec.structs.replace(document, revision=2, rules={}))
    assert compiler.compile(document).units["u"].native_id == "native"


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_gone_leaves_nothing_behind(seed: int, fails: bool) -> None:
    """An agent follows deltas for months, and some documents do not compile."""
    documents, compiler = Documents(seed), Compiler()
    for _ in range(20):
        documents.change()
        compiler.compile(documents.document)
        if fails:
            with pytest.raises((LookupError, ValueError)):
                compiler.follow(*broken(documents.document, {"networks": set()}, Random(seed)))
    compiler.compile(documents.document)
    tables = compiler.compile(PolicyDocument(revision=1000))
    assert plain(tables) == plain(Tables(revision=1000))
    for part in (compiler._matrix, compiler._space, compiler._locals, compiler._remotes, compiler._spans):
        kept = {name: value for name, value in vars(part).items() if isinstance(value, (dict, set)) and value}
        assert kept == {}
