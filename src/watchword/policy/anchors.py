"""Anchors: under which few terms an expression is filed so that everything it can select finds it.

A *term* is a whole tag, or a key with its equals sign. Everything tagged is filed under its tags and
their keys; an expression under one term of each alternative, which whatever it selects must have.
"""

from __future__ import annotations

from collections.abc import Iterable

from watchword.model.expressions import Clause, Expression, clause


def terms(tags: Iterable[str]) -> set[str]:
    """What something with these tags is filed under: each tag, and each key with its equals sign."""
    found = set()
    for tag in tags:
        found.add(tag)
        found.add(key_of(tag))
    return found


def key_of(text: str) -> str:
    """The key of a tag or clause, with its equals sign."""
    return text[: text.index("=") + 1]


def anchors(expression: Expression) -> set[str]:
    """One term for each alternative; an alternative that selects nothing has none."""
    found = set()
    for alternative in expression:
        needed = [taken for taken in map(clause, alternative) if not taken.negated]
        if needed:
            found.add(_term(min(needed, key=_generality)))
    return found


def _generality(taken: Clause) -> tuple[bool, bool, str]:
    """Exact tags first, and among those the ones that people set: generated ones are shared by many."""
    return taken.prefix, taken.text.startswith(("$", "@")), taken.text


def _term(taken: Clause) -> str:
    return key_of(taken.text) if taken.prefix else taken.text
