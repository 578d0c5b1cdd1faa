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
from collections.abc import Iterable, Sequence
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


class PortSpace:
    """All spans of a document, and which rules take them."""

    def __init__(self, rules: Iterable[RuleEntry]) -> None:
        ranges: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
        for rule in rules:
            for piece in rule.ports:
                ranges[piece.protocol].add((piece.first, piece.last))
        ranges.pop(ANY_PROTOCOL, None)
        self._named = frozenset(ranges)
        self._spans = {protocol: _cut(protocol, pieces) for protocol, pieces in sorted(ranges.items())}

    def spans(self) -> list[Span]:
        """All spans, in order."""
        return [span for spans in self._spans.values() for span in spans]

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
        return self._named

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
