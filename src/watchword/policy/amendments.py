"""Amendments: what changes in documents, apart from whose they are and from revisions.

An amendment is immutable and shared: the same object goes to every Enforcer for which the same
changes. Several of them, in order, merge into one; that is how a slow Enforcer gets fewer, larger
deltas, and how one change that touches a document in many places becomes one delta.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from watchword.model.expressions import Expression
from watchword.wire.policy import (
    EnforcerEntry,
    NetworkEntry,
    PeerFacts,
    PolicyDelta,
    RuleEntry,
    UnitEntry,
)


class Amendment(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The content of a :class:`PolicyDelta`; what the fields mean is said there. Nobody modifies its tables."""

    units: dict[str, UnitEntry] = {}
    rules: dict[str, RuleEntry] = {}
    selectors: dict[str, Expression] = {}
    peers: dict[int, PeerFacts] = {}
    enforcers: dict[str, EnforcerEntry] = {}
    networks: dict[str, NetworkEntry] = {}
    joined: dict[str, tuple[int, ...]] = {}
    left: dict[str, tuple[int, ...]] = {}
    removed: dict[str, tuple[str | int, ...]] = {}
    everybody: bool | None = None
    asked: tuple[int, ...] | None = None

    def weight(self) -> int:
        """How many entries, members and keys it is made of."""
        tables = (self.units, self.rules, self.selectors, self.peers, self.enforcers, self.networks)
        moved = (*self.joined.values(), *self.left.values(), *self.removed.values())
        return sum(len(table) for table in tables) + sum(len(keys) for keys in moved)

    def delta(self, base: int, revision: int) -> PolicyDelta:
        """This amendment as the step from revision ``base`` to ``revision``."""
        return PolicyDelta(
            base,
            revision,
            self.units,
            self.rules,
            self.selectors,
            self.peers,
            self.enforcers,
            self.networks,
            self.joined,
            self.left,
            self.removed,
            self.everybody,
            self.asked,
        )


#: Nothing changes.
UNCHANGED = Amendment()


def merged(amendments: Sequence[Amendment]) -> Amendment:
    """One amendment that does what these do one after the other; none at all change nothing."""
    if len(amendments) == 1:
        return amendments[0]
    merger = _Merger()
    for amendment in amendments:
        merger.add(amendment)
    return merger.result()


class _Merger:
    """Amendments so far. A removal stays said even when something is put in its place afterwards:
    it is applied first, and a selector's members go with it.
    """

    def __init__(self) -> None:
        self.tables: dict[str, dict[Any, Any]] = {
            name: {} for name in ("units", "rules", "selectors", "peers", "enforcers", "networks")
        }
        self.removed: defaultdict[str, dict[str | int, None]] = defaultdict(dict)
        self.joined: _Moves = {}
        self.left: _Moves = {}
        self.everybody: bool | None = None
        self.asked: tuple[int, ...] | None = None

    def add(self, amendment: Amendment) -> None:
        """Apply one more."""
        for table, keys in amendment.removed.items():
            self._remove(table, keys)
        if amendment.everybody:  # it says who everybody is; whoever went meanwhile was not taken back
            self.tables["peers"].clear()
        for table, entries in self.tables.items():
            more = getattr(amendment, table)
            if more:
                entries.update(more)
        for selector, badges in amendment.left.items():
            _move(selector, badges, self.joined, self.left)
        for selector, badges in amendment.joined.items():
            _move(selector, badges, self.left, self.joined)
        if amendment.everybody is not None:
            self.everybody = amendment.everybody
        if amendment.asked is not None:
            self.asked = amendment.asked

    def _remove(self, table: str, keys: Iterable[str | int]) -> None:
        entries, removed = self.tables[table], self.removed[table]
        for key in keys:
            entries.pop(key, None)
            removed[key] = None
            for moves in (self.joined, self.left):
                if table == "selectors":
                    moves.pop(key, None)
                elif table == "peers":
                    for selector in moves:
                        _opened(moves, selector).pop(key, None)

    def result(self) -> Amendment:
        """What all of them do."""
        return Amendment(
            **self.tables,
            joined={selector: tuple(badges) for selector, badges in self.joined.items() if badges},
            left={selector: tuple(badges) for selector, badges in self.left.items() if badges},
            removed={table: tuple(keys) for table, keys in self.removed.items()},
            everybody=self.everybody,
            asked=self.asked,
        )


#: Selectors to badges, which are a tuple until one has to be found among them.
_Moves = dict[Any, dict[Any, None] | tuple[int, ...]]


def _opened(moves: _Moves, selector: str) -> dict[Any, None]:
    badges = moves.get(selector, ())
    if isinstance(badges, tuple):
        badges = moves[selector] = dict.fromkeys(badges)
    return badges


def _move(selector: str, badges: tuple[int, ...], origin: _Moves, target: _Moves) -> None:
    if selector in origin:
        known = _opened(origin, selector)
        for badge in badges:
            known.pop(badge, None)
    if selector in target:
        _opened(target, selector).update(dict.fromkeys(badges))
    else:
        target[selector] = badges
