"""Numbers for things that are found again: the same thing keeps its number from compile to compile.

A number is never given to anything else while its :class:`Numbering` lives, so that a datapath which
holds the tables before and after a change side by side cannot take one class for another.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Thing = TypeVar("Thing", bound=Hashable)

#: Datapaths keep numbers in 32 bits.
LIMIT = 1 << 32


class Numbering(Generic[Thing]):
    """Numbers from ``first`` on, given in the order in which things are first seen."""

    def __init__(self, first: int) -> None:
        self._next = first
        self._numbers: dict[Thing, int] = {}

    def number(self, things: Iterable[Thing]) -> dict[Thing, int]:
        """The numbers of all things there are now; those not among them are forgotten.

        Raises :class:`OverflowError` when numbers run out; a new numbering (a restart) begins anew.
        """
        current: dict[Thing, int] = {}
        for thing in things:
            if thing not in current:
                known = self._numbers.get(thing)
                if known is None:
                    if self._next >= LIMIT:
                        raise OverflowError("class or segment numbers have run out; restart the Enforcer")
                    known, self._next = self._next, self._next + 1
                current[thing] = known
        self._numbers = current
        return current
