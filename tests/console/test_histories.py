"""Revisions: what changed, whether the record is genuine, and the way back."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import msgspec
import pytest

from tests.console.rig import Running, ruleset, running
from watchword.console import history
from watchword.console.settings import Settings
from watchword.identity.history import BrokenChain, Link, verify
from watchword.model.resources import Revision

NETWORK = {"name": "office", "entries": ["192.0.2.0/24"], "associatedTags": ["net=office"]}


async def made(client: httpx2.AsyncClient, plural: str, body: dict[str, Any], namespace: str = "/") -> dict[str, Any]:
    answer = await client.post(f"/v1/{plural}", json=body, headers={"X-Namespace": namespace})
    assert answer.status_code == 201, answer.text
    return {**answer.json(), "revision": int(answer.headers["X-Watchword-Revision"])}


async def chain(client: httpx2.AsyncClient) -> dict[str, Any]:
    pages, after = [], "0"
    while True:
        answer = await client.get("/v1/histories/chain", params={"after": after, "limit": "3"})
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        after = answer.headers.get("X-Next", "")
        if not after:
            return {**pages[0], "links": [link for page in pages for link in page["links"]]}


def links(found: dict[str, Any]) -> list[Link]:
    return [Link(msgspec.convert(each["record"], Revision), each["changes"]) for each in found["links"]]


async def administrator(console: Running, namespace: str, roles: list[str] | None = None) -> httpx2.AsyncClient:
    async with console.client(namespace=namespace) as client:
        body = {"name": "local", "roles": roles or ["namespace.administrator"]}
        answer = await client.post("/v1/appcredentials", json=body)
        assert answer.status_code == 201, answer.text
    return console.client(answer.json()["credential"], namespace)


async def test_a_revision_says_what_changed(client: httpx2.AsyncClient) -> None:
    created = await made(client, "externalnetworks", NETWORK)
    changed = await client.patch(f"/v1/externalnetworks/{created['ID']}", json={"entries": ["192.0.2.0/25"]})
    last = int(changed.headers["X-Watchword-Revision"])
    (newest, *_) = (await client.get("/v1/histories")).json()
    assert newest["revision"] == last
    assert newest["changes"][0]["diff"] == {"entries": ['["192.0.2.0/24"]', '["192.0.2.0/25"]']}
    whole = (await client.get(f"/v1/histories/{last}")).json()
    assert whole["changes"][0]["before"]["entries"] == ["192.0.2.0/24"]
    difference = (await client.get("/v1/histories/difference", params={"from": last, "to": created["revision"]})).json()
    assert difference["changes"][0]["diff"] == {"entries": ['["192.0.2.0/25"]', '["192.0.2.0/24"]']}


async def test_the_chain_is_verified_without_the_console(client: httpx2.AsyncClient) -> None:
    for number in range(4):
        await made(client, "externalnetworks", {**NETWORK, "name": f"office-{number}"})
    found = await chain(client)
    key = base64.b64decode(found["publicKey"])
    checked = verify(links(found), key)
    assert checked.count == checked.last == checked.detailed >= 5


@pytest.mark.parametrize("damage", ["author", "change", "missing", "order", "digest", "dropped change", "key"])
async def test_a_damaged_chain_is_noticed(client: httpx2.AsyncClient, damage: str) -> None:
    for number in range(4):
        await made(client, "externalnetworks", {**NETWORK, "name": f"office-{number}"})
    found = await chain(client)
    key = base64.b64decode(found["publicKey"])
    listed = found["links"]
    match damage:
        case "author":
            listed[2]["record"]["author"] = "somebody else"
        case "change":
            listed[2]["changes"][0]["after"]["entries"] = ["0.0.0.0/0"]
        case "missing":
            del listed[2]
        case "order":
            listed[2], listed[3] = listed[3], listed[2]
        case "digest":
            listed[2]["record"]["policyDigest"] = listed[3]["record"]["policyDigest"]
            listed[2]["changes"] = listed[3]["changes"]
        case "dropped change":
            listed[3]["changes"] = []
        case "key":
            key = bytes(32)
    with pytest.raises(BrokenChain):
        verify(links(found), key)


async def test_rollback_restores_exactly(client: httpx2.AsyncClient) -> None:
    """Changed, deleted and new objects, names swapped, a namespace gone: all as it was, with the same IDs."""
    await made(client, "namespaces", {"name": "shop", "tagPrefixes": ["app="]})
    await made(client, "namespaces", {"name": "gone"}, "/shop")
    first = await made(client, "networkrulesetpolicies", ruleset("a", "app=a", incoming=["app=b"]), "/shop")
    second = await made(client, "networkrulesetpolicies", ruleset("b", "app=b", outgoing=["app=a"]), "/shop")
    third = await made(client, "externalnetworks", NETWORK, "/shop/gone")
    headers = {"X-Namespace": "/"}
    before = await state(client)
    then = third["revision"]
    for key, name in ((first["ID"], "x"), (second["ID"], "a"), (first["ID"], "b")):
        assert (await client.patch(f"/v1/networkrulesetpolicies/{key}", json={"name": name})).status_code == 200
    assert (await client.patch(f"/v1/networkrulesetpolicies/{first['ID']}", json={"propagate": True})).is_success
    assert (await client.delete(f"/v1/externalnetworks/{third['ID']}")).status_code == 204
    assert (await client.delete("/v1/namespaces/shop%2Fgone", headers=headers)).status_code == 204
    assert (await client.patch("/v1/namespaces/shop", json={"tagPrefixes": ["app=", "x="]})).is_success
    await made(client, "namespaces", {"name": "new"}, "/shop")
    await made(client, "networkrulesetpolicies", ruleset("new", "x=1", incoming=["app=b"]), "/shop")
    assert await state(client) != before
    rehearsed = await client.post("/v1/rollbacks", params={"dryRun": "true"}, json={"revision": then})
    assert rehearsed.status_code == 200, rehearsed.text
    assert await state(client) != before
    done = await client.post("/v1/rollbacks", json={"revision": then})
    assert done.status_code == 200, done.text
    assert await state(client) == before
    assert done.json()["changes"] == rehearsed.json()["changes"]
    verify(links(found := await chain(client)), base64.b64decode(found["publicKey"]))
    undone = await client.post("/v1/rollbacks", json={"revision": done.json()["revision"] - 1})
    assert undone.status_code == 200, undone.text
    assert await state(client) != before


async def state(client: httpx2.AsyncClient) -> Any:
    """All policy objects, but for when they were last touched."""
    found = {}
    for plural in ("namespaces", "networkrulesetpolicies", "externalnetworks", "intents"):
        listed = (await client.get(f"/v1/{plural}", params={"recursive": "true", "order": "ID"})).json()
        found[plural] = [{name: value for name, value in each.items() if name != "updateTime"} for each in listed]
    return found


async def test_a_protected_object_needs_a_word_more(client: httpx2.AsyncClient) -> None:
    then = int((await client.get("/v1/health")).json()["revision"])
    await made(client, "externalnetworks", {**NETWORK, "protected": True})
    refused = await client.post("/v1/rollbacks", json={"revision": then})
    assert refused.status_code == 423
    assert "office" in refused.text
    assert (await client.get("/v1/externalnetworks/office")).status_code == 200
    done = await client.post("/v1/rollbacks", json={"revision": then, "includeProtected": True})
    assert done.status_code == 200
    assert (await client.get("/v1/externalnetworks/office")).status_code == 404


async def test_a_rollback_that_somebody_overtook_is_refused(client: httpx2.AsyncClient) -> None:
    seen = (await made(client, "externalnetworks", NETWORK))["revision"]
    await made(client, "externalnetworks", {**NETWORK, "name": "branch"})
    refused = await client.post("/v1/rollbacks", json={"revision": seen, "expectedRevision": seen})
    assert refused.status_code == 412
    assert (await client.get("/v1/externalnetworks/branch")).status_code == 200


async def test_an_etag_never_comes_back(client: httpx2.AsyncClient) -> None:
    """Restored objects have versions they never had: a stale If-Match stays stale."""
    created = await made(client, "externalnetworks", NETWORK)
    path = f"/v1/externalnetworks/{created['ID']}"
    seen = {(await client.get(path)).headers["ETag"]}
    await client.patch(path, json={"entries": ["192.0.2.0/25"]})
    seen.add((await client.get(path)).headers["ETag"])
    await client.delete(path)
    await client.post("/v1/rollbacks", json={"revision": created["revision"]})
    assert (await client.get(path)).headers["ETag"] not in seen


async def test_rights_in_one_namespace_reach_no_other(console: Running, client: httpx2.AsyncClient) -> None:
    """Neither reading what changed above or beside, nor bringing it back, nor what was refused from above."""
    for name in ("shop", "other"):
        await made(client, "namespaces", {"name": name})
    then = (await made(client, "networkrulesetpolicies", ruleset("mine", "app=a", incoming=["x=1"]), "/shop"))[
        "revision"
    ]
    await made(client, "networkrulesetpolicies", ruleset("secret", "app=a", incoming=["x=1"]), "/other")
    above = await made(client, "externalnetworks", {**NETWORK, "name": "hidden"})
    async with await administrator(console, "/shop") as local:
        for path in ("/v1/histories", f"/v1/histories/{above['revision']}", f"/v1/histories/difference?from={then}"):
            answer = await local.get(path)
            assert answer.status_code == 200, answer.text
            assert "secret" not in answer.text
            assert "hidden" not in answer.text
        for path in ("/v1/histories", "/v1/histories/difference?from=1"):
            assert (await local.get(path, headers={"X-Namespace": "/other"})).status_code == 403
        assert (await local.get("/v1/histories/chain")).status_code == 403
        for namespace in ("/", "/other"):
            refused = await local.post("/v1/rollbacks", json={"revision": 1}, headers={"X-Namespace": namespace})
            assert refused.status_code == 403
        done = await local.post("/v1/rollbacks", json={"revision": 1})
        assert done.status_code == 200
        assert [each["name"] for each in done.json()["changes"]] == ["mine"]
    assert (await client.get("/v1/externalnetworks/hidden")).status_code == 200
    assert (await client.get("/v1/networkrulesetpolicies/secret", headers={"X-Namespace": "/other"})).is_success
    assert (await client.get("/v1/namespaces/shop")).status_code == 200


async def test_a_rollback_does_not_go_round_a_limit_set_from_above(
    console: Running, client: httpx2.AsyncClient
) -> None:
    await made(client, "namespaces", {"name": "shop"})
    old = await made(client, "networkrulesetpolicies", ruleset("r", "app=a", incoming=["x=1"]), "/shop")
    await client.delete(f"/v1/networkrulesetpolicies/{old['ID']}")
    assert (await client.patch("/v1/namespaces/shop", json={"tagPrefixes": ["app="]})).status_code == 200
    async with await administrator(console, "/shop") as local:
        refused = await local.post("/v1/rollbacks", json={"revision": old["revision"]})
        assert refused.status_code == 422
        assert "tagPrefixes" in refused.text
    assert (await client.get("/v1/networkrulesetpolicies?recursive=true")).json() == []


async def test_a_viewer_rolls_nothing_back(console: Running, client: httpx2.AsyncClient) -> None:
    await made(client, "namespaces", {"name": "shop"})
    async with await administrator(console, "/shop", ["namespace.viewer"]) as local:
        assert (await local.post("/v1/rollbacks", json={"revision": 1})).status_code == 403


async def test_what_is_forgotten_is_said_to_be(tmp_path: Any) -> None:
    """Old changes go by whole revisions; the chain goes on being verified, and says what it no longer covers."""
    from watchword.console.console import open_console

    async with running(tmp_path / "data") as console, console.client() as client:
        credential = console.credential
        numbers = [
            (await made(client, "externalnetworks", {**NETWORK, "name": f"n{number}"}))["revision"]
            for number in range(6)
        ]
    opened = await open_console(Settings(data_dir=tmp_path / "data", listen=("127.0.0.1:0",)))
    async with opened.database.writing() as connection:
        await history.forget(connection, policy=3, workload=3)
    await opened.close()
    async with running(tmp_path / "data", credential) as console, console.client() as client:
        refused = await client.post("/v1/rollbacks", json={"revision": numbers[0]})
        assert refused.status_code == 404
        assert "forgotten" in refused.text
        found = await chain(client)
        with pytest.raises(BrokenChain):
            verify(links(found), base64.b64decode(found["publicKey"]))
        checked = verify(
            links(found),
            base64.b64decode(found["publicKey"]),
            policy_complete_from=found["policyCompleteFrom"],
            workload_complete_from=found["workloadCompleteFrom"],
        )
        assert checked.detailed == 3
        done = await client.post("/v1/rollbacks", json={"revision": numbers[2]})
        assert done.status_code == 200, done.text
        left = [each["name"] for each in (await client.get("/v1/externalnetworks?order=name")).json()]
        assert left == ["n0", "n1", "n2"]
