"""Mapping policies move units down the tree: when they appear, when their tags change, when the policies do."""

from __future__ import annotations

from typing import Any

import httpx2

from tests.console.rig import Peer, Running, enrol, ruleset, unit
from tests.console.test_rest_conventions import create, problem


async def tree(client: httpx2.AsyncClient, *paths: str) -> None:
    for path in paths:
        await create(client, "namespaces", name=path)


async def mapping(client: httpx2.AsyncClient, where: str, name: str, tag: str, to: str, **fields: Any) -> str:
    body = {"name": name, "subject": [[tag]], "mappedNamespace": to, **fields}
    made = await client.post("/v1/namespacemappingpolicies", json=body, headers={"X-Namespace": where})
    assert made.status_code == 201, made.text
    return str(made.json()["ID"])


async def place(client: httpx2.AsyncClient, name: str = "web") -> str:
    (found,) = (
        await client.get("/v1/processingunits", params={"recursive": "true", "filter": f"name == {name}"})
    ).json()
    assert f"$namespace={found['namespace']}" in found["normalizedTags"]
    return str(found["namespace"])


async def test_a_unit_is_moved_when_it_appears_down_to_where_nothing_matches(
    console: Running, client: httpx2.AsyncClient
) -> None:
    await tree(client, "acme", "/acme/prod", "/acme/prod/shop", "/acme/dev")
    first = await mapping(client, "/acme", "prod", "env=prod", "/acme/prod")
    second = await mapping(client, "/acme/prod", "shop", "app=web", "/acme/prod/shop")
    await mapping(client, "/acme", "dev", "env=dev", "/acme/dev")
    async with Peer(await enrol(console, "edge", "/acme")) as peer:
        await peer.register(unit("web", "app=web", "env=prod"), unit("db", "app=db", "env=prod"), unit("other"))
        assert await place(client, "web") == "/acme/prod/shop"
        assert await place(client, "db") == "/acme/prod"
        assert await place(client, "other") == "/acme"
        (web,) = (await client.get("/v1/processingunits", params={"recursive": "true", "filter": "name == web"})).json()
        assert (web["registeredNamespace"], web["mappedBy"]) == ("/acme", [first, second])
        # registered again, also after the agent restarts, it is where it was, and nothing has changed
        revision = (await client.get("/v1/health")).json()["revision"]
        await peer.register(
            unit("web", "app=web", "env=prod"), unit("db", "app=db", "env=prod"), unit("other"), complete=True
        )
        assert await place(client, "web") == "/acme/prod/shop"
        assert (await client.get("/v1/health")).json()["revision"] == revision


async def test_the_first_by_name_wins(console: Running, client: httpx2.AsyncClient) -> None:
    await tree(client, "acme", "/acme/a", "/acme/b")
    await mapping(client, "/acme", "2", "app=web", "/acme/a")
    await mapping(client, "/acme", "1", "app=web", "/acme/b")
    async with Peer(await enrol(console, "edge", "/acme")) as peer:
        await peer.register(unit("web", "app=web"))
        assert await place(client) == "/acme/b"
        inside = {"X-Namespace": "/acme"}
        assert (
            await client.patch("/v1/namespacemappingpolicies/1", json={"name": "3"}, headers=inside)
        ).status_code == 200
        assert await place(client) == "/acme/a"
        await client.patch("/v1/namespacemappingpolicies/2", json={"disabled": True}, headers=inside)
        assert await place(client) == "/acme/b"


async def test_it_follows_tags_and_policies_at_once(console: Running, client: httpx2.AsyncClient) -> None:
    """What an Enforcer enforces changes with the place: rules of the new namespace, and of the old no more."""
    await tree(client, "acme", "/acme/prod")
    await client.patch("/v1/namespaces//acme", json={"defaultPUIncomingTrafficAction": "Allow"})
    await client.patch("/v1/namespaces//acme/prod", json={"defaultPUIncomingTrafficAction": "Reject"})
    body = ruleset("r", "app=web", incoming=["app=lb"])
    for where, name in (("/acme", "outer"), ("/acme/prod", "inner")):
        await client.post("/v1/networkrulesetpolicies", json={**body, "name": name}, headers={"X-Namespace": where})
    identifier = await mapping(client, "/acme", "prod", "env=prod", "/acme/prod")
    async with Peer(await enrol(console, "edge", "/acme")) as peer:
        accepted = await peer.register(unit("web", "app=web"))
        web = accepted.units["web"]

        async def until(namespace: str, default: str, rules: set[str]) -> None:
            def there(document: Any) -> bool:
                entry = document.units.get(web)
                return entry is not None and entry.namespace == namespace

            document = await peer.until(there)
            assert document.units[web].default_incoming == default
            assert {document.rules[key].ruleset_name for key in document.units[web].incoming} == rules
            assert f"$namespace={namespace}" in document.units[web].tags

        await until("/acme", "Allow", {"outer"})
        url = f"/v1/processingunits/{web}"
        assert (await client.patch(url, json={"associatedTags": ["app=web", "env=prod"]})).status_code == 200
        await until("/acme/prod", "Reject", {"inner"})
        await client.patch(url, json={"associatedTags": ["app=web"]})
        await until("/acme", "Allow", {"outer"})
        policy = f"/v1/namespacemappingpolicies/{identifier}"
        await client.patch(policy, json={"subject": [["app=web"]]})
        await until("/acme/prod", "Reject", {"inner"})
        await client.patch(policy, json={"disabled": True})
        await until("/acme", "Allow", {"outer"})
        await client.patch(policy, json={"disabled": False})
        await until("/acme/prod", "Reject", {"inner"})
        assert (await client.delete(policy)).status_code == 204
        await until("/acme", "Allow", {"outer"})


async def test_it_follows_the_namespaces_tags(console: Running, client: httpx2.AsyncClient) -> None:
    await tree(client, "acme", "/acme/prod")
    await mapping(client, "/acme", "m", "@org:team=x", "/acme/prod")
    async with Peer(await enrol(console, "edge", "/acme")) as peer:
        await peer.register(unit("web"))
        assert await place(client) == "/acme"
        await client.patch("/v1/namespaces//acme", json={"organizationalMetadata": ["@org:team=x"]})
        assert await place(client) == "/acme/prod"
        await client.patch("/v1/namespaces//acme", json={"organizationalMetadata": []})
        assert await place(client) == "/acme"


async def test_only_down_and_only_to_what_exists(client: httpx2.AsyncClient) -> None:
    await tree(client, "acme", "/acme/prod", "other")
    for to in ("/acme", "/", "/other", "/acmeprod", "/acme/none", "acme/prod", "/acme/prod/", "/acme//prod", ""):
        body = {"name": "m", "subject": [["app=web"]], "mappedNamespace": to}
        answer = await client.post("/v1/namespacemappingpolicies", json=body, headers={"X-Namespace": "/acme"})
        assert problem(answer, "validation", 422)["errors"][0]["path"] == "mappedNamespace", to
    await mapping(client, "/acme", "m", "app=web", "/acme/prod")
    refused = problem(await client.delete("/v1/namespaces//acme/prod"), "conflict", 409)
    assert "/acme m" in refused["detail"]


async def test_other_units_are_left_alone(console: Running, client: httpx2.AsyncClient) -> None:
    """A mapping concerns units that come by its namespace: not those registered below it, or moved past it."""
    await tree(client, "acme", "/acme/prod", "/acme/prod/x", "/acme/dev")
    async with Peer(await enrol(console, "edge", "/acme")) as peer:
        await peer.register(
            unit("above", "app=web"),
            unit("below", "app=web", namespace="/acme/prod/x"),
            unit("beside", "app=web", namespace="/acme/dev"),
        )
        await mapping(client, "/acme/prod", "m", "app=web", "/acme/prod/x")
        found = {name: await place(client, name) for name in ("above", "below", "beside")}
        assert found == {"above": "/acme", "below": "/acme/prod/x", "beside": "/acme/dev"}
        await mapping(client, "/acme", "m", "app=web", "/acme/prod")
        found = {name: await place(client, name) for name in ("above", "below", "beside")}
        assert found == {"above": "/acme/prod/x", "below": "/acme/prod/x", "beside": "/acme/dev"}
        await mapping(client, "/", "m", "app=web", "/acme/dev")
        assert {name: await place(client, name) for name in found} == found


async def test_a_failed_mapping_moves_nobody(console: Running, client: httpx2.AsyncClient) -> None:
    await tree(client, "acme", "/acme/prod")
    async with Peer(await enrol(console, "edge", "/acme")) as peer:
        await peer.register(unit("web", "app=web"))
        await mapping(client, "/acme", "m", "app=db", "/acme/prod")
        inside = {"X-Namespace": "/acme"}
        stale = {**inside, "If-Match": '"0"'}
        change = {"subject": [["app=web"]]}
        problem(
            await client.patch("/v1/namespacemappingpolicies/m", json=change, headers=stale), "changed-meanwhile", 412
        )
        body = {"name": "m", "subject": [["app=web"]], "mappedNamespace": "/acme/prod"}
        problem(await client.post("/v1/namespacemappingpolicies", json=body, headers=inside), "conflict", 409)
        assert await place(client) == "/acme"


async def test_images_make_tags_that_map(console: Running, client: httpx2.AsyncClient) -> None:
    from watchword.wire.messages import UnitService

    await tree(client, "acme", "/acme/prod")
    await mapping(client, "/acme", "m", "$image=registry/web:1", "/acme/prod")
    async with Peer(await enrol(console, "edge", "/acme")) as peer:
        services = (UnitService(6, ("8080", "9000:9010")),)
        bad = [
            unit("x", images=("a\nb",)),
            unit("y", images=("i" * 2000,)),
            unit("z", services=(UnitService(300, ()),)),
            unit("w", services=(UnitService(6, ("http",)),)),
        ]
        accepted = await peer.register(unit("web", images=("registry/web:1",), services=services), *bad)
        assert set(accepted.refused) == {"x", "y", "z", "w"}
        assert await place(client) == "/acme/prod"
        found = (await client.get(f"/v1/processingunits/{accepted.units['web']}")).json()
        assert found["images"] == ["registry/web:1"]
        assert found["networkServices"] == [{"protocol": 6, "ports": ["8080", "9000:9010"]}]
