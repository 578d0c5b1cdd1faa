"""What is found of one requirement, and what all findings together mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

#: ``degraded`` runs, with less than is required or promised; ``skip`` says that it was not or could not be asked.
Result = Literal["pass", "degraded", "fail", "skip"]

_WORST: tuple[Result, ...] = ("fail", "degraded", "pass")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one requirement. ``detail`` says why, ``remedy`` what to do about it."""

    group: str
    name: str
    result: Result
    detail: str
    remedy: str = ""


def worst(findings: Iterable[Finding]) -> Result:
    """The result of all together; ``skip`` if nothing was asked."""
    found = {finding.result for finding in findings}
    return next((result for result in _WORST if result in found), "skip")
