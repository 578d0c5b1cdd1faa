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


async def send(client: httpx2.AsyncClient, body: dict[str, Any], dry_run: bool = False) -> httpx2.Response:
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
    assert (await done(client, {"label": "shop", "data": DATA}))["created"]


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (
            {"externalnetworks": [NETWORK, {**NETWORK, "name": "b", "entries": ["x"]}]},
            "data.externalnetworks[1].entries[0]",
        ),
        ({"externalnetworks": [NETWORK, {**NETWORK, "colour": "red"}]}, "data.externalnetworks[1].colour"),
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
