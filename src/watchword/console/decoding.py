"""Bodies of requests: JSON to values, values to structs, and what is wrong with them as problems."""

from __future__ import annotations

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
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("malformed", f"the body is not JSON: {error}") from None
    except RecursionError:
        raise Problem("malformed", "the body is nested too deeply") from None
