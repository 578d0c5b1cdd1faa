"""The one connection to the Console: sockets, TLS, proxy and patience around a session.

Knows frames and seconds; what frames mean is :mod:`watchword.enforcer.session`'s business, what to do
about it the agent's. Every trouble of a network ends in connecting again, later each time and never
in step with other Enforcers; only an eviction ends for good.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidProxy

from watchword.enforcer.session import Command, Disconnect, Established, Evict, Send, Session
from watchword.wire.messages import FRAME_LIMIT, ToConsole

_log = logging.getLogger(__name__)

_OPEN_TIMEOUT = 15.0
_PING = 20.0
_CLOSE_TIMEOUT = 3.0
_FAREWELL_TIMEOUT = 4.0
#: Frames that may wait to be sent; a Console that takes none for so long is as good as gone.
_WAITING_LIMIT = 1024
#: Close codes after which to come back slowly: not authenticated, taken over, wrong version, too many messages.
_SLOW_CODES = frozenset({1008, 4409, 4426, 4429})
_EVICTED_CODE = 4410

LinkState = Literal["connecting", "established", "waiting", "evicted"]


class Backoff:
    """Seconds until the next attempt: doubling, capped, and drawn at random below that."""

    FIRST = 0.5
    LAST = 30.0
    SLOW = 30.0

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._draw = draw
        self._next = self.FIRST

    def succeeded(self) -> None:
        """A session stood."""
        self._next = self.FIRST

    def delay(self, *, slow: bool = False) -> float:
        """How long to wait before the next attempt."""
        ceiling = max(self._next, self.SLOW) if slow else self._next
        self._next = min(self.LAST, self._next * 2)
        return ceiling * (0.5 + 0.5 * self._draw())


@dataclass(frozen=True, slots=True)
class Route:
    """How to get to the Console."""

    url: str  # https://…
    context: ssl.SSLContext
    proxy: str | None

    @property
    def stream(self) -> str:
        """The address of the stream."""
        return f"wss://{urlsplit(self.url).netloc}/v1/stream"


class Link:
    """Keeps a session with the Console up.

    ``open_session`` makes the state machine of each new connection; ``handle`` is told every command
    that is not the link's own (Send, Disconnect), in order; ``closed`` that a session is over.
    """

    def __init__(
        self,
        route: Route,
        open_session: Callable[[], Session],
        handle: Callable[[Command], None],
        closed: Callable[[], None],
        backoff: Backoff | None = None,
    ) -> None:
        self.state: LinkState = "connecting"
        self.problem = ""
        self.session: Session | None = None
        self.stands = asyncio.Event()  # set while a session is established
        self._over = asyncio.Event()
        self._gave_up = False
        self._route = route
        self._open_session = open_session
        self._handle = handle
        self._closed = closed
        self._backoff = backoff or Backoff()
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue()

    @property
    def evicted(self) -> bool:
        """Whether the Console has deleted this Enforcer."""
        return self.state == "evicted"

    @property
    def established(self) -> bool:
        """Whether a session stands."""
        return self.state == "established"

    def submit(self, message: ToConsole) -> bool:
        """Send ``message``; False when no session stands."""
        if self.session is None:
            return False
        commands = self.session.submit(message)
        self._obey(commands)
        return bool(commands)

    async def run(self) -> None:
        """Connect, again and again; returns only when the Console evicted this Enforcer."""
        while True:
            self.state = "connecting"
            slow = await self._attempt()
            if self.evicted:
                return
            delay = self._backoff.delay(slow=slow)
            self.state = "waiting"
            _log.info("no session with the Console (%s); next attempt in %.1f s", self.problem, delay)
            await asyncio.sleep(delay)

    async def farewell(self, message: ToConsole) -> bool:
        """Send a last message and wait until the Console, having acted on it, ends the session.

        True when it did; quick, and quiet about failure.
        """
        if not self.submit(message):
            return False
        try:
            async with asyncio.timeout(_FAREWELL_TIMEOUT):
                await self._over.wait()
        except TimeoutError:
            self._give_up("the Console did not answer a farewell")
            return False
        return True

    async def _attempt(self) -> bool:
        """One connection from beginning to end; True when the next should be long in coming."""
        route = self._route
        try:
            connection = await connect(
                route.stream,
                ssl=route.context,
                proxy=route.proxy,
                max_size=FRAME_LIMIT,
                open_timeout=_OPEN_TIMEOUT,
                ping_interval=_PING,
                ping_timeout=_PING,
                close_timeout=_CLOSE_TIMEOUT,
                compression=None,
                user_agent_header=None,
            )
        except (OSError, TimeoutError, InvalidHandshake, InvalidMessage, InvalidProxy) as error:
            self.problem = _told(error)
            return False
        try:
            return await self._converse(connection)
        finally:
            await connection.close()

    async def _converse(self, connection: ClientConnection) -> bool:
        self._waiting = asyncio.Queue()
        self._over.clear()
        self._gave_up = False
        self.session = session = self._open_session()
        sender = asyncio.create_task(self._send(connection), name="link-sender")
        try:
            async for frame in connection:
                if isinstance(frame, str):
                    self._obey([Disconnect("the Console sent text")])
                else:
                    self._obey(session.receive(frame))
            return self._ended(connection.close_code, connection.close_reason)
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd else None
            return self._ended(code, error.rcvd.reason if error.rcvd else "the connection broke")
        finally:
            session.close()
            self.session = None
            self.stands.clear()
            self._over.set()
            if not self.evicted:
                self.state = "waiting"
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            self._closed()

    def _ended(self, code: int | None, reason: str | None) -> bool:
        if code == _EVICTED_CODE and not self.evicted:
            self._obey([Evict(reason or "the Console deleted this Enforcer")])
        if not self._gave_up:
            self.problem = f"the session ended: {reason or 'no reason given'} ({code or 'no close code'})"
        return code in _SLOW_CODES

    def _obey(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Send(frame):
                    self._waiting.put_nowait(frame)
                    if self._waiting.qsize() > _WAITING_LIMIT:
                        self._give_up("the Console takes nothing any more")
                case Disconnect(reason):
                    self._give_up(reason)
                case _:
                    if isinstance(command, Established):
                        self.state, self.problem = "established", ""
                        self.stands.set()
                        self._backoff.succeeded()
                    elif isinstance(command, Evict):
                        self.state, self.problem = "evicted", command.reason
                        self._waiting.put_nowait(None)
                    self._handle(command)

    def _give_up(self, reason: str) -> None:
        self.problem, self._gave_up = reason, True
        if self.session is not None:
            self.session.close()
        self._waiting.put_nowait(None)

    async def _send(self, connection: ClientConnection) -> None:
        """Put waiting frames on the wire; None means that the session is to end."""
        try:
            while (frame := await self._waiting.get()) is not None:
                await connection.send(frame)
        except ConnectionClosed:
            return  # the receiving half tells why
        await connection.close()


def _told(error: Exception) -> str:
    """Why a connection did not come about, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the Console's certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
