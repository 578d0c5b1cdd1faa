"""Pings and paths over REST and the stream: who may, who is told what, and when the Console tries a path by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.console.rig import Peer, Running, enrol, ruleset, unit
from tests.console.test_flows import record
from watchword.wire import messages
from watchword.wire.pings import PingEnd, PingOutcome, PingWire

WEB, DB = "10.0.0.1", "10.0.0.9"
LEFT = PingOutcome("silent", PingWire(sent=1, announced=True), None, WEB, 4000, 7)


@asynccontextmanager
async def hosts(console: Running, client: httpx2.AsyncClient) -> AsyncIterator[tuple[Peer, Peer, dict[str, Any]]]:
    """web in /shop and pg in /data, each with an Enforcer that says where it is."""
    for name in ("shop", "data"):
        assert (await client.post("/v1/namespaces", json={"name": name})).status_code == 201
    edge_host, store_host = await enrol(console, "edge", "/shop"), await enrol(console, "store", "/data")
    async with Peer(edge_host) as edge, Peer(store_host) as store:
        ids: dict[str, Any] = {}
        for peer, name, address in ((edge, "web", WEB), (store, "pg", DB)):
            ids |= (await peer.register(unit(name, f"app={name}"))).units
            await peer.send(messages.HostAddresses((address, "fd00::7")))
        yield edge, store, ids


@asynccontextmanager
async def somebody(console: Running, client: httpx2.AsyncClient, namespace: str, role: str) -> AsyncIterator[Any]:
    made = await client.post(
        "/v1/appcredentials", json={"name": role, "roles": [role]}, headers={"X-Namespace": namespace}
    )
    async with console.client(made.json()["credential"], namespace) as opened:
        yield opened


def asked(name: str = "web", **fields: Any) -> dict[str, Any]:
    return {"unit": name, "address": DB, "port": 5432, "patience": 0.2, **fields}


async def answered(
    edge: Peer, store: Peer, sighted: messages.PingSighted, outcome: PingOutcome = LEFT
) -> messages.Ping:
    """Play both Enforcers' parts in one ping."""
    order = await edge.answer(messages.Ping)
    await edge.send(messages.PingHeard(order.number, outcome))
    sought = await store.answer(messages.PingSought)
    assert (sought.number, sought.nonce, sought.address, sought.port) == (order.number, 7, WEB, 5432)
    await store.send(messages.PingSighted(order.number, sighted.how, sighted.end))
    assert (await edge.answer(messages.PingOver)).number == order.number
    return order


def stranger(ids: dict[str, Any]) -> messages.PingSighted:
    """pg has refused somebody without identity."""
    end = PingEnd(unit=ids["pg"], stage="refused", action="Reject", reason="policy", remote=WEB, revision=3)
    return messages.PingSighted(0, "refusal", end)


async def test_administrators_of_the_units_namespace_may_and_it_is_written_down(
    console: Running, client: httpx2.AsyncClient
) -> None:
    async with hosts(console, client) as (edge, store, ids):
        async with somebody(console, client, "/shop", "namespace.viewer") as viewer:
            assert (await viewer.post("/v1/pings", json=asked())).status_code == 403
        async with somebody(console, client, "/data", "namespace.administrator") as other:
            assert (await other.post("/v1/pings", json=asked())).status_code == 404
        assert not (
            await client.get("/v1/activities", params={"filter": "operation == ping", "recursive": "true"})
        ).json()
        async with somebody(console, client, "/shop", "namespace.administrator") as own:
            request = asyncio.create_task(own.post("/v1/pings", json=asked()))
            order = await answered(edge, store, stranger(ids))
            found = (await request).json()
        assert (order.unit, order.address, order.quiet) == (ids["web"], DB, True)
        assert [each["code"] for each in found["findings"]] == ["stripped-syn", "refused-there"]
        far = found["far"]
        assert (far["visible"], far["unit"]["name"], far["remote"], far["revision"]) == (False, "pg", "", 0)
        request = asyncio.create_task(client.post("/v1/pings", json=asked(complete=True)))
        assert not (await answered(edge, store, stranger(ids))).quiet
        far = (await request).json()["far"]
        assert (far["visible"], far["remote"], far["policyID"]) == (True, WEB, "default")
        listed = await client.get("/v1/activities", params={"filter": "operation == ping", "recursive": "true"})
        assert [each["author"].split()[0] for each in listed.json()] == ["appcredential"] * 2


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"address": "db"}, 422),
        ({"port": 0}, 422),
        ({"patience": 60}, 422),
        ({"name": "nobody"}, 404),
        ({"x": 1}, 422),
        ({"protocol": "icmp"}, 422),
        ({"protocol": "udp", "complete": True}, 422),
        ({"protocol": "gre"}, 422),
    ],
)
async def test_what_cannot_be_asked(
    console: Running, client: httpx2.AsyncClient, changes: dict[str, Any], status: int
) -> None:
    async with hosts(console, client):
        assert (await client.post("/v1/pings", json=asked(**changes))).status_code == status


async def test_without_the_units_enforcer_there_is_no_ping(console: Running, client: httpx2.AsyncClient) -> None:
    async with hosts(console, client) as (edge, _, ids):
        request = asyncio.create_task(client.post("/v1/pings", json=asked()))
        order = await edge.answer(messages.Ping)
        await edge.send(messages.PingHeard(order.number, failure="no such cgroup"))
        answer = await request
        assert (answer.status_code, "no such cgroup" in answer.text) == (409, True)
    answer = await client.post("/v1/pings", json=asked(ids["web"]))
    assert (answer.status_code, "not connected" in answer.text) == (409, True)


def nobody(ids: dict[str, Any], **fields: Any) -> messages.FlowRecord:
    """pg reports that it has refused somebody at web's address."""
    given = {"direction": "incoming", "action": "Reject", "peer_address": WEB, "proved": False}
    return record(ids["pg"], **{**given, **fields})


async def test_a_suspected_path_is_tried_once_by_a_unit_that_may_call(
    console: Running, client: httpx2.AsyncClient
) -> None:
    rejecting = {f"defaultPU{way}TrafficAction": "Reject" for way in ("Incoming", "Outgoing")}
    async with hosts(console, client) as (edge, store, ids):
        for name in ("shop", "data"):
            await client.patch(f"/v1/namespaces/{name}", json=rejecting)
        await store.send(messages.FlowReports(1, (nobody(ids),)))
        with pytest.raises(TimeoutError):
            await edge.answer(messages.Ping, 0.5)  # policy lets nobody call: nothing is broken
        for space, rules in (("/shop", {"outgoing": ["app=pg"]}), ("/data", {"incoming": ["app=web"]})):
            app = "web" if space == "/shop" else "pg"
            body = ruleset(app, f"app={app}", **rules)
            made = await client.post("/v1/networkrulesetpolicies", json=body, headers={"X-Namespace": space})
            assert made.status_code == 201, made.text
        harmless = (nobody(ids, peer_address="10.5.5.5"), nobody(ids, peer_badge=99), nobody(ids, protocol=17))
        await store.send(messages.FlowReports(2, harmless))
        outgoing = record(ids["web"], peer_address=DB, action="Reject", proved=False)
        await edge.send(messages.FlowReports(1, (outgoing,)))
        order = await answered(edge, store, stranger(ids))
        assert (order.unit, order.address, order.port, order.quiet) == (ids["web"], DB, 5432, True)
        await settled(client, [["stripped-syn"]])
        await edge.send(messages.FlowReports(2, (outgoing,)))
        with pytest.raises(TimeoutError):
            await edge.answer(messages.Ping, 2.5)  # not again so soon
        near = PingEnd(unit=ids["web"], stage="admitted", action="Allow", reason="policy", peer_badge=1, proved=True)
        request = asyncio.create_task(client.post("/v1/pings", json=asked(ids["web"])))
        order = await edge.answer(messages.Ping)
        wire = PingWire(sent=1, announced=True, answer="syn-ack", identified=True)
        await edge.send(messages.PingHeard(order.number, PingOutcome("opened", wire, near, WEB, 4000, 7)))
        assert (await request).status_code == 200
        await settled(client, [])


async def settled(client: httpx2.AsyncClient, expected: list[list[str]]) -> None:
    for _ in range(200):
        if [each["codes"] for each in (await client.get("/v1/paths")).json()] == expected:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"paths are not {expected}")
