"""A WebSocket as messages: frames decoded strictly, counted, and limited in number and size."""

from __future__ import annotations

import time

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from watchword.console.stream.closing import MALFORMED, TOO_MANY, SessionEnded, shortened
from watchword.wire import messages

#: The largest frame a Console takes, and the largest before the Enforcer has proved who it is.
FRAME_LIMIT = 8 << 20
HELLO_LIMIT = 16 << 10

#: Messages an Enforcer may send in one go, and per second in the long run.
BURST = 2000.0
PER_SECOND = 200.0


class Disconnected(Exception):  # noqa: N818 - it is an event
    """The other side has gone."""


class Channel:
    """Messages to and from one Enforcer. Raises :class:`Disconnected` when there is nobody any more."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._allowance = BURST
        self._refilled = time.monotonic()

    @property
    def source(self) -> str:
        """The address of the other side."""
        return self._socket.client.host if self._socket.client else ""

    async def send(self, message: messages.ToEnforcer) -> None:
        """Send one message."""
        frame = messages.encode(message)
        if len(frame) > messages.FRAME_LIMIT:
            raise SessionEnded(1009, f"a message of {len(frame)} bytes is larger than an Enforcer takes")
        try:
            await self._socket.send_bytes(frame)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            raise Disconnected(str(error)) from None

    async def receive(self, limit: int = FRAME_LIMIT) -> messages.ToConsole:
        """The next message. Raises :class:`SessionEnded` for one that is not as it should be."""
        if self._socket.client_state is not WebSocketState.CONNECTED:
            raise Disconnected
        event = await self._socket.receive()
        if event["type"] != "websocket.receive":
            raise Disconnected
        frame = event.get("bytes")
        if frame is None:
            raise SessionEnded(MALFORMED, "a text frame; only binary frames are spoken here")
        if len(frame) > limit:
            raise SessionEnded(1009, f"a frame of {len(frame)} bytes; the limit is {limit}")
        self._count()
        try:
            message: messages.ToConsole = messages.decode_to_console(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SessionEnded(MALFORMED, f"malformed message: {error}") from None
        return message

    def _count(self) -> None:
        now = time.monotonic()
        self._allowance = min(BURST, self._allowance + (now - self._refilled) * PER_SECOND)
        self._refilled = now
        if self._allowance < 1:
            raise SessionEnded(TOO_MANY, f"more than {PER_SECOND:.0f} messages a second")
        self._allowance -= 1

    async def close(self, code: int, reason: str) -> None:
        """End the connection, if it has not ended yet."""
        if self._socket.application_state is WebSocketState.CONNECTED:
            try:
                await self._socket.close(code, shortened(reason))
            except (WebSocketDisconnect, RuntimeError, OSError):
                return  # it was already gone
