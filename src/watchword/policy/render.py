"""Rendering: from the world to the document of one Enforcer.

What a document contains, and why:

1. The units registered on the Enforcer, each with the rules that are about it (see
   :mod:`watchword.policy.selection`) and the defaults of its namespace.
2. Those rules and their selectors, and nothing of rules about other Enforcers' units.
3. As peers every identity that one of those selectors matches - also those of Reject and observed
   rules, so that a refusal names its rule - the local units themselves, badges asked for by the
   Enforcer, and every identity as soon as a local unit's default allows something. An identity in
   no document therefore meets nothing but Reject defaults.
4. The external networks that one of those selectors matches. Selector keys contain the ruleset's
   namespace, and a network lists a selector only when it is visible from that namespace.
5. The Enforcers of all peers, and this one. An identity whose Enforcer is not known (evicted) is in
   no document: it cannot prove itself to anybody.

Everything is in a fixed order: equal worlds give equal documents.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from watchword.model.expressions import Expression, normalised
from watchword.policy import selection
from watchword.policy.namespaces import default_action
from watchword.policy.selection import PlacedRule
from watchword.policy.selectors import SelectorIndex, selector_key
from watchword.policy.tables import Direction
from watchword.policy.tagged import Membership
from watchword.policy.world import Ruleset, Unit, World
from watchword.wire.policy import (
    NetworkEntry,
    PeerEntry,
    PolicyDocument,
    RuleEntry,
    UnitEntry,
)

_DIRECTIONS: tuple[Direction, Direction] = ("in", "out")


def render(world: World, enforcer_id: str, asked: Collection[int] = ()) -> PolicyDocument:
    """The document of one Enforcer; ``asked`` are badges it met and asked for.

    Raises :class:`LookupError` when the world does not have that Enforcer.
    """
    return Renderer().render(world, enforcer_id, asked)


class Renderer:
    """Renders one world after another, keeping what did not change between them.

    Not thread-safe. A world, and everything in it, is immutable; a part that is the same object as in
    the world before is taken as unchanged without a look.
    """

    def __init__(self) -> None:
        self._world: World | None = None
        self._index = SelectorIndex()
        self._watched: dict[Expression, Membership] = {}
        self._local: dict[str, list[Unit]] = {}
        self._badges: dict[int, Unit] = {}

    def render(self, world: World, enforcer_id: str, asked: Collection[int] = ()) -> PolicyDocument:
        """Like :func:`render`, cheap when ``world`` resembles the one before."""
        if enforcer_id not in world.enforcers:
            raise LookupError(f"the world has no Enforcer {enforcer_id!r}")
        self._follow(world)
        draft = _Draft(world, self._index)
        local = {unit.id: unit for unit in self._local.get(enforcer_id, ())}
        selecting = self._selecting(world, local)
        for unit in local.values():
            draft.add_unit(unit, selecting[unit.id])
        if draft.open:
            draft.wanted.update(self._badges)
        else:
            draft.wanted.update(badge for badge in asked if badge in self._badges)
        return draft.document(enforcer_id, self._badges)

    def _selecting(self, world: World, local: dict[str, Unit]) -> defaultdict[str, list[Ruleset]]:
        """For each local unit the rulesets whose subject matches it, wherever they stand."""
        selecting: defaultdict[str, list[Ruleset]] = defaultdict(list)
        for ruleset in world.rulesets.values():
            if not ruleset.disabled:
                numbers = self._index.matching(ruleset.subject)
                for unit_id in local:
                    if self._index.number(unit_id) in numbers:
                        selecting[unit_id].append(ruleset)
        return selecting

    def _follow(self, world: World) -> None:
        before = self._world
        if before is world:
            return
        if before is None or before.units is not world.units or before.enforcers is not world.enforcers:
            self._update(world.units)
            self._local = {}
            self._badges = {}
            for unit in sorted(world.units.values(), key=lambda unit: unit.id):
                self._local.setdefault(unit.enforcer, []).append(unit)
                if unit.badge and unit.enforcer in world.enforcers:
                    self._badges[unit.badge] = unit
        if before is None or before.rulesets is not world.rulesets:
            self._watch(_expressions(world.rulesets.values()))
        self._world = world

    def _update(self, units: Mapping[str, Unit]) -> None:
        gone = [unit.id for unit in self._index.things(self._index.everything) if unit.id not in units]
        for unit_id in gone:
            self._index.drop(unit_id)
        for unit in units.values():
            if self._index.get(unit.id) is not unit:
                self._index.put(unit)

    def _watch(self, expressions: set[Expression]) -> None:
        for expression in self._watched.keys() - expressions:
            self._index.unwatch(self._watched.pop(expression))
        for expression in expressions - self._watched.keys():
            self._watched[expression] = self._index.watch(expression)


def _expressions(rulesets: Iterable[Ruleset]) -> set[Expression]:
    """Every expression by which a ruleset can select a unit."""
    expressions: set[Expression] = set()
    for ruleset in rulesets:
        if not ruleset.disabled:
            expressions.add(ruleset.subject)
            expressions.update(rule.object for rule in (*ruleset.incoming, *ruleset.outgoing))
    return expressions


@dataclass
class _Draft:
    """A document in the making."""

    world: World
    index: SelectorIndex
    units: dict[str, UnitEntry] = field(default_factory=dict)
    rules: dict[str, RuleEntry] = field(default_factory=dict)
    placed: dict[str, PlacedRule] = field(default_factory=dict)  # selector key to a rule that uses it
    demanding: dict[str, str] = field(default_factory=dict)  # network that requires identity to its selector
    wanted: set[int] = field(default_factory=set)
    open: bool = False  # some default of a local unit allows

    def add_unit(self, unit: Unit, selecting: list[Ruleset]) -> None:
        """Take in a local unit with its rules; ``selecting`` are the rulesets whose subject matches it."""
        rulesets = selection.counting(unit, selecting)
        keys: dict[Direction, tuple[str, ...]] = {}
        for direction in _DIRECTIONS:
            added = [self._add_rule(placed) for placed in selection.rules_of(rulesets, direction)]
            keys[direction] = tuple(sorted(added + self._identity_rules(unit, direction)))
        incoming, _ = default_action(self.world.namespaces, unit.namespace, "in")
        outgoing, _ = default_action(self.world.namespaces, unit.namespace, "out")
        self.open = self.open or "Allow" in (incoming, outgoing)
        if unit.badge:
            self.wanted.add(unit.badge)
        self.units[unit.id] = UnitEntry(
            native_id=unit.native_id,
            badge=unit.badge,
            name=unit.name,
            namespace=unit.namespace,
            tags=tuple(sorted(unit.tags)),
            incoming=keys["in"],
            outgoing=keys["out"],
            default_incoming=incoming,
            default_outgoing=outgoing,
        )

    def _add_rule(self, placed: PlacedRule) -> str:
        if placed.key not in self.rules:
            selector = selector_key(placed.ruleset.namespace, placed.rule.object)
            self.placed.setdefault(selector, placed)
            self.rules[placed.key] = _entry(placed, selector)
        return placed.key

    def _identity_rules(self, unit: Unit, direction: Direction) -> list[str]:
        keys = []
        for network in self.world.networks.values():
            if network.identity_required and selection.visible(network, unit.namespace):
                placed = selection.identity_rule(network, direction)
                selector = self.demanding.setdefault(network.id, selector_key(network.id, ()))
                self.rules[placed.key] = _entry(placed, selector)
                keys.append(placed.key)
        return keys

    def document(self, enforcer_id: str, badges: dict[int, Unit]) -> PolicyDocument:
        """The finished document."""
        matched: defaultdict[str, list[str]] = defaultdict(list)  # unit ID to selectors, sorted
        for selector in sorted(self.placed):
            for number in self.index.matching(self.placed[selector].rule.object):
                matched[self.index.thing(number).id].append(selector)
        self.wanted.update(self.world.units[unit_id].badge for unit_id in matched)
        peers = {
            badge: PeerEntry(
                unit=unit.id,
                name=unit.name,
                namespace=unit.namespace,
                enforcer=unit.enforcer,
                selectors=tuple(matched.get(unit.id, ())),
            )
            for badge in sorted(self.wanted)
            if (unit := badges.get(badge)) is not None
        }
        enforcers = {enforcer_id, *(peer.enforcer for peer in peers.values())}
        return PolicyDocument(
            revision=self.world.revision,
            units=self.units,
            rules=dict(sorted(self.rules.items())),
            selectors=self._selectors(),
            peers=peers,
            enforcers={enforcer: self.world.enforcers[enforcer] for enforcer in sorted(enforcers)},
            networks=self._networks(),
        )

    def _selectors(self) -> dict[str, Expression]:
        selectors = {selector: normalised(placed.rule.object) for selector, placed in self.placed.items()}
        for network_id, selector in self.demanding.items():
            selectors[selector] = ((f"$id={network_id}",),)
        return dict(sorted(selectors.items()))

    def _networks(self) -> dict[str, NetworkEntry]:
        networks = {}
        for network in sorted(self.world.networks.values(), key=lambda network: network.id):
            selectors = [
                selector for selector, placed in self.placed.items() if selection.object_matches(placed, network)
            ]
            if network.id in self.demanding:
                selectors.append(self.demanding[network.id])
            if selectors:
                networks[network.id] = NetworkEntry(
                    name=network.name,
                    namespace=network.namespace,
                    entries=network.entries,
                    selectors=tuple(sorted(selectors)),
                    identity_required=network.identity_required,
                )
        return networks


def _entry(placed: PlacedRule, selector: str) -> RuleEntry:
    return RuleEntry(
        ruleset=placed.ruleset.resource,
        ruleset_name=placed.ruleset.name,
        namespace=placed.ruleset.namespace,
        name=placed.rule.name,
        action=placed.rule.action,
        selector=selector,
        ports=placed.rule.ports,
        observed=placed.rule.observed,
        log=placed.rule.log,
    )
