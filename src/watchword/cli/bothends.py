"""What the two ends of a flow have each decided, side by side. Pure: reports in, pairs out.

Each end reports for itself. Two reports are of one flow when they name the same two units, protocol and port, from
opposite ends; of several the one seen nearest in time. A peer without an Enforcer has no report.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

#: Reports further apart than this are of different flows between the same ends.
_APART = datetime.timedelta(minutes=10)

_Ends = tuple[str, str, int, int]


def other_ends(reports: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """ID of a report to the report of the other end, for those that have one among ``reports``."""
    listed = list(reports)
    found: dict[tuple[_Ends, str], list[Mapping[str, Any]]] = {}
    for report in listed:
        found.setdefault((_ends(report), report["reportedBy"]), []).append(report)
    paired = {}
    for report in listed:
        opposite = "Destination" if report["reportedBy"] == "Source" else "Source"
        candidates = found.get((_ends(report), opposite), ()) if _named(report) else ()
        nearest = min(candidates, key=lambda other: _apart(report, other), default=None)
        if nearest is not None and _apart(report, nearest) <= _APART:
            paired[report["ID"]] = nearest
    return paired


def with_other_end(report: Mapping[str, Any], other: Mapping[str, Any] | None) -> dict[str, Any]:
    """A report that says what the other end has decided; ``otherEnd`` is None if that has not reported."""
    fields = ("action", "reason", "policyID", "policyName", "ruleName", "revision", "enforcerName")
    return {**report, "otherEnd": {name: other[name] for name in fields} if other else None}


def _ends(report: Mapping[str, Any]) -> _Ends:
    return report["sourceID"], report["destinationID"], report["protocol"], report["destinationPort"]


def _named(report: Mapping[str, Any]) -> bool:
    return bool(report["sourceID"] and report["destinationID"])


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> datetime.timedelta:
    return abs(datetime.datetime.fromisoformat(one["lastSeen"]) - datetime.datetime.fromisoformat(other["lastSeen"]))
