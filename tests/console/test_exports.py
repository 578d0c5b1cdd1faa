"""Exports: complete, without secrets, and the same world again in an empty Console."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import msgspec

from tests.console.rig import Running, ruleset, running

NETWORK = {"name": "office", "entries": ["198.51.100.0/24", "!198.51.100.128/25"], "associatedTags": ["net=office"]}
DATA = {
    "namespaces": [
        {"name": "/", "namespace": "/", "defaultPUIncomingTrafficAction": "Reject"},
        {"name": "/shop", "organizationalMetadata": ["@org:team=a"], "description": "shops"},
        {"name": "/shop/eu", "defaultPUOutgoingTrafficAction": "Allow", "annotations": {"note": ["x"]}},
    ],
    "externalnetworks": [NETWORK, {**NETWORK, "namespace": "/shop", "propagate": True}],
    "networkrulesetpolicies": [
        {**ruleset("db", "app=db", incoming=["app=web"]), "fallback": True},
        {**ruleset("db", "app=*", outgoing=["net=office"]), "namespace": "/shop/eu", "disabled": True},
    ],
}


async def export(client: httpx2.AsyncClient, **parameters: str) -> dict[str, Any]:
    answer = await client.get("/v1/exports", params=parameters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def load(client: httpx2.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/v1/imports", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def state(client: httpx2.AsyncClient) -> dict[str, list[dict[str, Any]]]:
    """Everything that policy depends on, without what the Console alone decides."""
    own = ("ID", "createTime", "updateTime", "normalizedTags", "annotations")
    return {
        plural: [
            {name: value for name, value in each.items() if name not in own}
            for each in (await client.get(f"/v1/{plural}?recursive=true&order=namespace,name")).json()
        ]
        for plural in ("namespaces", "externalnetworks", "networkrulesetpolicies")
    }


async def test_the_same_world_again_in_an_empty_console(client: httpx2.AsyncClient, tmp_path: Path) -> None:
    await load(client, {"label": "all", "data": DATA})
    exported = await export(client)
    async with running(tmp_path / "second") as other, other.client() as empty:
        await load(empty, exported)
        assert await state(empty) == await state(client)
        assert (await export(empty)) == exported
    again = await load(client, {**exported, "label": "all"})
    assert again["created"] == again["updated"] == again["deleted"] == []


async def test_only_what_a_label_or_a_namespace_has(client: httpx2.AsyncClient) -> None:
    await load(client, {"label": "all", "data": DATA})
    await client.post("/v1/externalnetworks", json={**NETWORK, "name": "mine"})
    assert len((await export(client))["data"]["externalnetworks"]) == 3
    labelled = await export(client, label="all")
    assert (labelled["label"], len(labelled["data"]["externalnetworks"])) == ("all", 2)
    assert (await export(client, label="other"))["data"] == {}
    inner = (await client.get("/v1/exports", headers={"X-Namespace": "/shop"})).json()["data"]
    assert [each["name"] for each in inner["namespaces"]] == ["/shop/eu"]
    assert [each.get("namespace") for each in inner["externalnetworks"]] == [None]
    assert [each["namespace"] for each in inner["networkrulesetpolicies"]] == ["/shop/eu"]


async def test_nothing_secret_and_nothing_that_gives_access_is_exported(
    console: Running, client: httpx2.AsyncClient
) -> None:
    credential = (await client.post("/v1/appcredentials", json={"name": "c", "roles": ["namespace.viewer"]})).json()
    token = (await client.post("/v1/tokens", json={"name": "t"})).json()
    text = msgspec.json.encode(await export(client)).decode()
    for secret in (credential["credential"], token["token"], console.credential, credential["ID"], token["ID"]):
        assert secret not in text
    assert set((await export(client))["data"]) <= set(DATA)


async def test_nobody_exports_what_they_may_not_read(console: Running, client: httpx2.AsyncClient) -> None:
    await load(client, {"label": "all", "data": DATA})
    made = await client.post(
        "/v1/appcredentials", json={"name": "v", "roles": ["namespace.viewer"]}, headers={"X-Namespace": "/shop/eu"}
    )
    async with console.client(made.json()["credential"], "/shop/eu") as viewer:
        mine = await export(viewer, label="")
        assert set(mine["data"]) == {"networkrulesetpolicies"}
        for place in ("/", "/shop"):
            assert (await viewer.get("/v1/exports", headers={"X-Namespace": place})).status_code == 403
