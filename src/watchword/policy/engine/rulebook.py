"""Rulesets: which units each is about, and what becomes of documents when one changes."""

from __future__ import annotations

from pyroaring import AbstractBitMap, BitMap

from watchword.model.expressions import normalised
from watchword.policy import selection
from watchword.policy.amendments import Amendment
from watchword.policy.engine.nouns import DIRECTIONS, Placement, Standing
from watchword.policy.engine.populace import Populace
from watchword.policy.engine.state import State
from watchword.policy.engine.subscriptions import Subscriptions
from watchword.policy.world import Ruleset


class Rulebook:
    """See the module's text."""

    def __init__(self, state: State, subscriptions: Subscriptions, populace: Populace) -> None:
        self._state = state
        self._subscriptions = subscriptions
        self._populace = populace

    def put(self, ruleset: Ruleset) -> None:
        """A ruleset comes, or is another than before."""
        placement = self._state.placements.get(ruleset.id)
        if ruleset.disabled:
            self.drop(ruleset.id)
        elif placement is None or placement.ruleset is None:
            placement = self._state.placements[ruleset.id] = Placement(ruleset.id)
            self._watch(placement, ruleset)
            self._fill(placement, ruleset)
            self._stand(placement, BitMap(), self._members(placement))
        elif placement.ruleset != ruleset:
            self._alter(placement, placement.ruleset, ruleset)

    def drop(self, identifier: str) -> None:
        """A ruleset goes; nothing happens when there is none in force."""
        placement = self._state.placements.get(identifier)
        if placement is None:
            return
        self._stand(placement, self._members(placement), BitMap())
        self._subscriptions.release(placement.selectors)
        self._unwatch(placement)
        del self._state.placements[identifier]

    def _alter(self, placement: Placement, before: Ruleset, after: Ruleset) -> None:
        members = self._members(placement)
        self._fill(placement, after)
        if _about(before) != _about(after):
            self._unwatch(placement)
            self._watch(placement, after)
            self._stand(placement, members, self._members(placement))

    def _watch(self, placement: Placement, ruleset: Ruleset) -> None:
        placement.subject = self._state.units.watch(normalised(ruleset.subject))
        self._state.subjects[placement.subject][placement] = None

    def _unwatch(self, placement: Placement) -> None:
        subject = placement.subject
        if subject is None:
            return
        del self._state.subjects[subject][placement]
        if not self._state.subjects[subject]:
            del self._state.subjects[subject]
        self._state.units.unwatch(subject)

    def _members(self, placement: Placement) -> BitMap:
        """The units that a ruleset is about, whether it counts for them or not."""
        if placement.subject is None or placement.ruleset is None:
            return BitMap()
        reach = self._state.units.reach(placement.ruleset.namespace, placement.ruleset.propagate)
        return BitMap.intersection(placement.subject.numbers, reach)

    def _fill(self, placement: Placement, ruleset: Ruleset) -> None:
        """Take over a ruleset's rules, telling the documents that have it."""
        rules = {direction: selection.rules_of([ruleset], direction) for direction in DIRECTIONS}
        placed = [each for direction in DIRECTIONS for each in rules[direction]]
        before, selectors = placement.entries, placement.selectors
        keys = (placement.incoming, placement.outgoing)
        using = {each.key: self._subscriptions.selector(each) for each in placed}
        placement.ruleset = ruleset
        placement.fill(rules, using)
        self._subscriptions.hold(placement.selectors)
        stations = list(placement.hosts)
        if stations:
            changed = {key: entry for key, entry in placement.entries.items() if before.get(key) != entry}
            gone = tuple(key for key in before if key not in placement.entries)
            self._state.tell(stations, Amendment(rules=changed, removed={"rules": gone} if gone else {}))
            for selector in placement.selectors:
                if selector not in selectors:
                    self._subscriptions.subscribe(selector, stations)
            for selector in selectors:
                if selector not in placement.selectors:
                    self._subscriptions.unsubscribe(selector, stations)
            if keys != (placement.incoming, placement.outgoing):
                self._state.forget_keys()
                self._populace.tell_entries(self._counting(placement))
        self._subscriptions.release(selectors)

    def _counting(self, placement: Placement) -> BitMap:
        """The units for which a placement counts, by what was settled last."""
        standings = self._state.standings
        # not by its members: its namespace or subject may be about to change
        hosts = (self._state.units.enforcer(station.id) for station in placement.hosts)
        return BitMap(number for number in BitMap.union(BitMap(), *hosts) if placement in standings[number].counting)

    def _stand(self, placement: Placement, before: AbstractBitMap, after: AbstractBitMap) -> None:
        """A ruleset was about some units, and is about some now."""
        state = self._state
        known: dict[tuple[Standing, bool], Standing] = {}
        changes = []
        numbers = BitMap()
        for number in BitMap.union(before, after):
            old, inside = state.standings[number], number in after
            new = known.get((old, inside))
            if new is None:
                others = [each for each in old.ordinary + old.fallback if each is not placement]
                new = known[old, inside] = state.interned([*others, placement] if inside else others)
            if new is old:
                continue
            state.standings[number] = new
            if new.counting != old.counting:
                numbers.add(number)
                station = state.station_of(state.units.thing(number))
                if station is not None:
                    changes.append((station, old.counting, new.counting))
        self._populace.recount(changes)
        self._populace.tell_entries(numbers)


def _about(ruleset: Ruleset) -> tuple[object, ...]:
    """What decides which units a ruleset is about."""
    return normalised(ruleset.subject), ruleset.namespace, ruleset.propagate, ruleset.fallback
