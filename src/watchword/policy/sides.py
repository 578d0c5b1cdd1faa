"""One end of many connections at once: units that decide alike, and the peers they tell apart.

Units with the same rules and the same default decide alike; peers that the same rules name are treated alike.
A :class:`Side` has both partitions for one direction, and for each pair of parts the ports that are allowed.
The parts are bitmaps of a :class:`~watchword.policy.selectors.SelectorIndex`, so the work follows the number
of distinct policies, not that of units.
"""

from __future__ import annotations

import functools
import operator
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pyroaring import AbstractBitMap, BitMap

from watchword.model.expressions import Expression
from watchword.policy import selection
from watchword.policy.decide import Stranger
from watchword.policy.namespaces import default_action
from watchword.policy.portpieces import Pieces
from watchword.policy.selection import PlacedRule
from watchword.policy.selectors import SelectorIndex
from watchword.policy.tables import Direction
from watchword.policy.verdicts import settle
from watchword.policy.world import Ruleset, World
from watchword.wire.policy import Action, PortRange


@dataclass(frozen=True, slots=True)
class Situation:
    """A world, and the index of exactly its units."""

    world: World
    index: SelectorIndex

    @classmethod
    def of(cls, world: World) -> Situation:
        """With an index made for it."""
        return cls(world, SelectorIndex.of(world.units.values()))


class Local(NamedTuple):
    """Units that decide alike in one direction; ``demanding`` are networks that require identity there."""

    units: AbstractBitMap
    rules: tuple[PlacedRule, ...]
    default: Action
    demanding: frozenset[str]


class Meeting(NamedTuple):
    """Units and peers, and the pieces of port space that this end allows between any two of them."""

    units: AbstractBitMap
    peers: AbstractBitMap
    allowed: int


def locals_(situation: Situation, units: AbstractBitMap, direction: Direction) -> list[Local]:
    """``units`` by how they decide."""
    world, index = situation.world, situation.index
    selecting: defaultdict[int, list[Ruleset]] = defaultdict(list)
    for ruleset in sorted(world.rulesets.values(), key=lambda ruleset: ruleset.id):
        if not ruleset.disabled:
            reached = index.matching(ruleset.subject) & index.reach(ruleset.namespace, ruleset.propagate)
            for number in reached & units:
                selecting[number].append(ruleset)
    parts: defaultdict[tuple[object, ...], BitMap] = defaultdict(BitMap)
    found: dict[tuple[object, ...], tuple[list[Ruleset], Action, frozenset[str]]] = {}
    by_namespace: dict[str, tuple[Action, frozenset[str]]] = {}
    for number in units:
        unit = index.thing(number)
        rulesets = selecting.get(number, [])
        ordinary = [ruleset for ruleset in rulesets if not ruleset.fallback]
        counting = ordinary or rulesets
        if unit.namespace not in by_namespace:
            default, _ = default_action(world.namespaces, unit.namespace, direction)
            by_namespace[unit.namespace] = (default, _demanding(world, unit.namespace))
        default, demanding = by_namespace[unit.namespace]
        key = (default, demanding, *(ruleset.id for ruleset in counting))
        parts[key].add(number)
        found.setdefault(key, (counting, default, demanding))
    return [
        Local(parts[key], tuple(selection.rules_of(counting, direction)), default, demanding)
        for key, (counting, default, demanding) in found.items()
    ]


def _demanding(world: World, namespace: str) -> frozenset[str]:
    return frozenset(
        network.id
        for network in world.networks.values()
        if network.identity_required and selection.visible(network, namespace)
    )


class Side:
    """One direction of an assertion's pairs: who decides, about whom, on which pieces of port space."""

    def __init__(self, situation: Situation, direction: Direction, parts: Sequence[Local]) -> None:
        self._situation = situation
        self._direction = direction
        self._parts = parts
        self._allowed: dict[tuple[Action, frozenset[str]], int] = {}
        self._named: dict[tuple[Expression, str], frozenset[str]] = {}

    def ports(self) -> Iterator[PortRange]:
        """Every range that some rule here names."""
        return (piece for part in self._parts for placed in part.rules for piece in placed.rule.ports)

    def meetings(self, peers: AbstractBitMap, pieces: Pieces) -> Iterator[Meeting]:
        """All units with all of ``peers``, in parts that are allowed the same."""
        for part in self._parts:
            blocks: list[tuple[AbstractBitMap, list[PlacedRule]]] = [(peers, [])]
            for placed in part.rules:
                if not placed.rule.observed and pieces.taken(placed.rule.ports):
                    blocks = list(self._split(blocks, placed))
            for block, rules in blocks:
                if block:
                    yield Meeting(part.units, block, self._settled(rules, part.default, pieces))

    def _split(
        self, blocks: Iterable[tuple[AbstractBitMap, list[PlacedRule]]], placed: PlacedRule
    ) -> Iterator[tuple[AbstractBitMap, list[PlacedRule]]]:
        named = self._situation.index.matching(placed.rule.object)
        for block, rules in blocks:
            inside = block & named
            if inside:
                yield inside, [*rules, placed]
                outside = block - inside
                if outside:
                    yield outside, rules
            else:
                yield block, rules

    def with_stranger(self, stranger: Stranger, pieces: Pieces) -> Iterator[tuple[AbstractBitMap, int]]:
        """All units with one peer without identity, and what they are allowed."""
        ids = frozenset(network.id for network in stranger.networks)
        for part in self._speaking:
            rules = [placed for placed in part.rules if not ids.isdisjoint(self._networks_of(placed))] if ids else []
            rules += [
                selection.identity_rule(network, self._direction)
                for network in stranger.networks
                if network.id in part.demanding
            ]
            yield part.units, self._settled(rules, part.default, pieces)

    @functools.cached_property
    def _speaking(self) -> list[Local]:
        """The parts, with those whose rules name no network at all put together by their default."""
        speaking = []
        silent: defaultdict[Action, BitMap] = defaultdict(BitMap)
        for part in self._parts:
            if part.demanding or any(map(self._networks_of, part.rules)):
                speaking.append(part)
            else:
                silent[part.default] |= part.units
        return [*(Local(units, (), default, frozenset()) for default, units in silent.items()), *speaking]

    def _networks_of(self, placed: PlacedRule) -> frozenset[str]:
        """The networks that a rule names; rules of one object and namespace name the same."""
        key = (placed.rule.object, placed.ruleset.namespace)
        named = self._named.get(key)
        if named is None:
            networks = self._situation.world.networks.values()
            found = (network.id for network in networks if selection.object_matches(placed, network))
            named = self._named[key] = frozenset(found)
        return named

    def _settled(self, rules: Sequence[PlacedRule], default: Action, pieces: Pieces) -> int:
        key = (default, frozenset(placed.key for placed in rules))
        bits = self._allowed.get(key)
        if bits is None:
            bits = self._allowed[key] = allowed(rules, default, pieces)
        return bits


def allowed(rules: Sequence[PlacedRule], default: Action, pieces: Pieces) -> int:
    """The pieces that rules, all of which name the peer, allow."""
    blocks: list[tuple[int, list[PlacedRule]]] = [(pieces.whole, [])]
    for placed in rules:
        taken = pieces.taken(placed.rule.ports)
        divided = [(bits & taken, [*taking, placed]) for bits, taking in blocks]
        blocks = [block for block in (*divided, *((bits & ~taken, taking) for bits, taking in blocks)) if block[0]]
    allowing = (
        bits for bits, taking in blocks if settle(((each.key, each.rule) for each in taking), default).action == "Allow"
    )
    return functools.reduce(operator.or_, allowing, 0)
