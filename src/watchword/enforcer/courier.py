"""Carrying reports to the Console: one of a kind at a time, and again as long as it is not answered."""

from __future__ import annotations

import asyncio
import contextlib
import time

from watchword.enforcer.addressbook import AddressBook
from watchword.enforcer.datapath.base import Datapath, DatapathError
from watchword.enforcer.errors import StorageError
from watchword.enforcer.link import Link
from watchword.enforcer.lookupreports import LookupBatches
from watchword.enforcer.reports import Reports

_RESEND_AFTER = 30.0
#: Seconds between two reports at the most, whatever anybody says.
LONGEST = 3600.0

#: Seconds between looks at look-ups, at least: each reads the kernel's whole table.
_LOOKUPS_EVERY = 3.0


class _Line:
    """Reports of one kind, and when they are due."""

    def __init__(self, batches: Reports | LookupBatches, every: float, problem: str, text: str) -> None:
        self.batches = batches
        self.every = every
        self.problem, self.text = problem, text
        self.looked = self.sent = float("-inf")


class Courier:
    """Brings reports over ``link``. What goes wrong is noted in ``problems``."""

    def __init__(
        self,
        reports: Reports,
        lookups: LookupBatches,
        datapath: Datapath,
        book: AddressBook,
        link: Link,
        problems: dict[str, str],
    ) -> None:
        self._flows = _Line(reports, 0.0, "reports", "flows")
        self._lookups = _Line(lookups, _LOOKUPS_EVERY, "lookups", "look-ups")
        self._datapath = datapath
        self._book = book
        self._link = link
        self._problems = problems
        self._hurried = asyncio.Event()

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
        for line in (self._flows, self._lookups):
            if line.batches.pending() is not None:
                if time.monotonic() - line.sent > _RESEND_AFTER:
                    self._send(line)
            elif time.monotonic() - line.looked >= line.every:
                line.looked = time.monotonic()
                self._look(line)

    def _look(self, line: _Line) -> None:
        try:
            line.batches.next(self._datapath, self._book)
            self._problems.pop(line.problem, None)
        except DatapathError as error:  # what was counted stays counted; the next look reports it
            self._problems[line.problem] = f"{line.text} could not be read: {error}"
        except StorageError as error:  # likewise
            self._problems[line.problem] = f"{line.text} are counted, but not reported: {error}"
        else:
            self._send(line)

    def stored(self, sequence: int, *, lookups: bool) -> None:
        """The Console has all reports of a kind up to ``sequence``."""
        line = self._lookups if lookups else self._flows
        line.batches.stored(sequence, self._datapath)

    def resend(self) -> None:
        """Send what a session before this one left unanswered."""
        for line in (self._flows, self._lookups):
            self._send(line)

    def _send(self, line: _Line) -> None:
        batch = line.batches.pending()
        if batch is not None and self._link.submit(batch):
            line.sent = time.monotonic()
