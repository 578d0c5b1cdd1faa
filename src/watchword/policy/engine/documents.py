"""Whole documents and their digests, from what the engine keeps."""

from __future__ import annotations

from collections import defaultdict

from pyroaring import AbstractBitMap, BitMap

from watchword.policy.engine.nouns import Placement, Selector, Station
from watchword.policy.engine.state import State
from watchword.policy.engine.subscriptions import network_entry
from watchword.wire.multiset import element
from watchword.wire.policy import (
    NetworkEntry,
    PeerEntry,
    PolicyDocument,
    members_element,
    scope_element,
)


class Reading:
    """One Enforcer's document, about to be written out or added up."""

    def __init__(self, state: State, station: Station) -> None:
        self._state = state
        self._station = station
        self._own = state.units.enforcer(station.id)
        placements: dict[Placement, None] = {}
        for number in self._own:
            placements.update(dict.fromkeys(state.counting(number)))
        self._placements = list(placements)
        self._selectors: dict[Selector, None] = {}
        for placement in self._placements:
            self._selectors.update(placement.selectors)
        self._asked = tuple(sorted(badge for badge in station.asked if badge in state.badges))

    def document(self) -> PolicyDocument:
        """The document, every table in order of its keys."""
        state, station = self._state, self._station
        peers = self._peers()
        identifiers = {station.id, *(peer.enforcer for peer in peers.values())}
        entries = {key: entry for placement in self._placements for key, entry in placement.entries.items()}
        return PolicyDocument(
            revision=state.revision,
            units=dict(sorted((state.units.thing(number).id, state.entry(number)) for number in self._own)),
            rules=dict(sorted(entries.items())),
            selectors=dict(sorted((selector.key, selector.expression) for selector in self._selectors)),
            peers=peers,
            enforcers={each: state.stations[each].entry for each in sorted(identifiers)},
            networks=self._networks(),
            enforcer=station.id,
            everybody=station in state.open,
            asked=self._asked,
        )

    def _kept(self) -> AbstractBitMap:
        return (self._own & self._state.present) | BitMap(self._state.badges[badge] for badge in self._asked)

    def _peers(self) -> dict[int, PeerEntry]:
        state = self._state
        matched: defaultdict[int, list[str]] = defaultdict(list)
        for selector in sorted(self._selectors, key=lambda selector: selector.key):
            if selector.crowd is not None:
                for number in selector.crowd.membership.numbers & state.present:
                    matched[number].append(selector.key)
        numbers = state.present if self._station in state.open else BitMap(matched) | self._kept()
        peers = {}
        for number in numbers:
            unit = state.units.thing(number)
            peers[unit.badge] = PeerEntry(
                unit.id, unit.name, unit.namespace, unit.enforcer, tuple(matched.get(number, ()))
            )
        return dict(sorted(peers.items()))

    def _networks(self) -> dict[str, NetworkEntry]:
        listed: defaultdict[str, list[str]] = defaultdict(list)
        for selector in self._selectors:
            for network in selector.networks:
                listed[network].append(selector.key)
        networks = self._state.networks
        return {
            identifier: network_entry(networks.thing(networks.number(identifier)), tuple(sorted(keys)))
            for identifier, keys in sorted(listed.items())
        }

    def local(self) -> int:
        """The sum of the elements that are not about the members of selectors or about everybody."""
        state, station = self._state, self._station
        found = scope_element(station.id, station in state.open, self._asked)
        found += element("enforcers", station.id, station.digest)
        found += sum([state.entry_element(number) for number in self._own])
        found += sum([placement.total for placement in self._placements])
        found += sum([selector.own for selector in self._selectors])
        found += sum([element("networks", key, entry) for key, entry in self._networks().items()])
        kept = sum([state.elements[number] for number in self._kept()])
        return found + members_element("", kept) if kept else found

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The selectors of the document."""
        return tuple(self._selectors)


def total(state: State, station: Station) -> int:
    """What :func:`watchword.wire.policy.total` gives for the document of an Enforcer, from sums that are kept."""
    if station.total is None:
        if station.local is None:
            reading = Reading(state, station)
            station.local, station.selectors = reading.local(), reading.selectors
        found = station.local + sum([selector.members() for selector in station.selectors])
        station.total = found + state.everybody_element if station in state.open else found
    return station.total
