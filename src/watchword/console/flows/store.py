"""What the Console asks of a store of reports (flows, look-ups), whichever it is."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from watchword.model.declarations import Resource
from watchword.model.filters import Filter
from watchword.model.resources import DNSLookupReport, FlowReport

R = TypeVar("R", bound=Resource)

#: A cursor that stands before every report.
BEGINNING = ""


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """Which reports to read. ``after`` is the ID of the last report seen, in the direction of reading."""

    namespace: str
    recursive: bool = False
    where: Filter | None = None
    after: str = BEGINNING
    newest_first: bool = False
    limit: int = 100


class ReportStore(Protocol[R]):
    """Keeps reports of one kind in the order in which they arrived; their IDs ascend in that order."""

    async def append(self, enforcer: str, sequence: int, reports: Sequence[R]) -> int | None:
        """Store a batch with a new ID for each report; the newest number stored, if it or a later one is already.

        When this returns None, the batch survives a crash.
        """

    async def query(self, query: ReportQuery) -> list[R]:
        """Reports in order. Raises :class:`watchword.model.problems.Invalid` for a field that is not one."""

    def newest(self) -> str:
        """The ID of the newest report, :data:`BEGINNING` before the first."""

    async def arrived(self, seen: str, seconds: float) -> bool:
        """Wait until a report newer than ``seen`` is there, or the time is over (false)."""

    async def forget_before(self, time: datetime.datetime) -> int:
        """Drop reports stored before ``time``; returns how many."""


class ReportStores(Protocol):
    """All that is reported, each kind in its store."""

    @property
    def flows(self) -> ReportStore[FlowReport]:
        """Flow reports."""

    @property
    def lookups(self) -> ReportStore[DNSLookupReport]:
        """DNS look-up reports."""

    async def forget_before(self, time: datetime.datetime) -> int:
        """Drop reports of all kinds stored before ``time``; returns how many."""

    async def close(self) -> None:
        """Let go of files and connections."""
