"""A world as a comparison sees it: parties by number, and what each rule is about and names, as bitmaps.

A *party* is a kind of units (:mod:`watchword.policy.kinds`) or a block of addresses
(:mod:`watchword.policy.blocks`). Two landscapes of one :class:`Survey` share their numbers.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pyroaring import BitMap, FrozenBitMap

from watchword.model.expressions import Expression
from watchword.policy import portsets, selection
from watchword.policy.blocks import Block, blocks
from watchword.policy.kinds import Kind, Vocabulary, kinds
from watchword.policy.namespaces import default_action
from watchword.policy.portsets import PortSet
from watchword.policy.rulebook import Rulebook
from watchword.policy.selection import PlacedRule
from watchword.policy.selectors import SelectorIndex
from watchword.policy.tables import Direction
from watchword.policy.tagged import TaggedIndex
from watchword.policy.world import Network, Ruleset, Unit, World
from watchword.wire.policy import Action


class Reach(NamedTuple):
    """One enforced rule: what it does to whom on which ports."""

    key: str
    action: Action
    parties: FrozenBitMap
    ports: PortSet
    placed: PlacedRule


class End(NamedTuple):
    """What one kind decides by in one direction: its enforced rules, best first, and the default."""

    reaches: tuple[Reach, ...]
    default: Action


class Census:
    """The kinds of one or more worlds, indexed for each."""

    def __init__(self, worlds: Sequence[World], vocabulary: Vocabulary) -> None:
        self.kinds = kinds(worlds, vocabulary)
        self.vocabulary = vocabulary
        places = len(self.kinds[0].profiles) if self.kinds else 1
        self._indexes = [self._index(place) for place in range(places)]

    def _index(self, place: int) -> SelectorIndex:
        return SelectorIndex.of(kind.profiles[place] or _absent(kind) for kind in self.kinds)

    def at(self, place: int) -> tuple[SelectorIndex, Sequence[Unit | None]]:
        """For one of the worlds the index of its kinds, and what each is like there."""
        place = min(place, len(self._indexes) - 1)  # one for all worlds if they have the same units
        return self._indexes[place], [kind.profiles[place] for kind in self.kinds]


class Landscape:
    """One world. Immutable to its users; keeps what it has found out."""

    def __init__(self, world: World, place: int, census: Census, blocks: Sequence[Block]) -> None:
        self.world = world
        self.kinds = census.kinds
        self.vocabulary = census.vocabulary
        self._place = place
        self.blocks = {block.number: block for block in blocks}
        self._units, self._profiles = census.at(place)
        self.present = FrozenBitMap(number for number, profile in enumerate(self._profiles) if profile is not None)
        self.addresses = FrozenBitMap(self.blocks)
        self._networks: TaggedIndex[Network] = TaggedIndex()
        for network in world.networks.values():
            self._networks.put(network)
        of_network: defaultdict[str, BitMap] = defaultdict(BitMap)
        for block in blocks:
            for key in block.networks[place]:
                of_network[key].add(block.number)
        self._blocks_of = {key: FrozenBitMap(numbers) for key, numbers in of_network.items()}
        self._book = Rulebook()
        self._book.follow(world)
        self._selected: dict[Expression, FrozenBitMap] = {}
        self._named: dict[tuple[str, Expression], FrozenBitMap] = {}
        self._reaches: dict[tuple[str, Direction], tuple[Reach, ...]] = {}
        self._ends: dict[tuple[tuple[str, ...], tuple[str, ...], Action, Direction], End] = {}
        self._placed: dict[str, PlacedRule] = {}
        self._about: dict[int, tuple[str, ...]] = {}
        self._defaults: dict[tuple[str, Direction], Action] = {}

    @functools.cached_property
    def parties(self) -> FrozenBitMap:
        """Everybody: the kinds that are there, and all blocks."""
        return self.present | self.addresses

    def unit(self, kind: int) -> Unit:
        """One of a kind's units, with the tags that some rule asks for."""
        profile = self._profiles[kind]
        assert profile is not None  # noqa: S101 - callers ask about kinds that are present
        return profile

    def selected(self, expression: Expression) -> FrozenBitMap:
        """The kinds that an expression matches."""
        found = self._selected.get(expression)
        if found is None:
            found = self._selected[expression] = FrozenBitMap(self._units.matching(expression))
        return found

    def named(self, namespace: str, expression: Expression) -> FrozenBitMap:
        """The parties that an object selects in a ruleset of ``namespace``."""
        found = self._named.get((namespace, expression))
        if found is None:
            seen = [
                self._blocks_of[network.id]
                for network in self.networks(expression)
                if network.id in self._blocks_of and selection.visible(network, namespace)
            ]
            found = self.selected(expression)
            found = self._named[namespace, expression] = FrozenBitMap.union(found, *seen) if seen else found
        return found

    def networks(self, expression: Expression) -> list[Network]:
        """The external networks that an expression matches, wherever they stand."""
        return list(self._networks.things(self._networks.matching(expression)))

    def reach(self, origin: str, propagate: bool) -> FrozenBitMap:
        """The kinds in whose namespace something of ``origin`` is in force."""
        return FrozenBitMap(self._units.reach(origin, propagate)) & self.present

    def subjects(self, ruleset: Ruleset) -> FrozenBitMap:
        """The kinds that a ruleset's subject selects where it is in force, fallback or not."""
        if ruleset.disabled:
            return _NOBODY
        return self.selected(ruleset.subject) & self.reach(ruleset.namespace, ruleset.propagate)

    def about(self, kind: int) -> tuple[str, ...]:
        """The IDs of the rulesets that count for a kind."""
        found = self._about.get(kind)
        if found is None:
            unit = self.unit(kind)
            counting = selection.counting(unit, self._book.selecting(unit.namespace, unit.tags))
            found = self._about[kind] = tuple(ruleset.id for ruleset in counting)
        return found

    def reaches(self, ruleset: str, direction: Direction) -> tuple[Reach, ...]:
        """A ruleset's enforced rules of one direction."""
        found = self._reaches.get((ruleset, direction))
        if found is None:
            placed = selection.rules_of([self.world.rulesets[ruleset]], direction)
            made = (self._reach(each) for each in placed if not each.rule.observed)
            found = self._reaches[ruleset, direction] = tuple(made)
        return found

    def _reach(self, placed: PlacedRule) -> Reach:
        parties = self.named(placed.ruleset.namespace, placed.rule.object)
        self._placed[placed.key] = placed
        return Reach(placed.key, placed.rule.action, parties, portsets.of(placed.rule.ports), placed)

    def placed(self, key: str) -> PlacedRule:
        """The rule of a key that some end was found to decide by."""
        return self._placed[key]

    @functools.cached_property
    def demanding(self) -> tuple[Network, ...]:
        """The networks that require identity, by ID."""
        found = (network for network in self.world.networks.values() if network.identity_required)
        return tuple(sorted(found, key=lambda network: network.id))

    def _demand(self, network: Network, direction: Direction) -> Reach:
        placed = selection.identity_rule(network, direction)
        self._placed[placed.key] = placed
        return Reach(placed.key, "Reject", self.blocks_of(network.id), portsets.EVERYTHING, placed)

    def blocks_of(self, network: str) -> FrozenBitMap:
        """The blocks of a network."""
        return self._blocks_of.get(network, _NOBODY)

    def networks_of(self, block: int) -> frozenset[str]:
        """The IDs of the networks that a block's addresses belong to."""
        return self.blocks[block].networks[self._place]

    def signature(self, kind: int, direction: Direction) -> tuple[tuple[str, ...], tuple[str, ...], Action, Direction]:
        """What makes two kinds' ends the same: rulesets, networks that require identity, default."""
        namespace = self.unit(kind).namespace
        demanding = tuple(network.id for network in self.demanding if selection.visible(network, namespace))
        return self.about(kind), demanding, self.default(namespace, direction), direction

    def default(self, namespace: str, direction: Direction) -> Action:
        """What holds for the units of a namespace where no rule matches."""
        found = self._defaults.get((namespace, direction))
        if found is None:
            found, _ = default_action(self.world.namespaces, namespace, direction)
            self._defaults[namespace, direction] = found
        return found

    def end(self, kind: int, direction: Direction) -> End:
        """What a kind decides by in one direction."""
        signature = self.signature(kind, direction)
        found = self._ends.get(signature)
        if found is None:
            rulesets, demanding, default, _ = signature
            reaches = [each for ruleset in rulesets for each in self.reaches(ruleset, direction)]
            reaches += [self._demand(self.world.networks[key], direction) for key in demanding]
            reaches.sort(key=lambda each: (each.action != "Reject", each.key))
            found = self._ends[signature] = End(tuple(reaches), default)
        return found

    def count(self, kinds: FrozenBitMap) -> int:
        """How many units some kinds have."""
        if len(kinds) <= _FEW:
            sizes = self._sizes
            return sum([sizes[kind] for kind in kinds])
        return sum([kinds.intersection_cardinality(plane) << bit for bit, plane in enumerate(self._planes)])

    @functools.cached_property
    def _sizes(self) -> list[int]:
        return [len(kind.units) for kind in self.kinds]

    @functools.cached_property
    def _planes(self) -> list[FrozenBitMap]:
        """For each binary digit the kinds whose number of units has it."""
        sizes = self._sizes
        digits = max(sizes).bit_length()
        return [FrozenBitMap(number for number, size in enumerate(sizes) if size >> bit & 1) for bit in range(digits)]

    def pairs(self, kinds: FrozenBitMap, peers: FrozenBitMap) -> int:
        """How many pairs of different units there are between some kinds and some others."""
        return self.count(kinds) * self.count(peers) - self.count(kinds & peers)


_NOBODY = FrozenBitMap()

#: So many kinds are counted one by one.
_FEW = 16


def _absent(kind: Kind) -> Unit:
    """What stands for a kind that is not there: without tags no expression matches it."""
    return Unit(f"absent {kind.number}", "", "", "/", "", 0, frozenset())


class Survey:
    """Makes landscapes, and keeps what the next ones can use. Not thread-safe."""

    def __init__(self) -> None:
        self._census: Census | None = None
        self._units: tuple[Mapping[str, Unit], ...] = ()
        self._networks: tuple[Mapping[str, Network], ...] = ()
        self._blocks: tuple[Block, ...] = ()

    def landscapes(self, *worlds: World) -> tuple[Landscape, ...]:
        """One landscape for each world, with numbers in common."""
        census = self._counted(worlds)
        networks = tuple(world.networks for world in worlds)
        if not _same(networks, self._networks):
            self._blocks, self._networks = blocks(networks), networks
        return tuple(Landscape(world, place, census, self._blocks) for place, world in enumerate(worlds))

    def _counted(self, worlds: Sequence[World]) -> Census:
        """The kinds, those of last time if the units are the same and rules ask nothing new."""
        vocabulary = Vocabulary.of(ruleset for world in worlds for ruleset in world.rulesets.values())
        units = tuple(world.units for world in worlds)
        if all(each is units[0] for each in units):
            units = units[:1]
        if self._census is None or not _same(units, self._units) or not vocabulary <= self._census.vocabulary:
            self._census, self._units = Census(worlds, vocabulary), units
        return self._census


def _same(one: Sequence[object], other: Sequence[object]) -> bool:
    return [*map(id, one)] == [*map(id, other)]
