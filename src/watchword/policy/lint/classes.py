"""Classes: the present kinds that decide alike in one direction, and what meets whom at their ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pyroaring import BitMap, FrozenBitMap

from watchword.policy import portsets
from watchword.policy.landscape import Landscape, Reach
from watchword.policy.portsets import PortSet
from watchword.policy.shares import segments
from watchword.policy.tables import Direction

_DIRECTIONS: tuple[Direction, Direction] = ("in", "out")


class Class(NamedTuple):
    """Kinds with the same rules in one direction; the rules are best first."""

    members: FrozenBitMap
    direction: Direction
    reaches: tuple[Reach, ...]
    itself: FrozenBitMap  # the one kind, if the class is a single unit, which never meets itself


class Piece(NamedTuple):
    """Ports on which the same rules of a class stand against each other, and whom each of them takes."""

    ports: PortSet
    reaches: list[Reach]
    parties: list[FrozenBitMap]  # beside ``reaches``, without a unit that would meet itself
    rejected: FrozenBitMap  # by some of them


def classes(landscape: Landscape) -> list[Class]:
    """All classes that have a rule."""
    found = []
    for direction in _DIRECTIONS:
        members: defaultdict[object, list[int]] = defaultdict(list)
        for kind in landscape.present:
            members[landscape.signature(kind, direction)].append(kind)
        for numbers in members.values():
            end = landscape.end(numbers[0], direction)
            if end.reaches:
                kinds = FrozenBitMap(numbers)
                itself = kinds if landscape.count(kinds) == 1 else _NOBODY
                found.append(Class(kinds, direction, end.reaches, itself))
    return found


def pieces(each: Class, reaches: Sequence[Reach]) -> Iterator[Piece]:
    """The port space cut by some rules of a class."""
    for indexes, ports in segments(portsets.EVERYTHING, reaches).items():
        if indexes:
            taking = [reaches[index] for index in indexes]
            parties = [reach.parties - each.itself if each.itself else reach.parties for reach in taking]
            refused = [met for reach, met in zip(taking, parties, strict=True) if reach.action == "Reject"]
            yield Piece(ports, taking, parties, union(refused))


_NOBODY = FrozenBitMap()


def union(sets: Sequence[FrozenBitMap]) -> FrozenBitMap:
    """What is in some of the sets."""
    return sets[0] if len(sets) == 1 else FrozenBitMap(BitMap.union(BitMap(), *sets))
