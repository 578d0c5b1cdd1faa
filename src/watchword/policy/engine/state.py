"""What the engine's parts share: indices, the state of each unit by number, and what is told to whom."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Iterable

from pyroaring import AbstractBitMap, BitMap

from watchword.policy import selection
from watchword.policy.amendments import Amendment
from watchword.policy.engine.nouns import DIRECTIONS, Climate, Crowd, Placement, Selector, Standing, Station
from watchword.policy.namespaces import default_action, reaches
from watchword.policy.selectors import SelectorIndex
from watchword.policy.tagged import Membership, TaggedIndex
from watchword.policy.world import Namespace, Network, Unit
from watchword.wire.multiset import element
from watchword.wire.policy import EnforcerEntry, PeerFacts, UnitEntry, members_element, peer_element

#: Up to so many Enforcers are looked at one by one; of more those are left out who know one of the first few
#: other units of the Enforcer in question.
ONE_BY_ONE = 40
NEIGHBOURS = 3
#: Of fewer units than so many for each Enforcer, each is asked for its Enforcer, and not the other way round.
FEW = 2


class State:
    """See the module's text. A *present* unit has a badge and an Enforcer that exists: it is an identity."""

    def __init__(self) -> None:
        self.revision = 0
        self.units = SelectorIndex()
        self.networks: TaggedIndex[Network] = TaggedIndex()
        self.namespaces: dict[str, Namespace] = {}
        self.stations: dict[str, Station] = {}
        self.placements: dict[str, Placement] = {}  # by ruleset ID; disabled ones are not here
        self.demands: dict[str, Placement] = {}  # by ID of the network that requires identity
        self.selectors: dict[str, Selector] = {}
        self.crowds: dict[Membership, Crowd] = {}
        self.sighting: dict[Membership, Crowd] = {}  # the same crowds, by their expression over networks
        self.subjects: defaultdict[Membership, dict[Placement, None]] = defaultdict(dict)
        # of each unit, by number
        self.standings: dict[int, Standing] = {}
        self._badge: list[int] = []  # a list, as the badges of thousands may be asked for at once
        self._entries: dict[int, UnitEntry] = {}  # as far as made
        self._totals: dict[int, int] = {}  # the elements of entries, as far as made
        # identities, by number
        self.present = BitMap()
        self.elements: dict[int, int] = {}
        self._facts: list[PeerFacts] = []  # what documents say of it; of who has gone, what they said last
        self.everybody = 0  # the sum of their elements
        self.everybody_element = 0  # the element of everybody in documents; 0 when there is nobody
        self.badges: dict[int, int] = {}  # to numbers
        self.open: dict[Station, None] = {}  # Enforcers for which everybody is a peer
        self.askers: defaultdict[int, dict[Station, None]] = defaultdict(dict)  # by badge
        self._interned: weakref.WeakValueDictionary[tuple[tuple[Placement, ...], tuple[Placement, ...]], Standing] = (
            weakref.WeakValueDictionary()
        )
        self._climates: dict[str, Climate] = {}
        self._keys: dict[tuple[Standing, Climate], tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self.muted = False
        self._told: defaultdict[Station, list[Amendment]] = defaultdict(list)

    def tell(self, stations: Iterable[Station], amendment: Amendment) -> None:
        """The documents of these Enforcers change so."""
        if self.muted:
            return
        told = self._told
        for station in stations:
            told[station].append(amendment)
            station.local = station.total = None

    def tell_members(self, stations: Iterable[Station], amendment: Amendment) -> None:
        """Like :meth:`tell` for what changes nothing but who is a member of selectors, or of everybody.

        What that means for digests is :meth:`weigh`'s business.
        """
        if self.muted:
            return
        told = self._told
        for station in stations:
            told[station].append(amendment)

    def weigh(self, crowd: Crowd, change: int) -> None:
        """The members of a crowd add up to so much more; so do the documents that know it."""
        if self.muted:
            crowd.total += change
            return
        known = [(selector, selector.members()) for selector in crowd.selectors if selector.audience]
        crowd.total += change
        for selector, before in known:
            difference = selector.members() - before
            for station in selector.audience:
                if station.total is not None:
                    station.total += difference

    def weigh_everybody(self, change: int) -> None:
        """All identities add up to so much more."""
        before = self.everybody_element
        self.everybody += change
        self.everybody_element = members_element("*", self.everybody) if self.everybody else 0
        difference = self.everybody_element - before
        for station in self.open:
            if station.total is not None:
                station.total += difference

    def hush(self, station: Station) -> None:
        """An Enforcer goes: there is nobody to tell."""
        self._told.pop(station, None)

    def collect(self) -> dict[Station, list[Amendment]]:
        """What was told since the last time."""
        told, self._told = self._told, defaultdict(list)
        return told

    def number(self, number: int, unit: Unit) -> None:
        """A unit has come, and this is its number; whoever had it before has gone."""
        if number == len(self._badge):
            self._badge.append(unit.badge)
            self._facts.append(_facts_of(unit))
        else:
            self._badge[number] = unit.badge

    def station_of(self, unit: Unit) -> Station | None:
        """The unit's Enforcer, if it is known."""
        return self.stations.get(unit.enforcer)

    def identify(self, number: int, unit: Unit, station: Station) -> int:
        """A unit is present: note who it is. Returns its element as a member of selectors."""
        known = _facts_of(unit)
        self.present.add(number)
        self.badges[unit.badge] = number
        self._facts[number] = known
        one = self.elements[number] = peer_element(unit.badge, known, station.digest)
        return one

    def forget(self, number: int) -> int:
        """A unit is present no longer. Returns the element that it had."""
        self.present.discard(number)
        del self.badges[self._badge[number]]
        return self.elements.pop(number)

    def introduction(self, numbers: AbstractBitMap | list[int]) -> dict[int, PeerFacts]:
        """What documents say of present units, by badge."""
        # lists and map, as there may be a hundred thousand
        return dict(zip(map(self._badge.__getitem__, numbers), map(self._facts.__getitem__, numbers), strict=True))

    def badges_of(self, numbers: Iterable[int]) -> tuple[int, ...]:
        """The badges of present units."""
        return tuple(map(self._badge.__getitem__, numbers))

    def enforcers_of(self, numbers: AbstractBitMap, known: AbstractBitMap) -> dict[str, EnforcerEntry]:
        """The Enforcers of present units, but for those of which some unit is known."""
        units, stations = self.units, self.stations
        if len(numbers) < FEW * len(stations):
            few = {facts.enforcer for facts in map(self._facts.__getitem__, numbers)}
            return {key: stations[key].entry for key in few if not units.enforcer(key).intersect(known)}
        return {
            key: stations[key].entry
            for key, theirs in units.enforcers.items()
            if theirs.intersect(numbers) and not theirs.intersect(known)
        }

    def crowds_of(self, memberships: Iterable[Membership]) -> list[Crowd]:
        """Those of them that are expressions of objects."""
        crowds = self.crowds
        return [crowds[membership] for membership in memberships if membership in crowds]

    def readers(self, unit: Unit, memberships: Iterable[Membership]) -> set[Station]:
        """The Enforcers in whose documents a present unit is a peer."""
        found: set[Station] = set(self.open)
        for crowd in self.crowds_of(memberships):
            for selector in crowd.selectors:
                found.update(selector.audience)
        found.update(self.askers.get(unit.badge, ()))
        found.add(self.stations[unit.enforcer])
        return found

    def unacquainted(self, readers: set[Station], unit: Unit, number: int) -> set[Station]:
        """Those of ``readers`` whose documents have no peer of the unit's Enforcer apart from it.

        There may be others among them when there are many: to tell somebody twice of an Enforcer costs
        less than to find out.
        """
        neighbours = BitMap(self.units.enforcer(unit.enforcer) & self.present)
        neighbours.discard(number)
        remaining = readers - {self.stations[unit.enforcer]}
        for other in list(neighbours)[:NEIGHBOURS]:
            if len(remaining) > ONE_BY_ONE:
                remaining = self._without_readers(remaining, self.units.thing(other))
        if len(remaining) > ONE_BY_ONE:
            return remaining
        return {station for station in remaining if not self._meets(station, neighbours)}

    def _without_readers(self, stations: set[Station], unit: Unit) -> set[Station]:
        """Those Enforcers in whose documents an identity, which is not theirs, is no peer."""
        remaining = stations.difference(self.open, self.askers.get(unit.badge, ()))
        for crowd in self.crowds_of(self.units.memberships(unit.tags)):
            for selector in crowd.selectors:
                if not remaining.isdisjoint(selector.audience):
                    remaining = remaining.difference(selector.audience)
        return remaining

    def _meets(self, station: Station, numbers: AbstractBitMap) -> bool:
        """Whether some of these identities is a peer of an Enforcer that is not theirs."""
        if station in self.open:
            return bool(numbers)
        if any(self.badges[badge] in numbers for badge in station.asked if badge in self.badges):
            return True
        return any(
            selector.crowd is not None and selector.crowd.membership.numbers.intersect(numbers)
            for selector in self.selectors_of(station)
        )

    def selectors_of(self, station: Station) -> Iterable[Selector]:
        """The selectors of a document."""
        if station.local is not None:
            return station.selectors
        placements = {each for number in self.units.enforcer(station.id) for each in self.counting(number)}
        return {
            selector for placement in placements for selector in placement.selectors if station in selector.audience
        }

    # --- what counts for units ---------------------------------------------------------------

    def standing(self, unit: Unit, memberships: Iterable[Membership]) -> Standing:
        """The rulesets about a unit that these expressions match."""
        found = [
            placement
            for membership in memberships
            if membership in self.subjects
            for placement in self.subjects[membership]
            if placement.ruleset is not None and selection.in_force(placement.ruleset, unit.namespace)
        ]
        return self.interned(found)

    def interned(self, placements: Iterable[Placement]) -> Standing:
        """The one standing of all units with these rulesets."""
        ordered = sorted(placements, key=lambda placement: placement.id)
        ordinary = tuple(each for each in ordered if each.ruleset is not None and not each.ruleset.fallback)
        fallback = tuple(each for each in ordered if each.ruleset is not None and each.ruleset.fallback)
        found = self._interned.get((ordinary, fallback))
        if found is None:
            found = self._interned[ordinary, fallback] = Standing(ordinary, fallback)
        return found

    def climate(self, path: str) -> Climate:
        """What the namespace ``path`` brings."""
        found = self._climates.get(path)
        if found is None:
            found = self._climates[path] = self._climate(path)
        return found

    def _climate(self, path: str) -> Climate:
        demands = [
            placement
            for key, placement in self.demands.items()
            if selection.visible(self.networks.thing(self.networks.number(key)), path)
        ]
        incoming, outgoing = (default_action(self.namespaces, path, direction)[0] for direction in DIRECTIONS)
        return Climate(incoming, outgoing, tuple(demands))

    def changed_climates(self, origin: str) -> dict[str, tuple[Climate, Climate]]:
        """Look anew at every namespace at or below ``origin``; those that bring something else now: before, after."""
        changed = {}
        for path, before in list(self._climates.items()):
            if not self.units.namespace(path):
                del self._climates[path]
            elif reaches(origin, True, path):
                after = self._climate(path)
                if not before.same(after):
                    changed[path] = (before, after)
                    self._climates[path] = after
        return changed

    def counting(self, number: int) -> tuple[Placement, ...]:
        """Everything whose rules a unit's entry has."""
        climate = self.climate(self.units.thing(number).namespace)
        return self.standings[number].counting + climate.demands

    def forget_keys(self) -> None:
        """Rules have other keys than before."""
        self._keys.clear()

    def entry(self, number: int) -> UnitEntry:
        """The entry of a unit in its Enforcer's document."""
        found = self._entries.get(number)
        if found is None:
            found = self._entries[number] = self._entry(number)
        return found

    def _entry(self, number: int) -> UnitEntry:
        unit = self.units.thing(number)
        standing, climate = self.standings[number], self.climate(unit.namespace)
        keys = self._keys.get((standing, climate))
        if keys is None:
            counting = standing.counting + climate.demands
            incoming = sorted(key for placement in counting for key in placement.incoming)
            outgoing = sorted(key for placement in counting for key in placement.outgoing)
            keys = self._keys[standing, climate] = (tuple(incoming), tuple(outgoing))
        return UnitEntry(
            native_id=unit.native_id,
            badge=unit.badge,
            name=unit.name,
            namespace=unit.namespace,
            tags=tuple(sorted(unit.tags)),
            incoming=keys[0],
            outgoing=keys[1],
            default_incoming=climate.incoming,
            default_outgoing=climate.outgoing,
        )

    def entry_element(self, number: int) -> int:
        """The element of a unit's entry."""
        found = self._totals.get(number)
        if found is None:
            found = self._totals[number] = element("units", self.units.thing(number).id, self.entry(number))
        return found

    def stale(self, number: int) -> None:
        """A unit's entry is another than before."""
        self._entries.pop(number, None)
        self._totals.pop(number, None)


def _facts_of(unit: Unit) -> PeerFacts:
    return PeerFacts(unit.id, unit.name, unit.namespace, unit.enforcer)
