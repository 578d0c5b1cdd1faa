"""Policy on its way to one Enforcer: first what it lacks, then every new world, signed.

1. What was sent is remembered (:class:`watchword.console.stream.hub.Holding`); the next delta starts
   from there. The signature is over the digest of the whole resulting document.
2. While one message is being sent, newer worlds replace each other: only the newest is rendered.
3. An Enforcer that refuses a delta gets a snapshot at once; one that refuses a snapshot keeps what it
   has until there is something newer.
"""

from __future__ import annotations

import asyncio

from watchword.console.stream.channel import Channel
from watchword.console.stream.parts import StreamParts
from watchword.identity.signatures import sign_revision
from watchword.wire.messages import Delta, Snapshot
from watchword.wire.policy import PolicyDocument, difference, digest


class Outlet:
    """Sends policy to one Enforcer."""

    def __init__(self, parts: StreamParts, channel: Channel, enforcer: str) -> None:
        self._parts = parts
        self._channel = channel
        self._enforcer = enforcer
        self._holding = parts.hub.holding(enforcer)
        self._woken = asyncio.Event()
        self._again = False  # send even if the revision is the one sent last
        self._sent_delta = False  # the last message was a delta

    @property
    def sent(self) -> int:
        """The newest revision sent; 0 before the first."""
        document = self._holding.document
        return document.revision if document is not None else 0

    def wake(self) -> None:
        """There is a new world."""
        self._woken.set()

    def ask(self, badge: int) -> None:
        """Include the unit that ``badge`` names."""
        self._holding.ask(badge)
        self._again = True
        self._woken.set()

    def refused(self) -> None:
        """The Enforcer did not take what was sent last and holds something older: start anew from a snapshot."""
        self._holding.document = None
        if self._sent_delta:
            self._again = True
            self._woken.set()

    async def run(self, revision: int, held_digest: bytes) -> None:
        """Send policy until cancelled. ``revision`` and ``held_digest`` are what the Enforcer holds."""
        if self._holding.digest != held_digest or self.sent != revision:
            self._holding.document = None
        first = self._document()
        if self._holding.document is None and first is not None and digest(first) == held_digest:
            # After a restart of the Console: the Enforcer holds just this, so an empty delta will do.
            self._holding.document, self._holding.digest = first, held_digest
        await self._send(first)
        while True:
            await self._woken.wait()
            self._woken.clear()
            document = self._document()
            if document is not None and (document.revision != self.sent or self._again):
                await self._send(document)

    def _document(self) -> PolicyDocument | None:
        """The newest document; ``None`` while the Enforcer is being evicted."""
        try:
            return self._parts.publisher.document(self._enforcer, tuple(self._holding.asked))
        except LookupError:
            return None

    async def _send(self, document: PolicyDocument | None) -> None:
        if document is None:
            return
        self._again = False
        known = self._holding.document
        new_digest = digest(document)
        signature = sign_revision(self._parts.signing_key, self._enforcer, document.revision, new_digest)
        self._sent_delta = known is not None
        if known is None:
            await self._channel.send(Snapshot(document=document, signature=signature))
        else:
            await self._channel.send(Delta(delta=difference(known, document), signature=signature))
        self._holding.document, self._holding.digest = document, new_digest
