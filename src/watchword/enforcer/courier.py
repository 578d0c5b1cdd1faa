"""Carrying flow reports to the Console: one at a time, and again as long as it is not answered."""

from __future__ import annotations

import asyncio
import contextlib
import time

from watchword.enforcer.addressbook import AddressBook
from watchword.enforcer.datapath.base import Datapath, DatapathError
from watchword.enforcer.errors import StorageError
from watchword.enforcer.link import Link
from watchword.enforcer.reports import Reports
from watchword.wire.messages import FlowReports

_RESEND_AFTER = 30.0
#: Seconds between two reports at the most, whatever anybody says.
LONGEST = 3600.0


class Courier:
    """Brings ``reports`` over ``link``. What goes wrong is noted in ``problems``."""

    def __init__(
        self, reports: Reports, datapath: Datapath, book: AddressBook, link: Link, problems: dict[str, str]
    ) -> None:
        self._reports = reports
        self._datapath = datapath
        self._book = book
        self._link = link
        self._problems = problems
        self._hurried = asyncio.Event()
        self._sent = 0.0

    async def due(self, interval: float) -> None:
        """Wait ``interval`` seconds, :data:`LONGEST` at most, or until :meth:`hurry`."""
        self._hurried.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(max(0.1, interval), LONGEST)):
                await self._hurried.wait()

    def hurry(self) -> None:
        """The interval is another: a shorter one does not wait for the end of a long one."""
        self._hurried.set()

    def report(self) -> None:
        """Send what was counted since the last report, or that one again when its answer is overdue."""
        pending = self._reports.pending()
        if pending is None:
            try:
                self._send(self._reports.next(self._datapath, self._book))
                self._problems.pop("reports", None)
            except DatapathError as error:  # what was counted stays counted; the next look reports it
                self._problems["reports"] = f"flows could not be read: {error}"
            except StorageError as error:  # likewise
                self._problems["reports"] = f"flows are counted, but not reported: {error}"
        elif time.monotonic() - self._sent > _RESEND_AFTER:
            self._send(pending)

    def resend(self) -> None:
        """Send what a session before this one left unanswered."""
        self._send(self._reports.pending())

    def _send(self, batch: FlowReports | None) -> None:
        if batch is not None and self._link.submit(batch):
            self._sent = time.monotonic()
