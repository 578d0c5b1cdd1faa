"""Pieces of port space that no rule at hand tells apart, and sets of them as bits of a number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from watchword.model.ports import ANY_PROTOCOL
from watchword.wire.policy import PortRange

_LAST = 65535


class Piece(NamedTuple):
    """Ports ``first``..``last`` of ``protocol``."""

    protocol: int
    first: int
    last: int


def cut(wanted: Iterable[PortRange], by: Iterable[PortRange]) -> tuple[Piece, ...]:
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
            others = next((number for number in range(ANY_PROTOCOL - 1, -1, -1) if number not in named), None)
            protocols = [*named, *([] if others is None else [others])]
        for protocol in protocols:
            ranges[protocol].add((piece.first, piece.last))
    found = []
    for protocol, spans in sorted(ranges.items()):
        starts = {first for first, _ in spans} | {last + 1 for _, last in spans} | edges.get(protocol, set())
        bounds = sorted(starts | {0, _LAST + 1})
        for first, after in pairwise(bounds):
            if any(low <= first <= high for low, high in spans):
                found.append(Piece(protocol, first, after - 1))
    return tuple(found)


def _edges(ranges: Iterable[PortRange]) -> dict[int, set[int]]:
    edges: defaultdict[int, set[int]] = defaultdict(set)
    for piece in ranges:
        if piece.protocol != ANY_PROTOCOL:
            edges[piece.protocol] |= {piece.first, piece.last + 1}
    return dict(edges)


def taken(pieces: Sequence[Piece], ranges: Sequence[PortRange]) -> int:
    """The pieces that ``ranges`` take: bit *n* for the *n*-th."""
    bits = 0
    for number, piece in enumerate(pieces):
        if any(each.covers(piece.protocol, piece.first) for each in ranges):
            bits |= 1 << number
    return bits


def whole(pieces: Sequence[Piece]) -> int:
    """All pieces."""
    return (1 << len(pieces)) - 1


def lowest(bits: int) -> int:
    """The number of the first piece in a set that is not empty."""
    return (bits & -bits).bit_length() - 1
