"""The values of a template: ``--set a.b=c`` and ``--values FILE``, later ones over earlier ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from watchword.exchange.notes import Unreadable

_KEY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_INTEGER = re.compile(r"(?:0|-?[1-9][0-9]{0,17})\Z")  # printed as it was given
_DEPTH_LIMIT = 20


def merged(files: Sequence[tuple[str, Any]], assignments: Sequence[str]) -> dict[str, Any]:
    """All values: of ``files`` (name and content) in their order, then ``assignments``. Raises :class:`Unreadable`."""
    values: dict[str, Any] = {}
    for source, content in files:
        if not isinstance(content, dict):
            raise Unreadable(source, "is no mapping", "write name: value, one a line")
        values = _over(values, content)
    for assignment in assignments:
        values = _over(values, _assigned(assignment))
    return values


def _over(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    both = dict(lower)
    for key, value in upper.items():
        below = both.get(key)
        both[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return both


def _assigned(assignment: str) -> dict[str, Any]:
    key, equals, text = assignment.partition("=")
    if not equals or not _KEY.match(key) or key.count(".") >= _DEPTH_LIMIT:
        raise Unreadable(f"--set {key}", "is not name=value", "write --set name=value or --set group.name=value")
    value: Any = _list(text) if text.startswith("{") and text.endswith("}") else _scalar(text)
    for name in reversed(key.split(".")):
        value = {name: value}
    return dict(value)


def _list(text: str) -> list[Any]:
    return [_scalar(item.strip()) for item in text[1:-1].split(",")] if text != "{}" else []


def _scalar(text: str) -> Any:
    """A value of the command line: true, false, a whole number, or its text."""
    if text in ("true", "false"):
        return text == "true"
    return int(text) if _INTEGER.match(text) else text
