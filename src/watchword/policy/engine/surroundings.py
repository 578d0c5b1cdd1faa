"""Namespaces, external networks and Enforcers: what surrounds units, and what changes with it."""

from __future__ import annotations

from watchword.policy import selection
from watchword.policy.amendments import Amendment
from watchword.policy.engine.nouns import (
    Placement,
    Selector,
    Station,
    demand_expression,
    demand_key,
    demand_rules,
)
from watchword.policy.engine.populace import Populace
from watchword.policy.engine.state import State
from watchword.policy.engine.subscriptions import Subscriptions
from watchword.policy.tagged import Membership, Shift
from watchword.policy.world import Namespace, Network
from watchword.wire.policy import EnforcerEntry


class Surroundings:
    """See the module's text."""

    def __init__(self, state: State, subscriptions: Subscriptions, populace: Populace) -> None:
        self._state = state
        self._subscriptions = subscriptions
        self._populace = populace

    # --- namespaces --------------------------------------------------------------------------------

    def put_namespace(self, namespace: Namespace) -> None:
        """A namespace comes, or has other defaults."""
        self._state.namespaces[namespace.path] = namespace
        self._settle(namespace.path)

    def drop_namespace(self, path: str) -> None:
        """A namespace goes; those below it ask the one above."""
        if self._state.namespaces.pop(path, None) is not None:
            self._settle(path)

    def _settle(self, origin: str) -> None:
        """Defaults or demands may be others than before at and below a namespace."""
        state = self._state
        changed = state.changed_climates(origin)
        openings: dict[Station, int] = {}
        changes = []
        for path, (before, after) in changed.items():
            for number in state.units.namespace(path):
                station = state.station_of(state.units.thing(number))
                if station is not None:
                    openings[station] = openings.get(station, 0) + after.open - before.open
                    changes.append((station, before.demands, after.demands))
        self._populace.open(openings)
        self._populace.recount(changes)
        self._populace.tell_entries(self._populace.numbers(changed))

    # --- external networks -------------------------------------------------------------------------

    def put_network(self, network: Network) -> None:
        """A network comes, or is another than before."""
        state = self._state
        before = state.networks.get(network.id)
        if before == network:
            return
        demand = state.demands.get(network.id)
        if demand is not None and not network.identity_required:
            self._end_demand(network.id, demand)
        shift = state.networks.put(network)
        then, now = self._sights(network.id, shift), self._sees(network, shift)
        for selector in then.keys() - now.keys():
            del selector.networks[network.id]
        for selector in now.keys() - then.keys():
            selector.networks[network.id] = None
        changed = then.keys() ^ now.keys()
        if before is None or _shown(before) != _shown(network):
            changed = then.keys() | now.keys() | (demand.selectors.keys() if demand is not None else set())
        for selector in changed:
            self._subscriptions.spoil(network.id, selector.audience)
        if network.identity_required:
            self._demand(before, network, demand)

    def drop_network(self, identifier: str) -> None:
        """A network goes. Raises :class:`LookupError` when there is none."""
        demand = self._state.demands.get(identifier)
        if demand is not None:
            self._end_demand(identifier, demand)
        shift = self._state.networks.drop(identifier)
        for selector in self._sights(identifier, shift):
            del selector.networks[identifier]
            self._subscriptions.spoil(identifier, selector.audience)

    def _sights(self, identifier: str, shift: Shift) -> dict[Selector, None]:
        """The selectors that named a network before a change."""
        return {
            selector: None
            for membership in shift.stayed + shift.left
            for selector in self._selectors(membership)
            if identifier in selector.networks
        }

    def _sees(self, network: Network, shift: Shift) -> dict[Selector, None]:
        """The selectors that name it after the change."""
        return {
            selector: None
            for membership in shift.stayed + shift.joined
            for selector in self._selectors(membership)
            if selection.visible(network, selector.namespace)
        }

    def _selectors(self, membership: Membership) -> dict[Selector, None]:
        return self._state.sighting[membership].selectors

    def _demand(self, before: Network | None, network: Network, demand: Placement | None) -> None:
        """A network requires identity: its rules, and the units they are about."""
        state = self._state
        if demand is None:
            demand = state.demands[network.id] = Placement(network.id)
            selector = self._subscriptions.demand(demand_key(network.id), demand_expression(network.id), network.id)
            self._subscriptions.hold([selector])
        else:
            (selector,) = demand.selectors
        rules = demand_rules(network)
        known = demand.entries
        demand.fill(rules, {placed.key: selector for each in rules.values() for placed in each})
        if known != demand.entries:
            state.tell(demand.hosts, Amendment(rules=demand.entries))
        if before is not None and before.namespace != network.namespace:
            self._settle(before.namespace)
        self._settle(network.namespace)

    def _end_demand(self, identifier: str, demand: Placement) -> None:
        state = self._state
        namespace = state.networks.thing(state.networks.number(identifier)).namespace
        (selector,) = demand.selectors
        del state.demands[identifier]
        self._settle(namespace)
        self._subscriptions.release([selector])

    # --- Enforcers -----------------------------------------------------------------------------------

    def put_enforcer(self, identifier: str, entry: EnforcerEntry) -> None:
        """An Enforcer comes, or has another certificate or other keys."""
        state = self._state
        station = state.stations.get(identifier)
        if station is None:
            station = state.stations[identifier] = Station(identifier, entry)
            state.tell([station], Amendment(enforcers={identifier: entry}))
            for number in list(state.units.enforcer(identifier)):
                unit = state.units.thing(number)
                self._populace.enter(number, unit, state.units.memberships(unit.tags))
        elif station.entry != entry:
            self._rekey(station, entry)

    def _rekey(self, station: Station, entry: EnforcerEntry) -> None:
        state = self._state
        station.replace(entry)
        readers = {station}
        for number in state.units.enforcer(station.id) & state.present:
            unit = state.units.thing(number)
            memberships = state.units.memberships(unit.tags)
            readers |= state.readers(unit, memberships)
            old = state.elements[number]
            new = state.identify(number, unit, station)
            state.weigh_everybody(new - old)
            for crowd in state.crowds_of(memberships):
                state.weigh(crowd, new - old)
        state.tell(readers, Amendment(enforcers={station.id: entry}))

    def drop_enforcer(self, identifier: str) -> None:
        """An Enforcer goes: its units are nobody's peers any more. Raises :class:`LookupError` when there is none."""
        state = self._state
        station = state.stations[identifier]
        for number in list(state.units.enforcer(identifier)):
            unit = state.units.thing(number)
            self._populace.leave(number, unit, state.units.memberships(unit.tags))
        self._populace.ask(station, frozenset())
        del state.stations[identifier]
        self._subscriptions.refresh()  # what it would be told of networks is said now, and hushed with the rest
        state.hush(station)


def _shown(network: Network) -> tuple[object, ...]:
    """What documents say of a network, its selectors left aside."""
    return network.name, network.namespace, network.entries, network.names, network.identity_required
