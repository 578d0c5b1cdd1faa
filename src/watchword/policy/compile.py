"""Compilation: from one Enforcer's document to the tables its datapath decides by.

Runs on the Enforcer, on every change. Look-ups in the result must give, for every flow, the verdict
that :func:`watchword.policy.verdicts.settle` gives for the rules that match it; the tests hold it
against an independent evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from watchword.model.protocols import TCP, UDP
from watchword.policy.numbers import Numbering
from watchword.policy.ranges import PortSpace, Span
from watchword.policy.regions import Region, regions
from watchword.policy.tables import (
    FIRST_CLASS,
    NO_CLASS,
    SOMEWHERE,
    Direction,
    LocalUnit,
    Peer,
    Segment,
    Tables,
    Verdict,
    VerdictKey,
)
from watchword.policy.verdicts import settle
from watchword.wire.policy import ANY_PROTOCOL, Action, PolicyDocument, RuleEntry, UnitEntry

_DIRECTIONS: tuple[Direction, Direction] = ("in", "out")


def compile(document: PolicyDocument) -> Tables:
    """The tables of one document, numbered from the beginning."""
    return Compiler().compile(document)


class _Local(NamedTuple):
    """What tells local classes apart: units with the same rules and defaults share one."""

    incoming: tuple[str, ...]
    outgoing: tuple[str, ...]
    default_incoming: Action
    default_outgoing: Action

    @classmethod
    def of(cls, unit: UnitEntry) -> _Local:
        return cls(unit.incoming, unit.outgoing, unit.default_incoming, unit.default_outgoing)

    def rules(self, direction: Direction) -> tuple[str, ...]:
        return self.incoming if direction == "in" else self.outgoing

    def default(self, direction: Direction) -> Action:
        return self.default_incoming if direction == "in" else self.default_outgoing


class _Remote(NamedTuple):
    """What tells peer classes apart: the selectors that match, and whether an identity was proved."""

    proved: bool
    selectors: frozenset[str]


class Compiler:
    """Compiles one document after another; classes and segments keep their numbers in between.

    A class or segment that is gone for one document may come back under another number. Numbers are
    never reused, so tables of successive documents may be mixed without one meaning another's class.
    Not thread-safe.
    """

    def __init__(self) -> None:
        self._locals: Numbering[_Local] = Numbering(FIRST_CLASS)
        self._remotes: Numbering[_Remote] = Numbering(FIRST_CLASS)
        self._segments: Numbering[Span] = Numbering(1)

    def compile(self, document: PolicyDocument) -> Tables:
        """The tables of ``document``. Raises :class:`ValueError` (LookupError for a dangling key) if it is broken."""
        locals_ = self._locals.number(_Local.of(unit) for unit in document.units.values())
        covered = list(regions(document.networks))
        remotes = self._remotes.number(_remotes(document, covered))
        space = PortSpace(document.rules.values())
        numbers = self._segments.number(space.spans())
        verdicts: dict[VerdictKey, Verdict] = {}
        reachable: set[tuple[int, int, int]] = set()
        for local, local_class in locals_.items():
            for direction in _DIRECTIONS:
                end = _End(document, space, numbers, local, direction)
                verdicts.update(end.verdicts(local_class, remotes))
                if direction == "out":
                    reachable.update((local_class, protocol, number) for protocol, number in end.reachable())
        return Tables(
            revision=document.revision,
            units={
                unit_id: LocalUnit(unit_id, unit.native_id, unit.badge, locals_[_Local.of(unit)])
                for unit_id, unit in document.units.items()
            },
            peers={
                badge: Peer(badge, peer.enforcer, remotes[_Remote(True, frozenset(peer.selectors))])
                for badge, peer in document.peers.items()
            },
            prefixes={region.prefix: _class_of(region, remotes) for region in covered},
            prefix_networks={region.prefix: region.networks for region in covered},
            segments=tuple(Segment(*span, numbers[span]) for span in space.spans()),
            verdicts=verdicts,
            reachable=frozenset(reachable),
        )


def _remotes(document: PolicyDocument, covered: list[Region]) -> Iterator[_Remote]:
    for peer in document.peers.values():
        yield _Remote(True, frozenset(peer.selectors))
    for region in covered:
        if region.selectors:
            yield _Remote(False, region.selectors)


def _class_of(region: Region, remotes: Mapping[_Remote, int]) -> int:
    return remotes[_Remote(False, region.selectors)] if region.selectors else SOMEWHERE


class _End:
    """One direction of one local class: its rules, by selector."""

    def __init__(
        self,
        document: PolicyDocument,
        space: PortSpace,
        numbers: Mapping[Span, int],
        local: _Local,
        direction: Direction,
    ) -> None:
        self._space = space
        self._numbers = numbers
        self._direction = direction
        self._default = local.default(direction)
        self._by_selector: dict[str, list[tuple[str, RuleEntry]]] = {}
        for key in local.rules(direction):
            rule = document.rules[key]
            self._by_selector.setdefault(rule.selector, []).append((key, rule))

    def verdicts(self, local_class: int, remotes: Mapping[_Remote, int]) -> Iterator[tuple[VerdictKey, Verdict]]:
        """Every entry that differs from the next broader one."""
        yield self._key(local_class, NO_CLASS, ANY_PROTOCOL, 0), settle((), self._default)
        settled: dict[frozenset[str], dict[tuple[int, int], Verdict]] = {}
        used = frozenset(self._by_selector)
        for remote, remote_class in remotes.items():
            common = remote.selectors & used
            if not common:
                continue
            entries = settled.get(common)
            if entries is None:
                entries = settled[common] = self._settle(common)
            for (protocol, number), verdict in entries.items():
                yield self._key(local_class, remote_class, protocol, number), verdict

    def reachable(self) -> set[tuple[int, int]]:
        """Protocols and segments that a peer matching one selector, or none, is allowed.

        Nobody can be allowed more than a peer that matches just one Allow rule's selector, whoever is
        enrolled at the moment; so this neither depends on the peers nor refuses one that is about to
        become known.
        """
        if self._default == "Allow":
            return {(ANY_PROTOCOL, 0)}
        found: set[tuple[int, int]] = set()
        for selector in self._by_selector:
            allowed = self._allowed(self._rules(frozenset((selector,))))
            if (ANY_PROTOCOL, 0) in allowed:
                return {(ANY_PROTOCOL, 0)}
            found |= allowed
        return found

    def _allowed(self, rules: list[tuple[str, RuleEntry]]) -> set[tuple[int, int]]:
        """Protocols and segments that these rules allow; only (ANY_PROTOCOL, 0) when that is everything."""
        space = self._space
        broad = self._allows(space.without_ports(rules))
        allowed: set[tuple[int, int]] = set()
        refused = False
        for protocol in space.named() | {TCP, UDP} if broad else space.protocols(rules):
            for span in space.spans_of(protocol) if broad else space.touched(rules, protocol):
                if self._allows(space.matching(rules, span)):
                    allowed.add((protocol, self._numbers[span]))
                else:
                    refused = True
            if self._allows(space.beside_segments(rules, protocol)):
                allowed.add((protocol, 0))
            else:
                refused = True
        if broad and not refused:
            return {(ANY_PROTOCOL, 0)}
        if broad:
            others = frozenset(range(ANY_PROTOCOL)) - space.named() - {TCP, UDP}
            allowed.update((protocol, 0) for protocol in others)
        return allowed

    def _allows(self, matching: list[tuple[str, RuleEntry]]) -> bool:
        return settle(matching, self._default).action == "Allow"

    def _settle(self, selectors: frozenset[str]) -> dict[tuple[int, int], Verdict]:
        """Verdicts by protocol and segment for a peer that matches ``selectors``."""
        space, rules = self._space, self._rules(selectors)
        default = settle((), self._default)
        broad = settle(space.without_ports(rules), self._default)
        entries: dict[tuple[int, int], Verdict] = {}
        if broad != default:
            entries[ANY_PROTOCOL, 0] = broad
        for protocol in space.protocols(rules):
            touched = {
                span: settle(space.matching(rules, span), self._default) for span in space.touched(rules, protocol)
            }
            for span, verdict in touched.items():
                if verdict != broad:
                    entries[protocol, self._numbers[span]] = verdict
            if space.by_type(protocol):
                beside = self._regardless_of_type(touched, protocol, broad)
            else:
                beside = settle(space.beside_segments(rules, protocol), self._default)
            if beside != broad:
                entries[protocol, 0] = beside
        return entries

    def _regardless_of_type(self, touched: Mapping[Span, Verdict], protocol: int, broad: Verdict) -> Verdict:
        """The verdict where all types have the same, else Reject: it would have to be guessed."""
        kinds = set(touched.values())
        if len(touched) < len(self._space.spans_of(protocol)):
            kinds.add(broad)
        return kinds.pop() if len(kinds) == 1 else Verdict("Reject")

    def _rules(self, selectors: frozenset[str]) -> list[tuple[str, RuleEntry]]:
        return [placed for selector in selectors for placed in self._by_selector[selector]]

    def _key(self, local: int, peer: int, protocol: int, segment: int) -> VerdictKey:
        return VerdictKey(local, peer, self._direction, protocol, segment)
