"""Compilation: from one Enforcer's document to the tables its datapath decides by.

Runs on the Enforcer, on every change. Look-ups in the result must give, for every flow, the verdict
that :func:`watchword.policy.verdicts.settle` gives for the rules that match it; the tests hold it
against an independent evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping

from watchword.policy.ends import End, Local, Remote, Selected
from watchword.policy.numbers import Numbering
from watchword.policy.ranges import PortSpace, Span
from watchword.policy.regions import Region, regions
from watchword.policy.tables import (
    CLASS_LIMIT,
    FIRST_CLASS,
    SEGMENT_LIMIT,
    SOMEWHERE,
    Direction,
    LocalUnit,
    Peer,
    Segment,
    Tables,
    Verdict,
    VerdictKey,
)
from watchword.wire.policy import PolicyDocument, RuleEntry

_DIRECTIONS: tuple[Direction, Direction] = ("in", "out")


def compile(document: PolicyDocument) -> Tables:
    """The tables of one document, numbered from the beginning."""
    return Compiler().compile(document)


class Compiler:
    """Compiles one document after another; classes and segments keep their numbers in between.

    A class or segment that is gone for one document may come back under another number. No number
    means one thing in one document's tables and another in the next one's.
    Not thread-safe.
    """

    def __init__(self) -> None:
        self._locals: Numbering[Local] = Numbering(FIRST_CLASS, CLASS_LIMIT)
        self._remotes: Numbering[Remote] = Numbering(FIRST_CLASS, CLASS_LIMIT)
        self._segments: Numbering[Span] = Numbering(1, SEGMENT_LIMIT)
        self._rules: Mapping[str, RuleEntry] = {}
        self._ends: dict[tuple[Local, Direction], End] = {}

    def compile(self, document: PolicyDocument) -> Tables:
        """The tables of ``document``.

        Raises :class:`LookupError` for a key that leads nowhere, and :class:`ValueError` for an entry
        that is no prefix or for more classes or segments than there are numbers.
        """
        locals_ = self._locals.number(Local.of(unit) for unit in document.units.values())
        covered = list(regions(document.networks))
        of_peer = {badge: Remote(True, frozenset(peer.selectors)) for badge, peer in document.peers.items()}
        of_region = [Remote(False, region.selectors) for region in covered if region.selectors]
        remotes = self._remotes.number((*of_peer.values(), *of_region))
        space = PortSpace(document.rules.values())
        numbers = self._segments.number(space.spans())
        verdicts, reachable = self._decide(document.rules, space, numbers, locals_, remotes)
        return Tables(
            revision=document.revision,
            units={
                unit_id: LocalUnit(unit_id, unit.native_id, unit.badge, locals_[Local.of(unit)])
                for unit_id, unit in document.units.items()
            },
            peers={
                badge: Peer(badge, peer.enforcer, remotes[of_peer[badge]]) for badge, peer in document.peers.items()
            },
            prefixes={region.prefix: _class_of(region, remotes) for region in covered},
            prefix_networks={region.prefix: region.networks for region in covered},
            segments=tuple(Segment(*span, numbers[span]) for span in space.spans()),
            verdicts=verdicts,
            reachable=reachable,
        )

    def _decide(
        self,
        rules: Mapping[str, RuleEntry],
        space: PortSpace,
        numbers: Mapping[Span, int],
        locals_: Mapping[Local, int],
        remotes: Mapping[Remote, int],
    ) -> tuple[dict[VerdictKey, Verdict], frozenset[tuple[int, int, int]]]:
        """All verdicts, and what is reachable. Ends outlive a document whose rules are those of the next."""
        before = self._ends if rules == self._rules else {}
        self._rules, self._ends = dict(rules), {}
        selected = _by_selector(remotes)
        verdicts: dict[VerdictKey, Verdict] = {}
        reachable: set[tuple[int, int, int]] = set()
        for local, local_class in locals_.items():
            for direction in _DIRECTIONS:
                end = before.get((local, direction)) or End(rules, space, numbers, local, direction)
                self._ends[local, direction] = end
                verdicts.update(end.verdicts(local_class, selected))
                if direction == "out":
                    reachable.update((local_class, protocol, number) for protocol, number in end.reachable)
        return verdicts, frozenset(reachable)


def _by_selector(remotes: Mapping[Remote, int]) -> Selected:
    selected: Selected = {}
    for remote, number in remotes.items():
        for selector in remote.selectors:
            selected.setdefault(selector, []).append((remote, number))
    return selected


def _class_of(region: Region, remotes: Mapping[Remote, int]) -> int:
    return remotes[Remote(False, region.selectors)] if region.selectors else SOMEWHERE
