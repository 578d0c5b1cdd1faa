"""Policy tests on a Console: run when something changes, kept, and in the way of what would break them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from tests.console.rig import Peer, Running, enrol, ruleset, unit
from tests.console.test_drafts import add, imports
from tests.console.test_histories import NETWORK, administrator, made
from watchword.policy import assertions

WEB_TO_DB = {"name": "web reaches db", "from": [["app=web"]], "to": [["app=db"]], "protocolPorts": ["tcp/5432"]}
RULES = [ruleset("web", "app=web", outgoing=["app=db"]), ruleset("db", "app=db", incoming=["app=web"])]


def policy_test(*assertions: dict[str, Any], mode: str = "enforce", name: str = "t") -> dict[str, Any]:
    return {"name": name, "mode": mode, "assertions": list(assertions)}


async def enforce(client: httpx2.AsyncClient) -> None:
    """Nothing is allowed by default."""
    body = {"defaultPUIncomingTrafficAction": "Reject", "defaultPUOutgoingTrafficAction": "Reject", "protected": False}
    answer = await client.patch("/v1/namespaces/%2F", json=body)
    assert answer.status_code == 200, answer.text


async def status(client: httpx2.AsyncClient, wanted: str, name: str = "t") -> dict[str, Any]:
    """The test once it has that status."""
    async with asyncio.timeout(15):
        while True:
            found: dict[str, Any] = (await client.get(f"/v1/policytests/{name}")).json()
            if found["status"] == wanted:
                return found
            await asyncio.sleep(0.1)


async def stale(client: httpx2.AsyncClient) -> dict[str, Any]:
    """The test t once its result is stale."""
    async with asyncio.timeout(15):
        while True:
            found: dict[str, Any] = (await client.get("/v1/policytests/t")).json()
            if found["stale"]:
                return found
            await asyncio.sleep(0.1)


async def test_results_follow_rulesets_tags_and_units(console: Running, client: httpx2.AsyncClient) -> None:
    await enforce(client)
    host = await enrol(console, "edge")
    await made(client, "policytests", policy_test(WEB_TO_DB))
    found = await status(client, "Failed")
    assert found["results"][0]["message"] == "from selects no unit and no network here"
    async with Peer(host) as peer:
        await peer.register(unit("web-1", "app=web"), unit("db-1", "app=db"), complete=True)
        for each in RULES:
            await made(client, "networkrulesetpolicies", each)
        found = await status(client, "Passed")
        assert found["results"][0]["pairs"] == 1
        revision = found["statusRevision"]
        await peer.register(unit("web-2", "app=web", "env=dev"))
        changed = await client.patch("/v1/processingunits/db-1", json={"associatedTags": ["app=other"]})
        assert changed.status_code == 200  # tags are reported, never refused
        found = await status(client, "Failed")
        assert found["statusRevision"] > revision
        told = (await client.get("/v1/activities?filter=operation == test&order=-ID&limit=1")).json()
        assert told[0]["message"] == "policy test / t failed"
        await client.patch("/v1/processingunits/db-1", json={"associatedTags": ["app=db"]})
        await status(client, "Passed")


async def two_units(console: Running) -> Peer:
    peer = Peer(await enrol(console, "edge"))
    await peer.open()
    await peer.greet()
    await peer.register(unit("web-1", "app=web"), unit("db-1", "app=db"), complete=True)
    return peer


async def test_a_change_that_would_break_a_test_is_refused(console: Running, client: httpx2.AsyncClient) -> None:
    await enforce(client)
    peer = await two_units(console)
    rules = [await made(client, "networkrulesetpolicies", each) for each in RULES]
    await made(client, "policytests", policy_test(WEB_TO_DB))
    await made(
        client,
        "policytests",
        policy_test({**WEB_TO_DB, "protocolPorts": ["any"], "expect": "Reject"}, name="already", mode="enforce"),
    )
    path = f"/v1/networkrulesetpolicies/{rules[1]['ID']}"
    newest = (await client.get("/v1/health")).json()["revision"]
    refused = await client.delete(path)
    assert refused.status_code == 409
    problem = refused.json()
    assert problem["type"] == "urn:watchword:problem:breaks-test"
    assert problem["errors"][0]["path"] == "policytests/t.assertions[0]"
    assert "web reaches db: /web-1 → /db-1 tcp/5432 gets Reject" in problem["detail"]
    assert (await client.patch(path, json={"disabled": True})).status_code == 409
    assert (await client.patch(path, json={"subject": [["app=nobody"]]})).status_code == 409
    rejecting = {**ruleset("no", "app=db", incoming=["$type=*"])}
    rejecting["incomingRules"][0]["action"] = "Reject"
    assert (await client.post("/v1/networkrulesetpolicies", json=rejecting)).status_code == 409
    imported = await client.post("/v1/imports", json={"data": {"networkrulesetpolicies": [rejecting]}})
    assert imported.status_code == 409
    dry = await client.post("/v1/imports?dryRun=true", json={"data": {"networkrulesetpolicies": [rejecting]}})
    assert dry.status_code == 409
    back = await client.post("/v1/rollbacks", json={"revision": rules[0]["revision"]})
    assert back.status_code == 409
    await made(client, "drafts", {"name": "d"})
    assert (await add(client, "d", imports(networkrulesetpolicies=[rejecting]))).status_code == 200
    assert (await client.post("/v1/drafts/d/publication")).status_code == 409
    assert (await client.post("/v1/drafts/d/publication?dryRun=true")).status_code == 409
    assert (await client.get("/v1/health")).json()["revision"] == newest
    runs = (await client.get("/v1/policytestruns", params={"draft": "d"})).json()
    assert {each["name"]: each["passed"] for each in runs["tests"]} == {"t": False, "already": True}
    assert (await client.patch("/v1/policytests/t", json={"mode": "warn"})).status_code == 200
    assert (await client.delete(path)).status_code == 204
    await peer.socket.close()


async def test_what_fails_already_refuses_nothing(console: Running, client: httpx2.AsyncClient) -> None:
    """Otherwise nobody could mend, step by step, what tags have broken."""
    await enforce(client)
    peer = await two_units(console)
    await made(client, "policytests", policy_test(WEB_TO_DB))
    for each in RULES:
        await made(client, "networkrulesetpolicies", each)
    await status(client, "Passed")
    await peer.socket.close()


async def test_one_change_may_bring_the_test_and_what_it_asks_for(console: Running, client: httpx2.AsyncClient) -> None:
    await enforce(client)
    peer = await two_units(console)
    data = {"networkrulesetpolicies": RULES, "policytests": [policy_test(WEB_TO_DB)]}
    answer = await client.post("/v1/imports", json={"label": "shop", "data": data})
    assert answer.status_code == 200, answer.text
    await status(client, "Passed")
    gone = await client.post("/v1/imports", json={"label": "shop", "mode": "Remove"})
    assert gone.status_code == 200, gone.text  # the test goes with what it was about
    await peer.socket.close()


async def test_networks_and_defaults_are_watched_too(console: Running, client: httpx2.AsyncClient) -> None:
    await enforce(client)
    peer = await two_units(console)
    network = await made(client, "externalnetworks", NETWORK)
    rule = {**ruleset("office", "app=web", incoming=["net=office"])}
    await made(client, "networkrulesetpolicies", rule)
    claims = [
        {"from": [["net=office"]], "to": [["app=web"]], "protocolPorts": ["tcp/5432"]},
        {"fromAddresses": ["0.0.0.0/0"], "to": [["app=db"]], "protocolPorts": ["any"], "expect": "Reject"},
    ]
    await made(client, "policytests", policy_test(*claims))
    await status(client, "Passed")
    path = f"/v1/externalnetworks/{network['ID']}"
    assert (await client.patch(path, json={"identityRequired": True})).status_code == 409
    assert (await client.delete(path)).status_code == 409
    assert (await client.patch(path, json={"entries": ["192.0.2.0/23"]})).status_code == 200
    opened = await client.patch("/v1/namespaces/%2F", json={"defaultPUIncomingTrafficAction": "Allow"})
    assert opened.status_code == 409
    assert "somewhere" in opened.text
    await peer.socket.close()


async def test_a_test_tells_nobody_of_other_namespaces(console: Running, client: httpx2.AsyncClient) -> None:
    """Neither who is there nor what is allowed there, whether they write a test or are refused by one."""
    await enforce(client)
    for name in ("shop", "other"):
        await made(client, "namespaces", {"name": name})
    host = await enrol(console, "edge")
    async with Peer(host) as peer:
        await peer.register(
            unit("mine", "app=web", namespace="/shop"), unit("secret-unit", "app=db", namespace="/other"), complete=True
        )
        await made(client, "externalnetworks", {**NETWORK, "name": "hidden"}, "/other")
        mine = await made(client, "networkrulesetpolicies", ruleset("mine", "app=web", outgoing=["app=db"]), "/shop")
        await made(client, "networkrulesetpolicies", ruleset("theirs", "app=db", incoming=["app=web"]), "/other")
        await made(client, "policytests", policy_test(WEB_TO_DB, name="from-above"))
        async with await administrator(console, "/shop") as local:
            claims = [
                {"from": [["app=web"]], "to": [["app=db"]], "protocolPorts": ["tcp/5432"], "quantifier": "Some"},
                {"from": [["net=office"]], "to": [["app=web"]], "protocolPorts": ["any"], "quantifier": "Some"},
                {"from": [["$identity=*"]], "to": [["$identity=*"]], "protocolPorts": ["any"]},
            ]
            await made(local, "policytests", policy_test(*claims), "/shop")
            for each in (await local.get("/v1/policytestruns"), await local.get("/v1/policytests")):
                assert "secret-unit" not in each.text
                assert "hidden" not in each.text
                assert "from-above" not in each.text
            results = (await local.get("/v1/policytestruns")).json()["tests"][0]["results"]
            assert [each["pairs"] for each in results] == [0, 0, 0]
            refused = await local.delete(f"/v1/networkrulesetpolicies/{mine['ID']}")
            assert refused.status_code == 409
            assert "not yours to read" in refused.text
            for word in ("secret-unit", "from-above", "web reaches db", "theirs"):
                assert word not in refused.text
            assert (await local.patch("/v1/policytests/from-above", json={"mode": "warn"})).status_code == 404
            headers = {"X-Namespace": "/other"}
            assert (await local.get("/v1/policytestruns", headers=headers)).status_code == 403
            assert (
                await local.post("/v1/policytests", json=policy_test(WEB_TO_DB), headers=headers)
            ).status_code == 403
        refused = await client.delete(f"/v1/networkrulesetpolicies/{mine['ID']}")
        assert "/other/secret-unit" in refused.text  # to those who may read it, it is said


async def test_a_result_that_could_not_be_found_anew_is_marked_until_it_is(
    console: Running, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enforce(client)
    peer = await two_units(console)
    rules = [await made(client, "networkrulesetpolicies", each) for each in RULES]
    await made(client, "policytests", policy_test(WEB_TO_DB, mode="warn"))
    before = await status(client, "Passed")
    assert before["stale"] == ""

    def broken(*_: object) -> None:
        raise RuntimeError("web-1 is nobody's business")

    run = assertions.run
    monkeypatch.setattr(assertions, "run", broken)
    path = f"/v1/networkrulesetpolicies/{rules[1]['ID']}"
    assert (await client.patch(path, json={"disabled": True})).status_code == 200
    revision = (await client.get("/v1/health")).json()["revision"]
    found = await stale(client)
    reason = f"could not be found anew at revision {revision} (RuntimeError); the Console's log says why"
    assert found["stale"] == reason
    assert {**found, "stale": ""} == before, "the last result is still shown, and so is what it is about"
    monkeypatch.setattr(assertions, "run", run)
    runs = (await client.get("/v1/policytestruns")).json()
    assert [(each["passed"], each["stale"]) for each in runs["tests"]] == [(False, reason)]
    listed = (await client.get("/v1/policytests?filter=stale != ''")).json()
    assert [each["name"] for each in listed] == ["t"]
    await made(client, "networkrulesetpolicies", ruleset("other", "app=other"))
    found = await status(client, "Failed")
    assert (found["stale"], found["status"]) == ("", "Failed")
    await peer.socket.close()


async def test_wrong_tests_are_refused_field_by_field(client: httpx2.AsyncClient) -> None:
    for claim, path in (
        ({**WEB_TO_DB, "from": []}, "assertions[0].from"),
        ({**WEB_TO_DB, "to": [["nonsense"]]}, "assertions[0].to[0][0]"),
        ({**WEB_TO_DB, "protocolPorts": ["tcp"]}, "assertions[0].protocolPorts[0]"),
        ({**WEB_TO_DB, "fromAddresses": ["10.0.0.0/99"]}, "assertions[0].fromAddresses[0]"),
        ({**WEB_TO_DB, "expect": "allow"}, "assertions[0].expect"),
        ({**WEB_TO_DB, "surprise": 1}, "assertions[0].surprise"),
        ({"fromAddresses": ["10.0.0.1"], "toAddresses": ["10.0.0.2"], "protocolPorts": ["any"]}, "assertions[0].from"),
    ):
        answer = await client.post("/v1/policytests", json=policy_test(claim))
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["path"] == path
