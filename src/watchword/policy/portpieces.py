"""Pieces of port space that no rule at hand tells apart, and sets of them as bits of a number."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from watchword.model.ports import ANY_PROTOCOL
from watchword.wire.policy import PortRange


class Piece(NamedTuple):
    """Ports ``first``..``last`` of ``protocol``."""

    protocol: int
    first: int
    last: int


def cut(wanted: Iterable[PortRange], by: Iterable[PortRange]) -> Pieces:
    """``wanted`` in pieces, each of which every range of ``by`` takes whole or leaves whole.

    Where every protocol is wanted, all those that ``by`` does not name are one piece: that of the
    greatest such number.
    """
    asked, edges = tuple(wanted), _edges(by)
    ranges: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
    for piece in asked:
        protocols = [piece.protocol]
        if piece.protocol == ANY_PROTOCOL:
            named = edges.keys() | {each.protocol for each in asked} - {ANY_PROTOCOL}
            others = set(range(ANY_PROTOCOL)) - named
            protocols = [*named, *([max(others)] if others else [])]
        for protocol in protocols:
            ranges[protocol].add((piece.first, piece.last))
    found = []
    for protocol, spans in ranges.items():
        starts = {first for first, _ in spans} | {last + 1 for _, last in spans} | edges.get(protocol, set())
        found += [
            Piece(protocol, first, after - 1)
            for first, after in pairwise(sorted(starts))
            if any(low <= first <= high for low, high in spans)
        ]
    return Pieces(found)


def _edges(ranges: Iterable[PortRange]) -> dict[int, set[int]]:
    edges: defaultdict[int, set[int]] = defaultdict(set)
    for piece in ranges:
        if piece.protocol != ANY_PROTOCOL:
            edges[piece.protocol] |= {piece.first, piece.last + 1}
    return dict(edges)


class Pieces:
    """Pieces in their order, and sets of them as bits: bit *n* for the *n*-th."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = tuple(sorted(pieces))
        self._firsts: defaultdict[int, list[int]] = defaultdict(list)
        self._offsets: dict[int, int] = {}
        for number, piece in enumerate(self._pieces):
            self._offsets.setdefault(piece.protocol, number)
            self._firsts[piece.protocol].append(piece.first)
        self._taken: dict[tuple[PortRange, ...], int] = {}
        self.whole = (1 << len(self._pieces)) - 1

    def taken(self, ranges: tuple[PortRange, ...]) -> int:
        """The pieces that ``ranges``, by which they were cut, take."""
        bits = self._taken.get(ranges)
        if bits is None:
            bits = 0
            for each in ranges:
                protocols = self._offsets if each.protocol == ANY_PROTOCOL else (each.protocol,)
                for protocol in protocols:
                    bits |= self._range(protocol, each.first, each.last)
            self._taken[ranges] = bits
        return bits

    def _range(self, protocol: int, first: int, last: int) -> int:
        if protocol not in self._offsets:
            return 0
        firsts = self._firsts[protocol]
        start, end = bisect_left(firsts, first), bisect_right(firsts, last)
        return ((1 << (end - start)) - 1) << (self._offsets[protocol] + start)

    def lowest(self, bits: int) -> Piece:
        """The first piece of a set that is not empty."""
        return self._pieces[(bits ^ (bits - 1)).bit_length() - 1]
