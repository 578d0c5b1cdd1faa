"""Bodies of requests: JSON to values, values to structs, and what is wrong with them as problems."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, TypeVar

import msgspec

from watchword.console.problems import Problem, invalid
from watchword.model import decoding

T = TypeVar("T")


def convert(value: Any, into: type[T]) -> T:
    """``value`` as ``into``. Raises :class:`Problem` naming every wrong field."""
    try:
        return decoding.convert(value, into)
    except decoding.Undecodable as error:
        raise invalid(*error.errors) from None


def parse(body: bytes) -> Any:
    """``body`` as JSON. Raises :class:`Problem`."""
    try:
        value = msgspec.json.decode(body)
        json.loads(body, object_pairs_hook=_once)  # msgspec takes the last of two without a word
        return value
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("malformed", f"the body is not JSON: {error}") from None
    except RecursionError:
        raise Problem("malformed", "the body is nested too deeply") from None


def _once(fields: list[tuple[str, Any]]) -> None:
    """Refuse an object that says a thing twice: which of the two would hold is anybody's guess (RFC 8259, 4)."""
    counts = Counter(name for name, _ in fields)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise Problem(
            "malformed",
            f"{', '.join(repr(name[:80]) for name in twice[:5])} is there more than once in one object; write it once",
        )
