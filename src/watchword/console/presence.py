"""What is known of each Enforcer from moment to moment: connected or not, which revision it enforces.

Kept in memory, where convergence is asked for, and written to the store a little later: telemetry makes
no activity, no revision and no new version of the resource. What is lost in a crash is told again when
the Enforcers reconnect.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update

from watchword.console.changes import Effect
from watchword.console.lifecycle import ENFORCER
from watchword.console.store import records
from watchword.console.store.database import Database
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES

#: Without a session for this long an Enforcer counts as unreachable.
UNREACHABLE_AFTER = datetime.timedelta(minutes=5)


@dataclass
class State:
    """One Enforcer now."""

    id: str
    name: str
    namespace: str
    status: str
    enforced: int
    refused: int
    refused_reason: str
    seen: datetime.datetime
    unreachable: bool = False
    lost: int = 0


class Presence:
    """The present state of all Enforcers."""

    def __init__(self, database: Database, clock: Callable[[], datetime.datetime]) -> None:
        self._database = database
        self._clock = clock
        self.states: dict[str, State] = {}
        self._unwritten: dict[str, dict[str, Any]] = {}
        self._news = asyncio.Event()

    async def load(self) -> None:
        """Start from the store; nobody is connected yet."""
        table = TABLES["enforcer"]
        async with self._database.writing() as connection:
            connected = table.c.operational_status == "Connected"
            await connection.execute(update(table).where(connected).values(operational_status="Disconnected"))
            for record in await records.everything(connection, ENFORCER):
                self._add(record)

    def _add(self, record: Record) -> None:
        enforcer = record.resource
        self.states[enforcer.id] = State(
            id=enforcer.id,
            name=enforcer.name,
            namespace=enforcer.namespace,
            status=enforcer.operational_status,
            enforced=enforcer.enforced_revision,
            refused=enforcer.refused_revision,
            refused_reason=enforcer.refused_reason,
            seen=enforcer.last_sync_time or self._clock(),
            unreachable=enforcer.unreachable,
            lost=enforcer.lost_reports,
        )

    def follow(self, revision: int, effects: Iterable[Effect]) -> None:
        """Take over Enforcers that have come or gone."""
        for before, after in effects:
            record = after or before
            if record is None or record.kind is not ENFORCER:
                continue
            if after is None:
                self.states.pop(record.id, None)
                self._unwritten.pop(record.id, None)
            elif before is None:
                self._add(record)
        self._tell()

    def note(self, enforcer: str, **columns: Any) -> None:
        """Remember column values, to be written soon."""
        if enforcer in self.states:
            self._unwritten.setdefault(enforcer, {}).update(columns)

    def connected(self, enforcer: str, **columns: Any) -> None:
        """A session has begun."""
        self._set_status(enforcer, "Connected", columns)

    def disconnected(self, enforcer: str) -> None:
        """The session has ended; policy is not touched by that."""
        self._set_status(enforcer, "Disconnected", {})

    def _set_status(self, enforcer: str, status: str, columns: dict[str, Any]) -> None:
        state = self.states.get(enforcer)
        if state is not None:
            state.status, state.seen, state.unreachable = status, self._clock(), False
            columns |= {"operational_status": status, "last_sync_time": state.seen, "unreachable": False}
            self.note(enforcer, **columns)
            self._tell()

    def heard(self, enforcer: str) -> None:
        """A message has arrived."""
        state = self.states.get(enforcer)
        if state is not None:
            state.seen = self._clock()

    def enforced(self, enforcer: str, revision: int) -> None:
        """The Enforcer's kernel decides by ``revision``."""
        state = self.states.get(enforcer)
        if state is not None:
            state.enforced = revision
            self.note(enforcer, enforced_revision=revision)
            if state.refused and revision >= state.refused:
                state.refused, state.refused_reason = 0, ""
                self.note(enforcer, refused_revision=0, refused_reason="")
            self._tell()

    def refused(self, enforcer: str, revision: int, reason: str) -> None:
        """The Enforcer could not take ``revision``."""
        state = self.states.get(enforcer)
        if state is not None:
            state.refused, state.refused_reason = revision, reason
            self.note(enforcer, refused_revision=revision, refused_reason=reason)
            self._tell()

    def lost_reports(self, enforcer: str, count: int) -> None:
        """``count`` further observations (flows, look-ups) found no room on the host."""
        state = self.states.get(enforcer)
        if state is not None and count:
            state.lost += count
            self.note(enforcer, lost_reports=state.lost)

    def stragglers(self, revision: int) -> list[State]:
        """Enforcers that do not enforce ``revision`` or a later one, by name."""
        behind = (state for state in self.states.values() if state.enforced < revision)
        return sorted(behind, key=lambda state: (state.name, state.id))

    async def news(self, seconds: float) -> None:
        """Wait until something changes that :meth:`stragglers` depends on, or the time is over."""
        news = self._news
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def write(self) -> None:
        """Bring the store up to date."""
        now = self._clock()
        for state in self.states.values():
            silent = state.status != "Connected" and now - state.seen > UNREACHABLE_AFTER
            if silent and not state.unreachable:
                state.unreachable = True
                self.note(state.id, unreachable=True)
        unwritten, self._unwritten = self._unwritten, {}
        if not unwritten:
            return
        async with self._database.writing() as connection:
            for enforcer, columns in unwritten.items():
                if enforcer in self.states:
                    columns["last_sync_time"] = self.states[enforcer].seen
                    await records.set_fields(connection, ENFORCER, enforcer, **columns)
