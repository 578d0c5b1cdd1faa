"""One end: what a local class decides in one direction, for every kind of peer.

Holds a class's rules by selector and settles them per combination of matching selectors, protocol and
segment. Combinations are settled once and kept, so an end that lives from compile to compile makes a
change of peers cheap. It knows the rules and segments of one document; when they change it is dropped.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from watchword.model.protocols import TCP, UDP
from watchword.policy.ranges import PortSpace, Span
from watchword.policy.tables import NO_CLASS, Direction, Verdict, VerdictKey
from watchword.policy.verdicts import settle
from watchword.wire.policy import ANY_PROTOCOL, Action, RuleEntry, UnitEntry


class Local(NamedTuple):
    """What tells local classes apart: units with the same rules and defaults share one."""

    incoming: tuple[str, ...]
    outgoing: tuple[str, ...]
    default_incoming: Action
    default_outgoing: Action

    @classmethod
    def of(cls, unit: UnitEntry) -> Local:
        """The class of a unit."""
        return cls(unit.incoming, unit.outgoing, unit.default_incoming, unit.default_outgoing)

    def rules(self, direction: Direction) -> tuple[str, ...]:
        """Rule keys of one direction."""
        return self.incoming if direction == "in" else self.outgoing

    def default(self, direction: Direction) -> Action:
        """What holds where no rule matches."""
        return self.default_incoming if direction == "in" else self.default_outgoing


class Remote(NamedTuple):
    """What tells peer classes apart: the selectors that match, and whether an identity was proved."""

    proved: bool
    selectors: frozenset[str]


#: For each selector the peer classes it matches, with their numbers.
Selected = dict[str, list[tuple[Remote, int]]]


class End:
    """One direction of one local class: its rules, by selector."""

    def __init__(
        self,
        rules: Mapping[str, RuleEntry],
        space: PortSpace,
        numbers: Mapping[Span, int],
        local: Local,
        direction: Direction,
    ) -> None:
        self._space = space
        self._numbers = numbers
        self._direction = direction
        self._default = local.default(direction)
        self._settled: dict[frozenset[str], dict[tuple[int, int], Verdict]] = {}
        self._by_selector: dict[str, list[tuple[str, RuleEntry]]] = {}
        for key in local.rules(direction):
            rule = rules[key]
            self._by_selector.setdefault(rule.selector, []).append((key, rule))

    def verdicts(self, local_class: int, selected: Selected) -> Iterator[tuple[VerdictKey, Verdict]]:
        """Every entry that differs from the next broader one."""
        yield self._key(local_class, NO_CLASS, ANY_PROTOCOL, 0), settle((), self._default)
        before = self._settled
        settled: dict[frozenset[str], dict[tuple[int, int], Verdict]] = {}
        used = frozenset(self._by_selector)
        concerned = dict(pair for selector in self._by_selector for pair in selected.get(selector, ()))
        for remote, remote_class in concerned.items():
            common = remote.selectors & used
            entries = settled.get(common)
            if entries is None:
                entries = settled[common] = before.get(common) or self._settle(common)
            for (protocol, number), verdict in entries.items():
                yield self._key(local_class, remote_class, protocol, number), verdict
        self._settled = settled

    @functools.cached_property
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
            taking = space.taking(rules, protocol)
            for span in space.spans_of(protocol) if broad else taking:
                if self._allows(taking[span]) if span in taking else broad:
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
            taking = space.taking(rules, protocol)
            touched = {span: settle(placed, self._default) for span, placed in taking.items()}
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
