"""Drafts: without effect until they are published, whole when they are, and never past anybody's rights."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec

from tests.console.rig import Peer, Running, enrol, ruleset, unit
from tests.console.test_histories import NETWORK, administrator, made, state


async def add(client: httpx2.AsyncClient, draft: str, body: dict[str, Any], **headers: str) -> httpx2.Response:
    return await client.post(f"/v1/drafts/{draft}/changes", json=body, headers=headers)


def imports(**data: list[dict[str, Any]]) -> dict[str, Any]:
    return {"imports": [{"data": data}]}


async def revision(client: httpx2.AsyncClient) -> int:
    return int((await client.get("/v1/health")).json()["revision"])


async def test_a_draft_is_one_revision_or_nothing(client: httpx2.AsyncClient) -> None:
    kept = await made(client, "networkrulesetpolicies", ruleset("kept", "app=a", incoming=["app=b"]))
    gone = await made(client, "externalnetworks", NETWORK)
    draft = await made(client, "drafts", {"name": "d"})
    before, newest = await state(client), await revision(client)
    data = imports(
        networkrulesetpolicies=[
            ruleset("kept", "app=a", incoming=["app=c"]),
            ruleset("new", "app=n", outgoing=["app=a"]),
        ],
        intents=[{"name": "i", "source": [["app=a"]], "destination": [["app=n"]], "protocolPorts": ["tcp/1"]}],
    )
    answer = await add(client, "d", {**data, "delete": [{"kind": "extnet", "name": "office"}]})
    assert answer.status_code == 200, answer.text
    assert (await state(client), await revision(client)) == (before, newest)
    shown = (await client.get("/v1/drafts/d/difference")).json()
    assert {(each["operation"], each["name"]) for each in shown["changes"]} == {
        ("update", "kept"),
        ("create", "new"),
        ("create", "i"),
        ("delete", "office"),
    }
    assert shown["conflicts"] == {}
    rehearsed = await client.post("/v1/drafts/d/publication", params={"dryRun": "true"})
    assert rehearsed.status_code == 200, rehearsed.text
    assert (await state(client), await revision(client)) == (before, newest)
    done = await client.post("/v1/drafts/d/publication")
    assert done.status_code == 200, done.text
    assert await revision(client) == newest + 1 == done.json()["revision"]
    assert (await client.get(f"/v1/drafts/{draft['ID']}")).json()["publishedRevision"] == newest + 1
    after = await state(client)
    assert [each["name"] for each in after["networkrulesetpolicies"]] == ["kept", "new"]
    assert after["networkrulesetpolicies"][0]["ID"] == kept["ID"]
    assert after["externalnetworks"] == []
    assert gone["ID"] not in str(after)
    planned = next(each for each in shown["changes"] if each["name"] == "new")
    assert after["networkrulesetpolicies"][1]["ID"] == planned["ID"]  # explained before, enforced after: one ID
    assert (await client.post("/v1/drafts/d/publication")).status_code == 409
    back = await client.post("/v1/rollbacks", json={"revision": newest})
    assert back.status_code == 200
    assert await state(client) == before


async def test_what_is_added_is_checked_like_a_live_change(client: httpx2.AsyncClient) -> None:
    await made(client, "drafts", {"name": "d"})
    wrong = await add(client, "d", imports(networkrulesetpolicies=[ruleset("r", "nonsense", incoming=["app=b"])]))
    assert wrong.status_code == 422
    assert "imports[0].data.networkrulesetpolicies[0].subject" in wrong.text
    refused = await add(client, "d", imports(namespaces=[{"name": "below"}]))
    assert refused.status_code == 422
    assert (await add(client, "d", {"delete": [{"kind": "token", "name": "t"}]})).status_code == 422
    assert (await client.get("/v1/drafts/d")).json()["changes"] == []
    assert (await client.post("/v1/drafts/d/publication")).status_code == 409
    assert (await client.post("/v1/drafts", json={"name": "e", "changes": []})).status_code == 422
    assert (await client.patch("/v1/drafts/d", json={"changes": [{}]})).status_code == 422


async def test_later_live_changes_are_conflicts(client: httpx2.AsyncClient) -> None:
    live = await made(client, "networkrulesetpolicies", ruleset("r", "app=a", incoming=["app=b"]))
    await made(client, "drafts", {"name": "d"})
    await add(client, "d", imports(networkrulesetpolicies=[ruleset("r", "app=a", incoming=["app=mine"])]))
    await client.patch(f"/v1/networkrulesetpolicies/{live['ID']}", json={"subject": [["app=theirs"]]})
    shown = (await client.get("/v1/drafts/d/difference")).json()
    assert shown["conflicts"] == {live["ID"]: "was changed meanwhile: subject"}
    refused = await client.post("/v1/drafts/d/publication")
    assert refused.status_code == 409
    assert "networkrulesetpolicy / r was changed meanwhile: subject" in refused.text
    assert (await client.get("/v1/networkrulesetpolicies/r")).json()["subject"] == [["app=theirs"]]
    dropped = {"drop": [{"kind": "netruleset", "name": "r"}]}
    again = imports(networkrulesetpolicies=[ruleset("r", "app=a", incoming=["app=mine"])])
    assert (await add(client, "d", {**dropped, **again})).status_code == 200
    assert (await client.post("/v1/drafts/d/publication")).status_code == 200
    assert (await client.get("/v1/networkrulesetpolicies/r")).json()["subject"] == [["app=a"]]


async def test_a_description_is_no_conflict_only_if_it_is_the_same(client: httpx2.AsyncClient) -> None:
    live = await made(client, "externalnetworks", NETWORK)
    await made(client, "drafts", {"name": "d"})
    await add(client, "d", imports(externalnetworks=[{**NETWORK, "entries": ["192.0.2.7/32"]}]))
    await client.patch(f"/v1/externalnetworks/{live['ID']}", json={"description": "ours"})
    assert (await client.post("/v1/drafts/d/publication")).status_code == 409  # it would be overwritten


async def test_deleted_and_created_meanwhile(client: httpx2.AsyncClient) -> None:
    live = await made(client, "externalnetworks", NETWORK)
    await made(client, "drafts", {"name": "d"})
    await add(
        client, "d", imports(externalnetworks=[{**NETWORK, "entries": ["192.0.2.7/32"]}, {**NETWORK, "name": "two"}])
    )
    await client.delete(f"/v1/externalnetworks/{live['ID']}")
    await made(client, "externalnetworks", {**NETWORK, "name": "two"})
    shown = (await client.get("/v1/drafts/d/difference")).json()
    two = next(each["ID"] for each in shown["changes"] if each["name"] == "two")
    taken = "has a name that another has taken meanwhile"
    assert shown["conflicts"] == {live["ID"]: "was deleted meanwhile", two: taken}
    assert (await client.post("/v1/drafts/d/publication")).status_code == 409
    assert (await add(client, "d", {"drop": [{"kind": "extnet", "name": "office"}]})).status_code == 200
    assert (await client.post("/v1/drafts/d/publication")).status_code == 409
    assert (await add(client, "d", {"drop": [{"kind": "extnet", "name": "two"}]})).status_code == 200
    assert (await client.get("/v1/drafts/d")).json()["changes"] == []


async def test_no_enforcer_hears_of_a_draft(console: Running, client: httpx2.AsyncClient) -> None:
    """Nothing of a draft is in any document, neither before nor after other policy is published."""
    host = await enrol(console, "edge")
    await made(client, "drafts", {"name": "d"})
    async with Peer(host) as peer:
        await peer.register(unit("web", "app=web"), complete=True)
        document = await peer.until(lambda document: document.units)
        body = imports(
            networkrulesetpolicies=[
                ruleset("drafted-rule", "app=web", incoming=["app=drafted"], outgoing=["app=drafted"])
            ],
            externalnetworks=[
                {"name": "drafted-net", "entries": ["203.0.113.0/24"], "associatedTags": ["app=drafted"]}
            ],
            intents=[
                {"name": "drafted", "source": [["app=web"]], "destination": [["app=drafted"]], "protocolPorts": ["any"]}
            ],
        )
        assert (await add(client, "d", body)).status_code == 200
        await made(client, "networkrulesetpolicies", ruleset("live", "app=web", incoming=["app=x"]))
        document = await peer.until(lambda document: "live" in str(msgspec.to_builtins(document)))
        assert "drafted" not in str(msgspec.to_builtins(document))
        assert "203.0.113" not in str(msgspec.to_builtins(document))
        assert (await client.post("/v1/drafts/d/publication")).status_code == 200
        document = await peer.until(lambda document: "drafted" in str(msgspec.to_builtins(document)))
        names = {rule.ruleset_name for rule in document.rules.values()}
        assert {"drafted-rule", "drafted", "live"} <= names


async def test_a_draft_reaches_no_other_namespace(console: Running, client: httpx2.AsyncClient) -> None:
    for name in ("shop", "other"):
        await made(client, "namespaces", {"name": name})
    await made(client, "networkrulesetpolicies", ruleset("theirs", "app=a", incoming=["x=1"]), "/other")
    await made(client, "externalnetworks", {**NETWORK, "propagate": True})
    await made(client, "drafts", {"name": "root-draft"})
    await add(client, "root-draft", imports(networkrulesetpolicies=[ruleset("secret", "app=a", incoming=["x=1"])]))
    theirs = await made(client, "drafts", {"name": "d"}, "/other")
    before = await state(client)
    async with await administrator(console, "/shop") as local:
        await made(local, "drafts", {"name": "d"}, "/shop")
        for namespace in ("/", "/other", "/shop/../other", "/shopping"):
            body = imports(networkrulesetpolicies=[{**ruleset("r", "app=a", incoming=["x=1"]), "namespace": namespace}])
            assert (await add(local, "d", body)).status_code in (404, 422)
            named = {"kind": "netruleset", "name": "theirs", "namespace": namespace}
            assert (await add(local, "d", {"delete": [named]})).status_code in (404, 422)
        propagated = {"delete": [{"kind": "extnet", "name": "office"}]}
        assert (await add(local, "d", propagated)).status_code == 422
        for key in ("root-draft", theirs["ID"]):
            assert (await local.get(f"/v1/drafts/{key}/difference")).status_code == 404
            assert (await add(local, key, imports(externalnetworks=[NETWORK]))).status_code == 404
            assert (await local.post(f"/v1/drafts/{key}/publication")).status_code == 404
            assert (await local.get("/v1/policytestruns", params={"draft": key})).status_code == 404
        for namespace in ("/", "/other"):
            asked = {"X-Namespace": namespace}
            assert (await local.post("/v1/drafts/d/publication", headers=asked)).status_code == 403
    async with await administrator(console, "/other", ["namespace.viewer"]) as viewer:
        assert (await viewer.get("/v1/drafts/d/difference")).status_code == 200
        assert (await add(viewer, "d", imports(externalnetworks=[NETWORK]))).status_code == 403
        assert (await viewer.post("/v1/drafts/d/publication")).status_code == 403
    assert await state(client) == before


async def test_a_limit_set_after_drafting_holds(console: Running, client: httpx2.AsyncClient) -> None:
    await made(client, "namespaces", {"name": "shop"})
    await made(client, "drafts", {"name": "d"}, "/shop")
    async with await administrator(console, "/shop") as local:
        assert (
            await add(local, "d", imports(networkrulesetpolicies=[ruleset("r", "x=1", incoming=["x=2"])]))
        ).is_success
        await client.patch("/v1/namespaces/shop", json={"tagPrefixes": ["app="]})
        refused = await local.post("/v1/drafts/d/publication")
        assert refused.status_code == 422
        assert "tagPrefixes" in refused.text


async def test_two_at_once_do_not_lose_each_others_changes(client: httpx2.AsyncClient) -> None:
    import asyncio

    await made(client, "drafts", {"name": "d"})
    bodies = [imports(externalnetworks=[{**NETWORK, "name": f"n{number}"}]) for number in range(6)]
    answers = await asyncio.gather(*(add(client, "d", body) for body in bodies))
    took = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 412}
    found = {each["name"] for each in (await client.get("/v1/drafts/d")).json()["changes"]}
    assert found == {f"n{number}" for number in took}


async def test_discarding_changes_nothing(client: httpx2.AsyncClient) -> None:
    await made(client, "drafts", {"name": "d"})
    await add(client, "d", imports(externalnetworks=[NETWORK]))
    newest = await revision(client)
    assert (await client.delete("/v1/drafts/d")).status_code == 204
    assert await revision(client) == newest
    assert (await client.get("/v1/externalnetworks")).json() == []
