"""From a committed change to policy on its way to every connected Enforcer.

1. Every committed change goes through the engine at once: it says how each Enforcer's document changes,
   and that is noted with what the Enforcer holds. Nobody compares documents.
2. The first change after a pause is pushed at once; changes that follow within :data:`COALESCE` are
   pushed together, so that a burst costs one delta.
3. Each session sends for itself, always up to the newest revision: a slow Enforcer gets fewer, larger
   deltas and holds nobody up.
4. A document's revision is the world's; every connected Enforcer gets every pushed revision, changed or
   not, so that it can acknowledge it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from watchword.console.changes import Effect
from watchword.console.holdings import Holding
from watchword.console.roster import Roster
from watchword.console.store.records import Record
from watchword.policy.engine import Engine
from watchword.policy.engine.loading import undisturbed
from watchword.wire.policy import PolicyDelta, PolicyDocument

#: Seconds within which changes are pushed together.
COALESCE = 0.02


class Subscriber(Protocol):
    """Somebody who wants to hear of new worlds."""

    def wake(self) -> None:
        """There is a new world; called on the event loop, must not block."""


class Publisher:
    """Follows changes, remembers what Enforcers hold, and tells subscribers of new revisions."""

    def __init__(self, roster: Roster, coalesce: float = COALESCE) -> None:
        self.roster = roster
        self.engine = Engine()
        self._coalesce = coalesce
        self._holdings: dict[str, Holding] = {}
        self._subscribers: set[Subscriber] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._pushed = -coalesce

    def subscribe(self, subscriber: Subscriber) -> None:
        """Wake ``subscriber`` at every push."""
        self._subscribers.add(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Stop doing so."""
        self._subscribers.discard(subscriber)

    def load(self, revision: int, stored: Iterable[Record]) -> None:
        """Start from everything that is stored."""
        with undisturbed():
            self.engine.load(revision, self.roster.follow(revision, [(None, record) for record in stored]))

    def follow(self, revision: int, effects: list[Effect]) -> None:
        """Take over a committed revision and see to it that it is pushed."""
        publication = self.engine.apply(revision, self.roster.follow(revision, effects))
        for enforcer, amendment in publication.amendments.items():
            holding = self._holdings.get(enforcer)
            if holding is not None:
                holding.follow(amendment)
        for before, after in effects:
            if before is not None and after is None:
                self._holdings.pop(before.id, None)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._pushed + self._coalesce), self._push)

    def _push(self) -> None:
        self._timer = None
        self._pushed = asyncio.get_running_loop().time()
        for subscriber in tuple(self._subscribers):
            subscriber.wake()

    def holding(self, enforcer: str) -> Holding:
        """What an Enforcer holds, as far as is known."""
        return self._holdings.setdefault(enforcer, Holding())

    def ask(self, enforcer: str, badge: int) -> None:
        """Include ``badge`` in an Enforcer's document from now on; nothing happens when the Enforcer is gone."""
        if enforcer in self.engine:
            holding = self.holding(enforcer)
            holding.ask(badge)
            holding.follow(self.engine.ask(enforcer, holding.asked))

    def resume(self, enforcer: str, revision: int, digest: bytes) -> None:
        """An Enforcer says what it holds: remember what that is, if it can be known."""
        holding = self.holding(enforcer)
        if holding.resume(revision, digest) or enforcer not in self.engine:
            return
        # After a restart of the Console, or a long absence: if the document is still the same, a delta will do.
        if 0 < revision <= self.engine.revision and self.engine.digest(enforcer, revision) == digest:
            holding.sent(revision, digest)

    def next(self, enforcer: str) -> tuple[PolicyDelta | PolicyDocument, bytes]:
        """What to send an Enforcer now, and the digest of the document that it will have then.

        A delta, or the whole document when it is not known what the Enforcer holds. Raises
        :class:`LookupError` when the Enforcer is gone.
        """
        engine, holding = self.engine, self.holding(enforcer)
        digest = engine.digest(enforcer)
        changes, base = holding.changes(), holding.revision
        holding.sent(engine.revision, digest)
        if changes is None:
            return engine.document(enforcer), digest
        return changes.delta(base, engine.revision), digest
