"""A world's rulesets and networks by what they can be about, for questions about single flows.

Follows the world from one to the next: what did not change is not looked at beyond its identity. A
question then costs as much as the rulesets that stand in an end's namespace or above it and share a tag
with it, however many there are.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from watchword.model import prefixes
from watchword.model.prefixes import Address
from watchword.policy.anchors import anchors, terms
from watchword.policy.namespaces import upwards
from watchword.policy.tagged import Alternative
from watchword.policy.world import Network, Ruleset, Unit, World

Entry = TypeVar("Entry")


class Rulebook:
    """Finds rulesets by a unit's tags, and networks by an address. Not thread-safe."""

    def __init__(self) -> None:
        self._rulesets: Mapping[str, Ruleset] = {}
        self._networks: Mapping[str, Network] = {}
        self._subjects: dict[str, tuple[Alternative, ...]] = {}
        self._anchored: defaultdict[str, defaultdict[str, set[str]]]  # namespace, term, IDs
        self._anchored = defaultdict(lambda: defaultdict(set))
        self._prefixes: defaultdict[tuple[int, int], defaultdict[int, set[tuple[str, bool]]]]
        self._prefixes = defaultdict(lambda: defaultdict(set))

    def follow(self, world: World) -> None:
        """Take over another world."""
        _follow(self._rulesets, world.rulesets, self._forget_ruleset, self._learn_ruleset)
        _follow(self._networks, world.networks, self._forget_network, self._learn_network)
        self._rulesets, self._networks = world.rulesets, world.networks

    def selecting(self, namespace: str, tags: frozenset[str]) -> list[Ruleset]:
        """Every ruleset in or above ``namespace`` whose subject matches, in force or not, by ID."""
        wanted = terms(tags)
        found = {}
        for path in upwards(namespace):
            anchored = self._anchored.get(path)
            if anchored:
                for term in wanted & anchored.keys():
                    for key in anchored[term]:
                        found[key] = self._rulesets[key]
        return [found[key] for key in sorted(found) if self._matches(found[key], tags)]

    def _matches(self, ruleset: Ruleset, tags: frozenset[str]) -> bool:
        """Whether its subject does; taken apart once."""
        subject = self._subjects.get(ruleset.id)
        if subject is None:
            subject = self._subjects[ruleset.id] = tuple(map(Alternative, ruleset.subject))
        return any(alternative.holds(tags) for alternative in subject)

    def containing(self, address: Address) -> list[Network]:
        """Every network that an address belongs to, by ID."""
        covering: set[str] = set()
        carving: set[str] = set()
        number = int(address)
        for (version, length), starts in self._prefixes.items():
            if version == address.version:
                for key, carved in starts.get(number >> (address.max_prefixlen - length), ()):
                    (carving if carved else covering).add(key)
        return [self._networks[key] for key in sorted(covering - carving)]

    def excerpt(self, world: World, units: Iterable[Unit], addresses: Iterable[Address]) -> World:
        """A small world that decides as ``world``, which was followed last, about these units and addresses."""
        rulesets = {ruleset.id: ruleset for unit in units for ruleset in self.selecting(unit.namespace, unit.tags)}
        networks = {network.id: network for address in addresses for network in self.containing(address)}
        return dataclasses.replace(
            world, units={unit.id: unit for unit in units}, rulesets=rulesets, networks=networks, enforcers={}
        )

    def _learn_ruleset(self, ruleset: Ruleset) -> None:
        anchored = self._anchored[ruleset.namespace]
        for anchor in anchors(ruleset.subject):
            anchored[anchor].add(ruleset.id)

    def _forget_ruleset(self, ruleset: Ruleset) -> None:
        self._subjects.pop(ruleset.id, None)
        anchored = self._anchored[ruleset.namespace]
        for anchor in anchors(ruleset.subject):
            anchored[anchor].discard(ruleset.id)
            if not anchored[anchor]:
                del anchored[anchor]
        if not anchored:
            del self._anchored[ruleset.namespace]

    def _learn_network(self, network: Network) -> None:
        for place, start, carved in _starts(network):
            self._prefixes[place][start].add((network.id, carved))

    def _forget_network(self, network: Network) -> None:
        for place, start, carved in _starts(network):
            starts = self._prefixes[place]
            starts[start].discard((network.id, carved))
            if not starts[start]:
                del starts[start]
            if not starts:
                del self._prefixes[place]


def _starts(network: Network) -> set[tuple[tuple[int, int], int, bool]]:
    """For each distinct entry its version and length, the bits of that length, and whether it carves out."""
    found: set[tuple[tuple[int, int], int, bool]] = set()
    for text in network.entries:
        prefix, carved = prefixes.parse_entry(text)
        bits = int(prefix.network_address) >> (prefix.max_prefixlen - prefix.prefixlen)
        found.add(((prefix.version, prefix.prefixlen), bits, carved))
    return found


def _follow(
    before: Mapping[str, Entry],
    after: Mapping[str, Entry],
    forget: Callable[[Entry], None],
    learn: Callable[[Entry], None],
) -> None:
    if before is after:
        return
    for key, entry in before.items():
        if after.get(key) is not entry:
            forget(entry)
    for key, entry in after.items():
        if before.get(key) is not entry:
            learn(entry)
