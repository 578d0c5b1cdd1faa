"""What Enforcers say of their hosts' requirements is shown, bounded, and breaks nothing."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import httpx2
from websockets.exceptions import ConnectionClosed

from tests.console.rig import Peer, Running, enrol
from watchword.wire import messages
from watchword.wire.messages import Examined, UnmetRequirement

MEMORY = UnmetRequirement("size", "memory", "degraded", "1.0 GiB, of 2 GiB required", "give the host 2 GiB")


async def shown(client: httpx2.AsyncClient, status: str) -> dict[str, Any]:
    """The Enforcer as soon as it has that status."""
    async with asyncio.timeout(20):
        while True:
            (enforcer,) = (await client.get("/v1/enforcers")).json()
            if enforcer["requirementStatus"] == status:
                return dict(enforcer)
            await asyncio.sleep(0.05)


async def test_the_last_report_is_shown_and_found(console: Running, client: httpx2.AsyncClient) -> None:
    host = await enrol(console, "edge")
    async with Peer(host) as peer:
        assert (await shown(client, ""))["requirements"] == []
        await peer.send(Examined("degraded", (MEMORY,)))
        enforcer = await shown(client, "degraded")
        assert enforcer["requirements"] == [
            {
                "group": "size",
                "name": "memory",
                "result": "degraded",
                "detail": "1.0 GiB, of 2 GiB required",
                "remedy": "give the host 2 GiB",
            }
        ]
        assert enforcer["requirementsTime"]
        query = {"filter": "requirementStatus == degraded"}
        assert len((await client.get("/v1/enforcers", params=query)).json()) == 1
    assert (await shown(client, "degraded"))["requirements"]  # kept when it is gone
    async with Peer(host) as peer:
        await peer.send(Examined("pass"))
        assert (await shown(client, "pass"))["requirements"] == []


async def test_a_report_without_end_is_cut(console: Running, client: httpx2.AsyncClient) -> None:
    long = UnmetRequirement("g" * 1000, "n" * 1000, "fail", "\0\u202e" + "d" * 2000, "r" * 1000)
    async with Peer(await enrol(console, "edge")) as peer:
        await peer.send(Examined("fail", (long,) * 150))
        told = (await shown(client, "fail"))["requirements"]
        assert len(told) == 100
        assert max(len(text) for each in told for text in each.values()) == 500


async def test_bent_reports_end_a_session_at_most(console: Running, client: httpx2.AsyncClient) -> None:
    chance = random.Random(5)
    host = await enrol(console, "edge")
    honest = messages.encode(Examined("fail", (MEMORY, MEMORY)))
    for _ in range(30):
        frame = bytearray(honest)
        for _ in range(chance.randint(1, 4)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        try:
            async with Peer(host) as peer:
                await peer.socket.send(bytes(frame[: chance.choice((len(frame), chance.randrange(1, len(frame))))]))
                await peer.send(Examined("pass"))
                await peer.socket.ping()
        except ConnectionClosed:
            continue
    async with Peer(host) as peer:
        await peer.send(Examined("degraded", (MEMORY,)))
        assert len((await shown(client, "degraded"))["requirements"]) == 1
