"""Imports: all or nothing, the same twice is nothing, a label owns what it made."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.console.rig import Running, ruleset

NETWORK = {"name": "office", "entries": ["198.51.100.0/24"], "associatedTags": ["net=office"]}
DATA = {
    "namespaces": [{"name": "/shop/eu"}, {"name": "shop"}],
    "externalnetworks": [NETWORK, {**NETWORK, "name": "vpn", "namespace": "/shop"}],
    "networkrulesetpolicies": [ruleset("db", "app=db", incoming=["app=web"])],
}


async def send(client: httpx2.AsyncClient, body: Any, dry_run: bool = False) -> httpx2.Response:
    return await client.post(f"/v1/imports?dryRun={'true' if dry_run else 'false'}", json=body)


async def done(client: httpx2.AsyncClient, body: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
    answer = await send(client, body, dry_run)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def names(items: list[dict[str, Any]]) -> set[str]:
    return {f"{item['namespace']} {item['name']}" for item in items}


async def state(client: httpx2.AsyncClient) -> dict[str, list[dict[str, Any]]]:
    plurals = ("namespaces", "externalnetworks", "networkrulesetpolicies")
    return {plural: (await client.get(f"/v1/{plural}?recursive=true")).json() for plural in plurals}


async def newest(client: httpx2.AsyncClient) -> int:
    return int((await client.get("/v1/health")).json()["revision"])


async def test_once_twice_and_changed(client: httpx2.AsyncClient) -> None:
    before = await newest(client)
    first = await done(client, {"label": "shop", "data": DATA})
    assert names(first["created"]) == {"/ /shop", "/shop /shop/eu", "/ office", "/shop vpn", "/ db"}
    assert (first["updated"], first["deleted"], first["unchanged"]) == ([], [], [])
    assert first["revision"] == before + 1 == await newest(client)

    stored = await state(client)
    again = await done(client, {"label": "shop", "data": DATA})
    assert (again["created"], again["updated"], again["deleted"]) == ([], [], [])
    assert len(again["unchanged"]) == 5
    assert again["revision"] == first["revision"] == await newest(client)
    assert await state(client) == stored

    changed = {
        "externalnetworks": [{**NETWORK, "entries": ["198.51.100.0/25"]}],
        "namespaces": [{"name": "shop"}, {"name": "/shop/eu"}],
    }
    third = await done(client, {"label": "shop", "data": changed})
    assert names(third["updated"]) == {"/ office"}
    assert third["updated"][0]["diff"] == {"entries": ['["198.51.100.0/24"]', '["198.51.100.0/25"]']}
    assert names(third["deleted"]) == {"/shop vpn", "/ db"}
    assert third["revision"] == first["revision"] + 1


async def test_a_dry_run_changes_nothing(client: httpx2.AsyncClient) -> None:
    stored, revision = await state(client), await newest(client)
    told = await done(client, {"label": "shop", "data": DATA}, dry_run=True)
    assert len(told["created"]) == 5
    assert told["dryRun"] is True
    assert (await state(client), await newest(client)) == (stored, revision)
    assert told["revision"] == revision
    (rules,) = [item for item in told["created"] if item["kind"] == "networkrulesetpolicy"]
    assert rules["diff"]["subject"] == ["null", '[["app=db"]]']
    assert "ID" not in rules["diff"]
    assert (await done(client, {"label": "shop", "data": DATA}))["created"]


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (
            {"externalnetworks": [NETWORK, {**NETWORK, "name": "b", "entries": ["x"]}]},
            "data.externalnetworks[1].entries[0]",
        ),
        ({"externalnetworks": [NETWORK, {**NETWORK, "name": "b", "colour": "red"}]}, "data.externalnetworks[1].colour"),
        (
            {"externalnetworks": [NETWORK], "networkrulesetpolicies": [{"name": "r"}]},
            "data.networkrulesetpolicies[0].subject",
        ),
        ({"externalnetworks": [NETWORK], "tokens": [{"name": "t"}]}, "data.tokens"),
        ({"externalnetworks": [{**NETWORK, "namespace": 7}]}, "data.externalnetworks[0].namespace"),
        ({}, "data"),
        ({"externalnetworks": []}, "data"),
    ],
)
async def test_all_or_nothing(client: httpx2.AsyncClient, data: dict[str, Any], path: str) -> None:
    revision = await newest(client)
    answer = await send(client, {"label": "shop", "data": data})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["path"] == path
    assert (await state(client))["externalnetworks"] == []
    assert await newest(client) == revision


async def test_ownership(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/v1/externalnetworks", json=NETWORK)).status_code == 201
    await client.post("/v1/externalnetworks", json={**NETWORK, "name": "mine"})
    taken = await done(client, {"label": "a", "data": {"externalnetworks": [NETWORK]}})
    assert names(taken["updated"]) == {"/ office"}  # nobody's, so it is taken over
    other = await send(client, {"label": "b", "data": {"externalnetworks": [NETWORK]}})
    assert other.status_code == 409
    assert "'a'" in other.json()["detail"]
    await done(client, {"label": "b", "data": {"externalnetworks": [{**NETWORK, "name": "b"}]}})
    removed = await done(client, {"label": "a", "mode": "Remove"})
    assert names(removed["deleted"]) == {"/ office"}
    left = {each["name"] for each in (await state(client))["externalnetworks"]}
    assert left == {"mine", "b"}


async def test_without_a_label_nothing_is_deleted(client: httpx2.AsyncClient) -> None:
    await done(client, {"data": {"externalnetworks": [NETWORK]}})
    told = await done(client, {"data": {"externalnetworks": [{**NETWORK, "name": "b"}]}})
    assert told["deleted"] == []
    assert len((await state(client))["externalnetworks"]) == 2
    assert (await send(client, {"mode": "Remove"})).status_code == 422
    assert (
        await send(client, {"label": "x", "mode": "Remove", "data": {"externalnetworks": [NETWORK]}})
    ).status_code == 422


async def test_an_import_stays_in_its_namespace(console: Running, client: httpx2.AsyncClient) -> None:
    for name in ("acme", "other"):
        await client.post("/v1/namespaces", json={"name": name})
    inside = {"X-Namespace": "/acme"}
    made = await client.post(
        "/v1/appcredentials", json={"name": "b", "roles": ["namespace.administrator"]}, headers=inside
    )
    await done(client, {"label": "shop", "data": {"externalnetworks": [{**NETWORK, "name": "theirs"}]}})
    async with console.client(made.json()["credential"], "/acme") as boss:
        for place in ("/other", "/", "/acmeother"):
            body = {"label": "shop", "data": {"externalnetworks": [{**NETWORK, "namespace": place}]}}
            assert (await send(boss, body)).status_code == 422
        assert (await send(boss, {"label": "shop", "data": {"namespaces": [{"name": "/other/x"}]}})).status_code == 422
        assert (await send(boss, {"label": "shop", "data": {"namespaces": [{"name": "/acme"}]}})).status_code == 422
        await done(boss, {"label": "shop", "data": {"externalnetworks": [NETWORK]}})
        # the same label elsewhere is another's: it is not deleted from here
        assert (await done(boss, {"label": "shop", "mode": "Remove"}))["deleted"][0]["name"] == "office"
    assert {each["name"] for each in (await state(client))["externalnetworks"]} == {"theirs"}


async def test_the_familys_file_is_accepted(client: httpx2.AsyncClient) -> None:
    body = {"APIVersion": 1, "label": "old", "data": {"externalnetworks": [NETWORK]}}
    assert names((await done(client, body))["created"]) == {"/ office"}
    assert (await send(client, {**body, "APIVersion": 2})).status_code == 422


async def test_several_documents_are_one_change(client: httpx2.AsyncClient) -> None:
    before = await newest(client)
    one = {"label": "a", "data": {"networkrulesetpolicies": [{**ruleset("r", "app=db"), "namespace": "/shop"}]}}
    two = {"label": "b", "data": {"namespaces": [{"name": "shop"}]}}
    answer = await send(client, [one, two])
    assert answer.status_code == 200, answer.text
    first, second = answer.json()
    assert names(first["created"]) == {"/shop r"}
    assert names(second["created"]) == {"/ /shop"}
    assert first["revision"] == second["revision"] == before + 1 == await newest(client)

    bad = {"label": "c", "data": {"externalnetworks": [{**NETWORK, "entries": ["x"]}]}}
    refused = await send(client, [{"label": "a", "mode": "Remove"}, bad])
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"] == "[1].data.externalnetworks[0].entries[0]"
    assert len((await state(client))["networkrulesetpolicies"]) == 1, "the document before it was applied"
    for wrong in ([], ["x"], [one, 7], [one, {**two, "colour": 1}], [one] * 1001):
        assert (await send(client, wrong)).status_code in (400, 422)


async def test_documents_of_one_label_are_taken_together(client: httpx2.AsyncClient) -> None:
    halves = [
        {"label": "a", "data": {"externalnetworks": [{**NETWORK, "name": name}]}} for name in ("one", "two", "three")
    ]
    for _ in range(2):
        answer = await send(client, halves)
        assert answer.status_code == 200, answer.text
        assert all(not outcome["deleted"] for outcome in answer.json())
    assert len((await state(client))["externalnetworks"]) == 3
    fewer = (await send(client, halves[:2])).json()
    assert [item["name"] for outcome in fewer for item in outcome["deleted"]] == ["three"]
    assert (await send(client, [halves[0], {"label": "a", "mode": "Remove"}])).status_code == 422


async def test_the_same_thing_twice_in_one_import(client: httpx2.AsyncClient) -> None:
    told = await done(client, {"label": "a", "data": {"externalnetworks": [NETWORK, dict(NETWORK)]}})
    assert len(told["created"]) == 1
    other = {**NETWORK, "entries": ["203.0.113.0/24"]}
    for body in (
        {"label": "a", "data": {"externalnetworks": [NETWORK, other]}},
        [{"label": label, "data": {"externalnetworks": [NETWORK]}} for label in ("a", "b")],
        {"data": {"namespaces": [{"name": "x"}, {"name": "/x", "description": "d"}]}},
    ):
        refused = await send(client, body)
        assert refused.status_code == 422, refused.text
        assert "is also at" in refused.json()["detail"]
    assert (await state(client))["externalnetworks"][0]["entries"] == NETWORK["entries"]


async def test_a_label_belongs_to_the_namespace_it_was_imported_into(client: httpx2.AsyncClient) -> None:
    await client.post("/v1/namespaces", json={"name": "acme"})
    inner = {"X-Namespace": "/acme"}
    body = {"label": "shop", "data": {"externalnetworks": [NETWORK]}}
    assert (await client.post("/v1/imports", json=body, headers=inner)).status_code == 200
    # the root's label of the same name neither deletes nor takes what is /acme's
    outer = await done(client, {"label": "shop", "data": {"externalnetworks": [{**NETWORK, "name": "outer"}]}})
    assert outer["deleted"] == []
    taken = await send(client, {"label": "shop", "data": {"externalnetworks": [{**NETWORK, "namespace": "/acme"}]}})
    assert taken.status_code == 409
    assert "of namespace /acme" in taken.json()["detail"]
    forged = {**NETWORK, "name": "f", "annotations": {"import-label": ["shop", "/acme"]}}
    assert (await send(client, {"data": {"externalnetworks": [forged]}})).status_code == 422


async def test_the_roots_own_defaults_are_imported_and_never_deleted(
    console: Running, client: httpx2.AsyncClient
) -> None:
    root = {"name": "/", "namespace": "/", "defaultPUIncomingTrafficAction": "Reject"}
    told = await done(client, {"label": "a", "data": {"namespaces": [root, {"name": "acme"}]}})
    assert names(told["updated"]) == {" /"}
    assert (await client.get("/v1/namespaces//")).json()["defaultPUIncomingTrafficAction"] == "Reject"
    removed = await done(client, {"label": "a", "mode": "Remove"})
    assert names(removed["deleted"]) == {"/ /acme"}
    await client.post("/v1/namespaces", json={"name": "acme"})
    made = await client.post(
        "/v1/appcredentials",
        json={"name": "b", "roles": ["namespace.administrator"]},
        headers={"X-Namespace": "/acme"},
    )
    async with console.client(made.json()["credential"], "/acme") as boss:
        assert (await send(boss, {"data": {"namespaces": [root]}})).status_code == 422


async def test_what_cannot_be_deleted_keeps_the_whole_import_from_happening(client: httpx2.AsyncClient) -> None:
    await done(client, {"label": "a", "data": {"namespaces": [{"name": "shop"}]}})
    await client.post("/v1/externalnetworks", json=NETWORK, headers={"X-Namespace": "/shop"})
    refused = await send(client, {"label": "a", "data": {"externalnetworks": [NETWORK]}})
    assert refused.status_code == 409
    assert "no longer names namespace /shop" in refused.json()["detail"]
    assert [each["namespace"] for each in (await state(client))["externalnetworks"]] == ["/shop"]


async def test_a_viewer_imports_nothing(console: Running, client: httpx2.AsyncClient) -> None:
    made = await client.post("/v1/appcredentials", json={"name": "v", "roles": ["namespace.viewer"]})
    async with console.client(made.json()["credential"]) as viewer:
        for dry_run in (True, False):
            assert (await send(viewer, {"data": {"externalnetworks": [NETWORK]}}, dry_run)).status_code == 403
        assert (await viewer.get("/v1/exports")).status_code == 200


async def test_many_at_once(client: httpx2.AsyncClient) -> None:
    """So many that what is there is read at once: the same outcome as one by one."""
    many = [{**NETWORK, "name": f"n{number}", "entries": [f"10.0.{number}.0/24"]} for number in range(120)]
    await client.post("/v1/externalnetworks", json={**many[7], "description": "mine"})
    first = await done(client, {"label": "a", "data": {"externalnetworks": many}})
    assert (len(first["created"]), names(first["updated"])) == (119, {"/ n7"})
    again = await done(client, {"label": "a", "data": {"externalnetworks": many}})
    assert (len(again["unchanged"]), again["created"], again["updated"], again["deleted"]) == (120, [], [], [])
    other = await send(client, {"label": "b", "data": {"externalnetworks": many[:60]}})
    assert other.status_code == 409
    fewer = await done(
        client, {"label": "a", "data": {"externalnetworks": [{**many[0], "description": "x"}, *many[1:60]]}}
    )
    assert (names(fewer["updated"]), len(fewer["deleted"])) == ({"/ n0"}, 60)


async def test_another_spelling_of_the_same_is_no_change(client: httpx2.AsyncClient) -> None:
    entries = ["10.1.2.3/8", "!10.0.0.7", "2001:DB8::/32"]
    body = {"label": "a", "data": {"externalnetworks": [{**NETWORK, "entries": entries}]}}
    await done(client, body)
    again = await done(client, body)
    assert (len(again["unchanged"]), again["updated"]) == (1, [])
