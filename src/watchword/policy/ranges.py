"""The port space of a document's rules, cut into spans that no rule tells apart.

Per protocol: the rules' ranges cut 0..65535 where one begins or ends, and the pieces that some rule
names become spans; ports between them belong to no span. Two cases differ:

1. A protocol named only as a whole has no spans at all.
2. For ICMP and ICMPv6 named by type, the pieces between are spans too. Every type then has a span,
   and "no span" is left to mean "the type was not looked at".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from watchword.model.ports import ANY_PROTOCOL
from watchword.model.protocols import ICMP, ICMP6, TCP, UDP
from watchword.wire.policy import RuleEntry

_LAST = 65535
_BY_TYPE = frozenset((ICMP, ICMP6))

Placed = tuple[str, RuleEntry]


class Span(NamedTuple):
    """Ports ``first``..``last`` of ``protocol``, which every rule takes or leaves as a whole."""

    protocol: int
    first: int
    last: int


class Recut(NamedTuple):
    """What a change of rules did to the port space."""

    gone: list[Span]
    fresh: list[Span]
    disturbed: frozenset[str]  # keys of rules that name a port of a span that is gone or fresh
    named: bool  # whether some protocol is named now and was not before, or the other way round


class PortSpace:
    """All spans of a document, and which rules take them."""

    def __init__(self) -> None:
        self._ranges: dict[int, dict[tuple[int, int], set[str]]] = {}  # by protocol and range, the rules
        self._spans: dict[int, tuple[Span, ...]] = {}

    def change(self, before: Mapping[str, RuleEntry], after: Mapping[str, RuleEntry]) -> Recut:
        """Forget the rules ``before``, by key, and take in those ``after``."""
        ranges = {
            (piece.protocol, piece.first, piece.last)
            for rules in (before, after)
            for rule in rules.values()
            for piece in rule.ports
        }
        present = {found for found in ranges if self._holds(*found)}
        self._forget(before)
        self._learn(after)
        changed = sorted({found[0] for found in ranges if self._holds(*found) != (found in present)})
        named = any((protocol in self._spans) != (protocol in self._ranges) for protocol in changed)
        recut = Recut([], [], frozenset(), named)
        for protocol in changed:
            recut = self._recut(protocol, recut)
        return recut

    def _holds(self, protocol: int, first: int, last: int) -> bool:
        return (first, last) in self._ranges.get(protocol, ())

    def _learn(self, rules: Mapping[str, RuleEntry]) -> None:
        for key, rule in rules.items():
            for piece in rule.ports:
                if piece.protocol != ANY_PROTOCOL:
                    ranges = self._ranges.setdefault(piece.protocol, {})
                    ranges.setdefault((piece.first, piece.last), set()).add(key)

    def _forget(self, rules: Mapping[str, RuleEntry]) -> None:
        for key, rule in rules.items():
            for piece in set(rule.ports):
                if piece.protocol != ANY_PROTOCOL:
                    ranges = self._ranges[piece.protocol]
                    ranges[piece.first, piece.last].discard(key)
                    if not ranges[piece.first, piece.last]:
                        del ranges[piece.first, piece.last]
                    if not ranges:
                        del self._ranges[piece.protocol]

    def _recut(self, protocol: int, recut: Recut) -> Recut:
        """Cut one protocol anew; ``recut`` with what that changed added."""
        before, ranges = self.spans_of(protocol), self._ranges.get(protocol, {})
        if ranges:
            self._spans[protocol] = _cut(protocol, set(ranges))
        else:
            del self._spans[protocol]
        after = self.spans_of(protocol)
        gone, fresh = sorted({*before} - {*after}), sorted({*after} - {*before})
        pieces = _joined(sorted((*gone, *fresh)))
        disturbed = {key for (first, last), keys in ranges.items() if _meets(pieces, first, last) for key in keys}
        return Recut([*recut.gone, *gone], [*recut.fresh, *fresh], recut.disturbed | disturbed, recut.named)

    def spans(self) -> list[Span]:
        """All spans, in order."""
        return [span for _, spans in sorted(self._spans.items()) for span in spans]

    def spans_of(self, protocol: int) -> Sequence[Span]:
        """The spans of one protocol, in order."""
        return self._spans.get(protocol, ())

    def taking(self, rules: Sequence[Placed], protocol: int) -> dict[Span, list[Placed]]:
        """The spans of one protocol that some of these rules name, with all rules that take each."""
        spans = self.spans_of(protocol)
        everywhere = self.without_ports(rules)
        taking: dict[Span, list[Placed]] = {}
        for placed in rules:
            for piece in placed[1].ports:
                if piece.protocol == protocol:
                    start = bisect_left(spans, piece.first, key=lambda span: span.first)
                    end = bisect_right(spans, piece.last, key=lambda span: span.last)
                    for span in spans[start:end]:
                        taking.setdefault(span, list(everywhere)).append(placed)
        return taking

    def by_type(self, protocol: int) -> bool:
        """Whether the protocol's spans are ICMP types, which a datapath may not look at."""
        return protocol in _BY_TYPE and bool(self.spans_of(protocol))

    def named(self) -> frozenset[int]:
        """The protocols that some rule of the document names."""
        return frozenset(self._spans)

    @staticmethod
    def protocols(rules: Iterable[Placed]) -> list[int]:
        """The protocols that these rules name."""
        return sorted({piece.protocol for _, rule in rules for piece in rule.ports} - {ANY_PROTOCOL})

    @staticmethod
    def without_ports(rules: Iterable[Placed]) -> list[Placed]:
        """The rules that take a protocol which no rule names."""
        return [placed for placed in rules if any(piece.protocol == ANY_PROTOCOL for piece in placed[1].ports)]

    def beside_segments(self, rules: Iterable[Placed], protocol: int) -> list[Placed]:
        """The rules that take what lies in no span of ``protocol``: all of it, if it has none."""
        if self.spans_of(protocol) or protocol in (TCP, UDP):
            return self.without_ports(rules)
        return [placed for placed in rules if any(piece.covers(protocol, 0) for piece in placed[1].ports)]


def _cut(protocol: int, pieces: set[tuple[int, int]]) -> tuple[Span, ...]:
    if protocol not in (TCP, UDP) and pieces == {(0, _LAST)}:
        return ()
    if protocol in _BY_TYPE:
        pieces = pieces | {(0, _LAST)}
    # +1 where a range opens, -1 behind its end: a piece is a span where the sum is positive
    steps: defaultdict[int, int] = defaultdict(int)
    for first, last in pieces:
        steps[first] += 1
        steps[last + 1] -= 1
    spans = []
    depth = 0
    edges = sorted(steps)
    for start, end in pairwise(edges):
        depth += steps[start]
        if depth > 0:
            spans.append(Span(protocol, start, end - 1))
    return tuple(spans)


def _joined(spans: Iterable[Span]) -> list[tuple[int, int]]:
    """Spans of one protocol, in order and overlapping, as ranges that do not overlap."""
    pieces: list[tuple[int, int]] = []
    for span in spans:
        if pieces and span.first <= pieces[-1][1]:
            pieces[-1] = pieces[-1][0], max(pieces[-1][1], span.last)
        else:
            pieces.append((span.first, span.last))
    return pieces


def _meets(pieces: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    """Whether ``first``..``last`` has a port in common with some piece."""
    behind = bisect_right(pieces, last, key=lambda piece: piece[0])
    return behind > 0 and pieces[behind - 1][1] >= first
