"""Decoded JSON or YAML to structs, with every error at its own place.

What is wrong is found by :mod:`watchword.model.limits`, from the declarations.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from typing import Any, TypeVar, cast

import msgspec

from watchword.model import limits
from watchword.model.problems import Invalid

T = TypeVar("T")

#: At most this many errors are reported at once.
ERROR_LIMIT = 20


class Undecodable(ValueError):  # noqa: N818 - read as that: the value cannot be decoded
    """A value that is no such struct; ``errors`` has at least one."""

    def __init__(self, errors: list[Invalid]) -> None:
        super().__init__(str(errors[0]))
        self.errors = errors


def convert(value: Any, into: type[T]) -> T:
    """``value`` as ``into``. Raises :class:`Undecodable` naming every wrong field."""
    found = list(itertools.islice(limits.violations(value, limits.declared(cast(Hashable, into))), ERROR_LIMIT))
    if found:
        raise Undecodable(found)
    try:
        return msgspec.convert(value, into)
    except msgspec.ValidationError as error:  # of types that only the Console sets, such as times
        message, _, where = str(error).partition(" - at ")
        path = where.strip("`").removeprefix("$.") or "body"
        raise Undecodable([Invalid(path, message[:1].lower() + message[1:], "leave it out")]) from None
