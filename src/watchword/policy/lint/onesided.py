"""Flows that one end allows and the other refuses.

For each kind as a peer, the rules of one direction that name it are gathered once, those with the same
object and ports as one; from them follows on which ports which units accept it. An Allow rule's
flows are then held against that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pyroaring import BitMap, FrozenBitMap

from watchword.policy.landscape import Landscape, Reach
from watchword.policy.lint.classes import Class, pieces, union
from watchword.policy.lint.findings import Finding, Witness, of_rule, witness
from watchword.policy.portsets import PortSet
from watchword.policy.selection import PlacedRule
from watchword.policy.tables import Direction


class _Naming(NamedTuple):
    """Rules of one direction with the same object, ports and action: whose ends they are at."""

    rejects: bool
    ports: PortSet
    locals: FrozenBitMap


class _Acceptance(NamedTuple):
    """Who accepts one peer: from each port on (by its number) up to the next."""

    starts: list[int]
    accepting: list[FrozenBitMap]


class Acceptances:
    """On which ports which units' ends accept each kind in one direction."""

    def __init__(self, landscape: Landscape, classes: Iterable[Class], direction: Direction) -> None:
        self._open = FrozenBitMap(
            kind
            for kind in landscape.present
            if landscape.default(landscape.unit(kind).namespace, direction) == "Allow"
        )
        locals_: defaultdict[tuple[bool, PortSet, FrozenBitMap], list[FrozenBitMap]] = defaultdict(list)
        for each in classes:
            if each.direction == direction:
                for reach in each.reaches:
                    units = reach.parties & landscape.present
                    if units:
                        locals_[reach.action == "Reject", reach.ports, units].append(each.members)
        self._naming: defaultdict[int, list[_Naming]] = defaultdict(list)
        for (rejects, ports, units), members in locals_.items():
            naming = _Naming(rejects, ports, union(members))
            for kind in units:
                self._naming[kind].append(naming)
        self._found: dict[int, _Acceptance] = {}

    def refusing(self, kind: int, peers: FrozenBitMap, ports: PortSet) -> tuple[FrozenBitMap, FrozenBitMap, int]:
        """Of ``peers``: who refuses ``kind`` on some of ``ports``, who accepts it on some, a port of the former."""
        acceptance = self._acceptance(kind)
        refusing, accepting, shown = _NOBODY, _NOBODY, -1
        for first, last in ports:
            place = bisect_right(acceptance.starts, first) - 1
            while place < len(acceptance.starts) and acceptance.starts[place] <= last:
                there = peers & acceptance.accepting[place]
                if len(there) < len(peers):
                    if shown < 0:
                        shown = max(first, acceptance.starts[place])
                    refusing = refusing | (peers - there)
                accepting = accepting | there
                place += 1
        return refusing, accepting, shown

    def _acceptance(self, kind: int) -> _Acceptance:
        found = self._found.get(kind)
        if found is None:
            found = self._found[kind] = self._accepting(self._naming.get(kind, []))
        return found

    def _accepting(self, naming: list[_Naming]) -> _Acceptance:
        steps: defaultdict[int, list[tuple[int, bool]]] = defaultdict(list)
        for index, each in enumerate(naming):
            for first, last in each.ports:
                steps[first].append((index, True))
                steps[last + 1].append((index, False))
        here: set[int] = set()
        known: dict[frozenset[int], FrozenBitMap] = {}
        starts, accepting = [], []
        for start in sorted({0, *steps}):
            for index, opens in steps.get(start, ()):
                (here.add if opens else here.discard)(index)
            taking = frozenset(here)
            if taking not in known:
                known[taking] = self._settled([naming[index] for index in taking])
            starts.append(start)
            accepting.append(known[taking])
        return _Acceptance(starts, accepting)

    def _settled(self, naming: list[_Naming]) -> FrozenBitMap:
        allowing = [each.locals for each in naming if not each.rejects]
        rejecting = [each.locals for each in naming if each.rejects]
        found = BitMap.union(BitMap(self._open), *allowing)
        for each in rejecting:
            found -= each
        return FrozenBitMap(found)


_NOBODY = FrozenBitMap()


@dataclass(slots=True)
class _Count:
    """Pairs of units of one rule's flows that its own end allows."""

    placed: PlacedRule
    refused: int = 0
    passing: int = 0
    shown: Witness | None = None


def one_sided(landscape: Landscape, classes: list[Class], tell: Callable[[Finding], None]) -> None:
    """Tell of Allow rules whose flows the other end refuses."""
    counts: dict[str, _Count] = {}
    far: dict[Direction, Acceptances] = {
        "out": Acceptances(landscape, classes, "in"),
        "in": Acceptances(landscape, classes, "out"),
    }
    for each in classes:
        _count(landscape, each, far[each.direction], counts)
    for count in counts.values():
        if count.refused:
            _tell(count, tell)


def _count(landscape: Landscape, each: Class, far: Acceptances, counts: dict[str, _Count]) -> None:
    boxes: defaultdict[str, list[tuple[FrozenBitMap, PortSet]]] = defaultdict(list)
    placed: dict[str, Reach] = {}
    for piece in pieces(each, each.reaches):
        for reach, met in zip(piece.reaches, piece.parties, strict=True):
            if reach.action == "Allow" and (alive := (met - piece.rejected) & landscape.present):
                boxes[reach.key].append((alive, piece.ports))
                placed[reach.key] = reach
    for key, found in boxes.items():
        count = counts.setdefault(key, _Count(placed[key].placed))
        for kind in each.members:
            _add(landscape, each, kind, far, found, count)


def _add(
    landscape: Landscape,
    each: Class,
    kind: int,
    far: Acceptances,
    boxes: list[tuple[FrozenBitMap, PortSet]],
    count: _Count,
) -> None:
    alone = FrozenBitMap((kind,)) if len(landscape.kinds[kind].units) == 1 else _NOBODY
    refused, passing = _NOBODY, _NOBODY
    for peers, ports in boxes:
        refusing, accepting, shown = far.refusing(kind, peers - alone, ports)
        refused, passing = refused | refusing, passing | accepting
        if refusing and count.shown is None:
            point = ((shown, shown),)
            peer = next(peer for peer in refusing if peer not in far.refusing(kind, refusing, point)[1])
            count.shown = witness(landscape, kind, peer, point, each.direction)
    own = FrozenBitMap((kind,))
    count.refused += landscape.pairs(own, refused)
    count.passing += landscape.pairs(own, passing)


def _tell(count: _Count, tell: Callable[[Finding], None]) -> None:
    incoming = count.placed.key.rsplit("/", 2)[1] == "in"
    other, verb = ("outgoing", "sources") if incoming else ("incoming", "destinations")
    remedy = f"add the {other} rule for the {verb}, or remove this one"
    if count.passing:
        text = f"is not enough for {count.refused} pairs of units: the other end refuses"
        code = "partly-one-sided-rule"
    else:
        text = f"lets no unit's flow through: the other end refuses all of them ({count.refused} pairs of units)"
        code = "one-sided-rule"
    tell(of_rule(code, count.placed, text, remedy, pairs=count.refused, witness=count.shown))
