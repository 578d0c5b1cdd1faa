"""Somebody at the Console's address with its TLS key, and everything it ever sent, but not the key that signs."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from testbed import Host
from watchword.wire import messages
from watchword.wire.messages import ToEnforcer


class Victim:
    """One Enforcer's session with the impostor."""

    def __init__(self, connection: ServerConnection, hello: messages.Hello) -> None:
        self.connection, self.hello = connection, hello
        self.heard: list[Any] = []

    async def say(self, message: ToEnforcer) -> None:
        """Say something well-formed."""
        await self.connection.send(messages.encode(message))

    async def refusals(self, number: int, within: float = 20.0) -> list[messages.RevisionRefused]:
        """Wait until it has refused so many revisions."""
        async with asyncio.timeout(within):
            while len(found := [each for each in self.heard if isinstance(each, messages.RevisionRefused)]) < number:
                frame = await self.connection.recv()
                assert isinstance(frame, bytes)
                self.heard.append(messages.decode_to_console(frame))
        return found

    async def ended(self, within: float = 20.0) -> bool:
        """Whether it ends the session."""
        try:
            async with asyncio.timeout(within):
                while True:
                    await self.connection.recv()
        except ConnectionClosed:
            return True
        except TimeoutError:
            return False


Attack = Callable[[Victim], Awaitable[Any]]


class Impostor:
    """Serves one attack after another, each to the next session of one Enforcer; others are turned away."""

    def __init__(self, host: Host, address: tuple[str, int], server_pem: Path, console: str, enforcer: str) -> None:
        self._address, self._console, self._enforcer = address, console, enforcer
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(server_pem)
        self._loop = asyncio.new_event_loop()
        self._host = host
        self._attack: tuple[Attack, asyncio.Future[Any]] | None = None
        self._over = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="impostor")

    def __enter__(self) -> Impostor:
        self._thread.start()
        assert self._listening.wait(30), "the impostor does not get the Console's address"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def attack(self, how: Attack, within: float = 60.0) -> Any:
        """Do this to the Enforcer; what comes of it."""

        async def wait() -> Any:
            self._attack = how, asyncio.get_running_loop().create_future()
            return await self._attack[1]

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(within)

    def _run(self) -> None:
        with self._host.enter():
            self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async with serve(self._talk, *self._address, ssl=self._context, max_size=None, close_timeout=1):
            self._listening.set()
            await self._over.wait()

    async def _talk(self, connection: ServerConnection) -> None:
        await connection.send(
            messages.encode(messages.Challenge(messages.PROTOCOL_VERSION, self._console, secrets.token_bytes(32)))
        )
        frame = await connection.recv()
        assert isinstance(frame, bytes)
        hello = messages.decode_to_console(frame)
        assert isinstance(hello, messages.Hello)
        if hello.enforcer != self._enforcer or self._attack is None or self._attack[1].done():
            await connection.close(1013)
            return
        attack, done = self._attack
        try:
            done.set_result(await attack(Victim(connection, hello)))
        except Exception as failure:
            done.set_exception(failure)
