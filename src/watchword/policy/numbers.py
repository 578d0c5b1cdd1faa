"""Numbers for things that are found again: the same thing keeps its number from compile to compile.

A number that becomes free is given again only after all others have been, and never to the very next
tables: a datapath that holds the tables before and after a change side by side cannot take one class
for another.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Thing = TypeVar("Thing", bound=Hashable)


class Numbering(Generic[Thing]):
    """Numbers from ``first`` up to below ``limit``, given in turn as things are first seen."""

    def __init__(self, first: int, limit: int) -> None:
        self._first = first
        self._limit = limit
        self._cursor = first
        self._numbers: dict[Thing, int] = {}

    def number(self, things: Iterable[Thing]) -> dict[Thing, int]:
        """The numbers of all things there are now; those not among them are forgotten.

        Raises :class:`ValueError` when there are more things than numbers, and remembers what it did.
        """
        current: dict[Thing, int] = {}
        fresh: dict[Thing, None] = {}
        for thing in things:
            known = self._numbers.get(thing)
            if known is None:
                fresh[thing] = None
            else:
                current[thing] = known
        taken = set(self._numbers.values()) if fresh else set()
        if len(taken) + len(fresh) > self._limit - self._first:
            raise ValueError(f"{len(taken) + len(fresh)} classes or segments, and numbers only up to {self._limit - 1}")
        for thing in fresh:
            current[thing] = self._take(taken)
        self._numbers = current
        return current

    def _take(self, taken: set[int]) -> int:
        """The next number in turn that is not taken (there is one), which then is."""
        while self._cursor in taken or self._cursor >= self._limit:
            self._cursor = self._cursor + 1 if self._cursor < self._limit else self._first
        number = self._cursor
        taken.add(number)
        self._cursor += 1
        return number
