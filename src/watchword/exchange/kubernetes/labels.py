"""Label selectors as sets that can be intersected and complemented, and written as tag clauses.

For one key, what a selector demands is a set of values, one of which may be "no such label" (:data:`ABSENT`). A
selection is a demand for each key it speaks of; several selections are a union.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

#: The value of a label that is not there.
ABSENT = None

Value = str | None


@dataclass(frozen=True, slots=True)
class Demand:
    """Values that one label may have: those listed, or all but those listed."""

    values: frozenset[Value]
    listed: bool

    def takes(self, value: Value) -> bool:
        """Whether a label of that value (or absence) is meant."""
        return (value in self.values) == self.listed

    def negated(self) -> Demand:
        """Everything else."""
        return Demand(self.values, not self.listed)

    def and_(self, other: Demand) -> Demand:
        """What both take."""
        if self.listed:
            return Demand(frozenset(filter(other.takes, self.values)), True)
        return other.and_(self) if other.listed else Demand(self.values | other.values, False)

    def within(self, other: Demand) -> bool:
        """Whether ``other`` takes everything that this takes."""
        return self.and_(other.negated()).nothing

    @property
    def nothing(self) -> bool:
        """Whether no value is taken."""
        return self.listed and not self.values

    @property
    def everything(self) -> bool:
        """Whether every value is taken, and absence."""
        return not self.listed and not self.values


def equal_to(value: str) -> Demand:
    """The label is there and has this value."""
    return Demand(frozenset([value]), True)


#: Key to demand; a selection without keys takes everything.
Selection = Mapping[str, Demand]


def both(first: Selection, second: Selection) -> Selection | None:
    """What two selections take together; ``None`` if that is nothing."""
    joined = dict(first)
    for key, demand in second.items():
        joined[key] = joined[key].and_(demand) if key in joined else demand
        if joined[key].nothing:
            return None
    return joined


def within(inner: Selection, outer: Selection) -> bool:
    """Whether ``outer`` takes everything that ``inner`` takes."""
    return all(key in inner and inner[key].within(demand) for key, demand in outer.items())


def outside(selections: Iterable[Selection], limit: int) -> list[Selection]:
    """What none of ``selections`` takes, as a union. Raises :class:`OverflowError` beyond ``limit`` parts."""
    rest: list[Selection] = [{}]
    for selection in selections:
        parts: list[Selection] = []
        for part in rest:
            if both(part, selection) is None:
                parts.append(part)
                continue
            for key, demand in selection.items():
                left = both(part, {key: demand.negated()})
                if left is not None:
                    parts.append(left)
        rest = _largest(parts)
        if len(rest) > limit:
            raise OverflowError(len(rest))
    return rest


def _largest(parts: Sequence[Selection]) -> list[Selection]:
    """``parts`` without those that lie within another."""
    kept: list[Selection] = []
    for part in sorted(parts, key=len):
        if not any(within(part, other) for other in kept):
            kept = [other for other in kept if not within(other, part)]
            kept.append(part)
    return kept


def clauses(selection: Selection, key_tag: Callable[[str], str], limit: int) -> list[list[str]]:
    """A selection as alternatives of clauses; ``key_tag`` is a label key's tag key with ``=``.

    Raises :class:`OverflowError` beyond ``limit`` alternatives.
    """
    choices: list[list[list[str]]] = []
    count = 1
    for key, demand in sorted(selection.items()):
        if demand.everything:
            continue
        choices.append(_choices(demand, key_tag(key)))
        count *= len(choices[-1])
        if count > limit:
            raise OverflowError(count)
    return [list(itertools.chain.from_iterable(chosen)) for chosen in itertools.product(*choices)]


def _choices(demand: Demand, prefix: str) -> list[list[str]]:
    named = sorted(value for value in demand.values if value is not None)
    if demand.listed:
        found = [[prefix + tag_value(value)] for value in named]
        return [*found, [f"!{prefix}*"]] if ABSENT in demand.values else found
    there = [f"{prefix}*"] if ABSENT in demand.values else []
    return [[*there, *(f"!{prefix}{tag_value(value)}" for value in named)]]


def tag_value(value: str) -> str:
    """A label's value in a tag. Labels may be empty, tags may not; no label has this value otherwise."""
    return value or "<empty>"
