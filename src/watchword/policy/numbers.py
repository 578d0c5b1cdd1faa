"""Numbers for things that are found again: the same thing keeps its number from step to step.

A number that becomes free is given again only after all others have been, and never in the step in
which it became free: a datapath that holds the tables before and after a change side by side cannot
take one class for another.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

Thing = TypeVar("Thing", bound=Hashable)


class Turnover(NamedTuple, Generic[Thing]):
    """What one step changed: things held by nobody any more, and things held for the first time."""

    gone: list[Thing]
    fresh: dict[Thing, int]  # with their numbers


class Numbering(Generic[Thing]):
    """Numbers from ``first`` up to below ``limit``, given in turn as things are first held.

    A thing has its number for as long as somebody holds it; :meth:`change` counts holders. The numbers of
    ``fixed`` things are given to nothing else; they are below ``first``.
    """

    def __init__(self, first: int, limit: int, fixed: Mapping[Thing, int] | None = None) -> None:
        self._first = first
        self._limit = limit
        self._cursor = first
        self._fixed = MappingProxyType(dict(fixed or {}))
        self._numbers: dict[Thing, int] = {}
        self._holders: dict[Thing, int] = {}
        self._taken: set[int] = set()
        self._remembered: set[Thing] = set()

    def __getitem__(self, thing: Thing) -> int:
        return self._numbers[thing]

    def change(self, leaving: Iterable[Thing], joining: Iterable[Thing]) -> Turnover[Thing]:
        """Count holders that leave and join; a thing that both leave and join stays what it is.

        Raises :class:`ValueError` when there are more things than numbers, and changes nothing then.
        """
        holders: dict[Thing, int] = {}
        for thing in joining:
            holders[thing] = holders.get(thing, self._holders.get(thing, 0)) + 1
        for thing in leaving:
            holders[thing] = (holders[thing] if thing in holders else self._holders[thing]) - 1
        gone = [thing for thing, count in holders.items() if not count and thing in self._holders]
        fresh = [thing for thing, count in holders.items() if count and thing not in self._holders]
        new = [thing for thing in fresh if thing not in self._numbers]
        many = len(self._taken) + sum(thing not in self._fixed for thing in new)
        if many > self._limit - self._first:
            raise ValueError(f"{many} classes or segments, and numbers up to {self._limit - 1}")
        for thing in new:
            self._numbers[thing] = self._fixed[thing] if thing in self._fixed else self._take()
        self._holders.update((thing, count) for thing, count in holders.items() if count)
        for thing in gone:
            del self._holders[thing]
        for thing in (*gone, *(thing for thing in self._remembered if thing not in self._holders)):
            number = self._numbers.pop(thing)
            if thing not in self._fixed:
                self._taken.remove(number)
        self._remembered = set()
        return Turnover(gone, {thing: self._numbers[thing] for thing in fresh})

    def begin_again(self) -> None:
        """Forget all holders. A thing that the next step brings back still has the number it had."""
        self._holders = {}
        self._remembered = set(self._numbers)

    def _take(self) -> int:
        """The next number in turn that is not taken (there is one), which then is."""
        number = self._cursor
        while number in self._taken:
            number = self._behind(number)
        self._taken.add(number)
        self._cursor = self._behind(number)
        return number

    def _behind(self, number: int) -> int:
        return number + 1 if number + 1 < self._limit else self._first
