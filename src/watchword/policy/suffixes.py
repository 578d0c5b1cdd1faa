"""Suffixes: the space of host names cut by external networks, ready for a longest-suffix look-up.

Every name that some network lists is a pattern: ``www.example.com`` stands for itself, ``*.example.com``
for every name below ``example.com``. The patterns of a name contain each other, so what the most precise
of them says decides which networks the name belongs to, as the longest prefix does for an address.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from watchword.wire.policy import NetworkEntry

_WILD = "*."
_LIMIT = 253  # characters of a name (RFC 1035, 2.3.4)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:\*|{_LABEL})(?:\.{_LABEL})*\.(?![0-9]+\Z){_LABEL}")


class Suffix(NamedTuple):
    """Names of which ``pattern`` is the most precise pattern: the networks they belong to, by ID."""

    pattern: str
    networks: tuple[str, ...]
    selectors: frozenset[str]


def is_name(entry: str) -> bool:
    """Whether an entry of a network is a host name or ``*.domain`` in its one form, and not a CIDR."""
    return _NAME.fullmatch(entry) is not None and len(entry.removeprefix(_WILD)) <= _LIMIT


def suffixes(networks: Mapping[str, NetworkEntry]) -> Iterator[Suffix]:
    """All patterns, in order."""
    listing: defaultdict[str, set[str]] = defaultdict(set)
    for network_id, network in networks.items():
        for text in network.entries:
            if is_name(text):
                listing[text].add(network_id)
    for pattern in sorted(listing):
        members = tuple(sorted({member for around in covering(pattern, listing) for member in listing[around]}))
        yield Suffix(pattern, members, frozenset(s for member in members for s in networks[member].selectors))


def covering(name: str, patterns: Mapping[str, object] | Iterable[str]) -> list[str]:
    """Those of ``patterns`` that stand for a name, or for all names that another pattern does; most precise first."""
    known = patterns if isinstance(patterns, Mapping) else frozenset(patterns)
    return [pattern for pattern in candidates(name) if pattern in known]


def candidates(name: str) -> Iterator[str]:
    """Every pattern that can stand for ``name`` (or for what the pattern ``name`` stands for), most precise first."""
    yield name
    rest = name.removeprefix(_WILD)
    while "." in rest:
        rest = rest.partition(".")[2]
        yield _WILD + rest
