"""One end: what a local class decides in one direction, for every kind of peer.

Holds a class's rules by selector and settles them per combination of matching selectors, protocol and
segment. Each combination is settled once and kept for as long as some peer class has it, so that a peer
class that comes or goes costs what it is told, and nothing of what others are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from watchword.model.protocols import TCP, UDP
from watchword.policy.numbers import Numbering
from watchword.policy.ranges import Placed, PortSpace, Span
from watchword.policy.tables import NO_CLASS, Direction, Verdict, VerdictKey
from watchword.policy.verdicts import settle
from watchword.wire.policy import ANY_PROTOCOL, Action, UnitEntry


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


#: (protocol, segment, verdict): a tuple of these is half the size of a mapping.
Entry = tuple[int, int, Verdict]


@dataclass(slots=True)
class _Settled:
    """The verdicts of one combination of selectors, and how many peer classes have it."""

    entries: tuple[Entry, ...]
    holders: int = 0


class End:
    """One direction of one local class. Knows the rules and segments as they are between two steps.

    Before a rule or a segment changes, every peer class that a concerned selector matches has to
    :meth:`leave`; it may :meth:`join` again after.
    """

    def __init__(
        self,
        space: PortSpace,
        numbers: Numbering[Span],
        number: int,
        direction: Direction,
        default: Action,
        rules: Iterable[Placed],
    ) -> None:
        self._space = space
        self._numbers = numbers
        self.number = number
        self.direction = direction
        self._default = default
        self._rules: dict[str, tuple[Placed, ...]] = {}
        self._settled: dict[frozenset[str], _Settled] = {}
        self.reachable: frozenset[tuple[int, int]] = frozenset()
        for placed in rules:
            self.put(placed)

    # --- rules --------------------------------------------------------------------------------

    @property
    def selectors(self) -> Iterable[str]:
        """Selectors of this end's rules."""
        return self._rules.keys()

    def has(self, key: str, selector: str) -> bool:
        """Whether this end has that rule, under that selector."""
        return any(placed[0] == key for placed in self._rules.get(selector, ()))

    def put(self, placed: Placed) -> None:
        """Take in a rule."""
        selector = placed[1].selector
        self._rules[selector] = (*self._rules.get(selector, ()), placed)

    def drop(self, key: str, selector: str) -> None:
        """Forget a rule."""
        left = tuple(placed for placed in self._rules.pop(selector) if placed[0] != key)
        if left:
            self._rules[selector] = left

    # --- verdicts -----------------------------------------------------------------------------

    @property
    def broadest(self) -> tuple[VerdictKey, Verdict]:
        """The default, which is always there."""
        return self._key(NO_CLASS, ANY_PROTOCOL, 0), settle((), self._default)

    def join(self, remote: Remote, number: int) -> Iterator[tuple[VerdictKey, Verdict]]:
        """What a peer class is told: every entry that differs from the next broader one."""
        common = remote.selectors.intersection(self._rules)
        if not common:
            return
        settled = self._settled.get(common)
        if settled is None:
            settled = self._settled[common] = _Settled(tuple(self._settle(common)))
        settled.holders += 1
        for protocol, segment, verdict in settled.entries:
            yield self._key(number, protocol, segment), verdict

    def leave(self, remote: Remote, number: int) -> Iterator[VerdictKey]:
        """The entries of a peer class that joined."""
        common = remote.selectors.intersection(self._rules)
        if not common:
            return
        settled = self._settled[common]
        settled.holders -= 1
        if not settled.holders:
            del self._settled[common]
        for protocol, segment, _ in settled.entries:
            yield self._key(number, protocol, segment)

    def _settle(self, selectors: frozenset[str]) -> Iterator[Entry]:
        space, rules = self._space, self._placed(selectors)
        default = settle((), self._default)
        broad = settle(space.without_ports(rules), self._default)
        if broad != default:
            yield ANY_PROTOCOL, 0, broad
        for protocol in space.protocols(rules):
            taking = space.taking(rules, protocol)
            touched = {span: settle(placed, self._default) for span, placed in taking.items()}
            for span, verdict in touched.items():
                if verdict != broad:
                    yield protocol, self._numbers[span], verdict
            if space.by_type(protocol):
                beside = self._regardless_of_type(touched, protocol, broad)
            else:
                beside = settle(space.beside_segments(rules, protocol), self._default)
            if beside != broad:
                yield protocol, 0, beside

    def _regardless_of_type(self, touched: Mapping[Span, Verdict], protocol: int, broad: Verdict) -> Verdict:
        """The verdict where all types have the same, else Reject: it would have to be guessed."""
        kinds = set(touched.values())
        if len(touched) < len(self._space.spans_of(protocol)):
            kinds.add(broad)
        return kinds.pop() if len(kinds) == 1 else Verdict("Reject")

    def _placed(self, selectors: Iterable[str]) -> list[Placed]:
        return [placed for selector in selectors for placed in self._rules[selector]]

    def _key(self, peer: int, protocol: int, segment: int) -> VerdictKey:
        return VerdictKey(self.number, peer, self.direction, protocol, segment)

    # --- what connect() may hope for ------------------------------------------------------------

    def reach(self) -> bool:
        """Find anew the protocols and segments that a peer matching one selector, or none, is allowed.

        Nobody can be allowed more than a peer that matches just one Allow rule's selector, whoever is
        enrolled at the moment; so this neither depends on the peers nor refuses one that is about to
        become known. Returns whether it depends on segments that no rule of this end names.
        """
        everything = frozenset(((ANY_PROTOCOL, 0),))
        if self._default == "Allow":
            self.reachable = everything
            return False
        found: set[tuple[int, int]] = set()
        wide = False
        for selector in self._rules:
            placed = self._placed((selector,))
            allowed = self._allowed(placed)
            wide = wide or (allowed != everything and self._allows(self._space.without_ports(placed)))
            found |= allowed
        self.reachable = everything if everything & found else frozenset(found)
        return wide

    def _allowed(self, rules: list[Placed]) -> set[tuple[int, int]]:
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

    def _allows(self, matching: list[Placed]) -> bool:
        return settle(matching, self._default).action == "Allow"
