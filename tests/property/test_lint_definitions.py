"""Each code of lint is given exactly where its definition holds, by asking about every flow."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator
from functools import cached_property

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property import oracle
from tests.property.worlds import PATHS, networks, rules, rulesets, worlds
from watchword.model.expressions import normalised
from watchword.model.ports import parse_flow
from watchword.policy.landscape import Survey
from watchword.policy.lint import CODES, Finding, findings
from watchword.policy.views import view
from watchword.policy.world import Rule, Ruleset, Unit, World

Place = tuple[str, str, int]  # ruleset, direction, index
Flow = tuple[str, Unit | str, int, int]  # unit, peer, protocol, port


class Naive:
    """A world, and every flow worth asking about at every end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.enabled = [ruleset for ruleset in world.rulesets.values() if not ruleset.disabled]
        (landscape,) = Survey().landscapes(world)
        self.addresses = [block.example for block in landscape.blocks.values()]

    @cached_property
    def points(self) -> list[tuple[int, int]]:
        """A flow on each side of every edge of every rule."""
        found = {(200, 0), (6, 1)}
        for ruleset in self.world.rulesets.values():
            for rule in (*ruleset.incoming, *ruleset.outgoing):
                for piece in rule.ports:
                    for port in (piece.first - 1, piece.first, piece.last, piece.last + 1):
                        if piece.protocol != 255 and 0 <= port <= 65535:
                            found.add((piece.protocol, port))
        return sorted(found)

    @cached_property
    def rules(self) -> dict[Place, tuple[Ruleset, Rule]]:
        return {
            (ruleset.id, direction, index): (ruleset, rule)
            for ruleset in self.enabled
            for direction, rules in (("in", ruleset.incoming), ("out", ruleset.outgoing))
            for index, rule in enumerate(rules)
        }

    def peers(self, unit: Unit) -> list[Unit | str]:
        return [*(other for other in self.world.units.values() if other.id != unit.id), *self.addresses]

    @cached_property
    def met(self) -> dict[Place, set[Flow]]:
        """For each rule the flows that it meets."""
        found: dict[Place, set[Flow]] = {place: set() for place in self.rules}
        for unit in self.world.units.values():
            about = {ruleset.id for ruleset in oracle.rulesets_about(self.world, unit)}
            for place, (ruleset, rule) in self.rules.items():
                if ruleset.id not in about or rule.observed:
                    continue
                for peer in self.peers(unit):
                    if oracle.names_peer(self.world, ruleset, rule, peer):
                        found[place] |= {
                            (unit.id, peer, *point) for point in self.points if oracle.on_port(rule, *point)
                        }
        return found

    @cached_property
    def rejected(self) -> dict[str, set[Flow]]:
        """For each direction the flows that some Reject meets, a network's own demand for identity included."""
        found: dict[str, set[Flow]] = {"in": set(), "out": set()}
        for direction, unit in itertools.product(found, self.world.units.values()):
            for peer, point in itertools.product(self.peers(unit), self.points):
                if any(
                    not hit.observed and hit.action == "Reject"
                    for hit in oracle.hits(self.world, unit, peer, direction, *point)
                ):
                    found[direction].add((unit.id, peer, *point))
        return found

    def allows(self, unit: str, peer: Unit | str, direction: str, protocol: int, port: int) -> bool:
        return oracle.judge(self.world, self.world.units[unit], peer, direction, protocol, port).action == "Allow"

    def reach(self, ruleset: Ruleset) -> list[Unit]:
        return [
            unit
            for unit in self.world.units.values()
            if oracle.applies(ruleset.namespace, ruleset.propagate, unit.namespace)
        ]

    def about(self, ruleset: Ruleset) -> list[Unit]:
        return [unit for unit in self.world.units.values() if oracle.selected(ruleset.subject, unit.tags)]

    def named(self, ruleset: Ruleset, rule: Rule) -> tuple[list[Unit], list[str]]:
        """Units and networks that a rule's object names."""
        units = [unit for unit in self.world.units.values() if oracle.selected(rule.object, unit.tags)]
        networks = [
            network.id
            for network in self.world.networks.values()
            if oracle.selected(rule.object, network.tags)
            and oracle.applies(network.namespace, network.propagate, ruleset.namespace)
        ]
        return units, networks

    def expected(self, code: str) -> set[Place]:
        return set(getattr(self, code.replace("-", "_"))())

    def subject_matches_nothing(self) -> Iterator[Place]:
        return ((ruleset.id, "", -1) for ruleset in self.enabled if not self.about(ruleset))

    def unreachable_ruleset(self) -> Iterator[Place]:
        for ruleset in self.enabled:
            here = {unit.id for unit in self.reach(ruleset)}
            about = {unit.id for unit in self.about(ruleset)}
            if about and not about & here:
                yield ruleset.id, "", -1

    def subject_matches_everything(self) -> Iterator[Place]:
        for ruleset in self.enabled:
            here = {unit.id for unit in self.reach(ruleset)}
            if len(here) > 1 and here <= {unit.id for unit in self.about(ruleset)}:
                yield ruleset.id, "", -1

    def object_matches_nothing(self) -> Iterator[Place]:
        return (place for place, rule in self.rules.items() if self.named(*rule) == ([], []))

    def object_matches_everything(self) -> Iterator[Place]:
        for place, (ruleset, rule) in self.rules.items():
            units, _ = self.named(ruleset, rule)
            if rule.action == "Allow" and len(units) == len(self.world.units) > 1:
                yield place

    def internet(self, ruleset: Ruleset, rule: Rule) -> bool:
        entries = (entry for key in self.named(ruleset, rule)[1] for entry in self.world.networks[key].entries)
        return any(entry.endswith("/0") and not entry.startswith("!") for entry in entries)

    def over_broad_rule(self) -> Iterator[Place]:
        everything = set(self.object_matches_everything())
        for place, (ruleset, rule) in self.rules.items():
            whole = any(
                piece.protocol == 255 or (piece.protocol == 6 and piece.first <= 1 and piece.last == 65535)
                for piece in rule.ports
            )
            pieces = sorted((piece.first, piece.last) for piece in rule.ports if piece.protocol == 6)
            port = 1  # joined pieces may cover all ports between them
            for first, last in pieces:
                port = max(port, last + 1) if first <= port else port
            if (
                rule.action == "Allow"
                and (whole or port > 65535)
                and (place in everything or self.internet(ruleset, rule))
            ):
                yield place

    def open_to_internet(self) -> Iterator[Place]:
        for place, (ruleset, rule) in self.rules.items():
            if rule.action == "Allow" and place[1] == "in" and self.internet(ruleset, rule):
                yield place

    def duplicate_rule(self) -> Iterator[Place]:
        def meaning(place: Place) -> object:
            ruleset, rule = self.rules[place]
            return (
                (ruleset.namespace, normalised(ruleset.subject), ruleset.propagate, ruleset.fallback, place[1]),
                (rule.action, rule.observed, normalised(rule.object)),
                tuple(oracle.on_port(rule, *point) for point in self.points),
            )

        for place in self.rules:
            if any(self.key(other) < self.key(place) and meaning(other) == meaning(place) for other in self.rules):
                yield place

    def key(self, place: Place) -> str:
        return f"{self.world.rulesets[place[0]].resource}/{place[1]}/{place[2]}"

    def unused_rule(self) -> Iterator[Place]:
        nothing = set(self.object_matches_nothing())
        for place, (ruleset, rule) in self.rules.items():
            here = {unit.id for unit in self.reach(ruleset)} & {unit.id for unit in self.about(ruleset)}
            if here and not rule.observed and place not in nothing and not self.met[place]:
                yield place

    def rejected_allow(self) -> Iterator[Place]:
        for place, flows in self.met.items():
            if self.rules[place][1].action == "Allow" and flows and flows <= self.rejected[place[1]]:
                yield place

    def partly_rejected_allow(self) -> Iterator[Place]:
        for place, flows in self.met.items():
            if (
                self.rules[place][1].action == "Allow"
                and flows & self.rejected[place[1]]
                and flows - self.rejected[place[1]]
            ):
                yield place

    def one_sided(self) -> Iterator[tuple[Place, set[tuple[str, str]], bool]]:
        """Allow rules with the pairs of units that the other end refuses something, and whether something passes."""
        for place, flows in self.met.items():
            if self.rules[place][1].action == "Reject":
                continue
            far = "in" if place[1] == "out" else "out"
            refused, passing = set(), False
            for unit, peer, *point in flows - self.rejected[place[1]]:
                if isinstance(peer, Unit):
                    if self.allows(peer.id, self.world.units[unit], far, *point):
                        passing = True
                    else:
                        refused.add((unit, peer.id))
            if refused:
                yield place, refused, passing

    def one_sided_rule(self) -> Iterator[Place]:
        return (place for place, _, passing in self.one_sided() if not passing)

    def partly_one_sided_rule(self) -> Iterator[Place]:
        return (place for place, _, passing in self.one_sided() if passing)

    def overlaps(self) -> set[frozenset[str]]:
        found = set()
        members = {
            address: [n for n in self.world.networks.values() if oracle.contains(n, address)]
            for address in self.addresses
        }
        for place, other in itertools.product(self.rules, self.rules):
            (one_set, one), (other_set, another) = self.rules[place], self.rules[other]
            if place[1] != other[1] or one.action != "Allow" or another.action != "Reject":
                continue
            for _, peer, _, _ in self.met[place] & self.met[other]:
                for n, m in itertools.permutations(members.get(peer, ()) if isinstance(peer, str) else (), 2):
                    alone = [
                        (
                            oracle.selected(rule.object, net.tags)
                            and oracle.applies(net.namespace, net.propagate, where.namespace)
                        )
                        for where, rule, net in (
                            (one_set, one, n),
                            (one_set, one, m),
                            (other_set, another, n),
                            (other_set, another, m),
                        )
                    ]
                    if alone == [True, False, False, True]:
                        found.add(frozenset((n.id, m.id)))
        return found


def place_of(world: World, finding: Finding) -> Place:
    direction = {"": "", "incoming": "in", "outgoing": "out"}[finding.direction]
    (ruleset,) = (each for each in world.rulesets.values() if each.resource == finding.ruleset)
    return ruleset.id, direction, finding.index


EXACT = sorted(set(CODES) - {"tag-outside-prefixes", "long-disabled", "shadowed-rule", "overlapping-networks"})


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_codes_are_given_exactly_where_they_are_defined(world: World) -> None:
    naive = Naive(world)
    given_: dict[str, set[Place]] = {code: set() for code in CODES}
    told = findings(world)
    for finding in told:
        if finding.code != "overlapping-networks":
            given_[finding.code].add(place_of(world, finding))
    for code in EXACT:
        assert given_[code] == naive.expected(code), code
    assert overlapping(told) == naive.overlaps()


def overlapping(told: tuple[Finding, ...]) -> set[frozenset[str]]:
    return {frozenset((each.ruleset, each.others[0])) for each in told if each.code == "overlapping-networks"}


@st.composite
def clashing(draw: st.DrawFn) -> World:
    """A world with networks that are likely to overlap, and rules likely to take one for an Allow, one for a Reject."""
    world = draw(worlds())
    named = [
        dataclasses.replace(draw(networks(number)), tags=frozenset({f"n={number}"}), namespace="/", propagate=True)
        for number in range(3)
    ]
    objects = st.sampled_from(((("n=0",),), (("n=1",),), (("n=0",), ("n=2",)), (("n=1",), ("n=2",))))
    made = [dataclasses.replace(draw(rules()), object=draw(objects), observed=False) for _ in range(4)]
    chosen = dataclasses.replace(
        draw(rulesets(9)),
        subject=(("x=*",),),
        incoming=tuple(made[:2]),
        outgoing=tuple(made[2:]),
        disabled=False,
        namespace="/",
        propagate=True,
    )
    return dataclasses.replace(
        world, networks={each.id: each for each in named}, rulesets={**world.rulesets, chosen.id: chosen}
    )


@settings(max_examples=60, deadline=None)
@given(clashing())
def test_networks_that_overlap_where_it_matters(world: World) -> None:
    assert overlapping(findings(world)) == Naive(world).overlaps()


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_what_is_superfluous_can_go_all_at_once_and_nothing_else_can(world: World) -> None:
    naive = Naive(world)
    codes = ("duplicate-rule", "shadowed-rule", "rejected-allow")
    superfluous = {place_of(world, finding) for finding in findings(world) if finding.code in codes}
    kept = {place: flows for place, flows in naive.met.items() if place not in superfluous}
    after = Naive(without(world, superfluous))
    for unit in world.units.values():
        for direction, peer, point in itertools.product(("in", "out"), naive.peers(unit), naive.points):
            opinions = [oracle.judge(each.world, unit, peer, direction, *point).action for each in (naive, after)]
            assert opinions[0] == opinions[1]
    for place, flows in kept.items():
        others = set(naive.rejected[place[1]]) if naive.rules[place][1].action == "Allow" else set()
        if naive.rules[place][1].action == "Reject":
            demanded = (hit for hit in demands(naive, place[1]))
            others |= set(demanded)
        for other, met in kept.items():
            if (
                other != place
                and other[1] == place[1]
                and naive.rules[other][1].action in ("Reject", naive.rules[place][1].action)
            ):
                others |= met
        assert not flows or flows - others, place


def demands(naive: Naive, direction: str) -> Iterator[Flow]:
    """Flows that a network's demand for identity meets."""
    for unit in naive.world.units.values():
        for peer, point in itertools.product(naive.peers(unit), naive.points):
            hits = oracle.hits(naive.world, unit, peer, direction, *point)
            if any(hit.ruleset in naive.world.networks for hit in hits):
                yield (unit.id, peer, *point)


def without(world: World, places: set[Place]) -> World:
    def kept(ruleset: Ruleset, direction: str, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return tuple(rule for index, rule in enumerate(rules) if (ruleset.id, direction, index) not in places)

    return dataclasses.replace(
        world,
        rulesets={
            key: dataclasses.replace(
                each, incoming=kept(each, "in", each.incoming), outgoing=kept(each, "out", each.outgoing)
            )
            for key, each in world.rulesets.items()
        },
    )


@settings(max_examples=50, deadline=None)
@given(worlds())
def test_witnesses_and_numbers_are_true(world: World) -> None:
    naive = Naive(world)
    pairs = {place: refused for place, refused, _ in naive.one_sided()}
    for finding in findings(world):
        if finding.code in ("rejected-allow", "partly-rejected-allow"):
            place = place_of(world, finding)
            dead = naive.met[place] & naive.rejected[place[1]]
            assert finding.pairs == len({(unit, peer.id) for unit, peer, *_ in dead if isinstance(peer, Unit)})
        elif finding.code in ("one-sided-rule", "partly-one-sided-rule"):
            assert finding.pairs == len(pairs[place_of(world, finding)])
        else:
            continue
        assert finding.witness is not None
        sides = [world.units.get(side, side) for side in (finding.witness.source, finding.witness.destination)]
        flow = (200, 0) if "protocol" in finding.witness.flow else parse_flow(finding.witness.flow)
        near = 0 if finding.direction == "outgoing" else 1
        opinions = []
        for end in (near, 1 - near):
            here = sides[end]
            opinions.append(
                oracle.judge(world, here, sides[1 - end], ("out", "in")[end], *flow).action
                if isinstance(here, Unit)
                else ""
            )
        if "one-sided" in finding.code:
            assert opinions == ["Allow", "Reject"]
        else:
            assert opinions[0] == "Reject"


@settings(max_examples=40, deadline=None)
@given(worlds(), st.sampled_from(PATHS), st.lists(st.sampled_from(("x=", "y=1", "z=")), min_size=1, max_size=2))
def test_tags_outside_the_prefixes(world: World, path: str, prefixes: list[str]) -> None:
    spaces = {**world.namespaces, path: dataclasses.replace(world.namespaces[path], tag_prefixes=tuple(prefixes))}
    restricted = dataclasses.replace(world, namespaces=spaces)
    expected = set()
    for ruleset in world.rulesets.values():
        if path not in oracle.lineage(ruleset.namespace):
            continue

        def outside(expression: tuple[tuple[str, ...], ...]) -> bool:
            clauses = (clause.lstrip("!") for alternative in expression for clause in alternative)
            return any(not any(clause.startswith(prefix) for prefix in prefixes) for clause in clauses)

        if outside(ruleset.subject):
            expected.add((ruleset.id, "", -1))
        for direction, each in (("in", ruleset.incoming), ("out", ruleset.outgoing)):
            expected |= {(ruleset.id, direction, index) for index, rule in enumerate(each) if outside(rule.object)}
    told = (finding for finding in findings(restricted) if finding.code == "tag-outside-prefixes")
    assert {place_of(world, finding) for finding in told} == expected
    assert not any(finding.code == "tag-outside-prefixes" for finding in findings(world))


@settings(max_examples=60, deadline=None)
@given(worlds(), worlds(), st.sampled_from(PATHS))
def test_a_reader_learns_nothing_of_what_is_not_theirs(world: World, other: World, reader: str) -> None:
    """Whatever is beside the reader is swapped for something else; what the reader is told stays the same."""
    assert findings(view(world, reader), within=reader) == findings(
        view(mixed(world, other, reader), reader), within=reader
    )
    for finding in findings(view(world, reader), within=reader):
        assert finding.namespace == reader or reader == "/" or finding.namespace.startswith(reader + "/")


def mixed(world: World, other: World, reader: str) -> World:
    """``world`` as ``reader`` may know it, with everything else taken from ``other``."""

    def known(namespace: str, propagate: bool) -> bool:
        return reader in oracle.lineage(namespace) or (propagate and namespace in oracle.lineage(reader))

    def part(name: str) -> dict[str, object]:
        ours = {
            key: each
            for key, each in getattr(world, name).items()
            if known(each.namespace, getattr(each, "propagate", False))
        }
        strange = {f"z{key}": dataclasses.replace(each, id=f"z{key}") for key, each in getattr(other, name).items()}
        return {
            **ours,
            **{
                key: each
                for key, each in strange.items()
                if not known(each.namespace, getattr(each, "propagate", False))
            },
        }

    return dataclasses.replace(world, units=part("units"), networks=part("networks"), rulesets=part("rulesets"))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def seen() -> Counter[str]:
    """How many of some generated worlds have each finding."""
    counted: Counter[str] = Counter()

    @settings(max_examples=250, deadline=None, database=None, derandomize=True)
    @given(st.one_of(worlds(), worlds(), clashing()))
    def draw(world: World) -> None:
        counted.update({finding.code for finding in findings(world)})

    draw()
    return counted


def test_the_generated_worlds_have_every_finding(seen: Counter[str]) -> None:
    assert set(seen) == set(CODES) - {"tag-outside-prefixes", "long-disabled"}
