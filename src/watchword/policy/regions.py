"""Regions: address space cut by external networks, ready for a longest-prefix look-up.

Every prefix that some entry names, carved out or not, is a node; nodes that contain each other form
chains. The networks of an address are decided by the chain that covers it, so they are the same for
all addresses whose longest node is the same, and a plain longest-prefix look-up over the nodes finds
them. Nodes that say the same as the node around them are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from watchword.model import prefixes
from watchword.model.prefixes import Prefix
from watchword.policy.suffixes import is_name
from watchword.wire.policy import NetworkEntry

#: Selector of networks that an Enforcer leaves alone. What belongs to one belongs to nothing else.
EXCLUDED = "@excluded"


class Region(NamedTuple):
    """Addresses of ``prefix`` outside any longer region: the networks they belong to (by ID, maybe none)."""

    prefix: str
    networks: tuple[str, ...]
    selectors: frozenset[str]


class _Node(NamedTuple):
    prefix: Prefix
    covering: frozenset[str]
    carving: frozenset[str]

    @property
    def networks(self) -> frozenset[str]:
        return self.covering - self.carving


def regions(networks: Mapping[str, NetworkEntry]) -> Iterator[Region]:
    """All regions, IPv4 before IPv6, each behind the regions that contain it.

    Raises :class:`watchword.model.problems.Invalid` for an entry that is no prefix.
    """
    covering: defaultdict[Prefix, set[str]] = defaultdict(set)
    carving: defaultdict[Prefix, set[str]] = defaultdict(set)
    for network_id, network in networks.items():
        for index, text in enumerate(network.entries):
            if is_name(text):
                continue
            entry = prefixes.parse_entry(text, f"networks[{network_id}].entries[{index}]")
            (carving if entry.carved else covering)[entry.prefix].add(network_id)
    around: list[_Node] = []  # the chain of nodes that contain the one at hand
    for prefix in sorted({*covering, *carving}, key=_order):
        while around and not _contains(around[-1].prefix, prefix):
            around.pop()
        outer = around[-1] if around else None
        node = _Node(
            prefix,
            (outer.covering if outer else frozenset()) | covering.get(prefix, set()),
            (outer.carving if outer else frozenset()) | carving.get(prefix, set()),
        )
        around.append(node)
        if node.networks != (outer.networks if outer else frozenset()):
            members = tuple(sorted(node.networks))
            selectors = frozenset(selector for member in members for selector in networks[member].selectors)
            yield Region(str(prefix), members, frozenset({EXCLUDED}) if EXCLUDED in selectors else selectors)


def _order(prefix: Prefix) -> tuple[int, int, int]:
    return prefix.version, int(prefix.network_address), prefix.prefixlen


def _contains(outer: Prefix, inner: Prefix) -> bool:
    return outer.version == inner.version and inner.network_address in outer
