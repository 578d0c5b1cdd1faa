"""One end of many connections at once: units that decide alike, and the peers they tell apart.

Units with the same rules and the same default decide alike; peers that the same rules name are treated alike.
A :class:`Side` has both partitions for one direction, and for each pair of parts the ports that are allowed.
The parts are bitmaps of a :class:`~watchword.policy.selectors.SelectorIndex`, so the work follows the number
of distinct policies, not that of units.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pyroaring import AbstractBitMap, BitMap

from watchword.policy import portpieces, selection
from watchword.policy.decide import Stranger
from watchword.policy.namespaces import default_action
from watchword.policy.portpieces import Piece
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

    def ports(self) -> Iterator[PortRange]:
        """Every range that some rule here names."""
        return (piece for part in self._parts for placed in part.rules for piece in placed.rule.ports)

    def meetings(self, peers: AbstractBitMap, pieces: Sequence[Piece]) -> Iterator[Meeting]:
        """All units with all of ``peers``, in parts that are allowed the same."""
        for part in self._parts:
            blocks: list[tuple[AbstractBitMap, list[PlacedRule]]] = [(peers, [])]
            for placed in part.rules:
                if not placed.rule.observed and portpieces.taken(pieces, placed.rule.ports):
                    blocks = list(self._split(blocks, placed))
            for block, rules in blocks:
                if block:
                    yield Meeting(part.units, block, allowed(rules, part.default, pieces))

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

    def with_stranger(self, stranger: Stranger, pieces: Sequence[Piece]) -> Iterator[tuple[AbstractBitMap, int]]:
        """All units with one peer without identity, and what they are allowed."""
        for part in self._parts:
            rules = [
                placed
                for placed in part.rules
                if any(selection.object_matches(placed, network) for network in stranger.networks)
            ]
            rules += [
                selection.identity_rule(network, self._direction)
                for network in stranger.networks
                if network.id in part.demanding
            ]
            yield part.units, allowed(rules, part.default, pieces)


def allowed(rules: Sequence[PlacedRule], default: Action, pieces: Sequence[Piece]) -> int:
    """The pieces that rules, all of which name the peer, allow."""
    bits = 0
    for number, piece in enumerate(pieces):
        taking = (
            (placed.key, placed.rule)
            for placed in rules
            if any(each.covers(piece.protocol, piece.first) for each in placed.rule.ports)
        )
        if settle(taking, default).action == "Allow":
            bits |= 1 << number
    return bits
