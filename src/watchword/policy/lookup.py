"""The look-up in tables as every datapath must do it, one flow at a time.

The reference for the kernel programs and their tests; nothing on a host decides by it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from watchword.model import prefixes
from watchword.policy.suffixes import candidates
from watchword.policy.tables import NO_CLASS, SOMEWHERE, Direction, Tables, Verdict, VerdictKey
from watchword.policy.verdicts import together
from watchword.wire.policy import ANY_PROTOCOL


def lookup(
    tables: Tables,
    unit: str,
    peer: int | str,
    direction: Direction,
    protocol: int,
    port: int,
    names: Iterable[str] = (),
) -> Verdict:
    """What the end at local ``unit`` decides about ``peer``, a proved badge or an address without identity.

    ``names`` are those under which the unit has learned the address: the name asked for, and those of its aliases.
    ``port`` is the flow's destination port, ``type << 8 | code`` for ICMP, 0 for protocols without.
    """
    local = tables.units[unit]
    if isinstance(peer, int):
        if peer == local.badge:
            return Verdict("Allow")
        known = tables.peers.get(peer)
        peer_class = known.peer_class if known else NO_CLASS
    else:
        peer_class = prefix_class(tables, peer)
    classes = [peer_class]
    if isinstance(peer, str) and direction == "out":
        classes += {found for name in names if (found := name_class(tables, name))}
    segment = segment_of(tables, protocol, port)
    return together([verdict(tables, local.local_class, each, direction, protocol, segment) for each in classes])


def verdict(tables: Tables, local: int, peer: int, direction: Direction, protocol: int, segment: int) -> Verdict:
    """The four steps of :mod:`watchword.policy.tables`."""
    for key in (
        VerdictKey(local, peer, direction, protocol, segment),
        VerdictKey(local, peer, direction, ANY_PROTOCOL, 0),
        VerdictKey(local, NO_CLASS, direction, ANY_PROTOCOL, 0),
    ):
        found = tables.verdicts.get(key)
        if found is not None:
            return found
    return Verdict("Reject")


_parsed = functools.cache(prefixes.parse_prefix)


def prefix_of(tables: Tables, address: str) -> str:
    """The longest prefix of the tables that covers ``address``, "" when there is none."""
    parsed = prefixes.parse_address(address)
    covering = [prefix for prefix in tables.prefixes if parsed in _parsed(prefix)]
    return max(covering, key=lambda prefix: _parsed(prefix).prefixlen, default="")


def prefix_class(tables: Tables, address: str) -> int:
    """The peer class of an address without identity."""
    return tables.prefixes.get(prefix_of(tables, address), SOMEWHERE)


def name_class(tables: Tables, name: str) -> int:
    """The peer class of a host name, in lower case and without a dot at its end; NO_CLASS when no pattern covers it."""
    return next((tables.names[pattern] for pattern in candidates(name) if pattern in tables.names), NO_CLASS)


def segment_of(tables: Tables, protocol: int, port: int) -> int:
    """The segment of a port, 0 when no rule of the document names it."""
    for segment in tables.segments:
        if segment.protocol == protocol and segment.first <= port <= segment.last:
            return segment.number
    return 0


def reachable(tables: Tables, unit: str, protocol: int, port: int) -> bool:
    """Whether connect() from ``unit`` may go ahead in the hope of a peer with identity."""
    local = tables.units[unit].local_class
    segment = segment_of(tables, protocol, port)
    return not tables.reachable.isdisjoint(((local, protocol, segment), (local, ANY_PROTOCOL, 0)))
