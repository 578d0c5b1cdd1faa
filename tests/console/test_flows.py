"""Flow reports: stored once, never about somebody else's unit, resolved to names, followed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2

from tests.console.rig import Peer, Running, enrol, ruleset, running, unit
from watchword.wire import messages


def record(unit_id: str, **fields: Any) -> messages.FlowRecord:
    given: dict[str, Any] = {
        "unit": unit_id,
        "direction": "outgoing",
        "peer_badge": 0,
        "peer_unit": "",
        "peer_address": "",
        "network": "",
        "protocol": 6,
        "port": 5432,
        "action": "Allow",
        "reason": "policy",
        "rule": "",
        "ruleset": "",
        "observed_action": "",
        "observed_rule": "",
        "proved": True,
        "revision": 1,
        "connections": 2,
        "packets_in": 3,
        "packets_out": 4,
        "bytes_in": 500,
        "bytes_out": 600,
        "latency_us_total": 1000,
        "first_seen": 1_700_000_000.0,
        "last_seen": 1_700_000_001.5,
    }
    return messages.FlowRecord(**{**given, **fields})


async def stored(client: httpx2.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/v1/flowreports", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


async def two_units(edge: Peer, store: Peer, client: httpx2.AsyncClient) -> tuple[dict[str, Any], dict[str, Any]]:
    await edge.register(unit("web", "app=web"))
    await store.register(unit("pg", "app=db"))
    found = {each["name"]: each for each in (await client.get("/v1/processingunits")).json()}
    return found["web"], found["pg"]


async def test_both_ends(console: Running, client: httpx2.AsyncClient) -> None:
    made = await client.post("/v1/networkrulesetpolicies", json=ruleset("db", "app=db", incoming=["app=web"]))
    rule = f"{made.json()['ID']}/in/0"
    async with Peer(await enrol(console, "edge")) as edge, Peer(await enrol(console, "store")) as store:
        web, pg = await two_units(edge, store, client)
        client_side = record(web["ID"], peer_badge=pg["badge"], peer_unit=pg["ID"])
        server_side = record(
            pg["ID"],
            direction="incoming",
            peer_badge=web["badge"],
            rule=rule,
            ruleset=made.json()["ID"],
            observed_action="Reject",
            observed_rule=rule,
        )
        await edge.send(messages.FlowReports(sequence=1, records=(client_side,)))
        assert (await edge.answer(messages.ReportsAccepted)).sequence == 1
        await store.send(messages.FlowReports(sequence=1, records=(server_side,)))
        await store.answer(messages.ReportsAccepted)
    first, second = await stored(client)
    for seen in (first, second):
        assert (seen["sourceName"], seen["destinationName"]) == ("web", "pg")
        assert (seen["sourceID"], seen["destinationID"]) == (web["ID"], pg["ID"])
        assert "app=web" in seen["sourceTags"]
        assert "app=db" in seen["destinationTags"]
        assert (seen["protocol"], seen["destinationPort"], seen["value"], seen["latencyUs"]) == (6, 5432, 2, 500)
    assert [each["reportedBy"] for each in (first, second)] == ["Source", "Destination"]
    assert [each["enforcerName"] for each in (first, second)] == ["edge", "store"]
    assert (first["policyID"], first["observedAction"]) == ("default", "NotApplicable")
    assert (second["policyName"], second["ruleKey"], second["observedAction"]) == ("db", rule, "Reject")
    assert first["lastSeen"] == "2023-11-14T22:13:21.500000Z"


async def test_a_batch_is_stored_once(console: Running, client: httpx2.AsyncClient) -> None:
    host = await enrol(console, "edge")
    async with Peer(host) as edge:
        identifier = (await edge.register(unit("web"))).units["web"]
        batch = messages.FlowReports(sequence=7, records=(record(identifier), record(identifier)), lost=3)
        for _ in range(3):
            await edge.send(batch)
            assert (await edge.answer(messages.ReportsAccepted)).sequence == 7
    async with Peer(host) as edge:  # the answer was lost with the connection: sent again
        await edge.send(batch)
        await edge.answer(messages.ReportsAccepted)
        await edge.send(messages.FlowReports(sequence=8, records=(record(identifier),)))
        await edge.answer(messages.ReportsAccepted)
        await edge.send(messages.FlowReports(sequence=5, records=(record(identifier),)))
        assert (await edge.answer(messages.ReportsAccepted)).sequence == 8, "who has forgotten where it was is told"
    assert len(await stored(client)) == 3
    for _ in range(50):
        if (await client.get("/v1/enforcers/edge")).json()["lostReports"] == 3:
            break
        await asyncio.sleep(0.05)
    assert (await client.get("/v1/enforcers/edge")).json()["lostReports"] == 3


async def test_a_batch_is_stored_once_across_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as console:
        host = await enrol(console, "edge")
        async with Peer(host) as edge:
            identifier = (await edge.register(unit("web"))).units["web"]
            batch = messages.FlowReports(sequence=7, records=(record(identifier),))
            await edge.send(batch)
            await edge.answer(messages.ReportsAccepted)
    async with running(tmp_path / "data", console.credential) as again, again.client() as client:
        host.console = again
        async with Peer(host) as edge:
            for sequence in (7, 8):
                await edge.send(messages.FlowReports(sequence=sequence, records=batch.records))
                await edge.answer(messages.ReportsAccepted)
        found = await stored(client)
        assert [each["ID"] for each in found] == [f"{1:016x}", f"{2:016x}"]


async def test_nobody_reports_for_another(console: Running, client: httpx2.AsyncClient) -> None:
    async with Peer(await enrol(console, "edge")) as edge, Peer(await enrol(console, "store")) as store:
        web, pg = await two_units(edge, store, client)
        absurd = record(web["ID"], connections=1 << 63)
        long = record(web["ID"], reason="x" * 10_000)
        forged = record(pg["ID"], peer_badge=web["badge"])
        unknown = record("0" * 24)
        good = record(web["ID"], peer_badge=12345, peer_unit=pg["ID"])
        await edge.send(messages.FlowReports(sequence=1, records=(absurd, long, forged, unknown, good)))
        await edge.answer(messages.ReportsAccepted)
        (only,) = await stored(client)
        assert only["sourceName"] == "web"


async def test_a_peer_without_identity(console: Running, client: httpx2.AsyncClient) -> None:
    body = {"name": "office", "entries": ["198.51.100.0/24"], "associatedTags": ["net=office"]}
    network = (await client.post("/v1/externalnetworks", json=body)).json()
    async with Peer(await enrol(console, "edge")) as edge:
        identifier = (await edge.register(unit("web"))).units["web"]
        known = record(
            identifier, direction="incoming", peer_address="198.51.100.7", network=network["ID"], proved=False
        )
        nowhere = record(identifier, peer_address="203.0.113.9", action="Reject", reason="policy", proved=False)
        await edge.send(messages.FlowReports(sequence=1, records=(known, nowhere)))
        await edge.answer(messages.ReportsAccepted)
    first, second = await stored(client)
    assert (first["sourceType"], first["sourceName"], first["sourceIP"]) == (
        "ExternalNetwork",
        "office",
        "198.51.100.7",
    )
    assert (second["destinationType"], second["destinationIP"], second["destinationID"]) == (
        "Somewhere",
        "203.0.113.9",
        "",
    )


async def test_a_unit_that_just_ended_is_still_named(console: Running, client: httpx2.AsyncClient) -> None:
    async with Peer(await enrol(console, "edge")) as edge:
        identifier = (await edge.register(unit("job"))).units["job"]
        await edge.send(messages.RetireUnits(native_ids=("job",)))
        await edge.send(messages.FlowReports(sequence=1, records=(record(identifier),)))
        await edge.answer(messages.ReportsAccepted)
    assert [each["sourceName"] for each in await stored(client)] == ["job"]


async def test_following(console: Running, client: httpx2.AsyncClient) -> None:
    async with Peer(await enrol(console, "edge")) as edge:
        identifier = (await edge.register(unit("web"))).units["web"]
        empty = await client.get("/v1/flowreports", params={"after": "latest"})
        assert empty.json() == []
        cursor, seen = empty.headers["X-Next"], []
        for sequence in range(1, 4):
            waiting = asyncio.create_task(
                client.get("/v1/flowreports", params={"after": cursor, "wait": 20, "filter": "destinationPort > 1"})
            )
            await asyncio.sleep(0.1)
            assert not waiting.done()
            pair = (record(identifier, port=sequence + 10), record(identifier, port=1))
            await edge.send(messages.FlowReports(sequence=sequence, records=pair))
            await edge.answer(messages.ReportsAccepted)
            answer = await waiting
            seen += [each["destinationPort"] for each in answer.json()]
            cursor = answer.headers["X-Next"]
        assert seen == [11, 12, 13]
        nothing = await client.get(
            "/v1/flowreports", params={"after": cursor, "wait": 0.2, "filter": "destinationPort > 1"}
        )
        assert nothing.json() == []


async def test_pages_and_filters(console: Running, client: httpx2.AsyncClient) -> None:
    async with Peer(await enrol(console, "edge")) as edge:
        identifier = (await edge.register(unit("web", "app=web"))).units["web"]
        records = tuple(record(identifier, port=port, action="Allow" if port % 2 else "Reject") for port in range(10))
        await edge.send(messages.FlowReports(sequence=1, records=records))
        await edge.answer(messages.ReportsAccepted)

    async def ports(**query: Any) -> list[int]:
        return [each["destinationPort"] for each in await stored(client, **query)]

    assert await ports() == list(range(10))
    assert await ports(order="-ID", limit=3) == [9, 8, 7]
    page = await client.get("/v1/flowreports", params={"order": "-ID", "limit": 3})
    assert await ports(order="-ID", limit=3, after=page.headers["X-Next"]) == [6, 5, 4]
    assert await ports(filter="action == Reject and destinationPort > 4") == [6, 8]
    assert await ports(filter='sourceTags contains "app=web" and sourceName matches "w?b"', limit=2) == [0, 1]
    assert await ports(filter='sourceTags contains "app=db"') == []
    assert await ports(filter='timestamp > now("-1h") and not (destinationPort in [1, 2, 3, 4, 5, 6, 7, 8])') == [0, 9]
    refused: list[dict[str, Any]] = [
        {"after": "zz"},
        {"order": "name"},
        {"filter": "colour == red"},
        {"wait": "x"},
        {"wait": 1, "order": "-ID"},
    ]
    for wrong in refused:
        assert (await client.get("/v1/flowreports", params=wrong)).status_code == 422, wrong


async def test_flows_stay_in_their_namespace(console: Running, client: httpx2.AsyncClient) -> None:
    await client.post("/v1/namespaces", json={"name": "acme"})
    async with Peer(await enrol(console, "edge", "/acme")) as edge:
        identifier = (await edge.register(unit("web"))).units["web"]
        await edge.send(messages.FlowReports(sequence=1, records=(record(identifier),)))
        await edge.answer(messages.ReportsAccepted)
    assert await stored(client) == []
    assert len(await stored(client, recursive="true")) == 1
    assert len((await client.get("/v1/flowreports", headers={"X-Namespace": "/acme"})).json()) == 1
