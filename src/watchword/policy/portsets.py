"""Sets of protocols and ports, exact, for comparing policies.

A flow's protocol and port are one number, ``protocol << 16 | port``; a set is the sorted tuple of its
intervals, disjoint and not touching. Types and codes of ICMP are ports, as everywhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from watchword.model import protocols
from watchword.model.ports import ANY_PROTOCOL, PortRange, format_ports
from watchword.model.problems import Invalid

#: First and last number of each interval.
PortSet = tuple[tuple[int, int], ...]

_WIDTH = 1 << 16

NOTHING: PortSet = ()
EVERYTHING: PortSet = ((0, ANY_PROTOCOL * _WIDTH - 1),)

#: More whole protocols than this are told by those that are missing.
_MANY = 128


def of(ranges: Iterable[PortRange]) -> PortSet:
    """What some of ``ranges`` covers."""
    pieces = []
    for piece in ranges:
        if piece.protocol == ANY_PROTOCOL:
            return EVERYTHING
        pieces.append((point(piece.protocol, piece.first), point(piece.protocol, piece.last)))
    return joined(pieces)


def point(protocol: int, port: int) -> int:
    """The number of one flow."""
    return protocol * _WIDTH + port


def joined(intervals: Iterable[tuple[int, int]]) -> PortSet:
    """Any intervals as a set."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def union(*sets: PortSet) -> PortSet:
    """What is in some of the sets."""
    return joined(interval for each in sets for interval in each)


def common(one: PortSet, other: PortSet) -> PortSet:
    """What is in both."""
    if one == EVERYTHING:
        return other
    if other == EVERYTHING:
        return one
    found = []
    i = j = 0
    while i < len(one) and j < len(other):
        first, last = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if first <= last:
            found.append((first, last))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def without(one: PortSet, other: PortSet) -> PortSet:
    """What is in ``one`` and not in ``other``."""
    return common(one, complement(other))


def complement(ports: PortSet) -> PortSet:
    """Everything else."""
    found, start = [], 0
    for first, last in ports:
        if start < first:
            found.append((start, first - 1))
        start = last + 1
    if start <= EVERYTHING[0][1]:
        found.append((start, EVERYTHING[0][1]))
    return tuple(found)


def covers(ports: PortSet, protocol: int, port: int) -> bool:
    """Whether a flow is in the set."""
    number = point(protocol, port)
    place = bisect_right(ports, (number, EVERYTHING[0][1])) - 1
    return place >= 0 and ports[place][0] <= number <= ports[place][1]


def size(ports: PortSet) -> int:
    """How many protocols and ports there are in it."""
    return sum(last - first + 1 for first, last in ports)


def ranges(ports: PortSet) -> tuple[PortRange, ...]:
    """The set as ranges of single protocols; one range for everything."""
    if ports == EVERYTHING:
        return (PortRange(ANY_PROTOCOL, 0, _WIDTH - 1),)
    return tuple(_pieces(ports))


def _pieces(ports: PortSet) -> Iterator[PortRange]:
    for first, last in ports:
        for protocol in range(first // _WIDTH, last // _WIDTH + 1):
            start = max(first, protocol * _WIDTH) % _WIDTH
            end = min(last, protocol * _WIDTH + _WIDTH - 1) % _WIDTH
            yield PortRange(protocol, start, end)


def words(ports: PortSet) -> tuple[str, ...]:
    """The set as people write it; what is almost everything by what is missing ("any but tcp/22")."""
    if ports == EVERYTHING:
        return ("any",)
    pieces = ranges(ports)
    if len({piece.protocol for piece in pieces}) > _MANY:
        return ("any but " + ", ".join(words(complement(ports))),)
    return tuple(word for piece in pieces for word in _word(piece))


def _word(piece: PortRange) -> Iterator[str]:
    """One range; a range over several types of ICMP is written type by type as far as it has to be."""
    try:
        yield from format_ports((piece,))
    except Invalid:
        if piece.protocol not in (protocols.ICMP, protocols.ICMP6):
            yield f"protocol {piece.protocol}"
            return
        for kind in range(piece.first >> 8, (piece.last >> 8) + 1):
            start, end = max(piece.first, kind << 8), min(piece.last, kind << 8 | 255)
            yield from format_ports((PortRange(piece.protocol, start, end),))


def example(ports: PortSet) -> tuple[int, int]:
    """Protocol and port of one flow of a set that is not empty, TCP's if it has one."""
    tcp = common(ports, ((point(protocols.TCP, 1), point(protocols.TCP, _WIDTH - 1)),))
    return divmod((tcp or ports)[0][0], _WIDTH)
