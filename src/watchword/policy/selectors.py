"""Selectors: which units each distinct expression matches, kept as units come and go.

:class:`SelectorIndex` is how rendering asks. Its sets are plain Python sets behind two methods, so
that another representation can replace them without anybody noticing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set

from watchword.model.expressions import Expression, clause, matches, normalised
from watchword.policy.world import Unit


def selector_key(namespace: str, expression: Expression) -> str:
    """The stable key of what an object expression means in a ruleset of ``namespace``.

    The namespace is part of it because it decides which external networks the expression sees; the
    order in which clauses are written is not. 128 bits, so that nobody can write two expressions of
    one key.
    """
    text = json.dumps([namespace, normalised(expression)], separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).decode().rstrip("=")


class SelectorIndex:
    """For each watched expression, the IDs of the units that match it.

    1. :meth:`watch` says which expressions matter; a new one costs about as much as it matches.
    2. :meth:`update` takes the units of the next world; it costs one comparison for each unit, and
       for each changed one only the expressions that share a tag with it.

    Every alternative is filed under one of its clauses that has to be present (its *anchor*): the
    exact tag, else the key. An alternative without one selects nothing.
    """

    def __init__(self) -> None:
        self._units: dict[str, Unit] = {}
        self._by_tag: defaultdict[str, set[str]] = defaultdict(set)  # tag, or "key=", to unit IDs
        self._members: dict[Expression, set[str]] = {}
        self._anchored: defaultdict[str, set[Expression]] = defaultdict(set)

    def matching(self, expression: Expression) -> Set[str]:
        """IDs of the units that match a watched expression."""
        return self._members[expression]

    def watch(self, expressions: Iterable[Expression]) -> None:
        """Replace the set of watched expressions."""
        wanted = set(expressions)
        for expression in self._members.keys() - wanted:
            del self._members[expression]
            for anchor in _anchors(expression):
                self._anchored[anchor].discard(expression)
                if not self._anchored[anchor]:
                    del self._anchored[anchor]
        for expression in wanted - self._members.keys():
            candidates: set[str] = set()
            for anchor in _anchors(expression):
                self._anchored[anchor].add(expression)
                candidates |= self._by_tag.get(anchor, set())
            self._members[expression] = {unit for unit in candidates if matches(expression, self._units[unit].tags)}

    def update(self, units: Mapping[str, Unit]) -> None:
        """Follow the units from one world to the next."""
        gone = [unit for unit in self._units if unit not in units]
        changed = []
        for unit in units.values():
            known = self._units.get(unit.id)
            if known is not unit and (known is None or known.tags != unit.tags):
                changed.append(unit)
            elif known is not unit:
                self._units[unit.id] = unit
        for unit_id in gone:
            self._forget(unit_id)
        for unit in changed:
            self._forget(unit.id)
            self._learn(unit)

    def _forget(self, unit_id: str) -> None:
        unit = self._units.pop(unit_id, None)
        if unit is None:
            return
        for term in _terms(unit.tags):
            self._by_tag[term].discard(unit_id)
            if not self._by_tag[term]:
                del self._by_tag[term]
            for expression in self._anchored.get(term, ()):
                self._members[expression].discard(unit_id)

    def _learn(self, unit: Unit) -> None:
        self._units[unit.id] = unit
        for term in _terms(unit.tags):
            self._by_tag[term].add(unit.id)
            for expression in self._anchored.get(term, ()):
                if matches(expression, unit.tags):
                    self._members[expression].add(unit.id)


def _terms(tags: frozenset[str]) -> set[str]:
    """What a unit is filed under: each tag, and each key with its equals sign."""
    return {*tags, *(tag[: tag.index("=") + 1] for tag in tags)}


def _anchors(expression: Expression) -> set[str]:
    """One term for each alternative that every unit matching the alternative is filed under."""
    anchors = set()
    for alternative in expression:
        needed = [taken for taken in map(clause, alternative) if not taken.negated]
        if not needed:  # selects nothing
            continue
        first = min(needed, key=lambda taken: taken.prefix)
        anchors.add(first.text[: first.text.index("=") + 1] if first.prefix else first.text)
    return anchors
