"""Selectors: their keys, and which units each expression, namespace and Enforcer has."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping

from pyroaring import AbstractBitMap, BitMap

from watchword.model.expressions import Expression, normalised
from watchword.policy.namespaces import upwards
from watchword.policy.tagged import Shift, TaggedIndex
from watchword.policy.world import Unit


def selector_key(namespace: str, expression: Expression) -> str:
    """The stable key of what an object expression means in a ruleset of ``namespace``.

    The namespace is part of it because it decides which external networks the expression sees; the
    order in which clauses are written is not. 128 bits, so that nobody can write two expressions of
    one key.
    """
    text = json.dumps([namespace, normalised(expression)], separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).decode()[:22]


class SelectorIndex(TaggedIndex[Unit]):
    """The units of a world by number, tag, expression, namespace and Enforcer.

    ``index.thing(number)`` and ``index.number(unit ID)`` go from the one to the other.
    """

    def __init__(self) -> None:
        super().__init__()
        self._namespaces: defaultdict[str, BitMap] = defaultdict(BitMap)
        self._subtrees: defaultdict[str, BitMap] = defaultdict(BitMap)
        self._enforcers: defaultdict[str, BitMap] = defaultdict(BitMap)

    @classmethod
    def of(cls, units: Iterable[Unit]) -> SelectorIndex:
        """The index of these units, watching nothing."""
        index = cls()
        for unit in units:
            index.put(unit)
        return index

    def namespace(self, path: str) -> AbstractBitMap:
        """The units in one namespace."""
        return self._namespaces.get(path) or _NOTHING

    def subtree(self, path: str) -> AbstractBitMap:
        """The units in one namespace and below it."""
        return self._subtrees.get(path) or _NOTHING

    def enforcer(self, identifier: str) -> AbstractBitMap:
        """The units of one Enforcer."""
        return self._enforcers.get(identifier) or _NOTHING

    @property
    def enforcers(self) -> Mapping[str, AbstractBitMap]:
        """The units of each Enforcer that has some."""
        return self._enforcers

    def reach(self, origin: str, propagate: bool) -> AbstractBitMap:
        """The units in whose namespace something of ``origin`` is in force."""
        return self.subtree(origin) if propagate else self.namespace(origin)

    def put(self, thing: Unit) -> Shift:
        """Take in a unit, in place of the one of the same ID if there is one."""
        before = self.get(thing.id)
        shift = super().put(thing)
        if before is None or before.namespace != thing.namespace or before.enforcer != thing.enforcer:
            if before is not None:
                self._displace(shift.number, before)
            self._place(shift.number, thing)
        return shift

    def drop(self, identifier: str) -> Shift:
        """Let a unit go. Raises :class:`LookupError` when it is not here."""
        before = self.thing(self.number(identifier))
        shift = super().drop(identifier)
        self._displace(shift.number, before)
        return shift

    def _place(self, number: int, unit: Unit) -> None:
        self._namespaces[unit.namespace].add(number)
        self._enforcers[unit.enforcer].add(number)
        for path in upwards(unit.namespace):
            self._subtrees[path].add(number)

    def _displace(self, number: int, unit: Unit) -> None:
        _take_out(self._namespaces, unit.namespace, number)
        _take_out(self._enforcers, unit.enforcer, number)
        for path in upwards(unit.namespace):
            _take_out(self._subtrees, path, number)


_NOTHING: AbstractBitMap = BitMap()


def _take_out(bitmaps: dict[str, BitMap], key: str, number: int) -> None:
    bitmaps[key].discard(number)
    if not bitmaps[key]:
        del bitmaps[key]
