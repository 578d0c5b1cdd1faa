"""Compilation: from one Enforcer's document to the tables its datapath decides by.

Runs on the Enforcer, on every change. Look-ups in the result must give, for every flow, the verdict
that :func:`watchword.policy.verdicts.settle` gives for the rules that match it; the tests hold it
against an independent evaluation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from watchword.policy.ends import Local, Remote
from watchword.policy.ledger import Keys, Ledger, differing
from watchword.policy.matrix import Matrix, Outcome, Reachable, Step
from watchword.policy.numbers import Numbering
from watchword.policy.ranges import PortSpace, Recut, Span
from watchword.policy.regions import EXCLUDED as LEFT_ALONE
from watchword.policy.regions import Region, regions
from watchword.policy.suffixes import Suffix, suffixes
from watchword.policy.tables import (
    CLASS_LIMIT,
    EXCLUDED,
    FIRST_CLASS,
    SEGMENT_LIMIT,
    SOMEWHERE,
    LocalUnit,
    Peer,
    Segment,
    Tables,
    Verdict,
    VerdictKey,
)
from watchword.wire.policy import PeerEntry, PolicyDocument, UnitEntry

Entry = TypeVar("Entry")

#: For each table of a document the keys whose entries may have changed.
Touched = Mapping[str, Iterable[Any]]

_NOTHING = PolicyDocument(revision=0)

#: The tables of a document that verdicts depend on.
_TABLES = ("units", "rules", "peers", "networks")


def compile(document: PolicyDocument) -> Tables:
    """The tables of one document, numbered from the beginning."""
    return Compiler().compile(document)


class Compiler:
    """Compiles one document after another, at the cost of what differs between them.

    Classes and segments keep their numbers. One that is gone for one document may come back under
    another number. No number means one thing in one document's tables and another in the next one's.

    A document, and everything in it, must not be changed once it was compiled. Not thread-safe.
    """

    def __init__(self) -> None:
        self._locals: Numbering[Local] = Numbering(FIRST_CLASS, CLASS_LIMIT)
        left_alone = {Remote(False, frozenset({LEFT_ALONE})): EXCLUDED}
        self._remotes: Numbering[Remote] = Numbering(FIRST_CLASS, CLASS_LIMIT, left_alone)
        self._spans: Numbering[Span] = Numbering(1, SEGMENT_LIMIT)
        self._begin()

    def _begin(self) -> None:
        """Begin with an empty document; what comes back later finds its numbers again."""
        self._locals.begin_again()
        self._remotes.begin_again()
        self._spans.begin_again()
        self._document = _NOTHING
        self._space = PortSpace()
        self._matrix = Matrix(self._space, self._spans)
        self._regions: tuple[Region, ...] = ()
        self._suffixes: tuple[Suffix, ...] = ()
        self._peers: Ledger[int, Peer] = Ledger()
        self._verdicts: Ledger[VerdictKey, Verdict] = Ledger()
        self._reachable: Ledger[Reachable, bool] = Ledger()
        self._tables = Tables(revision=0)

    def compile(self, document: PolicyDocument) -> Tables:
        """The tables of ``document``, whatever was compiled before.

        Raises :class:`LookupError` for a key that leads nowhere, and :class:`ValueError` for an entry
        that is no prefix or for more classes or segments than there are numbers.
        """
        old = self._document
        return self.follow(
            document, {table: differing(getattr(old, table), getattr(document, table)) for table in _TABLES}
        )

    def follow(self, document: PolicyDocument, touched: Touched) -> Tables:
        """Like :meth:`compile`, without a look at entries that are those of the document compiled last.

        ``touched`` names all others; it may name more.
        """
        try:
            self._tables = self._advanced(document, touched)
        except Exception:  # what was done so far is of no use; the next document is compiled from the beginning
            self._begin()
            raise
        self._document = document
        return self._tables

    def _advanced(self, document: PolicyDocument, touched: Touched) -> Tables:
        held = self._document
        units = _exchange(held.units, document.units, touched.get("units", ()))
        rules = _exchange(held.rules, document.rules, touched.get("rules", ()))
        peers = _exchange(held.peers, document.peers, touched.get("peers", ()))
        if _exchange(held.networks, document.networks, touched.get("networks", ())).any:
            covered, uncovered = tuple(regions(document.networks)), self._regions
            named, unnamed = tuple(suffixes(document.networks)), self._suffixes
        else:
            covered, uncovered, named, unnamed = (), (), (), ()
        locals_ = self._locals.change(map(Local.of, units.before.values()), map(Local.of, units.after.values()))
        remotes = self._remotes.change(
            (*map(_remote, peers.before.values()), *_matched(uncovered), *_matched(unnamed)),
            (*map(_remote, peers.after.values()), *_matched(covered), *_matched(named)),
        )
        recut = self._space.change(rules.before, rules.after)
        self._spans.change(recut.gone, recut.fresh)
        outcome = self._matrix.change(Step(rules.before, rules.after, locals_, remotes, recut))
        made = Tables(
            revision=document.revision,
            units=self._local_units(units),
            **self._prefixes(covered, uncovered),
            **self._names(named, unnamed),
            segments=self._segments(recut),
        )
        return self._closed(made, peers, outcome)

    def _closed(self, made: Tables, peers: _Exchange[PeerEntry], outcome: Outcome) -> Tables:
        """``made`` with the large tables, brought to what they are now."""
        known = {badge: Peer(badge, peer.enforcer, self._remotes[_remote(peer)]) for badge, peer in peers.after.items()}
        self._peers.change({**dict.fromkeys(peers.before), **known})
        self._verdicts.change(outcome.verdicts)
        self._reachable.change(outcome.reachable)
        return dataclasses.replace(
            made,
            peers=self._peers.snapshot(),
            verdicts=self._verdicts.snapshot(),
            reachable=Keys(self._reachable.snapshot()),
        )

    def _prefixes(self, covered: tuple[Region, ...], uncovered: tuple[Region, ...]) -> dict[str, Any]:
        """Both tables of prefixes; ``covered`` and ``uncovered`` are all regions there are and were, if they differ."""
        if not covered and not uncovered:
            return {"prefixes": self._tables.prefixes, "prefix_networks": self._tables.prefix_networks}
        self._regions = covered
        return {
            "prefixes": {region.prefix: self._class_of(region) for region in covered},
            "prefix_networks": {region.prefix: region.networks for region in covered},
        }

    def _names(self, named: tuple[Suffix, ...], unnamed: tuple[Suffix, ...]) -> dict[str, Any]:
        """Both tables of host names; like :meth:`_prefixes`."""
        if not named and not unnamed:
            return {"names": self._tables.names, "name_networks": self._tables.name_networks}
        self._suffixes = named
        return {
            "names": {suffix.pattern: self._class_of(suffix) for suffix in named},
            "name_networks": {suffix.pattern: suffix.networks for suffix in named},
        }

    def _segments(self, recut: Recut) -> tuple[Segment, ...]:
        if not recut.gone and not recut.fresh:
            return self._tables.segments
        return tuple(Segment(*span, self._spans[span]) for span in self._space.spans())

    def _local_units(self, units: _Exchange[UnitEntry]) -> Mapping[str, LocalUnit]:
        if not units.any:
            return self._tables.units
        after = {
            key: LocalUnit(key, unit.native_id, unit.badge, self._locals[Local.of(unit)])
            for key, unit in units.after.items()
        }
        return {**{key: unit for key, unit in self._tables.units.items() if key not in units.before}, **after}

    def _class_of(self, region: Region | Suffix) -> int:
        return self._remotes[Remote(False, region.selectors)] if region.selectors else SOMEWHERE


class _Exchange(NamedTuple, Generic[Entry]):
    """Entries of one table that differ between two documents, as they were and as they are."""

    before: dict[Any, Entry]
    after: dict[Any, Entry]

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return bool(self.before or self.after)


def _exchange(old: Mapping[Any, Entry], new: Mapping[Any, Entry], keys: Iterable[Any]) -> _Exchange[Entry]:
    different = [key for key in keys if old.get(key) != new.get(key)]
    return _Exchange(
        {key: old[key] for key in different if key in old}, {key: new[key] for key in different if key in new}
    )


def _remote(peer: PeerEntry) -> Remote:
    return Remote(True, frozenset(peer.selectors))


def _matched(covered: Iterable[Region | Suffix]) -> list[Remote]:
    return [Remote(False, region.selectors) for region in covered if region.selectors]
