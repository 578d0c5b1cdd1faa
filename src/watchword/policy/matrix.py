"""All ends against all peer classes: which verdicts change when either side does.

Only ends and peer classes that have a selector in common have verdicts beyond the default, so each side
is filed by selector. One step runs in this order, because what leaves is told apart by the rules and
numbers it joined with:

1. Peer classes that are concerned leave: those that are gone, those of ends that are gone, and those that
   a selector matches whose rules change or whose rules' ports are cut anew.
2. Rules, ends and peer classes become what they are after the step.
3. Peer classes that are concerned now join.
4. What is reachable is found anew where rules or segments changed.

Not thread-safe. After an exception in the middle the matrix is of no further use.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field

from watchword.policy.ends import End, Local, Remote
from watchword.policy.numbers import Numbering, Turnover
from watchword.policy.ranges import Placed, PortSpace, Recut, Span
from watchword.policy.tables import Direction, Verdict, VerdictKey
from watchword.wire.policy import RuleEntry

_DIRECTIONS: tuple[Direction, Direction] = ("in", "out")

#: (local class, protocol, segment)
Reachable = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Step:
    """What is different after a step; the rules by key, those that changed only."""

    rules_before: Mapping[str, RuleEntry]
    rules_after: Mapping[str, RuleEntry]
    locals: Turnover[Local]
    remotes: Turnover[Remote]
    recut: Recut


@dataclass(slots=True)
class Outcome:
    """Entries of the tables after a step; None for what is not there any more."""

    verdicts: dict[VerdictKey, Verdict | None] = field(default_factory=dict)
    reachable: dict[Reachable, bool | None] = field(default_factory=dict)


class Matrix:
    """Ends and peer classes, by selector."""

    def __init__(self, space: PortSpace, numbers: Numbering[Span]) -> None:
        self._space = space
        self._numbers = numbers
        self._rules: dict[str, Placed] = {}  # one object for each, for all ends that have the rule
        self._ends: dict[Local, dict[Direction, End]] = {}
        self._users: defaultdict[str, set[End]] = defaultdict(set)
        self._remotes: dict[Remote, int] = {}
        self._selected: defaultdict[str, set[Remote]] = defaultdict(set)
        self._wide: set[End] = set()

    def change(self, step: Step) -> Outcome:
        """Take one step."""
        outcome = Outcome()
        retired = {end for local in step.locals.gone for end in self._ends.pop(local).values()}
        holding = self._holding(step, retired)
        dirty = self._dirty(step, holding)
        for end, remotes in self._concerned(retired, dirty, step.remotes.gone).items():
            for remote in remotes:
                outcome.verdicts.update(dict.fromkeys(end.leave(remote, self._remotes[remote])))
        for end in retired:
            self._retire(end, outcome)
        self._exchange_rules(step, holding)
        self._exchange_remotes(step.remotes)
        new = [end for local, number in step.locals.fresh.items() for end in self._enlist(local, number)]
        outcome.verdicts.update(end.broadest for end in new)
        for end, remotes in self._concerned(new, dirty, step.remotes.fresh).items():
            for remote in remotes:
                outcome.verdicts.update(end.join(remote, self._remotes[remote]))
        recut = step.recut.gone or step.recut.fresh or step.recut.named
        self._reach({*new, *dirty, *(self._wide if recut else ())}, outcome)
        return outcome

    def _holding(self, step: Step, retired: Set[End]) -> dict[str, list[End]]:
        """For each rule that changes, or whose ports are cut anew, the ends that have it and stay."""
        holding: dict[str, list[End]] = {}
        for key in {*step.rules_before, *step.recut.disturbed} & self._rules.keys():
            selector = self._rules[key][1].selector
            users = self._users.get(selector, ())
            holding[key] = [end for end in users if end not in retired and end.has(key, selector)]
        return holding

    def _dirty(self, step: Step, holding: Mapping[str, Iterable[End]]) -> dict[End, set[str]]:
        """Those ends, with the selectors of those rules before and after."""
        dirty: defaultdict[End, set[str]] = defaultdict(set)
        for key, ends in holding.items():
            selectors = {self._rules[key][1].selector}
            if key in step.rules_after:
                selectors.add(step.rules_after[key].selector)
            for end in ends:
                dirty[end] |= selectors
        return dirty

    def _concerned(
        self, whole: Iterable[End], partly: Mapping[End, set[str]], remotes: Iterable[Remote]
    ) -> dict[End, set[Remote]]:
        """For each end the peer classes to settle with: all that it has rules for, or that some selectors match.

        ``remotes`` are settled with every end that has rules for them.
        """
        found: defaultdict[End, set[Remote]] = defaultdict(set)
        for end in whole:
            found[end].update(*(self._selected.get(selector, ()) for selector in end.selectors))
        for end, selectors in partly.items():
            found[end].update(*(self._selected.get(selector, ()) for selector in selectors))
        for remote in remotes:
            for selector in remote.selectors:
                for end in self._users.get(selector, ()):
                    found[end].add(remote)
        return found

    def _retire(self, end: End, outcome: Outcome) -> None:
        outcome.verdicts[end.broadest[0]] = None
        outcome.reachable.update(dict.fromkeys(_reachable(end)))
        for selector in end.selectors:
            self._unlist(selector, end)
        self._wide.discard(end)

    def _unlist(self, selector: str, end: End) -> None:
        self._users[selector].discard(end)
        if not self._users[selector]:
            del self._users[selector]

    def _exchange_rules(self, step: Step, holding: Mapping[str, Iterable[End]]) -> None:
        for key in step.rules_before:
            del self._rules[key]
        self._rules.update((key, (key, rule)) for key, rule in step.rules_after.items())
        for key, before in step.rules_before.items():
            for end in holding[key]:
                after = self._rules[key]
                end.drop(key, before.selector)
                if before.selector not in end.selectors:
                    self._unlist(before.selector, end)
                end.put(after)
                self._users[after[1].selector].add(end)

    def _exchange_remotes(self, remotes: Turnover[Remote]) -> None:
        for remote in remotes.gone:
            del self._remotes[remote]
            for selector in remote.selectors:
                self._selected[selector].discard(remote)
                if not self._selected[selector]:
                    del self._selected[selector]
        self._remotes.update(remotes.fresh)
        for remote in remotes.fresh:
            for selector in remote.selectors:
                self._selected[selector].add(remote)

    def _enlist(self, local: Local, number: int) -> list[End]:
        """Both ends of a new local class."""
        ends = self._ends[local] = {}
        for direction in _DIRECTIONS:
            placed = [self._rules[key] for key in local.rules(direction)]
            end = End(self._space, self._numbers, number, direction, local.default(direction), placed)
            ends[direction] = end
            for selector in end.selectors:
                self._users[selector].add(end)
        return list(ends.values())

    def _reach(self, ends: Iterable[End], outcome: Outcome) -> None:
        for end in ends:
            if end.direction == "out":
                outcome.reachable.update(dict.fromkeys(_reachable(end)))
                wide = end.reach()
                outcome.reachable.update(dict.fromkeys(_reachable(end), True))
                (self._wide.add if wide else self._wide.discard)(end)


def _reachable(end: End) -> Iterator[Reachable]:
    return ((end.number, protocol, segment) for protocol, segment in end.reachable)
