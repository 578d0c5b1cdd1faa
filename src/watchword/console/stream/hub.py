"""All sessions: one for each Enforcer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Protocol

from watchword.console.changes import Effect
from watchword.console.lifecycle import ENFORCER
from watchword.wire.messages import ToEnforcer


class Ending(Protocol):
    """A session, as far as others may end it."""

    async def replaced(self) -> None:
        """End it because the same Enforcer has another one."""

    async def evicted(self) -> None:
        """End it because the Enforcer was deleted."""

    async def stopping(self) -> None:
        """End it because the Console stops."""

    async def tell(self, message: ToEnforcer) -> None:
        """Send the Enforcer a message; nothing if it has gone."""

    def unsettle(self) -> None:
        """The Enforcer's settings may have changed; must not block."""


class Hub:
    """Which Enforcer is connected."""

    def __init__(self) -> None:
        self._sessions: dict[str, Ending] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.unauthenticated = 0

    def connected(self, enforcer: str) -> bool:
        """Whether an Enforcer has a session."""
        return enforcer in self._sessions

    def tell(self, enforcer: str, message: ToEnforcer) -> bool:
        """Send an Enforcer a message beside everything else; False when it has no session."""
        session = self._sessions.get(enforcer)
        if session is None:
            return False
        self._begin(session.tell(message))
        return True

    def enter(self, enforcer: str, session: Ending) -> None:
        """Make ``session`` the one of its Enforcer; an older one ends."""
        older = self._sessions.get(enforcer)
        self._sessions[enforcer] = session
        if older is not None:
            self._begin(older.replaced())

    def leave(self, enforcer: str, session: Ending) -> bool:
        """Forget a session that has ended; false if another one has taken its place already."""
        if self._sessions.get(enforcer) is not session:
            return False
        del self._sessions[enforcer]
        return True

    def release(self, enforcer: str) -> None:
        """Forget the session of an Enforcer that is about to end by its own wish."""
        self._sessions.pop(enforcer, None)

    def follow(self, revision: int, effects: list[Effect]) -> None:
        """End the sessions of Enforcers that were deleted."""
        for before, after in effects:
            if before is not None and after is None and before.kind is ENFORCER:
                session = self._sessions.pop(before.id, None)
                if session is not None:
                    self._begin(session.evicted())

    def unsettle(self, enforcers: Iterable[str] | None = None) -> None:
        """The settings of these Enforcers may have changed; without a list those of all."""
        for enforcer in list(self._sessions) if enforcers is None else enforcers:
            session = self._sessions.get(enforcer)
            if session is not None:
                session.unsettle()

    async def close(self) -> None:
        """End all sessions."""
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            self._begin(session.stopping())
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
