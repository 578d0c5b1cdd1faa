"""Intents: one object, both ends, one name in everything that is decided."""

from __future__ import annotations

from typing import Any

import httpx2

from tests.console.rig import Peer, Running, enrol, unit
from tests.console.test_histories import NETWORK, administrator, made
from tests.console.test_policy_tests import enforce

INTENT = {
    "name": "web to db",
    "source": [["app=web"]],
    "destination": [["app=db"]],
    "protocolPorts": ["tcp/5432"],
}


async def explained(client: httpx2.AsyncClient, source: str, destination: str, port: str = "5432") -> dict[str, Any]:
    params = {"source": source, "destination": destination, "protocol": "tcp", "port": port}
    answer = await client.get("/v1/explanations", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_one_intent_is_both_ends(console: Running, client: httpx2.AsyncClient) -> None:
    await enforce(client)
    host = await enrol(console, "edge")
    async with Peer(host) as peer:
        await peer.register(unit("web-1", "app=web"), unit("db-1", "app=db"), unit("x-1", "app=x"), complete=True)
        assert (await explained(client, "web-1", "db-1"))["action"] == "Reject"
        intent = await made(client, "intents", INTENT)
        document = await peer.until(lambda document: document.rules)
        assert {key.partition("/")[0] for key in document.rules} == {intent["ID"]}
        assert {(rule.ruleset, rule.ruleset_name) for rule in document.rules.values()} == {(intent["ID"], "web to db")}
        units = {each.name: each for each in document.units.values()}
        assert units["web-1"].outgoing == (f"{intent['ID']}/out/0",)
        assert units["web-1"].incoming == ()
        assert units["db-1"].incoming == (f"{intent['ID']}/in/0",)
        assert units["db-1"].outgoing == ()
        assert units["x-1"].incoming == units["x-1"].outgoing == ()
        found = await explained(client, "web-1", "db-1")
        assert found["action"] == "Allow"
        for end in ("outgoing", "incoming"):
            assert found[end]["matching"][0]["ruleset"] == intent["ID"]
        for source, destination, port in (
            ("db-1", "web-1", "5432"),
            ("web-1", "db-1", "5433"),
            ("x-1", "db-1", "5432"),
        ):
            assert (await explained(client, source, destination, port))["action"] == "Reject"
        assert (await client.delete(f"/v1/intents/{intent['ID']}")).status_code == 204
        document = await peer.until(lambda document: not document.rules)
        assert (await explained(client, "web-1", "db-1"))["action"] == "Reject"


async def test_a_network_has_no_end(console: Running, client: httpx2.AsyncClient) -> None:
    """Not even for a unit that somebody gave the network's tag, when the intent says that it means a network."""
    await enforce(client)
    host = await enrol(console, "edge")
    await made(client, "externalnetworks", NETWORK)
    async with Peer(host) as peer:
        await peer.register(unit("web-1", "app=web"), unit("liar", "net=office"), complete=True)
        body = {**INTENT, "destination": [["net=office", "$identity=externalnetwork"]]}
        intent = await made(client, "intents", body)
        document = await peer.until(lambda document: document.rules)
        assert set(document.rules) == {f"{intent['ID']}/out/0"}
        assert (await explained(client, "web-1", "192.0.2.7"))["action"] == "Allow"
        assert (await explained(client, "web-1", "liar"))["action"] == "Reject"
    nobody = {**body, "name": "n", "source": [["$identity=externalnetwork", "net=office"]]}
    assert (await client.post("/v1/intents", json=nobody)).status_code == 422


async def test_an_intent_is_only_about_units_of_its_namespace(console: Running, client: httpx2.AsyncClient) -> None:
    """Whoever may write in one namespace opens no end above or beside it."""
    await enforce(client)
    for name in ("shop", "other"):
        await made(client, "namespaces", {"name": name})
    host = await enrol(console, "edge")
    async with Peer(host) as peer:
        await peer.register(
            unit("web-1", "app=web", namespace="/shop"),
            unit("db-1", "app=db", namespace="/other"),
            unit("db-0", "app=db", namespace="/"),
            complete=True,
        )
        async with await administrator(console, "/shop") as local:
            intent = await made(local, "intents", {**INTENT, "propagate": True}, "/shop")
            for namespace in ("/", "/other"):
                answer = await local.post("/v1/intents", json=INTENT, headers={"X-Namespace": namespace})
                assert answer.status_code == 403
        document = await peer.until(lambda document: document.rules)
        units = {each.name: each for each in document.units.values()}
        assert units["web-1"].outgoing == (f"{intent['ID']}/out/0",)
        assert units["db-1"].incoming == units["db-0"].incoming == ()
        assert (await explained(client, "web-1", "db-1"))["action"] == "Reject"
        await made(client, "intents", INTENT, "/other")
        assert (await explained(client, "web-1", "db-1"))["action"] == "Allow"


async def test_a_reject_wins_and_observation_decides_nothing(console: Running, client: httpx2.AsyncClient) -> None:
    await enforce(client)
    host = await enrol(console, "edge")
    async with Peer(host) as peer:
        await peer.register(unit("web-1", "app=web"), unit("db-1", "app=db"), complete=True)
        await made(client, "intents", INTENT)
        reject = await made(
            client, "intents", {**INTENT, "name": "never", "action": "Reject", "observationEnabled": True}
        )
        assert (await explained(client, "web-1", "db-1"))["action"] == "Allow"
        await client.patch(f"/v1/intents/{reject['ID']}", json={"observationEnabled": False})
        assert (await explained(client, "web-1", "db-1"))["action"] == "Reject"
        await client.patch(f"/v1/intents/{reject['ID']}", json={"disabled": True})
        assert (await explained(client, "web-1", "db-1"))["action"] == "Allow"


async def test_tag_prefixes_hold_for_intents(client: httpx2.AsyncClient) -> None:
    await made(client, "namespaces", {"name": "shop", "tagPrefixes": ["app="]})
    body = {**INTENT, "destination": [["tier=db"]]}
    refused = await client.post("/v1/intents", json=body, headers={"X-Namespace": "/shop"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"] == "destination[0][0]"


async def test_importing_again_changes_nothing(client: httpx2.AsyncClient) -> None:
    for outcome in ("created", "unchanged"):
        answer = (await client.post("/v1/imports", json={"data": {"intents": [INTENT]}})).json()
        assert [each["name"] for each in answer[outcome]] == ["web to db"], answer
