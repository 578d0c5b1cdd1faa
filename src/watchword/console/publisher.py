"""From a committed change to policy on its way to every connected Enforcer.

1. The first change after a pause is pushed at once; changes that follow within :data:`COALESCE` are
   pushed together, so that a burst costs one rendering.
2. Each session renders for itself, always the newest world: a slow Enforcer gets fewer, larger deltas
   and holds nobody up.
3. A document's revision is the world's; every connected Enforcer gets every pushed revision, changed or
   not, so that it can acknowledge it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

from watchword.console.changes import Effect
from watchword.console.roster import Roster
from watchword.policy.render import Renderer
from watchword.wire.policy import PolicyDocument

#: Seconds within which changes are pushed together.
COALESCE = 0.02


class Subscriber(Protocol):
    """Somebody who wants to hear of new worlds."""

    def wake(self) -> None:
        """There is a new world; called on the event loop, must not block."""


class Publisher:
    """Tells subscribers of new worlds and renders documents from the newest one."""

    def __init__(self, roster: Roster, coalesce: float = COALESCE) -> None:
        self.roster = roster
        self._coalesce = coalesce
        self._renderer = Renderer()
        self._subscribers: set[Subscriber] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._pushed = -coalesce

    def subscribe(self, subscriber: Subscriber) -> None:
        """Wake ``subscriber`` at every push."""
        self._subscribers.add(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Stop doing so."""
        self._subscribers.discard(subscriber)

    def follow(self, revision: int, effects: list[Effect]) -> None:
        """Take over a committed revision and see to it that it is pushed."""
        self.roster.follow(revision, effects)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._pushed + self._coalesce), self._push)

    def _push(self) -> None:
        self._timer = None
        self._pushed = asyncio.get_running_loop().time()
        for subscriber in tuple(self._subscribers):
            subscriber.wake()

    def document(self, enforcer: str, asked: Collection[int]) -> PolicyDocument:
        """The newest document of one Enforcer. Raises :class:`LookupError` when it is gone."""
        return self._renderer.render(self.roster.world, enforcer, asked)
