"""Who decides what: a set of parties and ports divided among the rules that win there.

The order is that of :mod:`watchword.policy.verdicts`: Reject before Allow, the smaller key first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pyroaring import FrozenBitMap

from watchword.policy import portsets
from watchword.policy.landscape import End, Reach
from watchword.policy.portsets import PortSet
from watchword.wire.policy import Action


class Decided(NamedTuple):
    """What an end does, and the key of the rule by which ("" for its default)."""

    action: Action
    rule: str


class Share(NamedTuple):
    """Parties and ports for which one thing is decided."""

    parties: FrozenBitMap
    ports: PortSet
    decided: Decided


def segments(ports: PortSet, reaches: Sequence[Reach]) -> dict[tuple[int, ...], PortSet]:
    """``ports`` cut by the rules' ports: for each set of rules that take a piece (by index) the pieces."""
    edges = {first for first, _ in ports} | {last + 1 for _, last in ports}
    for each in reaches:
        if each.ports != portsets.EVERYTHING:
            edges.update(first for first, _ in each.ports)
            edges.update(last + 1 for _, last in each.ports)
    cuts = sorted(edges)
    taking: list[list[int]] = [[] for _ in cuts]
    for index, each in enumerate(reaches):
        for first, last in each.ports:
            for place in range(bisect_left(cuts, first), bisect_left(cuts, last + 1)):
                taking[place].append(index)
    found: defaultdict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
    for first, last in ports:
        for place in range(bisect_left(cuts, first), bisect_left(cuts, last + 1)):
            found[tuple(taking[place])].append((cuts[place], cuts[place + 1] - 1))
    return {indexes: portsets.joined(pieces) for indexes, pieces in found.items()}


def divided(end: End, parties: FrozenBitMap, ports: PortSet) -> list[Share]:
    """All of ``parties`` and ``ports``, divided by what ``end`` decides about them."""
    reaches = concerned(end.reaches, parties, ports)
    found: defaultdict[tuple[Decided, FrozenBitMap], list[PortSet]] = defaultdict(list)
    for indexes, pieces in segments(ports, reaches).items():
        left = parties
        for index in indexes:
            each = reaches[index]
            won = left & each.parties
            if won:
                found[Decided(each.action, each.key), won].append(pieces)
                left = left - won
                if not left:
                    break
        if left:
            found[Decided(end.default, ""), left].append(pieces)
    return [Share(parties, portsets.union(*pieces), decided) for (decided, parties), pieces in found.items()]


def concerned(reaches: Iterable[Reach], parties: FrozenBitMap, ports: PortSet) -> list[Reach]:
    """The rules that take something of ``parties`` and ``ports``, in their order."""
    return [each for each in reaches if each.parties.intersect(parties) and portsets.common(each.ports, ports)]
