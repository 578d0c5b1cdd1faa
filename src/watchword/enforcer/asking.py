"""Asking a resolver as the agent: over UDP, and over TCP when the answer does not fit."""

from __future__ import annotations

import asyncio
import secrets

from watchword.enforcer import dnsquery

_PORT = 53
_PATIENCE = 2.0  # seconds for one answer


class _Waiting(asyncio.DatagramProtocol):
    """Takes the first datagram that answers the query."""

    def __init__(self, asked: bytes) -> None:
        self._asked = asked
        self.told: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """A datagram from the resolver: the socket is connected to it."""
        if not self.told.done() and dnsquery.answers(self._asked, data):
            self.told.set_result(data)

    def error_received(self, exc: Exception) -> None:
        """The resolver's host said that nobody is there."""
        if not self.told.done():
            self.told.set_exception(exc)


async def ask(resolver: str, name: str, kind: int, port: int = _PORT) -> bytes:
    """The whole answer of ``resolver``. Raises :class:`OSError` (TimeoutError too) when there is none."""
    asked = dnsquery.query(secrets.randbits(16), name, kind)
    async with asyncio.timeout(_PATIENCE):
        told = await _over_udp(resolver, port, asked)
    if dnsquery.truncated(told):
        async with asyncio.timeout(_PATIENCE):
            told = await _over_tcp(resolver, port, asked)
    return told


async def _over_udp(resolver: str, port: int, asked: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, waiting = await loop.create_datagram_endpoint(lambda: _Waiting(asked), remote_addr=(resolver, port))
    try:
        transport.sendto(asked)
        return await waiting.told
    finally:
        transport.close()


async def _over_tcp(resolver: str, port: int, asked: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(resolver, port)
    try:
        writer.write(len(asked).to_bytes(2, "big") + asked)
        told = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError(f"{resolver} ended the connection in the middle of an answer") from error
    finally:
        writer.close()
    if not dnsquery.answers(asked, told):
        raise ConnectionAbortedError(f"{resolver} answered something else")
    return told
