"""The agent asks a resolver: the first right answer over UDP, the whole one over TCP when it is truncated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from watchword.enforcer import asking, dnsquery


class Resolver(asyncio.DatagramProtocol):
    """A resolver on loopback, in the hands of a test."""

    def __init__(self, replies: Callable[[bytes], list[bytes]], whole: Callable[[bytes], bytes] | None = None) -> None:
        self._replies, self._whole = replies, whole

    async def open(self) -> int:
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = int(self._tcp.sockets[0].getsockname()[1])
        self._udp, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", port))
        return port

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for reply in self._replies(data):
            self._udp.sendto(reply, addr)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        if self._whole is not None:
            told = self._whole(asked)
            writer.write(len(told).to_bytes(2, "big") + told)
        writer.close()

    async def close(self) -> None:
        self._udp.close()
        self._tcp.close()
        await self._tcp.wait_closed()


def reply(asked: bytes, flags: int = 0x8180, more: bytes = b"") -> bytes:
    """An answer without records to a query."""
    return asked[:2] + flags.to_bytes(2, "big") + asked[4:6] + bytes(6) + asked[12:-11] + more


async def ask(resolver: Resolver) -> bytes:
    port = await resolver.open()
    try:
        return await asking.ask("127.0.0.1", "api.example.com", dnsquery.A, port)
    finally:
        await resolver.close()


async def test_what_is_no_answer_is_passed_over() -> None:
    resolver = Resolver(lambda asked: [b"noise", reply(b"\0\0" + asked[2:]), reply(asked, more=b"right")])
    assert (await ask(resolver)).endswith(b"right")


async def test_a_truncated_answer_is_asked_for_over_tcp() -> None:
    resolver = Resolver(lambda asked: [reply(asked, 0x8380)], lambda asked: reply(asked, more=bytes(2000)))
    assert (await ask(resolver)).endswith(bytes(2000))


async def test_an_answer_to_something_else_over_tcp_is_refused() -> None:
    resolver = Resolver(lambda asked: [reply(asked, 0x8380)], lambda asked: reply(b"\0\0" + asked[2:]))
    with pytest.raises(ConnectionAbortedError):
        await ask(resolver)


async def test_an_end_in_the_middle_is_an_error() -> None:
    with pytest.raises(ConnectionResetError):
        await ask(Resolver(lambda asked: [reply(asked, 0x8380)]))


async def test_silence_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_PATIENCE", 0.05)
    with pytest.raises(TimeoutError):
        await ask(Resolver(lambda asked: []))
