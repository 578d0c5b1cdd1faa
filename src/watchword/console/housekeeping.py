"""What the Console does by itself, on its own clock: write presence, renew certificates, forget the old.

Each job fails alone and is tried again at its next turn; the log says so.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
import structlog
from sqlalchemy import delete, select

from watchword.console import history, trust
from watchword.console.changes import ACTIVITY, Author, Changes
from watchword.console.flows.store import ReportStores
from watchword.console.lifecycle import ENFORCER, UNIT
from watchword.console.logs import plain
from watchword.console.presence import Presence
from watchword.console.store import records
from watchword.console.store.database import Database
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES, answers

log = structlog.get_logger(__name__)

#: How long a unit that is gone keeps its ID, badge and tags for its return.
UNIT_MEMORY = datetime.timedelta(days=7)
ANSWER_MEMORY = datetime.timedelta(hours=24)
ACTIVITY_LIMIT = 50_000

AUTHOR = Author("console")


class _Job(NamedTuple):
    seconds: float
    run: Callable[[], Awaitable[None]]


class Housekeeping:
    """The Console's periodic jobs."""

    def __init__(
        self,
        database: Database,
        changes: Changes,
        presence: Presence,
        reports: ReportStores,
        clock: Callable[[], datetime.datetime],
        certify: Callable[[Record], str],
        renew_server_certificate: Callable[[], None],
        flow_days: int,
    ) -> None:
        self._database = database
        self._changes = changes
        self._presence = presence
        self._reports = reports
        self._clock = clock
        self._certify = certify
        self._renew_server_certificate = renew_server_certificate
        self._flow_memory = datetime.timedelta(days=flow_days)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin all jobs."""
        jobs = (
            _Job(0.5, self._presence.write),
            _Job(600.0, self.forget),
            _Job(3600.0, self.renew_certificates),
        )
        self._tasks = [asyncio.create_task(self._repeat(job)) for job in jobs]

    async def stop(self) -> None:
        """End all jobs; presence is written a last time."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._presence.write()

    async def _repeat(self, job: _Job) -> None:
        while True:
            await asyncio.sleep(job.seconds)
            try:
                await job.run()
            except Exception as error:
                log.error("housekeeping failed; it is tried again", job=job.run.__qualname__, exception=plain(error))

    async def renew_certificates(self) -> None:
        """Renew what nears its end: the TLS certificate, and Enforcers' certificates, connected or not."""
        self._renew_server_certificate()
        now = self._clock()
        async with self._database.reading() as connection:
            found = await records.everything(connection, ENFORCER)
        due = [record.id for record in found if trust.renewal_due(record.resource.certificate, now)]
        if not due:
            return
        async with self._changes.begin(AUTHOR) as change:
            for record in await records.find(change.connection, ENFORCER, TABLES["enforcer"].c.id.in_(due)):
                fresh = msgspec.structs.replace(record.resource, certificate=self._certify(record))
                await change.update(record, fresh)

    async def forget(self) -> None:
        """Forget units long gone, old answers, old activities and old reports."""
        now = self._clock()
        units = TABLES["processingunit"]
        async with self._changes.begin(AUTHOR) as change:
            gone = await records.find(change.connection, UNIT, units.c.retired_time < now - UNIT_MEMORY)
            for record in gone:
                await change.delete(record)
        activities = TABLES[ACTIVITY.singular]
        newest = select(activities.c.id).order_by(activities.c.id.desc()).offset(ACTIVITY_LIMIT).limit(1)
        async with self._database.writing() as connection:
            await history.forget(connection)
            await connection.execute(delete(answers).where(answers.c.time < now - ANSWER_MEMORY))
            limit = await connection.scalar(newest)
            if limit is not None:
                await connection.execute(delete(activities).where(activities.c.id <= limit))
        await self._reports.forget_before(now - self._flow_memory)
