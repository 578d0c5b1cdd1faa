"""Policy on its way to one Enforcer: first what it lacks, then every new revision, signed.

1. What was sent is remembered (:class:`watchword.console.holdings.Holding`); the next delta starts
   from there. The signature is over the digest of the whole resulting document.
2. While one message is being sent, what changes adds up to one more.
3. An Enforcer that refuses a delta gets a snapshot at once; one that refuses a snapshot keeps what it
   has until there is something newer.
"""

from __future__ import annotations

import asyncio

from watchword.console.stream.channel import Channel
from watchword.console.stream.parts import StreamParts
from watchword.identity.signatures import sign_revision
from watchword.wire.messages import Delta, Snapshot
from watchword.wire.policy import PolicyDocument


class Outlet:
    """Sends policy to one Enforcer."""

    def __init__(self, parts: StreamParts, channel: Channel, enforcer: str) -> None:
        self._parts = parts
        self._channel = channel
        self._enforcer = enforcer
        self._publisher = parts.publisher
        self._woken = asyncio.Event()
        self._again = False  # send even if the revision is the one sent last
        self._sent = 0  # the newest revision sent in this session
        self._sent_delta = False  # the last message was a delta

    def wake(self) -> None:
        """There is a new revision."""
        self._woken.set()

    def ask(self, badge: int) -> None:
        """Include the unit that ``badge`` names."""
        self._publisher.ask(self._enforcer, badge)
        self._again = True
        self._woken.set()

    def enforced(self, revision: int) -> None:
        """The Enforcer took a revision over."""
        self._publisher.holding(self._enforcer).enforced(revision)

    def refused(self) -> None:
        """The Enforcer did not take what was sent last and holds something older: start anew from a snapshot."""
        self._publisher.holding(self._enforcer).forget()
        if self._sent_delta:
            self._again = True
            self._woken.set()

    async def run(self, revision: int, held_digest: bytes) -> None:
        """Send policy until cancelled. ``revision`` and ``held_digest`` are what the Enforcer holds."""
        self._publisher.resume(self._enforcer, revision, held_digest)
        await self._send()
        while True:
            await self._woken.wait()
            self._woken.clear()
            if self._publisher.engine.revision != self._sent or self._again:
                await self._send()

    async def _send(self) -> None:
        self._again = False
        try:
            policy, digest = self._publisher.next(self._enforcer)
        except LookupError:  # it is being evicted
            return
        self._sent = policy.revision
        self._sent_delta = not isinstance(policy, PolicyDocument)
        signature = sign_revision(self._parts.signing_key, self._enforcer, policy.revision, digest)
        if isinstance(policy, PolicyDocument):
            await self._channel.send(Snapshot(document=policy, signature=signature))
        else:
            await self._channel.send(Delta(delta=policy, signature=signature))
