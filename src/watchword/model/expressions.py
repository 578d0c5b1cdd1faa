"""Tag expressions: ``[["a=1","b=2"],["c=3"]]`` is (a=1 and b=2) or c=3.

Clauses are compared exactly, as whole tags. Three further forms exist and have to be written out to
have any effect; an expression without them means what it means everywhere in the product family:

| clause | holds when the object has |
|---|---|
| ``key=*`` | some tag of that key |
| ``key=prefix*`` | some tag of that key whose value begins with the prefix |
| ``!clause`` | no tag for which the clause holds |

Empty never means everything: there is no empty expression, no empty alternative, and an alternative
needs at least one clause that is not negated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from watchword.model import tags
from watchword.model.problems import Invalid

#: Alternatives, each a conjunction of clauses.
Expression = tuple[tuple[str, ...], ...]


class Clause(NamedTuple):
    """A clause taken apart: the text an object's tag must equal or begin with."""

    text: str
    prefix: bool
    negated: bool

    def holds(self, tags_: frozenset[str]) -> bool:
        """Whether the clause holds for an object with these tags."""
        found = any(tag.startswith(self.text) for tag in tags_) if self.prefix else self.text in tags_
        return found != self.negated


def parse(value: Sequence[Sequence[str]], path: str = "expression") -> Expression:
    """``value`` as an expression, in the order given. Raises :class:`Invalid`."""
    if not value:
        raise Invalid(path, "is empty and would select nothing", "name at least one tag, such as [['app=web']]")
    expression: list[tuple[str, ...]] = []
    seen: set[frozenset[str]] = set()
    for index, alternative in enumerate(value):
        where = f"{path}[{index}]"
        if not alternative:
            raise Invalid(where, "is empty", "name at least one tag, or leave the alternative out")
        for position, text in enumerate(alternative):
            _check_clause(text, f"{where}[{position}]")
        if len(set(alternative)) < len(alternative):
            raise Invalid(where, "names a tag twice", "leave one of them out")
        if all(text.startswith("!") for text in alternative):
            raise Invalid(where, "has only negations", "add a clause that is not negated, such as $type=*")
        if frozenset(alternative) in seen:
            raise Invalid(where, "repeats an earlier alternative", "leave one of them out")
        seen.add(frozenset(alternative))
        expression.append(tuple(alternative))
    return tuple(expression)


def restrict(expression: Expression, prefixes: Sequence[str], path: str = "expression") -> None:
    """Refuse clauses outside a namespace's ``tagPrefixes``; no prefixes at all restrict nothing.

    Raises :class:`Invalid`: a clause that may never match is an error when it is written, not a
    ruleset that silently does nothing.
    """
    for index, alternative in enumerate(expression if prefixes else ()):
        for position, text in enumerate(alternative):
            if not text.removeprefix("!").startswith(tuple(prefixes)):
                raise Invalid(
                    f"{path}[{index}][{position}]",
                    f"{text!r} begins with none of this namespace's tagPrefixes",
                    f"use a tag beginning with {', '.join(prefixes)}, or extend tagPrefixes",
                )


def normalised(expression: Expression) -> Expression:
    """The same expression in the one spelling shared by all that mean the same clauses."""
    return tuple(sorted({tuple(sorted(set(alternative))) for alternative in expression}))


def clause(text: str) -> Clause:
    """A clause taken apart."""
    negated = text.startswith("!")
    text = text[1:] if negated else text
    return Clause(text[:-1], True, negated) if text.endswith("*") else Clause(text, False, negated)


def matches(expression: Expression, tags_: frozenset[str]) -> bool:
    """Whether an object with these tags is selected.

    What :func:`parse` refuses selects nothing here: an empty expression or alternative, and an
    alternative that has only negations.
    """
    return any(_holds(alternative, tags_) for alternative in expression)


def _holds(alternative: tuple[str, ...], tags_: frozenset[str]) -> bool:
    positive = False
    for text in alternative:
        taken = clause(text)
        if not taken.holds(tags_):
            return False
        positive = positive or not taken.negated
    return positive


def _check_clause(text: str, path: str) -> None:
    tags.check(text.removeprefix("!"), path)
