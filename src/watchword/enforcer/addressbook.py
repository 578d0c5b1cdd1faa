"""Who a badge or an address is, for reports. Never for verdicts."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

from watchword.model import prefixes
from watchword.model.prefixes import Prefix
from watchword.policy.suffixes import is_name
from watchword.policy.tables import Tables
from watchword.wire.policy import PolicyDocument

#: Badges remembered after their unit has left the policy: flows are reported after the fact.
_REMEMBERED = 10_000


class AddressBook:
    """Badges to units, addresses to external networks; of the policy in force and shortly before."""

    def __init__(self) -> None:
        self._units: OrderedDict[int, str] = OrderedDict()
        self._peers: OrderedDict[int, str] = OrderedDict()
        self._lengths: dict[int, list[int]] = {4: [], 6: []}
        self._networks: dict[tuple[int, int, int], str] = {}

    def update(self, document: PolicyDocument, tables: Tables) -> None:
        """Learn what a newly enforced policy says."""
        _remember(self._units, {unit.badge: key for key, unit in document.units.items()})
        _remember(self._peers, {badge: peer.unit for badge, peer in document.peers.items()})
        self._networks = {}
        lengths: dict[int, set[int]] = {4: set(), 6: set()}
        for prefix, networks in tables.prefix_networks.items():
            parsed = ipaddress.ip_network(prefix)
            lengths[parsed.version].add(parsed.prefixlen)
            named = _nearest(document, parsed, networks) if networks else ""  # carved out of what is around it
            self._networks[parsed.version, parsed.prefixlen, int(parsed.network_address)] = named
        self._lengths = {version: sorted(found, reverse=True) for version, found in lengths.items()}

    def unit(self, badge: int) -> str | None:
        """The local unit with that badge."""
        return self._units.get(badge)

    def peer(self, badge: int) -> str:
        """The peer with that badge, "" when there is none."""
        return self._peers.get(badge, "")

    def network(self, address: str) -> str:
        """The external network of the longest prefix that covers ``address``, "" when there is none."""
        if not address:
            return ""
        parsed = ipaddress.ip_address(address)
        bits = parsed.max_prefixlen
        for length in self._lengths[parsed.version]:
            masked = int(parsed) >> (bits - length) << (bits - length)
            found = self._networks.get((parsed.version, length, masked))
            if found is not None:
                return found
        return ""


def _nearest(document: PolicyDocument, prefix: Prefix, networks: tuple[str, ...]) -> str:
    """Of the networks that cover ``prefix`` the one that says so most precisely."""
    if len(networks) == 1:
        return networks[0]

    def precision(network: str) -> int:
        entries = prefixes.parse([text for text in document.networks[network].entries if not is_name(text)])
        covering = [entry.prefix for entry in entries if not entry.carved and _covers(entry.prefix, prefix)]
        return max((found.prefixlen for found in covering), default=-1)

    return max(networks, key=precision)


def _covers(wide: Prefix, narrow: Prefix) -> bool:
    if wide.version != narrow.version or wide.prefixlen > narrow.prefixlen:
        return False
    return narrow.network_address in wide


def _remember(known: OrderedDict[int, str], current: dict[int, str]) -> None:
    for badge, unit in current.items():
        known[badge] = unit
        known.move_to_end(badge)
    while len(known) > max(_REMEMBERED, len(current)):
        known.popitem(last=False)
