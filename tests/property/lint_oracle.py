"""The definitions of lint's codes, word by word: every flow is asked about, one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cached_property

from tests.property import oracle
from watchword.model.expressions import normalised
from watchword.policy.landscape import Survey
from watchword.policy.lint import Finding
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
