"""A server that speaks the Console's side of the stream over real TLS, one scripted session after another."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from tests.unit.enforcer.signing_side import CONSOLE, ENFORCER, NOW, SigningSide
from watchword.identity.signatures import verify_hello
from watchword.wire import messages
from watchword.wire.messages import ToEnforcer

Script = Callable[["Talk"], Awaitable[None]]


class Talk:
    """One session as the Console sees it."""

    def __init__(self, connection: ServerConnection, public: bytes) -> None:
        self.connection = connection
        self._public = public

    async def greet(self) -> messages.Hello:
        """Challenge, and check the answer."""
        nonce = secrets.token_bytes(32)
        await self.say(messages.Challenge(messages.PROTOCOL_VERSION, CONSOLE, nonce))
        hello = await self.hear()
        assert isinstance(hello, messages.Hello)
        verify_hello(self._public, CONSOLE, nonce, hello.signature)
        return hello

    async def welcome(self) -> messages.Hello:
        """Greet and welcome."""
        hello = await self.greet()
        await self.say(messages.Welcome(ENFORCER, "/"))
        return hello

    async def say(self, message: ToEnforcer) -> None:
        await self.connection.send(messages.encode(message))

    async def hear(self) -> Any:
        frame = await self.connection.recv()
        assert isinstance(frame, bytes)
        return messages.decode_to_console(frame)


def server_context(side: SigningSide, directory: Path, *names: str) -> ssl.SSLContext:
    """TLS with a certificate of this Console's CA for ``names``."""
    certificate, key = side.authority.issue_server(names or ("localhost",), NOW, secrets.token_bytes)
    path = directory / f"server-{secrets.token_hex(4)}.pem"
    path.write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@asynccontextmanager
async def streaming(context: ssl.SSLContext, public: bytes, *scripts: Script) -> AsyncIterator[str]:
    """Serve one script after another; gives the address. A failed script fails the test."""
    waiting = list(scripts)
    failures: list[BaseException] = []

    async def handler(connection: ServerConnection) -> None:
        if not waiting:
            await connection.close(1013)
            return
        try:
            await waiting.pop(0)(Talk(connection, public))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            failures.append(error)

    async with serve(handler, "127.0.0.1", 0, ssl=context) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"https://localhost:{port}"
    for failure in failures:
        raise failure
