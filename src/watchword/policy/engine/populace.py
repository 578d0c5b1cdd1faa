"""Units: what their coming, changing and going means for the documents of all others, and for their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pyroaring import AbstractBitMap, BitMap

from watchword.policy.amendments import Amendment
from watchword.policy.engine.nouns import Placement, Station
from watchword.policy.engine.state import State
from watchword.policy.engine.subscriptions import Subscriptions
from watchword.policy.tagged import Membership
from watchword.policy.world import Unit

Counts = tuple[Placement, ...]


class Populace:
    """See the module's text."""

    def __init__(self, state: State, subscriptions: Subscriptions) -> None:
        self._state = state
        self._subscriptions = subscriptions

    # --- one unit ----------------------------------------------------------------------------------

    def put(self, unit: Unit) -> None:
        """A unit comes, or is another than before."""
        before = self._state.units.get(unit.id)
        if before is None:
            self._come(unit)
        elif (before.badge, before.enforcer) == (unit.badge, unit.enforcer):
            self._alter(before, unit)
        else:
            self.drop(unit.id)
            self._come(unit)

    def drop(self, identifier: str) -> None:
        """A unit goes. Raises :class:`LookupError` when there is none."""
        state = self._state
        number = state.units.number(identifier)
        unit = state.units.thing(number)
        memberships = state.units.memberships(unit.tags)
        self.leave(number, unit, memberships)
        del state.standings[number]
        state.stale(number)
        state.units.drop(identifier)

    def _come(self, unit: Unit) -> None:
        state = self._state
        shift = state.units.put(unit)
        state.number(shift.number, unit)
        state.standings[shift.number] = state.standing(unit, shift.joined)
        self.enter(shift.number, unit, shift.joined)

    def enter(self, number: int, unit: Unit, memberships: list[Membership]) -> None:
        """A unit has come, or its Enforcer has: take it into documents."""
        state = self._state
        station = state.station_of(unit)
        state.stale(number)  # nothing was told of it while it had no Enforcer
        if station is None:
            return
        if unit.badge:
            one = state.identify(number, unit, station)
            self._weigh(memberships, one)
            state.weigh_everybody(one)
            self._introduce(number, unit, memberships)
        if state.climate(unit.namespace).open:
            self.open({station: +1})
        self.recount([(station, (), state.counting(number))])
        self._tell_entry(station, number, unit)

    def leave(self, number: int, unit: Unit, memberships: list[Membership]) -> None:
        """A unit goes, or its Enforcer does: take it out of documents."""
        state = self._state
        station = state.station_of(unit)
        if station is None:
            return
        if number in state.present:
            readers = state.readers(unit, memberships)
            one = state.forget(number)
            self._weigh(memberships, -one)
            state.weigh_everybody(-one)
            state.tell_members(readers, Amendment(removed={"peers": (unit.badge,)}))
            self._tell_askers(unit.badge)
        self.recount([(station, state.counting(number), ())])
        if state.climate(unit.namespace).open:
            self.open({station: -1})
        state.tell([station], Amendment(removed={"units": (unit.id,)}))

    def _weigh(self, memberships: Iterable[Membership], change: int) -> None:
        for crowd in self._state.crowds_of(memberships):
            self._state.weigh(crowd, change)

    def _introduce(self, number: int, unit: Unit, memberships: list[Membership]) -> None:
        """Tell everybody who meets it of a new identity."""
        state = self._state
        if state.muted:
            return
        readers = state.readers(unit, memberships)
        strangers = state.unacquainted(readers, unit, number)
        state.tell_members(strangers, Amendment(enforcers={unit.enforcer: state.stations[unit.enforcer].entry}))
        state.tell_members(readers, Amendment(peers=state.introduction([number])))
        self._tell_moved(unit.badge, memberships, joined=True)
        self._tell_askers(unit.badge)

    def _tell_moved(self, badge: int, memberships: Iterable[Membership], *, joined: bool) -> None:
        state = self._state
        for crowd in state.crowds_of(memberships):
            for selector in crowd.selectors:
                if selector.audience:
                    moved: dict[str, tuple[int, ...]] = {selector.key: (badge,)}
                    amendment = Amendment(joined=moved) if joined else Amendment(left=moved)
                    state.tell_members(selector.audience, amendment)

    def _tell_askers(self, badge: int) -> None:
        for station in self._state.askers.get(badge, ()):
            self._state.tell([station], Amendment(asked=self.asked(station)))

    def ask(self, station: Station, badges: frozenset[int]) -> None:
        """An Enforcer asks for these badges, and no longer for others."""
        state = self._state
        fresh = badges - station.asked
        for badge in station.asked - badges:
            del state.askers[badge][station]
            if not state.askers[badge]:
                del state.askers[badge]
        before = self.asked(station)
        for badge in fresh & state.badges.keys():
            number = state.badges[badge]
            unit = state.units.thing(number)
            strangers = state.unacquainted({station}, unit, number)
            state.tell(strangers, Amendment(enforcers={unit.enforcer: state.stations[unit.enforcer].entry}))
            state.tell([station], Amendment(peers=state.introduction([number])))
        station.asked = badges  # not before: each of them is new to it
        for badge in fresh:
            state.askers[badge][station] = None
        if self.asked(station) != before:
            state.tell([station], Amendment(asked=self.asked(station)))

    def asked(self, station: Station) -> tuple[int, ...]:
        """The badges an Enforcer asked for that exist."""
        return tuple(sorted(badge for badge in station.asked if badge in self._state.badges))

    def _alter(self, before: Unit, unit: Unit) -> None:
        """A unit has other tags, another name or another place, but is the same identity."""
        state = self._state
        if before == unit:
            return
        number = state.units.number(unit.id)
        counted = state.counting(number)
        opened = state.climate(before.namespace).open
        shift = state.units.put(unit)
        matching = shift.joined + shift.stayed
        state.standings[number] = state.standing(unit, matching)
        state.stale(number)
        station = state.station_of(unit)
        if station is None:
            return
        if unit.badge:
            renamed = (before.name, before.namespace) != (unit.name, unit.namespace)
            old = state.elements[number]
            new = state.identify(number, unit, station) if renamed else old
            self._weigh(shift.left, -old)
            self._weigh(shift.joined, new)
            if renamed:
                self._weigh(shift.stayed, new - old)
                state.weigh_everybody(new - old)
            self._reintroduce(number, unit, shift.joined, shift.stayed + shift.left, renamed=renamed)
            self._tell_moved(unit.badge, shift.left, joined=False)
            self._tell_moved(unit.badge, shift.joined, joined=True)
        if state.climate(unit.namespace).open != opened:
            self.open({station: -1 if opened else +1})
        self.recount([(station, counted, state.counting(number))])
        self._tell_entry(station, number, unit)

    def _reintroduce(
        self, number: int, unit: Unit, joined: list[Membership], known: list[Membership], *, renamed: bool
    ) -> None:
        """Tell those who meet a changed identity for the first time of it; others only if it is called otherwise."""
        state = self._state
        if state.muted:
            return
        newcomers: set[Station] = set()
        for crowd in state.crowds_of(joined):
            for selector in crowd.selectors:
                newcomers.update(selector.audience)
        acquainted = state.readers(unit, known)
        newcomers -= acquainted
        strangers = state.unacquainted(newcomers, unit, number)
        state.tell_members(strangers, Amendment(enforcers={unit.enforcer: state.stations[unit.enforcer].entry}))
        state.tell_members(newcomers, Amendment(peers=state.introduction([number])))
        if renamed:
            state.tell(acquainted, Amendment(peers=state.introduction([number])))

    def _tell_entry(self, station: Station, number: int, unit: Unit) -> None:
        if not self._state.muted:
            self._state.tell([station], Amendment(units={unit.id: self._state.entry(number)}))

    # --- many units --------------------------------------------------------------------------------

    def tell_entries(self, numbers: AbstractBitMap) -> None:
        """The entries of these units are others than before."""
        state = self._state
        entries: defaultdict[Station, dict[str, object]] = defaultdict(dict)
        for number in numbers:
            state.stale(number)
            if not state.muted:
                unit = state.units.thing(number)
                station = state.station_of(unit)
                if station is not None:
                    entries[station][unit.id] = state.entry(number)
        for station, changed in entries.items():
            state.tell([station], Amendment(units=changed))  # type: ignore[arg-type]

    def recount(self, changes: Iterable[tuple[Station, Counts, Counts]]) -> None:
        """For each unit in question: its Enforcer, and what counted for it before and counts now."""
        gains: list[tuple[Station, Placement]] = []
        losses: list[tuple[Station, Placement]] = []
        for station, before, after in changes:
            if before != after:
                gains.extend((station, placement) for placement in after if placement not in before)
                losses.extend((station, placement) for placement in before if placement not in after)
        coming: defaultdict[Placement, list[Station]] = defaultdict(list)
        for station, placement in gains:
            count = placement.hosts.get(station, 0)
            placement.hosts[station] = count + 1
            if not count:
                coming[placement].append(station)
        for placement, stations in coming.items():
            self._subscriptions.arrive(placement, stations)
        going: defaultdict[Placement, list[Station]] = defaultdict(list)
        for station, placement in losses:
            placement.hosts[station] -= 1
            if not placement.hosts[station]:
                del placement.hosts[station]
                going[placement].append(station)
        for placement, stations in going.items():
            self._subscriptions.depart(placement, stations)

    # --- defaults that allow -----------------------------------------------------------------------

    def open(self, changes: dict[Station, int]) -> None:
        """So many more (or fewer) local units have a default that allows."""
        state = self._state
        opened, closed = [], []
        for station, change in changes.items():
            was = station.openings > 0
            station.openings += change
            now = station.openings > 0
            if now and not was:
                opened.append(station)
                state.open[station] = None
            elif was and not now:
                closed.append(station)
                del state.open[station]
        if state.muted:
            return
        if closed:
            state.tell(closed, Amendment(everybody=False))
        if opened:
            everybody = state.introduction(state.present)
            entries = state.enforcers_of(state.present, BitMap())
            state.tell(opened, Amendment(peers=everybody, enforcers=entries, everybody=True))

    def numbers(self, paths: Iterable[str]) -> AbstractBitMap:
        """The units in these namespaces."""
        return BitMap.union(BitMap(), *(self._state.units.namespace(path) for path in paths))
