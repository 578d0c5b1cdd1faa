"""Findings, differences and hypothetical flows over REST: what they say, and to whom they say nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.console.rig import Peer, Running, enrol, ruleset, unit

CLOSED = {"defaultPUIncomingTrafficAction": "Reject", "defaultPUOutgoingTrafficAction": "Reject"}


async def made(client: httpx2.AsyncClient, plural: str, body: dict[str, Any], namespace: str = "/") -> dict[str, Any]:
    answer = await client.post(f"/v1/{plural}", json=body, headers={"X-Namespace": namespace})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def found(client: httpx2.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get("/v1/findings", params=query)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def differences(client: httpx2.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get("/v1/differences", params=query)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


@contextlib.asynccontextmanager
async def shop(console: Running, client: httpx2.AsyncClient) -> AsyncIterator[Peer]:
    """web-1, web-2 and pg, everything closed."""
    await client.patch("/v1/namespaces//", json=CLOSED)
    async with Peer(await enrol(console, "edge")) as edge:
        await edge.register(unit("web-1", "app=web"), unit("web-2", "app=web"), unit("pg", "app=db"))
        yield edge


async def test_findings(console: Running, client: httpx2.AsyncClient) -> None:
    async with shop(console, client):
        await made(client, "networkrulesetpolicies", ruleset("db", "app=db", incoming=["app=web"]))
        await made(client, "networkrulesetpolicies", ruleset("gone", "app=gone", incoming=["app=web"]))
        told = await found(client)
        codes = {each["code"]: each for each in told["findings"]}
        assert set(codes) == {"one-sided-rule", "subject-matches-nothing"}
        assert told["counts"] == {"error": 0, "warning": 2, "info": 0}
        assert (codes["one-sided-rule"]["rulesetName"], codes["one-sided-rule"]["pairs"]) == ("db", 2)
        ids = {each["ID"]: each["name"] for each in (await client.get("/v1/processingunits")).json()}
        shown = codes["one-sided-rule"]["witness"]
        assert (ids[shown["source"]][:4], ids[shown["destination"]], shown["flow"]) == ("web-", "pg", "tcp/5432")

        await made(client, "networkrulesetpolicies", ruleset("web", "app=web", outgoing=["app=db"]))
        assert {each["code"] for each in (await found(client))["findings"]} == {"subject-matches-nothing"}
        assert (await found(client, code="rejected-allow"))["total"] == 0
        assert (await found(client, severity="error,info"))["total"] == 0
        cut = await found(client, limit=0)
        assert (cut["total"], cut["findings"]) == (1, [])
        for wrong in ({"code": "x"}, {"severity": "bad"}, {"limit": "-1"}, {"revision": "x"}, {"other": "1"}):
            assert (await client.get("/v1/findings", params=wrong)).status_code == 422, wrong


async def test_differences_between_revisions_and_of_drafts(console: Running, client: httpx2.AsyncClient) -> None:
    async with shop(console, client):
        await made(client, "networkrulesetpolicies", ruleset("web", "app=web", outgoing=["app=db"]))
        before = (await client.get("/v1/health")).json()["revision"]
        await made(client, "networkrulesetpolicies", ruleset("db", "app=db", incoming=["app=web"]))
        told = await differences(client, **{"from": before})
        assert (told["before"], told["after"]) == (before, before + 1)
        (flows,) = told["flows"]
        assert (flows["effect"], flows["pairs"], flows["protocolPorts"]) == ("allowed", 2, ["tcp/5432"])
        assert flows["text"].startswith("2 units app=web → pg in /: tcp/5432 incoming was refused by default")
        back = await differences(client, **{"from": "latest", "to": before})
        assert [each["effect"] for each in back["flows"]] == ["denied"]
        assert (await differences(client))["flowsTotal"] == 0

        await made(client, "drafts", {"name": "d"})
        change = {"imports": [{"data": {"networkrulesetpolicies": [ruleset("ssh", "app=db", incoming=["app=db"])]}}]}
        added = await client.post("/v1/drafts/d/changes", json=change)
        assert added.status_code == 200, added.text
        drafted = await differences(client, draft="d", limit=0)
        assert (drafted["flowsTotal"], drafted["flows"]) == (0, [])  # pg alone is app=db
        asked: dict[str, Any] = {"source": "web-1", "destination": "pg", "protocol": "tcp", "port": 5432}
        queries: tuple[tuple[dict[str, Any], str], ...] = (
            ({}, "Allow"),
            ({"draft": "d"}, "Allow"),
            ({"revision": before}, "Reject"),
        )
        for query, action in queries:
            answer = await client.get("/v1/explanations", params={**asked, **query})
            assert answer.json()["action"] == action, query
        assert any(each["code"] == "unused-rule" for each in (await found(client, draft="d"))["findings"])
        for wrong in ({"from": "x"}, {"draft": "d", "to": "1"}, {"units": "soon"}, {"limit": "10001"}):
            assert (await client.get("/v1/differences", params=wrong)).status_code == 422, wrong
        for missing in ({"draft": "nothing"}, {"from": "99999"}):
            assert (await client.get("/v1/differences", params=missing)).status_code == 404, missing


async def test_units_of_then_are_compared_when_asked_for(console: Running, client: httpx2.AsyncClient) -> None:
    async with shop(console, client) as edge:
        await made(client, "networkrulesetpolicies", ruleset("web", "app=web", outgoing=["app=db"]))
        await made(client, "networkrulesetpolicies", ruleset("db", "app=db", incoming=["app=web"]))
        before = (await client.get("/v1/health")).json()["revision"]
        await edge.register(unit("web-3", "app=web"))
        assert (await differences(client, **{"from": before}))["flowsTotal"] == 0
        then = await differences(client, **{"from": before}, units="then")
        assert [unit_["name"] for unit_ in then["unitsNew"]["units"]] == ["web-3"]
        assert [(flows["effect"], flows["presence"]) for flows in then["flows"]] == [("allowed", "new")]


async def test_hypothetical_flows(console: Running, client: httpx2.AsyncClient) -> None:
    async with shop(console, client):
        await made(client, "namespaces", {"name": "eu", "organizationalMetadata": ["@org:region=eu"]})
        eu = {**ruleset("db", "app=db"), "incomingRules": [
            {"object": [["app=web", "@org:region=eu"]], "protocolPorts": ["tcp/5432"], "action": "Allow"}]}  # fmt: skip
        await made(client, "networkrulesetpolicies", eu)

        async def ask(source: Any, destination: Any, **more: Any) -> httpx2.Response:
            body = {"source": source, "destination": destination, "protocol": "tcp", "port": 5432, **more}
            return await client.post("/v1/explanations", json=body)

        web = {"tags": ["app=web"], "namespace": "/eu"}
        told = (await ask(web, {"unit": "pg"})).json()
        assert (told["incoming"]["action"], told["source"]["hypothetical"]) == ("Allow", True)
        assert told["outgoing"]["action"] == "Reject"
        assert (await ask({"tags": ["app=web"]}, {"unit": "pg"})).json()["incoming"]["action"] == "Reject"
        assert (await ask(web, {"tags": ["app=db"]}, port="5432")).json()["incoming"]["action"] == "Allow"
        assert (await ask({"address": "192.0.2.1"}, {"namespace": "/"})).json()["incoming"]["action"] == "Reject"
        for wrong in (
            {}, {"unit": "pg", "address": "192.0.2.1"}, {"unit": "pg", "namespace": "/"}, {"address": "pg"},
            {"tags": ["no tag"]}, {"tag": ["app=web"]},
        ):  # fmt: skip
            assert (await ask(wrong, {"unit": "pg"})).status_code == 422, wrong
        assert (await ask({"unit": "192.0.2.1"}, {"unit": "pg"})).status_code == 404
        assert (await ask({"tags": ["a=b"], "namespace": "/nowhere"}, {"unit": "pg"})).status_code == 404


@pytest.fixture
async def rivals(console: Running, client: httpx2.AsyncClient) -> AsyncIterator[httpx2.AsyncClient]:
    """Two tenants who know nothing of each other, both with policy about app=web; the second one's viewer."""
    await client.patch("/v1/namespaces//", json=CLOSED)
    for path in ("acme", "rival"):
        await made(client, "namespaces", {"name": path})
    async with (
        Peer(await enrol(console, "acme-host", "/acme")) as acme,
        Peer(await enrol(console, "rival-host", "/rival")) as rival,
    ):
        await acme.register(unit("acme-web", "app=web"), unit("acme-db", "app=db", "secret=merger"))
        await rival.register(unit("rival-web", "app=web"), unit("rival-db", "app=db"))
        for path in ("/acme", "/rival"):
            named = path[1:]
            rules = [
                ruleset(f"{named}-db", "app=db", incoming=["app=web"]),
                ruleset(f"{named}-web", "app=web", outgoing=["app=db", "secret=merger"]),
            ]
            for each in rules:
                await made(client, "networkrulesetpolicies", each, path)
        network = {"name": "acme-lab", "entries": ["198.51.100.0/24"], "associatedTags": ["net=lab"]}
        await made(client, "externalnetworks", network, "/acme")
        await made(client, "externalnetworks", {**network, "name": "root-lab"}, "/")
        await made(client, "networkrulesetpolicies", ruleset("hidden-root", "app=web", outgoing=["app=db"]), "/")
        credential = await made(client, "appcredentials", {"name": "v", "roles": ["namespace.viewer"]}, "/rival")
        async with console.client(credential["credential"], "/rival") as viewer:
            yield viewer


async def test_a_viewer_learns_nothing_of_other_namespaces(
    console: Running, client: httpx2.AsyncClient, rivals: httpx2.AsyncClient
) -> None:
    """Everything that a viewer can be told is the same whatever happens in a namespace that is not theirs."""

    async def everything() -> list[Any]:
        told: list[Any] = [(await found(rivals))["findings"], (await differences(rivals, **{"from": start}))["flows"]]
        for destination in ("rival-db", "198.51.100.7"):
            query = {"source": "rival-web", "destination": destination, "protocol": "tcp", "port": 5432}
            told.append({**(await rivals.get("/v1/explanations", params=query)).json(), "revision": 0})
        asked = {"source": {"tags": ["app=web"]}, "destination": {"unit": "rival-db"}, "protocol": "tcp", "port": "1"}
        told.append({**(await rivals.post("/v1/explanations", json=asked)).json(), "revision": 0})
        return told

    start = (await client.get("/v1/health")).json()["revision"]
    before = await everything()
    for word in ("acme", "secret", "hidden-root", "root-lab"):
        # the viewer's own ruleset names secret=merger: that it does is theirs to know, that it matches is not
        assert word == "secret" or word not in str(before), word
    assert any("secret=merger" in each["text"] and each["code"] == "object-matches-nothing" for each in before[0])

    wide = {**ruleset("more", "app=web", outgoing=["app=db", "app=web"]), "propagate": True}
    await made(client, "networkrulesetpolicies", wide, "/acme")
    await client.delete("/v1/networkrulesetpolicies/acme-db", headers={"X-Namespace": "/acme"})
    await client.delete("/v1/externalnetworks/root-lab")
    for each in (await client.get("/v1/processingunits", headers={"X-Namespace": "/acme"})).json():
        await client.patch(f"/v1/processingunits/{each['ID']}", json={"associatedTags": ["app=db"]})
    assert await everything() == before

    for namespace in ("/acme", "/"):
        for path in ("findings", "differences"):
            refused = await rivals.get(f"/v1/{path}", headers={"X-Namespace": namespace})
            assert refused.status_code == 403
    for party in ({"tags": ["app=web"], "namespace": "/acme"}, {"namespace": "/"}):
        body = {"source": party, "destination": {"unit": "rival-db"}, "protocol": "tcp", "port": "1"}
        assert (await rivals.post("/v1/explanations", json=body)).status_code == 403
    for unit_ in ("acme-web", "secret=merger"):
        body = {"source": {"unit": unit_}, "destination": {"unit": "rival-db"}, "protocol": "tcp", "port": "1"}
        assert (await rivals.post("/v1/explanations", json=body)).status_code == 404
    await made(client, "drafts", {"name": "plan"}, "/acme")
    for path in ("findings", "differences"):
        assert (await rivals.get(f"/v1/{path}", params={"draft": "plan"})).status_code == 404
