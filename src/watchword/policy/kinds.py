"""Kinds: units that nothing in a policy tells apart, so that comparisons cost as much as there are kinds.

Two units are of one kind when they are in one namespace and every clause that some ruleset uses holds
for both or for neither (its *vocabulary*). With two worlds they are of one kind when that is so in both.
A kind that a world does not have (its units came or went) has no profile there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from watchword.model.expressions import Expression, clause
from watchword.policy.anchors import key_of
from watchword.policy.world import Ruleset, Unit, World


class Vocabulary(NamedTuple):
    """What rulesets ask of tags: whole tags, and what some tag begins with."""

    exact: frozenset[str]
    prefixes: frozenset[str]

    @classmethod
    def of(cls, rulesets: Iterable[Ruleset]) -> Vocabulary:
        """What these rulesets ask, disabled ones too."""
        expressions: set[Expression] = set()
        for ruleset in rulesets:
            expressions.add(ruleset.subject)
            expressions.update(rule.object for rule in ruleset.incoming)
            expressions.update(rule.object for rule in ruleset.outgoing)
        texts = {text for expression in expressions for alternative in expression for text in alternative}
        clauses = [clause(text) for text in texts]
        return cls(
            frozenset(taken.text for taken in clauses if not taken.prefix),
            frozenset(taken.text for taken in clauses if taken.prefix),
        )

    def __le__(self, other: object) -> bool:
        """Whether ``other`` asks everything that this asks."""
        return isinstance(other, Vocabulary) and self.exact <= other.exact and self.prefixes <= other.prefixes


#: What a vocabulary can see of a unit: its namespace, the tags asked for, and the beginnings.
Sight = tuple[str, frozenset[str], frozenset[str]]


class Kind(NamedTuple):
    """Units that nothing tells apart, and for each world what they are like there (None: not there).

    There is one profile for all worlds if they have the same units.
    """

    number: int
    units: tuple[str, ...]
    profiles: tuple[Unit | None, ...]  # one of them, with only the tags that the vocabulary can see


def kinds(worlds: Sequence[World], vocabulary: Vocabulary) -> tuple[Kind, ...]:
    """All kinds of the units of one world or more; numbered from 0."""
    eye = _Eye(vocabulary)
    first, *others = (world.units for world in worlds)
    if all(units is first for units in others):
        others = []
    sights = {key: eye.sight(unit) for key, unit in first.items()}
    members: defaultdict[tuple[Sight | None, ...], list[str]] = defaultdict(list)
    if others:
        for key in dict.fromkeys(key for units in (first, *others) for key in units):
            rest = (_again(first, units, sights, key, eye) for units in others)
            members[sights.get(key), *rest].append(key)
    else:
        for key, sight in sights.items():
            members[sight,].append(key)
    return tuple(
        Kind(number, tuple(keys), tuple(eye.profile(units.get(keys[0])) for units in (first, *others)))
        for number, keys in enumerate(members.values())
    )


def _again(
    first: Mapping[str, Unit], units: Mapping[str, Unit], sights: Mapping[str, Sight], key: str, eye: _Eye
) -> Sight | None:
    """The sight of a unit in another world than the first, mostly the same object there."""
    unit = units.get(key)
    if unit is None:
        return None
    return sights[key] if first.get(key) is unit else eye.sight(unit)


class _Eye:
    """Sees of units what a vocabulary asks for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._prefixes: defaultdict[str, list[str]] = defaultdict(list)
        for prefix in vocabulary.prefixes:
            self._prefixes[key_of(prefix)].append(prefix)
        self._begun = tuple(vocabulary.prefixes)

    def sight(self, unit: Unit) -> Sight:
        """What is seen of a unit."""
        return unit.namespace, unit.tags & self._vocabulary.exact, self._beginnings(unit.tags)

    def _beginnings(self, tags: frozenset[str]) -> frozenset[str]:
        if not self._prefixes:
            return frozenset()
        found = []
        for tag in tags:
            for prefix in self._prefixes.get(key_of(tag), ()):
                if tag.startswith(prefix):
                    found.append(prefix)
        return frozenset(found)

    def profile(self, unit: Unit | None) -> Unit | None:
        """A unit with only the tags that are seen."""
        if unit is None:
            return None
        seen = unit.tags & self._vocabulary.exact
        if self._begun:
            seen |= {tag for tag in unit.tags if tag.startswith(self._begun)}
        return Unit(unit.id, unit.native_id, unit.name, unit.namespace, unit.enforcer, unit.badge, seen)
