"""Walks: a world changes at random, step by step from a seed, and the engine has to keep up.

The alphabets are small, so that everything meets everything. After each step every Enforcer's document has
to be the one that plain rendering gives: written out by the engine, patched with its amendments, patched
with several of them merged, and added up. A step that changes nothing tells nobody.
"""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

from watchword.model.expressions import Expression
from watchword.model.ports import PortRange
from watchword.policy.amendments import Amendment, merged
from watchword.policy.engine import Engine
from watchword.policy.render import render
from watchword.policy.world import PARTS, Alteration, Namespace, Network, Rule, Ruleset, Unit, World
from watchword.wire.policy import TABLES, EnforcerEntry, PolicyDocument, digest, facts_of, patched

PATHS = ("/", "/a", "/a/b", "/ab")
TAGS = ("x=1", "x=2", "y=1", "y=22", "z=1")
CLAUSES = (*TAGS, "x=*", "y=2*", "!x=1", "!z=*")
EVERYBODY: Expression = (("all=1",),)
PREFIX = {"units": "u", "networks": "n", "rulesets": "s"}
ENTRIES = ("10.0.0.0/8", "10.1.0.0/16", "!10.1.2.0/24", "fd00::/8")


class Dice:
    """Entries of worlds at random."""

    def __init__(self, seed: int, enforcers: int) -> None:
        self.random = Random(seed)
        self.enforcers = tuple(f"e{number}" for number in range(enforcers))

    def rarely(self) -> bool:
        return self.random.random() < 0.2

    def tags(self) -> frozenset[str]:
        return frozenset(self.random.sample(TAGS, self.random.randint(0, 3)))

    def expression(self) -> Expression:
        if self.rarely():
            return EVERYBODY
        found = []
        for _ in range(self.random.randint(1, 2)):
            clauses = self.random.sample(CLAUSES, self.random.randint(1, 2))
            if all(clause.startswith("!") for clause in clauses):
                clauses.append(self.random.choice(TAGS))
            found.append(tuple(clauses))
        return tuple(found)

    def unit(self, key: str) -> Unit:
        badge = 0 if self.rarely() else 100 + int(key[1:])
        enforcer = self.random.choice((*self.enforcers, "unknown"))
        path, name = self.random.choice(PATHS), self.random.choice(("one", "other"))
        return Unit(key, f"native-{name}", name, path, enforcer, badge, self.tags() | {"all=1"})

    def network(self, key: str) -> Network:
        entries = tuple(self.random.sample(ENTRIES, self.random.randint(1, 2)))
        path, name = self.random.choice(PATHS), self.random.choice(("one", "other"))
        return Network(key, name, path, self.random.random() < 0.5, entries, self.tags() | {"all=1"}, self.rarely())

    def rule(self) -> Rule:
        ports = (PortRange(6, self.random.choice((80, 443)), 8080),)
        name, action = self.random.choice(("r", "s")), self.random.choice(("Allow", "Reject"))
        return Rule(name, action, self.expression(), ports, self.rarely(), self.rarely())  # type: ignore[arg-type]

    def ruleset(self, key: str) -> Ruleset:
        rules = [tuple(self.rule() for _ in range(self.random.randint(0, 2))) for _ in range(2)]
        path, origin = self.random.choice(PATHS), self.random.choice(("", "", "i" + key))
        traits = {"propagate": not self.rarely(), "fallback": self.rarely(), "disabled": self.rarely()}
        return Ruleset(key, f"the {key}", path, self.expression(), rules[0], rules[1], **traits, origin=origin)

    def namespace(self, path: str) -> Namespace:
        # rarely Allow: who has everybody as a peer meets nobody for the first time
        incoming, outgoing = self.random.choices(("Inherit", "Reject", "Allow"), (5, 5, 1), k=2)
        return Namespace(path, incoming, outgoing)  # type: ignore[arg-type]

    def enforcer(self, key: str) -> EnforcerEntry:
        return EnforcerEntry(self.random.choice((b"old", b"new")) + key.encode(), ())

    def entry(self, part: str, key: str) -> Any:
        """An entry of ``world.<part>``."""
        return getattr(self, part.removesuffix("s"))(key)

    def key(self, part: str) -> str:
        """One of the few keys there are."""
        if part == "namespaces":
            return self.random.choice(PATHS)
        return (
            self.random.choice(self.enforcers) if part == "enforcers" else f"{PREFIX[part]}{self.random.randrange(6)}"
        )

    def world(self) -> World:
        """A world with about half of all entries."""
        parts: dict[str, Any] = {part: {} for part in PARTS}
        for part in PARTS:
            for key in dict.fromkeys(self.key(part) for _ in range(5)):
                parts[part][key] = self.entry(part, key)
        for key in self.enforcers:
            parts["enforcers"][key] = self.enforcer(key)
        return World(1, **parts)

    def alteration(self, world: World) -> Alteration:
        """One entry comes, is another than before in one field or in all, or goes."""
        part = self.random.choice(("units", "units", "units", *PARTS, "rulesets", "networks"))
        key = self.key(part)
        known: Any = getattr(world, part).get(key)
        entry = self.entry(part, key)
        if known is not None and self.rarely():
            return Alteration(part, key, None)
        if known is not None and part != "enforcers" and self.random.random() < 0.7:
            names = [each.name for each in dataclasses.fields(known) if each.name not in ("id", "path")]
            names += ["tags"] * 3 * ("tags" in names)
            name = self.random.choice(names)
            entry = dataclasses.replace(known, **{name: getattr(entry, name)})
        return Alteration(part, key, entry)


class Walk:
    """A world, the engine that follows it, and Enforcers that follow the engine."""

    def __init__(self, seed: int, enforcers: int = 3, *, exact: bool = True) -> None:
        self.dice = Dice(seed, enforcers)
        self.exact = exact  # nobody is told what its document says already
        self.world = self.dice.world()
        self.engine = Engine.of(self.world)
        self.asked: dict[str, frozenset[int]] = {}
        self.prompt = {each: self.engine.document(each) for each in self.dice.enforcers}
        self.slow = dict(self.prompt)
        self.pending: dict[str, list[Amendment]] = {each: [] for each in self.dice.enforcers}
        self.check()

    def go(self, steps: int) -> None:
        """So many steps, each followed by a check."""
        for _ in range(steps):
            kind = self.dice.random.random()
            if kind < 0.15:
                self.ask()
            elif kind < 0.2:
                self.jump()
            else:
                self.alter([self.dice.alteration(self.world) for _ in range(self.dice.random.choice((1, 1, 3)))])
            self.check()

    def ask(self) -> None:
        """An Enforcer asks for some badges."""
        enforcer = self.dice.random.choice(self.dice.enforcers)
        if enforcer in self.engine:
            badges = frozenset(self.dice.random.sample(range(100, 107), self.dice.random.randint(0, 3)))
            self.asked[enforcer] = badges
            self._take({enforcer: self.engine.ask(enforcer, badges)})

    def alter(self, alterations: list[Alteration]) -> None:
        """One revision."""
        effective = [each for each in alterations if each.entry is not None or self._drops(each, alterations)]
        self._end(effective)
        exact = self.exact and len(effective) == 1 and not self._moves(effective[0])
        self.world = after(self.world, effective)
        publication = self.engine.apply(self.world.revision, effective)
        assert publication.revision == self.engine.revision == self.world.revision
        assert all(each in self.engine for each in publication.amendments)
        if exact:
            for each, amendment in publication.amendments.items():
                if each in self.prompt:
                    assert repeated(self.prompt[each], amendment) == []
        self._take(dict(publication.amendments))

    def jump(self) -> None:
        """Everything becomes another in one revision, in any order."""
        target, changes = self.dice.world(), []
        for part in PARTS:
            old, new = getattr(self.world, part), getattr(target, part)
            changes += [Alteration(part, key, new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)]
        self.dice.random.shuffle(changes)
        self.alter(changes)

    def load(self, alterations: list[Alteration]) -> None:
        """The world becomes another without anybody being told; all sessions begin anew."""
        self._end(alterations)
        self.world = after(self.world, alterations)
        self.engine.load(self.world.revision, alterations)
        assert self.engine.revision == self.world.revision
        for each in filter(self.engine.__contains__, self.dice.enforcers):
            self.prompt[each] = self.slow[each] = self.engine.document(each)
            self.pending[each] = []

    def _moves(self, alteration: Alteration) -> bool:
        """Whether a unit goes and comes again as another identity."""
        known, entry = self.world.units.get(alteration.key), alteration.entry
        if alteration.part != "units" or known is None or not isinstance(entry, Unit):
            return False
        return (known.badge, known.enforcer) != (entry.badge, entry.enforcer)

    def _drops(self, drop: Alteration, alterations: list[Alteration]) -> bool:
        """Whether it is there to be dropped, and dropped only once."""
        same = [each for each in alterations if each[:2] == drop[:2]]
        return len(same) == 1 and drop.key in getattr(self.world, drop.part)

    def _end(self, alterations: list[Alteration]) -> None:
        """The sessions of Enforcers that go."""
        for part, key, entry in alterations:
            if part == "enforcers" and entry is None:
                self.asked.pop(key, None)
                self.prompt.pop(key, None)
                self.slow.pop(key, None)
                self.pending[key] = []

    def _take(self, amendments: dict[str, Amendment]) -> None:
        revision = self.engine.revision
        for each in filter(self.engine.__contains__, self.dice.enforcers):
            blank = PolicyDocument(revision=0, enforcer=each)
            before, amendment = self.prompt.get(each, blank), amendments.get(each, Amendment())
            self.prompt[each] = patched(before, amendment.delta(before.revision, revision))
            self.pending[each].append(amendment)
            if self.dice.random.random() < 0.4:
                slow = self.slow.get(each, blank)
                self.slow[each] = patched(slow, merged(self.pending[each]).delta(slow.revision, revision))
                self.pending[each] = []

    def check(self) -> None:
        """Everything said of every Enforcer is what plain rendering says."""
        for each in self.dice.enforcers:
            assert (each in self.engine) == (each in self.world.enforcers)
            if each in self.engine:
                plain = render(self.world, each, self.asked.get(each, frozenset()))
                written = self.engine.document(each)
                assert written == plain
                assert all(list(getattr(written, table)) == sorted(getattr(written, table)) for table in TABLES)
                assert self.prompt[each] == plain
                assert self.pending[each] or self.slow[each] == plain
                assert self.engine.digest(each) == digest(plain)

    def stand(self) -> None:
        """Everything is said again as it is: nobody has to be told."""
        same = [Alteration(part, *item) for part in PARTS for item in getattr(self.world, part).items()]
        assert self.engine.apply(self.world.revision, same).amendments == {}

    def leave(self) -> None:
        """Everything goes, in any order."""
        drops = [Alteration(part, key, None) for part in PARTS for key in getattr(self.world, part)]
        self.dice.random.shuffle(drops)
        for drop in drops:
            self.alter([drop])
            self.check()


def after(world: World, alterations: list[Alteration]) -> World:
    """The world that comes of it."""
    parts: dict[str, dict[str, Any]] = {part: dict(getattr(world, part)) for part in PARTS}
    for part, key, entry in alterations:
        if entry is None:
            del parts[part][key]
        else:
            parts[part][key] = entry
    return World(world.revision + 1, **parts)


def repeated(before: PolicyDocument, amendment: Amendment) -> list[object]:
    """What an amendment says that the document says already: nothing, where documents are few.

    Left aside are amendments by which everybody is a peer, because they say who that is, and those after
    which a selector has gone: who goes with it may come with another.
    """
    if amendment.everybody is not None:
        return [amendment.everybody] if amendment.everybody == before.everybody else []
    if "selectors" in amendment.removed:
        return []
    found: list[object] = []
    for table in ("rules", "selectors", "enforcers"):
        known = getattr(before, table)
        found += [(table, key) for key, entry in getattr(amendment, table).items() if known.get(key) == entry]
    peers = before.peers
    found += [badge for badge, facts in amendment.peers.items() if badge in peers and facts_of(peers[badge]) == facts]
    selectors = {badge: peer.selectors for badge, peer in peers.items()}
    for key, badges in amendment.joined.items():
        found += [(key, badge) for badge in badges if key in selectors.get(badge, ())]
    for key, badges in amendment.left.items():
        found += [(key, badge) for badge in badges if key not in selectors.get(badge, ())]
    return found
