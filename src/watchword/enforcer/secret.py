"""A value that must not be printed."""

from __future__ import annotations


class Secret:
    """Text whose only way out is :meth:`reveal`; logs, errors and tracebacks show dots."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__
