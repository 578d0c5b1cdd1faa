"""Address space in pieces that a unit's rules cannot tell apart: for export to firewalls that know only addresses.

A piece is a range of addresses of one IP version with the party that is there: a unit whose address was given, or a
stranger in some external networks.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from watchword.exchange.notes import Unreadable
from watchword.model import prefixes
from watchword.model.prefixes import Address, Entry
from watchword.model.problems import Invalid
from watchword.policy.decide import Party, Stranger
from watchword.policy.world import Network, Unit

_LAST = {4: (1 << 32) - 1, 6: (1 << 128) - 1}


class Piece(NamedTuple):
    """Addresses ``first`` to ``last`` and who is there."""

    version: int
    first: int
    last: int
    party: Party

    def text(self) -> str:
        """The range as nftables writes it."""
        make = ipaddress.IPv4Address if self.version == 4 else ipaddress.IPv6Address
        ends = str(make(self.first)), str(make(self.last))
        return ends[0] if self.first == self.last else "-".join(ends)


def addresses_of(units: Mapping[str, Unit], given: Mapping[str, Sequence[str]]) -> dict[Address, Unit]:
    """Whose each address is; ``given`` names units by ID or name. Raises :class:`Unreadable`."""
    by_name: dict[str, list[Unit]] = {}
    for unit in units.values():
        for name in {unit.id, unit.name, f"{unit.namespace.rstrip('/')}/{unit.name}"}:
            by_name.setdefault(name, []).append(unit)
    found: dict[Address, Unit] = {}
    for name, texts in given.items():
        named = by_name.get(name, [])
        if len(named) != 1:
            message = "names no unit" if not named else f"names {len(named)} units"
            raise Unreadable(f"addresses of {name!r}", message, "name a unit by its ID, or by namespace/name")
        for text in texts:
            try:
                address = prefixes.parse_address(text)
            except Invalid as error:
                raise Unreadable(f"addresses of {name!r}", error.message, error.remedy) from None
            other = found.setdefault(address, named[0])
            if other is not named[0]:
                message = f"{text} is also the address of {other.name}: by addresses nobody can tell them apart"
                raise Unreadable(f"addresses of {name!r}", message, "give each unit addresses of its own")
    return found


def pieces(networks: Iterable[Network], units: Mapping[Address, Unit]) -> Iterator[Piece]:
    """The whole address space of both versions, in order, without gaps."""
    known = [(network, _entries(network)) for network in networks]
    for version in (4, 6):
        cuts = {0, _LAST[version] + 1}
        for _, entries in known:
            for entry in entries:
                if entry.prefix.version == version:
                    cuts |= {int(entry.prefix.network_address), int(entry.prefix.broadcast_address) + 1}
        here = {int(address): unit for address, unit in units.items() if address.version == version}
        cuts |= {cut for address in here for cut in (address, address + 1)}
        edges = sorted(cuts)
        for first, beyond in itertools.pairwise(edges):
            party: Party = here[first] if first in here else _stranger(version, first, known)
            yield Piece(version, first, beyond - 1, party)


def _entries(network: Network) -> list[Entry]:
    return [prefixes.parse_entry(text) for text in network.entries]


def _stranger(version: int, first: int, known: Sequence[tuple[Network, list[Entry]]]) -> Stranger:
    address: Address = ipaddress.IPv4Address(first) if version == 4 else ipaddress.IPv6Address(first)
    covering = [network for network, entries in known if prefixes.covers(entries, address)]
    return Stranger(str(address), tuple(sorted(covering, key=lambda network: network.id)))
