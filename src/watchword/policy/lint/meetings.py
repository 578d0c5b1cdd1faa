"""Where the rules about one end meet: which are never met, which always lose, which add nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pyroaring import FrozenBitMap

from watchword.policy.counsel import title
from watchword.policy.landscape import Landscape, Reach
from watchword.policy.lint.classes import Class, Piece, pieces, union
from watchword.policy.lint.findings import NAMED, Finding, Witness, of_rule, witness
from watchword.policy.selection import PlacedRule

Tell = Callable[[Finding], None]


@dataclass(slots=True)
class Record:
    """What happens to one rule wherever it counts."""

    placed: PlacedRule
    met: bool = False
    alone: bool = False  # on some flow no other rule decides the same or rejects
    alive: bool = False  # on some flow no Reject meets this Allow
    rejected_pairs: int = 0
    rejecting: dict[str, PlacedRule] = field(default_factory=dict)
    shown: Witness | None = None  # a flow on which it is rejected
    classes: list[Class] = field(default_factory=list)


class Meetings:
    """The records of all rules that count somewhere."""

    def __init__(self, landscape: Landscape, classes: Iterable[Class]) -> None:
        self._landscape = landscape
        self.records: dict[str, Record] = {}
        for each in classes:
            self._examine(each)

    def _examine(self, each: Class) -> None:
        records = [self._record(reach, each) for reach in each.reaches]
        of_key = {reach.key: record for reach, record in zip(each.reaches, records, strict=True)}
        rejected: defaultdict[str, list[FrozenBitMap]] = defaultdict(list)
        for piece in pieces(each, each.reaches):
            self._weigh(each, piece, of_key, rejected)
        for key, sets in rejected.items():
            peers = union(sets)
            units = peers - self._landscape.addresses
            of_key[key].rejected_pairs += self._landscape.pairs(each.members, units)

    def _record(self, reach: Reach, each: Class) -> Record:
        record = self.records.get(reach.key)
        if record is None:
            record = self.records[reach.key] = Record(reach.placed)
        record.classes.append(each)
        return record

    def _weigh(
        self,
        each: Class,
        piece: Piece,
        of_key: dict[str, Record],
        rejected: defaultdict[str, list[FrozenBitMap]],
    ) -> None:
        rejects, allows = _Overlap(), _Overlap()
        for reach, met in zip(piece.reaches, piece.parties, strict=True):
            (rejects if reach.action == "Reject" else allows).add(met)
        for reach, met in zip(piece.reaches, piece.parties, strict=True):
            record = of_key[reach.key]
            if not met:
                continue
            record.met = True
            if reach.action == "Reject":
                record.alone = record.alone or bool(met - rejects.twice)
                continue
            dead = met & piece.rejected
            if len(dead) < len(met):
                record.alive = True
                record.alone = record.alone or bool(met - piece.rejected - allows.twice)
            if dead:
                rejected[reach.key].append(dead)
                self._blame(each, piece, record, dead)

    def _blame(self, each: Class, piece: Piece, record: Record, dead: FrozenBitMap) -> None:
        """Note which rules reject what an Allow allows, and one flow."""
        if record.shown is None:
            record.shown = witness(self._landscape, *_couple(self._landscape, each, dead), piece.ports, each.direction)
        for reach, met in zip(piece.reaches, piece.parties, strict=True):
            if len(record.rejecting) >= NAMED:
                break
            if reach.action == "Reject" and met.intersect(dead):
                record.rejecting.setdefault(reach.key, reach.placed)

    def contradictions(self, tell: Tell) -> set[str]:
        """Tell of Allow rules that are rejected; the keys of those that are rejected everywhere."""
        dead = set()
        for key, record in self.records.items():
            if not record.rejecting:
                continue
            code, text = "partly-rejected-allow", f"is rejected for {record.rejected_pairs} pairs of units by "
            if not record.alive:
                dead.add(key)
                code, text = "rejected-allow", "allows nothing: every flow that it meets is rejected by "
            remedy = "remove it, or narrow the rules that reject" if not record.alive else "see whether that is meant"
            tell(
                of_rule(
                    code, record.placed, text + _named(record.rejecting), remedy,
                    others=tuple(record.rejecting), pairs=record.rejected_pairs, witness=record.shown,
                )
            )  # fmt: skip
        return dead

    def shadowed(self, removed: set[str], tell: Tell) -> None:
        """Tell of rules that add nothing to the others, when ``removed`` ones are gone already."""
        candidates = (key for key, record in self.records.items() if record.met and not record.alone)
        for key in sorted(candidates, reverse=True):
            record = self.records[key]
            if key in removed or not record.placed.rule.object:  # a network's own rule is no rule of a ruleset
                continue
            covering: dict[str, PlacedRule] = {}
            if all(_covered(each, key, removed, covering) for each in record.classes):
                removed.add(key)
                text = f"changes nothing: {_named(covering)} decide what it would"
                tell(of_rule("shadowed-rule", record.placed, text, "remove it", others=tuple(covering)))


class _Overlap:
    """What is in one set, and what is in two or more."""

    __slots__ = ("once", "twice")

    def __init__(self) -> None:
        self.once = self.twice = FrozenBitMap()

    def add(self, more: FrozenBitMap) -> None:
        """Take in another set."""
        if self.once:
            self.twice |= self.once & more
            self.once |= more
        else:
            self.once = more


def _couple(landscape: Landscape, each: Class, peers: FrozenBitMap) -> tuple[int, int]:
    """A member of the class and one of the peers which are not one and the same unit."""
    return next(
        (local, peer)
        for peer in peers
        for local in each.members
        if local != peer or len(landscape.kinds[local].units) > 1
    )


def _named(others: dict[str, PlacedRule]) -> str:
    """The first two rules in words, and whether there are more."""
    first = ", ".join(title(placed) for placed in list(others.values())[:2])
    return first + (" and others" if len(others) > 2 else "")


def _covered(each: Class, key: str, removed: set[str], covering: dict[str, PlacedRule]) -> bool:
    """Whether other rules take all that a rule takes at one class's ends, and no less strictly."""
    (rule,) = (reach for reach in each.reaches if reach.key == key)
    others = [
        reach
        for reach in each.reaches
        if reach.key not in removed | {key} and (reach.action == "Reject" or rule.action == "Allow")
    ]
    for piece in pieces(each, [rule, *others]):
        if piece.reaches[0] is not rule:
            continue
        left = piece.parties[0]
        for reach, met in zip(piece.reaches[1:], piece.parties[1:], strict=True):
            if left and met.intersect(left):
                covering.setdefault(reach.key, reach.placed)
                left = left - met
        if left:
            return False
    return True
