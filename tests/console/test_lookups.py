"""DNS look-up reports: stored once, never about somebody else's unit, seen where flows are seen, followed."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import httpx2
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from tests.console.rig import Peer, Running, enrol, unit
from watchword.wire import messages

PATH = "/v1/dnslookupreports"


def record(unit_id: str, **fields: Any) -> messages.LookupRecord:
    given: dict[str, Any] = {
        "unit": unit_id,
        "name": "db.example.net",
        "type": 1,
        "result": "resolved",
        "resolver": "192.0.2.53",
        "count": 3,
        "addresses": 2,
        "learned": ("198.51.100.1", "198.51.100.2"),
        "first_seen": 1_700_000_000.0,
        "last_seen": 1_700_000_001.5,
    }
    return messages.LookupRecord(**{**given, **fields})


async def report(peer: Peer, sequence: int, *records: messages.LookupRecord, lost: int = 0) -> int:
    await peer.send(messages.LookupReports(sequence=sequence, records=records, lost=lost))
    return (await peer.answer(messages.LookupsAccepted)).sequence


async def stored(client: httpx2.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


async def test_what_a_report_says(console: Running, client: httpx2.AsyncClient) -> None:
    async with Peer(await enrol(console, "edge")) as edge:
        identifier = (await edge.register(unit("web", "app=web"))).units["web"]
        await report(edge, 1, record(identifier), record(identifier, result="no-such-name", learned=(), addresses=0))
    found, failed = await stored(client)
    assert (found["processingUnitID"], found["processingUnitName"]) == (identifier, "web")
    assert "app=web" in found["processingUnitTags"]
    assert (found["resolvedName"], found["recordType"], found["value"]) == ("db.example.net", 1, 3)
    assert (found["action"], found["reason"], found["resolver"]) == ("Resolve", "resolved", "192.0.2.53")
    assert (found["addressCount"], found["resolvedIPs"]) == (2, ["198.51.100.1", "198.51.100.2"])
    assert (found["enforcerName"], found["lastSeen"]) == ("edge", "2023-11-14T22:13:21.500000Z")
    assert (failed["action"], failed["reason"], failed["resolvedIPs"]) == ("Fail", "no-such-name", [])


async def test_a_batch_is_stored_once_beside_flows(console: Running, client: httpx2.AsyncClient) -> None:
    """Look-ups have numbers of their own: a batch of flows with the same number is another."""
    host = await enrol(console, "edge")
    async with Peer(host) as edge:
        identifier = (await edge.register(unit("web"))).units["web"]
        await edge.send(messages.FlowReports(sequence=9, records=()))
        await edge.answer(messages.ReportsAccepted)
        for _ in range(3):
            assert await report(edge, 7, record(identifier), lost=5) == 7
    async with Peer(host) as edge:
        assert await report(edge, 7, record(identifier), lost=5) == 7
        assert await report(edge, 8, record(identifier)) == 8
        assert await report(edge, 5, record(identifier)) == 8, "who has forgotten where it was is told"
    assert len(await stored(client)) == 2
    for _ in range(50):
        if (await client.get("/v1/enforcers/edge")).json()["lostReports"] == 5:
            break
        await asyncio.sleep(0.05)
    assert (await client.get("/v1/enforcers/edge")).json()["lostReports"] == 5


async def test_nobody_reports_for_another(console: Running, client: httpx2.AsyncClient) -> None:
    async with Peer(await enrol(console, "edge")) as edge, Peer(await enrol(console, "store")) as store:
        web = (await edge.register(unit("web"))).units["web"]
        pg = (await store.register(unit("pg"))).units["pg"]
        absurd = (
            record(pg),
            record("0" * 24),
            record(web, count=1 << 63),
            record(web, type=-1),
            record(web, name="x" * 2000),
            record(web, result="x" * 2000),
            record(web, resolver="not an address"),
            record(web, learned=("<script>",)),
            record(web, learned=("192.0.2.1",) * 1000),
        )
        await report(edge, 1, *absurd, record(web, name="good.example"))
    assert [each["resolvedName"] for each in await stored(client)] == ["good.example"]


async def test_a_rival_tenant_sees_nothing(console: Running, client: httpx2.AsyncClient) -> None:
    for name in ("acme", "rival"):
        assert (await client.post("/v1/namespaces", json={"name": name})).status_code == 201
    async with Peer(await enrol(console, "edge", "/acme")) as edge:
        web = (await edge.register(unit("web"))).units["web"]
        await report(edge, 1, record(web, name="secret.acme.example"))
    made = await client.post(
        "/v1/appcredentials",
        json={"name": "r", "roles": ["namespace.administrator"]},
        headers={"X-Namespace": "/rival"},
    )
    async with console.client(made.json()["credential"], "/rival") as rival:
        assert await stored(rival, recursive="true") == []
        for namespace in ("/acme", "/"):
            answer = await rival.get(PATH, headers={"X-Namespace": namespace}, params={"recursive": "true"})
            assert answer.status_code == 403
            assert "secret" not in answer.text
    assert await stored(client) == []
    assert len(await stored(client, recursive="true")) == 1
    assert (await client.get(PATH, headers={"Authorization": "Bearer nobody"})).status_code == 401


async def test_pages_filters_and_following(console: Running, client: httpx2.AsyncClient) -> None:
    async with Peer(await enrol(console, "edge")) as edge:
        web = (await edge.register(unit("web"))).units["web"]
        await report(edge, 1, *(record(web, name=f"n{number}.example") for number in range(5)))

        async def names(**query: Any) -> list[str]:
            return [each["resolvedName"] for each in await stored(client, **query)]

        assert await names(limit=2) == ["n0.example", "n1.example"]
        assert await names(order="-ID", limit=2) == ["n4.example", "n3.example"]
        assert await names(filter='resolvedName matches "n3*" or resolvedName == "n1.example"') == [
            "n1.example",
            "n3.example",
        ]
        assert await names(filter='action == Resolve and resolvedName == "n1.example"') == ["n1.example"]
        assert await names(filter='resolvedIPs contains "198.51.100.9"') == []
        assert await names(filter='processingUnitName == "web" and value > 3') == []
        for wrong in ({"after": "zz"}, {"order": "name"}, {"filter": "colour == red"}, {"wait": "x"}, {"q": "1"}):
            assert (await client.get(PATH, params=wrong)).status_code == 422, wrong
        cursor = (await client.get(PATH, params={"after": "latest"})).headers["X-Next"]
        waiting = asyncio.create_task(client.get(PATH, params={"after": cursor, "wait": 20}))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await report(edge, 2, record(web, name="late.example"))
        assert [each["resolvedName"] for each in (await waiting).json()] == ["late.example"]
    assert (await client.post(PATH, json={})).status_code == 405


async def test_a_number_that_cannot_be_ends_the_session(console: Running) -> None:
    host = await enrol(console, "edge")
    for sequence, lost in ((0, 0), (1 << 63, 0), (1, -1)):
        async with Peer(host) as edge:
            await edge.send(messages.LookupReports(sequence=sequence, records=(), lost=lost))
            with pytest.raises(ConnectionClosed, match="63-bit"):
                await edge.answer(messages.LookupsAccepted)


STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**63,
    2**64 - 1,
    "",
    "x" * 600,
    "\x00",
    "\u2028",
    1e300,
    float("nan"),
    float("inf"),
    [],
    [1],
    {},
)


async def test_fuzzed_records_break_nothing(console: Running, client: httpx2.AsyncClient) -> None:
    """Whatever a record holds: the session ends, or the record is refused, or it can be stored and shown."""
    random, host = Random(4), await enrol(console, "edge")
    async with Peer(host) as edge:
        web = (await edge.register(unit("web"))).units["web"]
    accepted = ended = 0
    for sequence in range(1, 41):
        fields = msgspec.to_builtins(record(web))
        for name in random.sample(sorted(fields), random.randint(1, 3)):
            fields[name] = random.choice(STRANGE)
        batch = {"kind": "lookup-reports", "sequence": sequence, "records": [fields], "lost": 0}
        async with Peer(host) as edge:
            await edge.socket.send(msgspec.msgpack.encode(batch))
            try:
                await edge.answer(messages.LookupsAccepted)
                accepted += 1
            except ConnectionClosed:
                ended += 1
    assert accepted
    assert ended
    for each in await stored(client):
        assert each["processingUnitID"] == web
