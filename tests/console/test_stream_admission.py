"""Who gets a session: forged, replayed and malformed hellos do not."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.console.rig import Peer, Running, enrol, unit
from watchword.identity.keys import DatapathPrivateKey, SigningKey
from watchword.identity.signatures import sign_datapath_key, sign_hello
from watchword.wire import messages


async def ended(peer: Peer, seconds: float = 5) -> tuple[int, str]:
    """How the session ended."""
    async with asyncio.timeout(seconds):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await peer.socket.recv()
    assert peer.socket.close_code is not None
    return peer.socket.close_code, peer.socket.close_reason or ""


async def statuses(client: httpx2.AsyncClient) -> list[str]:
    return [each["operationalStatus"] for each in (await client.get("/v1/enforcers")).json()]


def stranger() -> SigningKey:
    return SigningKey.generate(secrets.token_bytes)


async def test_forged_hellos(console: Running, client: httpx2.AsyncClient) -> None:
    host, other = await enrol(console, "edge"), await enrol(console, "db")
    nonce = bytes(32)

    def attempts(peer: Peer) -> dict[str, messages.Hello]:
        challenge = peer.challenge
        mine = sign_hello(host.key, challenge.console, challenge.nonce)
        return {
            "no signature": peer.hello(signature=b""),
            "zeros": peer.hello(signature=bytes(64)),
            "another key": peer.hello(signature=sign_hello(stranger(), challenge.console, challenge.nonce)),
            "another nonce": peer.hello(signature=sign_hello(host.key, challenge.console, nonce)),
            "another console": peer.hello(signature=sign_hello(host.key, "other", challenge.nonce)),
            "another Enforcer's ID": peer.hello(enforcer=other.enforcer_id, signature=mine),
            "unknown Enforcer": peer.hello(enforcer="0" * 24, signature=mine),
            "NUL": peer.hello(enforcer="a\0b", signature=mine),
        }

    names = [
        "no signature",
        "zeros",
        "another key",
        "another nonce",
        "another console",
        "another Enforcer's ID",
        "unknown Enforcer",
        "NUL",
    ]
    for name in names:
        peer = Peer(host)
        await peer.open()
        await peer.send(attempts(peer)[name])
        assert (await ended(peer))[0] == 1008, name
        await peer.socket.close()
    assert await statuses(client) == ["Registered", "Registered"]


async def test_a_replayed_hello(console: Running) -> None:
    host = await enrol(console, "edge")
    async with Peer(host) as honest:
        overheard = honest.hello()
    thief = Peer(host)
    challenge = await thief.open()
    assert challenge.nonce != honest.challenge.nonce
    await thief.send(overheard)
    assert (await ended(thief))[0] == 1008
    await thief.socket.close()


@pytest.mark.parametrize(
    "case", ["other's", "tampered", "other enforcer's id", "none", "three", "wrong order", "twice"]
)
async def test_datapath_keys_are_the_enforcers_own(console: Running, case: str) -> None:
    host = await enrol(console, "edge")

    def key(epoch: int, signer: SigningKey | None = None, owner: str = "") -> Any:
        public = DatapathPrivateKey.generate(epoch, secrets.token_bytes).public
        return sign_datapath_key(signer or host.key, owner or host.enforcer_id, epoch, public)

    good = key(1)
    keys = {
        "other's": (key(1, stranger()),),
        "tampered": (type(good)(epoch=2, public=good.public, signature=good.signature),),
        "other enforcer's id": (key(1, owner="0" * 24),),
        "none": (),
        "three": (key(3), key(2), key(1)),
        "wrong order": (key(1), key(2)),
        "twice": (good, good),
    }[case]
    peer = Peer(host)
    await peer.open()
    await peer.send(peer.hello(keys=keys))
    assert (await ended(peer))[0] == 4400
    await peer.socket.close()


async def test_another_protocol_version(console: Running) -> None:
    peer = Peer(await enrol(console, "edge"))
    await peer.open()
    await peer.send(peer.hello(protocol=messages.PROTOCOL_VERSION + 1))
    assert (await ended(peer))[0] == 4426
    await peer.socket.close()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", 4400),
        (b"\xc1", 4400),
        (b"\x80", 4400),
        (b"\x81\xa4kind\xa5hello", 4400),
        (b"\xdf\xff\xff\xff\xff", 4400),
        (b"\x91" * 10_000, 4400),
        (messages.encode(messages.Goodbye()), 4400),
        ("text", 4400),
        (b"x" * (64 << 10), 1009),
        (b"x" * (9 << 20), 1009),
    ],
    ids=["empty", "reserved", "no kind", "no fields", "huge map", "deep", "not hello", "text", "large", "oversize"],
)
async def test_malformed_first_frames(console: Running, client: httpx2.AsyncClient, frame: Any, code: int) -> None:
    peer = Peer(await enrol(console, "edge"))
    await peer.open()
    await peer.socket.send(frame)
    assert (await ended(peer))[0] == code
    await peer.socket.close()
    assert (await client.get("/v1/health")).status_code == 200


async def test_an_unknown_field_ends_the_session(console: Running) -> None:
    import msgspec

    async with Peer(await enrol(console, "edge")) as peer:
        await peer.policy()
        await peer.socket.send(msgspec.msgpack.encode({"kind": "goodbye", "uninstalled": False, "forced": True}))
        code, reason = await ended(peer)
        assert code == 4400
        assert "forced" in reason


async def test_a_second_session_replaces_the_first(console: Running, client: httpx2.AsyncClient) -> None:
    host = await enrol(console, "edge")
    async with Peer(host) as first:
        await first.policy()
        async with Peer(host) as second:
            assert (await ended(first))[0] == 4409
            await second.policy()
            await second.register(unit("a", "app=a"))
            assert await statuses(client) in (["Connected"], ["Registered"])


async def test_eviction_is_told_and_final(console: Running, client: httpx2.AsyncClient) -> None:
    host = await enrol(console, "edge")
    async with Peer(host) as peer:
        await peer.policy()
        await client.delete(f"/v1/enforcers/{host.enforcer_id}")
        assert (await peer.answer(messages.Evicted)).reason
        assert (await ended(peer))[0] == 4410
    again = Peer(host)
    await again.open()
    await again.send(again.hello())
    assert isinstance(await again.receive(), messages.Evicted)
    assert (await ended(again))[0] == 4410
    await again.socket.close()
    # that it was evicted is told only to who proves to be it
    prying = Peer(host)
    await prying.open()
    await prying.send(prying.hello(signature=bytes(64)))
    assert (await ended(prying))[0] == 1008
    await prying.socket.close()


async def test_silence_is_ended(console: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchword.console.stream import admission

    monkeypatch.setattr(admission, "HELLO_TIME", 0.2)
    peer = Peer(await enrol(console, "edge"))
    await peer.open()
    assert (await ended(peer))[0] == 4408
    await peer.socket.close()


async def test_a_flood_of_messages_is_ended(console: Running, client: httpx2.AsyncClient) -> None:
    async with Peer(await enrol(console, "edge")) as peer:
        await peer.policy()
        with contextlib.suppress(ConnectionClosed):
            for badge in range(1, 20_000):
                await peer.send(messages.BadgeQuery(badge=badge))
        assert (await ended(peer))[0] == 4429
    assert (await client.get("/v1/health")).status_code == 200


async def test_strangers_cannot_fill_the_console(console: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchword.console.stream import session

    monkeypatch.setattr(session, "UNAUTHENTICATED_LIMIT", 3)
    host = await enrol(console, "edge")
    waiting = [Peer(host) for _ in range(3)]
    for peer in waiting:
        await peer.open()
    async with connect(console.stream_url, ssl=console.tls) as turned_away:
        with pytest.raises(ConnectionClosed) as caught:
            await turned_away.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4429
    for peer in waiting:
        await peer.socket.close()
    async with Peer(host) as honest:
        await honest.policy()
