"""Peers without identity, as few as decide everything: one for each region of address space.

Networks and blocks of addresses cut address space into regions; all addresses of one region belong to the
same networks, so policy cannot tell them apart, and one of them stands for all.
"""

from __future__ import annotations

import heapq
import ipaddress
from collections.abc import Iterable, Iterator, Sequence

from watchword.model import prefixes
from watchword.model.prefixes import Prefix
from watchword.policy.decide import Stranger
from watchword.policy.regions import regions
from watchword.policy.world import Network
from watchword.wire.policy import NetworkEntry

#: IPv4 addresses in IPv6's clothes: none of them exists as itself.
_DISGUISED = ipaddress.IPv6Network("::ffff:0:0/96")

_BLOCK = "/"  # begins no ID, so that a block is never taken for a network


def strangers(networks: Iterable[Network], wanted: frozenset[str], blocks: Sequence[str]) -> list[Stranger]:
    """Whom the networks with IDs ``wanted``, and ``blocks`` (CIDRs), consist of; all ``networks`` count.

    Each is an address of its region with every network it belongs to. Raises
    :class:`watchword.model.problems.Invalid` for an entry that is no prefix.
    """
    for block in blocks:
        prefixes.parse_entry(block)  # a name is no block
    known = {network.id: network for network in networks}
    entries = {key: _entry(network.entries) for key, network in known.items()}
    entries |= {f"{_BLOCK}{index}": _entry((block,)) for index, block in enumerate(blocks)}
    cut = [(prefixes.parse_prefix(region.prefix), region.networks) for region in regions(entries)]
    found = []
    for index, (prefix, members) in enumerate(cut):
        if any(member in wanted or member.startswith(_BLOCK) for member in members):
            address = _outside(prefix, _inside(cut, index))
            if address is not None:
                belongs = tuple(known[member] for member in members if member in known)
                found.append(Stranger(address, belongs))
    return found


def _entry(entries: tuple[str, ...]) -> NetworkEntry:
    return NetworkEntry(name="", namespace="", entries=entries, selectors=())


def _inside(cut: Sequence[tuple[Prefix, tuple[str, ...]]], index: int) -> Iterator[Prefix]:
    """The regions inside one: they follow it, in order of address."""
    outer = cut[index][0]
    for prefix, _ in cut[index + 1 :]:
        if prefix.network_address not in outer:
            return
        yield prefix


def _outside(prefix: Prefix, inner: Iterator[Prefix]) -> str | None:
    """The first address of ``prefix`` in none of ``inner``; ``None`` when they cover it all."""
    candidate = int(prefix.network_address)
    disguised = [_DISGUISED] if prefixes.within(_DISGUISED, prefix) else []
    for taken in heapq.merge(inner, disguised, key=lambda each: int(each.network_address)):
        if int(taken.network_address) > candidate:
            break
        candidate = max(candidate, int(taken.broadcast_address) + 1)
    if candidate > int(prefix.broadcast_address):
        return None
    kind = ipaddress.IPv4Address if prefix.version == 4 else ipaddress.IPv6Address
    return str(kind(candidate))
