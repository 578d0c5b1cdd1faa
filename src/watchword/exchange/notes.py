"""What a translation has to say besides its result, and how it fails.

Nothing is dropped in silence: whatever the other side has no word for becomes a :class:`Note`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """One remark about one place of the source.

    ``place`` is where (``data.networkrulesetpolicies[0].name``, ``NetworkPolicy shop/web``). ``lost``
    says that something the source means is not in the result, so that ``--strict`` refuses it; otherwise the
    result means the same in other words.
    """

    place: str
    message: str
    lost: bool = True

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class Unreadable(ValueError):  # noqa: N818 - read as: except Unreadable
    """A text that cannot be taken at all. ``place`` names file, document and line as far as known."""

    def __init__(self, place: str, message: str, remedy: str) -> None:
        super().__init__(place, message, remedy)
        self.place = place
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.place}: {self.message}; {self.remedy}"
