"""One session with one Enforcer, from the challenge to its end.

Three tasks share it: one takes the Enforcer's messages in order, one sends policy, one sends settings. Whatever goes
wrong ends this session with a reason; it never touches another session or the process. The end of a
session changes no policy: offline is not gone.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from watchword.console.logs import plain
from watchword.console.store.records import Record
from watchword.console.stream import admission
from watchword.console.stream.channel import Channel, Disconnected
from watchword.console.stream.closing import (
    EVICTED,
    FAULT,
    REPLACED,
    STOPPING,
    TOO_MANY,
    SessionEnded,
)
from watchword.console.stream.intake import Intake
from watchword.console.stream.outlet import Outlet
from watchword.console.stream.parts import StreamParts
from watchword.console.stream.settings import Settler
from watchword.wire.messages import Evicted, Hello, ToEnforcer

log = structlog.get_logger(__name__)

#: Sessions that have not proved who they are, at one time.
UNAUTHENTICATED_LIMIT = 256


class Session:
    """See the module's text."""

    def __init__(self, parts: StreamParts, channel: Channel) -> None:
        self._parts = parts
        self._channel = channel
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: SessionEnded | None = None
        self._settler: Settler | None = None

    async def run(self) -> None:
        """Serve until either side ends it."""
        try:
            hello, record = await self._admit()
            log.info("session begins", enforcer=record.id, name=record.resource.name, source=self._channel.source)
            await self._serve(hello, record)
        except SessionEnded as end:
            log.info("session ends", code=end.code, reason=end.reason, source=self._channel.source)
            await self._channel.close(end.code, end.reason)
        except Disconnected:
            log.info("session lost", source=self._channel.source)
        except Exception as error:
            # Stop this session only: the Enforcer connects again and is served from a clean state.
            log.error("session failed", source=self._channel.source, exception=plain(error))
            await self._channel.close(FAULT, "the Console failed; its log says why")

    async def _admit(self) -> tuple[Hello, Record]:
        hub = self._parts.hub
        if hub.unauthenticated >= UNAUTHENTICATED_LIMIT:
            raise SessionEnded(TOO_MANY, "too many sessions wait to say hello; try again later")
        hub.unauthenticated += 1
        try:
            parts = self._parts
            return await admission.admit(self._channel, parts.database, parts.console_id, parts.random)
        finally:
            hub.unauthenticated -= 1

    async def _serve(self, hello: Hello, record: Record) -> None:
        parts = self._parts
        enforcer = record.id
        intake = Intake(parts, self._channel, record)
        await intake.begin(hello)
        outlet = Outlet(parts, self._channel, enforcer)
        self._settler = settler = Settler(parts, self._channel, enforcer, hello.bounded)
        parts.hub.enter(enforcer, self)
        try:
            intake.announce(hello)  # now that the end of an older session can no longer say the opposite
            await settler.settle()
            parts.publisher.subscribe(outlet)
            self._tasks = [
                asyncio.create_task(outlet.run(hello.revision, hello.digest)),
                asyncio.create_task(intake.run(outlet, settler)),
                asyncio.create_task(settler.run()),
            ]
            await self._until_one_ends()
        finally:
            parts.publisher.unsubscribe(outlet)
            if parts.hub.leave(enforcer, self):
                parts.presence.disconnected(enforcer)
                parts.pings.left(enforcer)

    async def tell(self, message: ToEnforcer) -> None:
        """Send a message beside everything else; nothing if the Enforcer has gone."""
        with contextlib.suppress(Disconnected):
            await self._channel.send(message)

    def unsettle(self) -> None:
        """The Enforcer's settings may have changed."""
        if self._settler is not None:
            self._settler.wake()

    async def _until_one_ends(self) -> None:
        try:
            if self._ending is not None:  # asked for before the tasks were there
                raise self._ending
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in self._tasks:
                task.cancel()
            results = await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._ending is not None:
            raise self._ending
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _end(self, code: int, reason: str) -> None:
        self._ending = SessionEnded(code, reason)
        for task in self._tasks:
            task.cancel()

    async def replaced(self) -> None:
        """End it because the same Enforcer has another session."""
        self._end(REPLACED, "another session of this Enforcer took over")

    async def stopping(self) -> None:
        """End it because the Console stops."""
        self._end(STOPPING, "the Console stops")

    async def evicted(self) -> None:
        """End it because the Enforcer was deleted."""
        reason = "this Enforcer was deleted; install it anew with a new key"
        try:
            await self._channel.send(Evicted(reason=reason))
        except Disconnected:
            return
        self._end(EVICTED, reason)
