"""Blocks: addresses that belong to the same external networks, so that nothing tells them apart.

Address space is cut wherever an entry of a network begins or ends; the pieces that belong to the same
networks are one block. Only blocks that have an address exist: networks that cover a larger one
between them leave nothing of it. With two worlds a block's addresses belong to the same networks in
both.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from watchword.model import prefixes
from watchword.policy.world import Network

#: The number of the first block; kinds have smaller numbers.
FIRST_BLOCK = 1 << 30

#: Where IPv4 addresses in IPv6's clothes begin, and what follows them: none of them exists as itself.
_DISGUISED = (0xFFFF << 32, (0xFFFF << 32) + (1 << 32))


class Block(NamedTuple):
    """Addresses that nothing tells apart."""

    number: int
    networks: tuple[frozenset[str], ...]  # the networks' IDs, for each world
    example: str


def blocks(worlds: Sequence[Mapping[str, Network]]) -> tuple[Block, ...]:
    """All blocks that these worlds' networks make, somewhere (no network at all) among them.

    Raises :class:`watchword.model.problems.Invalid` for an entry that is no prefix.
    """
    examples: dict[tuple[frozenset[str], ...], str] = {}
    for version in (4, 6):
        for start, last, networks in _pieces(worlds, version):
            if networks not in examples:
                examples[networks] = _example(version, start, last)
    return tuple(
        Block(FIRST_BLOCK + number, networks, example) for number, (networks, example) in enumerate(examples.items())
    )


def _example(version: int, start: int, last: int) -> str:
    number = min(start + 1, last)  # rather 10.0.0.1 than 10.0.0.0
    return str(ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number))


_Key = tuple[int, str]


def _pieces(
    worlds: Sequence[Mapping[str, Network]], version: int
) -> Iterator[tuple[int, int, tuple[frozenset[str], ...]]]:
    """The address space of one version in order: first, last, and for each world the networks there."""
    steps: defaultdict[int, list[tuple[_Key, bool, int]]] = defaultdict(list)
    for place, networks in enumerate(worlds):
        for key, network in networks.items():
            for entry in {prefixes.parse_entry(text) for text in network.entries}:
                if entry.prefix.version == version:
                    steps[int(entry.prefix.network_address)].append(((place, key), entry.carved, 1))
                    steps[int(entry.prefix.broadcast_address) + 1].append(((place, key), entry.carved, -1))
    end = 1 << (32 if version == 4 else 128)
    covering: defaultdict[tuple[_Key, bool], int] = defaultdict(int)
    inside: set[_Key] = set()
    start = 0
    edges = {*steps, end} if version == 4 else {*steps, end, *_DISGUISED}
    for at in sorted(edges - {0}):
        _step(steps.get(start, ()), covering, inside)
        if start != _DISGUISED[0]:
            here = (frozenset(key for where, key in inside if where == place) for place in range(len(worlds)))
            yield start, at - 1, tuple(here)
        start = at


def _step(
    steps: Sequence[tuple[_Key, bool, int]], covering: defaultdict[tuple[_Key, bool], int], inside: set[_Key]
) -> None:
    """Go over one edge; ``inside`` then has what covers and does not carve out."""
    for key, carved, by in steps:
        covering[key, carved] += by
    for key, _, _ in steps:
        if covering[key, False] and not covering[key, True]:
            inside.add(key)
        else:
            inside.discard(key)
