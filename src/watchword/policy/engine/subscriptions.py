"""Who reads what: rules, selectors, their members and networks come to and go from documents.

A selector comes to a document with the first rule that uses it and goes with the last. What comes with
it (its members, who they are, their Enforcers) is shared between the Enforcers to which it comes at
once; for a few of them it is worth leaving out what their documents have already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pyroaring import AbstractBitMap, BitMap

from watchword.model.expressions import Expression, normalised
from watchword.policy import selection
from watchword.policy.amendments import Amendment
from watchword.policy.engine.nouns import Crowd, Placement, Selector, Station
from watchword.policy.engine.state import State
from watchword.policy.selection import PlacedRule
from watchword.policy.selectors import selector_key
from watchword.policy.world import Network
from watchword.wire.policy import NetworkEntry

#: Up to so many Enforcers get only what they lack; more get all the members, the same for each.
APART = 8


class Subscriptions:
    """See the module's text."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._uses: dict[Selector, int] = {}  # placements that have a selector
        self._dirty: defaultdict[str, set[Station]] = defaultdict(set)  # network to documents
        self._known: dict[Station, BitMap] = {}  # identities in documents, while members are brought

    # --- selectors and their expressions -------------------------------------------------------

    def selector(self, placed: PlacedRule) -> Selector:
        """The selector of a rule, made if need be; to be held by :meth:`hold`."""
        namespace = placed.ruleset.namespace
        key = selector_key(namespace, placed.rule.object)
        found = self._state.selectors.get(key)
        if found is None:
            found = self._make(key, namespace, normalised(placed.rule.object))
        return found

    def demand(self, key: str, expression: Expression, network: str) -> Selector:
        """The selector that names one network alone; it stands in no namespace."""
        found = Selector(key, network, expression, None)
        found.networks[network] = None
        self._state.selectors[key] = found
        self._uses[found] = 0
        return found

    def _make(self, key: str, namespace: str, expression: Expression) -> Selector:
        state = self._state
        membership = state.units.watch(expression)
        crowd = state.crowds.get(membership)
        if crowd is None:
            total = sum(state.elements[number] for number in membership.numbers & state.present)
            crowd = state.crowds[membership] = Crowd(membership, state.networks.watch(expression), total)
            state.sighting[crowd.networks] = crowd
        found = state.selectors[key] = Selector(key, namespace, expression, crowd)
        crowd.selectors[found] = None
        for network in state.networks.things(crowd.networks.numbers):
            if selection.visible(network, namespace):
                found.networks[network.id] = None
        self._uses[found] = 0
        return found

    def hold(self, selectors: Iterable[Selector]) -> None:
        """One placement more has them."""
        for selector in selectors:
            self._uses[selector] += 1

    def release(self, selectors: Iterable[Selector]) -> None:
        """One placement fewer has them; those that none has are forgotten."""
        state = self._state
        for selector in selectors:
            self._uses[selector] -= 1
            if self._uses[selector]:
                continue
            del self._uses[selector]
            del state.selectors[selector.key]
            if selector.crowd is not None:
                self._leave(selector, selector.crowd)

    def _leave(self, selector: Selector, crowd: Crowd) -> None:
        state = self._state
        del crowd.selectors[selector]
        state.units.unwatch(crowd.membership)
        if not crowd.selectors:
            del state.crowds[crowd.membership]
            del state.sighting[crowd.networks]
            state.networks.unwatch(crowd.networks)

    # --- coming and going ------------------------------------------------------------------------

    def arrive(self, placement: Placement, stations: Iterable[Station]) -> None:
        """A placement's rules come to documents that did not have them."""
        stations = list(stations)
        self._state.tell(stations, Amendment(rules=placement.entries))
        for selector in placement.selectors:
            self.subscribe(selector, stations)

    def depart(self, placement: Placement, stations: Iterable[Station]) -> None:
        """A placement's rules leave documents."""
        stations = list(stations)
        self._state.tell(stations, Amendment(removed={"rules": tuple(placement.entries)}))
        for selector in placement.selectors:
            self.unsubscribe(selector, stations)

    def subscribe(self, selector: Selector, stations: Iterable[Station]) -> None:
        """One placement more of each of these documents uses a selector."""
        fresh = []
        audience = selector.audience
        for station in stations:
            uses = audience.get(station, 0)
            audience[station] = uses + 1
            if not uses:
                fresh.append(station)
        if fresh:
            self._bring(selector, fresh)
            for network in selector.networks:
                self._dirty[network].update(fresh)

    def unsubscribe(self, selector: Selector, stations: Iterable[Station]) -> None:
        """One placement fewer of each of these documents uses a selector."""
        gone = []
        audience = selector.audience
        for station in stations:
            audience[station] -= 1
            if not audience[station]:
                del audience[station]
                gone.append(station)
        if gone:
            self._state.tell(gone, Amendment(removed={"selectors": (selector.key,)}))
            for network in selector.networks:
                self._dirty[network].update(gone)

    def _bring(self, selector: Selector, stations: list[Station]) -> None:
        state = self._state
        if state.muted:
            return
        expressions = {selector.key: selector.expression}
        members = selector.crowd.membership.numbers & state.present if selector.crowd else BitMap()
        joined = {selector.key: state.badges_of(members)} if members else {}
        if len(stations) > APART:
            state.tell(stations, self._all_of(members, BitMap(), Amendment(selectors=expressions, joined=joined)))
            return
        for station in stations:
            known = self._known.get(station)
            if known is None:
                known = self._known[station] = self.known(station, apart_from=selector)
            state.tell([station], self._all_of(members - known, known, Amendment(selectors=expressions, joined=joined)))
            known |= members

    def _all_of(self, newcomers: AbstractBitMap, known: AbstractBitMap, amendment: Amendment) -> Amendment:
        """``amendment`` with who the newcomers are, and their Enforcers as far as not known by others."""
        state = self._state
        return Amendment(
            selectors=amendment.selectors,
            joined=amendment.joined,
            peers=state.introduction(newcomers),
            enforcers=state.enforcers_of(newcomers, known),
        )

    def known(self, station: Station, apart_from: Selector | None = None) -> BitMap:
        """The numbers of the identities in a document, leaving out what only one selector brings."""
        state = self._state
        if station in state.open:
            return state.present.copy()
        own = state.units.enforcer(station.id)
        asked = BitMap(state.badges[badge] for badge in station.asked if badge in state.badges)
        crowds = {
            selector.crowd
            for selector in state.selectors_of(station)
            if selector.crowd is not None and selector is not apart_from
        }
        return BitMap.union(BitMap(), own, asked, *(crowd.membership.numbers for crowd in crowds)) & state.present

    # --- external networks ------------------------------------------------------------------------

    def spoil(self, network: str, stations: Iterable[Station]) -> None:
        """The entry of a network may have changed in these documents."""
        self._dirty[network].update(stations)

    def refresh(self) -> None:
        """Tell the documents whose networks may have changed what their entries are now."""
        self._known.clear()
        dirty, self._dirty = self._dirty, defaultdict(set)
        if self._state.muted:
            return
        few = set().union(*dirty.values())
        selectors = {station: self._state.selectors_of(station) for station in few} if len(few) <= APART else {}
        for identifier, stations in dirty.items():
            network = self._state.networks.get(identifier)
            listed: defaultdict[Station, list[str]] = defaultdict(list)
            if selectors:
                for station in stations:
                    listed[station] = [each.key for each in selectors[station] if identifier in each.networks]
            elif network is not None:
                self._list(network, stations, listed)
            alike: defaultdict[tuple[str, ...], list[Station]] = defaultdict(list)
            for station in stations:
                alike[tuple(sorted(listed.get(station, ())))].append(station)
            for keys, readers in alike.items():
                if network is not None and keys:
                    amendment = Amendment(networks={identifier: network_entry(network, keys)})
                else:
                    amendment = Amendment(removed={"networks": (identifier,)})
                self._state.tell(readers, amendment)

    def _list(self, network: Network, stations: set[Station], listed: dict[Station, list[str]]) -> None:
        """The selectors by which many documents name a network."""
        for selector in self._sights(network):
            for station in selector.audience.keys() & stations:
                listed[station].append(selector.key)

    def _sights(self, network: Network) -> Iterable[Selector]:
        """Every selector that names a network."""
        state = self._state
        for membership in state.networks.memberships(network.tags):
            for selector in state.sighting[membership].selectors:
                if network.id in selector.networks:
                    yield selector
        if network.id in state.demands:
            yield from state.demands[network.id].selectors


def network_entry(network: Network, keys: tuple[str, ...]) -> NetworkEntry:
    """A network as documents have it."""
    return NetworkEntry(
        name=network.name,
        namespace=network.namespace,
        entries=(*network.entries, *network.names),
        selectors=keys,
        identity_required=network.identity_required,
    )
