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

from watchword.policy import portsets
from watchword.policy.landscape import Landscape
from watchword.policy.lint.classes import Class, pieces, union
from watchword.policy.lint.findings import Finding, Witness, of_rule, standing, witness
from watchword.policy.portsets import PortSet
from watchword.policy.selection import PlacedRule
from watchword.policy.tables import Direction


class _Naming(NamedTuple):
    """Rules of one direction with the same object, ports and action: whose ends they are at."""

    rejects: bool
    ports: PortSet
    locals: FrozenBitMap


class Acceptance(NamedTuple):
    """Who accepts one peer: from each port on (by its number) up to the next."""

    starts: list[int]
    accepting: list[FrozenBitMap]

    def divided(self, peers: FrozenBitMap, ports: PortSet) -> tuple[FrozenBitMap, FrozenBitMap, int | None]:
        """Of ``peers``: who refuses on some of ``ports``, who accepts on some, the first port of the former."""
        refusing, accepting = _NOBODY, _NOBODY
        shown: int | None = None
        for first, last in ports:
            place = bisect_right(self.starts, first) - 1
            while place < len(self.starts) and self.starts[place] <= last:
                there = peers & self.accepting[place]
                if len(there) < len(peers):
                    if shown is None:
                        shown = max(first, self.starts[place])
                    refusing = refusing | (peers - there)
                if there:
                    accepting = accepting | there
                place += 1
        return refusing, accepting, shown


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
        self._concerned: dict[tuple[PortSet, PortSet], bool] = {}

    def of(self, kind: int, ports: PortSet) -> Acceptance:
        """Who accepts a kind; what is said of other than ``ports`` means nothing."""
        return self._accepting([each for each in self._naming.get(kind, ()) if self._concerns(each.ports, ports)])

    def _concerns(self, ports: PortSet, wanted: PortSet) -> bool:
        known = self._concerned.get((ports, wanted))
        if known is None:
            known = self._concerned[ports, wanted] = bool(portsets.common(ports, wanted))
        return known

    def _accepting(self, naming: list[_Naming]) -> Acceptance:
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
        return Acceptance(starts, accepting)

    def _settled(self, naming: list[_Naming]) -> FrozenBitMap:
        found = BitMap.union(BitMap(self._open), *(each.locals for each in naming))
        for each in naming:
            if each.rejects:
                found -= each.locals
        return FrozenBitMap(found)


_NOBODY = FrozenBitMap()


@dataclass(slots=True)
class _Count:
    """Pairs of units of one rule's flows that its own end allows."""

    placed: PlacedRule
    refused: int = 0
    passing: bool = False
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
    placed: dict[str, PlacedRule] = {}
    for piece in pieces(each, each.reaches):
        for reach, met in zip(piece.reaches, piece.parties, strict=True):
            if reach.action == "Allow" and (alive := (met - piece.rejected) & landscape.present):
                boxes[reach.key].append((alive, piece.ports))
                placed[reach.key] = reach.placed
    if not boxes:
        return
    wanted = portsets.union(*(ports for found in boxes.values() for _, ports in found))
    for kind in each.members:
        acceptance = far.of(kind, wanted)
        for key, found in boxes.items():
            count = counts.setdefault(key, _Count(placed[key]))
            _add(landscape, each.direction, kind, acceptance, found, count)


def _add(
    landscape: Landscape,
    direction: Direction,
    kind: int,
    acceptance: Acceptance,
    boxes: list[tuple[FrozenBitMap, PortSet]],
    count: _Count,
) -> None:
    """Count one kind's flows of one rule."""
    units = len(landscape.kinds[kind].units)
    alone = FrozenBitMap((kind,)) if units == 1 else _NOBODY
    refused = _NOBODY
    for peers, ports in boxes:
        refusing, accepting, shown = acceptance.divided(peers - alone if alone else peers, ports)
        refused = refused | refusing
        count.passing = count.passing or bool(accepting)
        if shown is not None and count.shown is None:
            point = ((shown, shown),)
            _, accepts, _ = acceptance.divided(refusing, point)
            count.shown = witness(landscape, kind, next(iter(refusing - accepts)), point, direction)
    if refused:
        count.refused += units * (landscape.count(refused) - (kind in refused))


def _tell(count: _Count, tell: Callable[[Finding], None]) -> None:
    way, _ = standing(count.placed)
    far = "outgoing rule for the sources" if way == "incoming" else "incoming rule for the destinations"
    remedy = f"add the {far}, or remove this one"
    if count.passing:
        text = f"is not enough for {count.refused} pairs of units: the other end refuses"
        code = "partly-one-sided-rule"
    else:
        text = f"lets no unit's flow through: the other end refuses all of them ({count.refused} pairs of units)"
        code = "one-sided-rule"
    tell(of_rule(code, count.placed, text, remedy, pairs=count.refused, witness=count.shown))
