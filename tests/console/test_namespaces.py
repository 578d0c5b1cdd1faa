"""The namespace tree over the real API: where it may grow, what it hands down, what keeps it from shrinking."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.console.rig import Peer, Running, enrol, ruleset, unit
from tests.console.test_rest_conventions import create, problem
from watchword.wire import messages


def at(path: str) -> dict[str, str]:
    return {"X-Namespace": path}


async def test_defaults(client: httpx2.AsyncClient) -> None:
    made = await create(client, "namespaces", name="acme")
    assert made["type"] == "Default"
    assert made["defaultPUIncomingTrafficAction"] == made["defaultPUOutgoingTrafficAction"] == "Inherit"
    assert (made["tagPrefixes"], made["organizationalMetadata"]) == ([], [])
    assert (made["defaultEnforcerVersion"], made["offlineMaxAge"]) == ("", 0)


async def test_the_levels_of_the_family(client: httpx2.AsyncClient) -> None:
    path = "/"
    for name, level in (("acme", "Tenant"), ("aws", "CloudAccount"), ("shop", "Group"), ("k8s", "Kubernetes")):
        made = await client.post("/v1/namespaces", json={"name": name, "type": level}, headers=at(path))
        assert made.status_code == 201, made.text
        path = made.json()["name"]
    for where, level in (("/acme", "Tenant"), ("/acme/aws", "CloudAccount"), ("/acme/aws/shop", "CloudAccount")):
        refused = await client.post("/v1/namespaces", json={"name": "x", "type": level}, headers=at(where))
        document = problem(refused, "validation", 422)
        assert document["errors"][0]["path"] == "type"
    changed = await client.patch("/v1/namespaces//acme", json={"type": "Group"})
    assert problem(changed, "validation", 422)["errors"][0]["path"] == "type"


async def test_a_level_marks_all_below_and_nobody_else_can(console: Running, client: httpx2.AsyncClient) -> None:
    await create(client, "namespaces", name="acme", type="Tenant")
    await create(client, "namespaces", name="globex")
    boss = await client.post(
        "/v1/appcredentials", json={"name": "boss", "roles": ["namespace.administrator"]}, headers=at("/globex")
    )
    async with Peer(await enrol(console, "edge", "/acme")) as peer:
        await peer.register(unit("web", "app=web"))
        made = (await client.get("/v1/processingunits/web", headers=at("/acme"))).json()
        assert "@org:tenant=acme" in made["normalizedTags"]
    async with console.client(boss.json()["credential"], "/globex") as other:
        for body in (
            {"name": "x", "organizationalMetadata": ["@org:tenant=acme"]},
            {"name": "acme", "type": "Tenant"},
        ):
            problem(await other.post("/v1/namespaces", json=body), "validation", 422)
        unit_body = {
            "name": "n",
            "entries": ["10.0.0.0/8"],
            "associatedTags": ["a=b"],
            "metadata": ["@org:tenant=acme"],
        }
        problem(await other.post("/v1/externalnetworks", json=unit_body), "validation", 422)


async def test_a_rename_is_refused(client: httpx2.AsyncClient) -> None:
    await create(client, "namespaces", name="acme")
    for body in ({"name": "/other"}, {"name": "other"}):
        document = problem(await client.patch("/v1/namespaces//acme", json=body), "validation", 422)
        assert document["errors"][0]["path"] == "name"
    assert (await client.patch("/v1/namespaces//acme", json={"name": "/acme"})).status_code == 200


@pytest.mark.parametrize("name", ["", "/", "a/", "//a", "a b", "a.b", "ä", "../x", "a//b", "a\n", "/acme\n", "x" * 300])
async def test_names_that_are_none(client: httpx2.AsyncClient, name: str) -> None:
    document = problem(await client.post("/v1/namespaces", json={"name": name}), "validation", 422)
    assert document["errors"][0]["path"] == "name"


async def test_a_namespace_goes_only_when_nothing_is_in_it(console: Running, client: httpx2.AsyncClient) -> None:
    await create(client, "namespaces", name="acme")
    await create(client, "namespaces", name="/acme/prod")
    inside = at("/acme/prod")
    await client.post("/v1/networkrulesetpolicies", json=ruleset("r", "app=db", incoming=["app=web"]), headers=inside)
    async with Peer(await enrol(console, "edge", "/acme/prod")) as peer:
        await peer.register(unit("web"))
    refused = problem(await client.delete("/v1/namespaces//acme/prod"), "conflict", 409)
    for held in ("1 networkrulesetpolicies", "1 enforcers", "1 processingunits", "1 tokens"):
        assert held in refused["detail"]
    refused = problem(await client.delete("/v1/namespaces//acme"), "conflict", 409)
    assert "1 namespaces" in refused["detail"]
    problem(await client.delete("/v1/namespaces//"), "protected", 423)
    assert (await client.patch("/v1/namespaces//", json={"protected": False})).status_code == 200
    assert "root" in problem(await client.delete("/v1/namespaces//"), "conflict", 409)["detail"]


async def test_a_tag_outside_the_prefixes_is_an_error_when_it_is_written(client: httpx2.AsyncClient) -> None:
    await create(client, "namespaces", name="acme", tagPrefixes=["app=", "@org:"])
    await create(client, "namespaces", name="/acme/prod", tagPrefixes=["env="])
    for place, good in (("/acme", "app=web"), ("/acme", "@org:team=x"), ("/acme/prod", "env=dev")):
        body = ruleset(f"good-{good[:4]}", "app=db", incoming=[good])
        answer = await client.post("/v1/networkrulesetpolicies", json=body, headers=at(place))
        assert answer.status_code == 201, answer.text
    for place, bad in (
        ("/acme", "env=dev"),
        ("/acme/prod", "team=x"),
        ("/acme", "application=x"),
        ("/acme", "!env=dev"),
    ):
        body = ruleset("bad", "app=db", incoming=["app=web"])
        body["incomingRules"][0]["object"] = [["app=web", bad]]
        document = problem(
            await client.post("/v1/networkrulesetpolicies", json=body, headers=at(place)), "validation", 422
        )
        (error,) = document["errors"]
        assert error["path"] == "incomingRules[0].object[0][1]"
        assert bad in error["message"]
        assert "app=" in error["remedy"]


async def test_prefixes_do_not_leave_rulesets_outside(client: httpx2.AsyncClient) -> None:
    await create(client, "namespaces", name="acme")
    await create(client, "namespaces", name="/acme/prod", tagPrefixes=["env="])
    for place, name, tag in (("/acme", "one", "app=web"), ("/acme/prod", "two", "env=dev")):
        body = ruleset(name, tag, incoming=[tag])
        assert (await client.post("/v1/networkrulesetpolicies", json=body, headers=at(place))).status_code == 201
    before = (await client.get("/v1/namespaces//acme")).json()
    answer = await client.patch("/v1/namespaces//acme", json={"tagPrefixes": ["net="]})
    (error,) = problem(answer, "validation", 422)["errors"]
    assert error["path"] == "tagPrefixes"
    assert "/acme one" in error["message"]
    assert "app=web" in error["message"]
    assert (await client.get("/v1/namespaces//acme")).json() == before
    assert (await client.patch("/v1/namespaces//acme", json={"tagPrefixes": ["app="]})).status_code == 200
    # what is below inherits: there /acme's prefixes hold beside its own
    answer = await client.patch("/v1/namespaces//acme/prod", json={"tagPrefixes": ["team="]})
    assert "/acme/prod two" in problem(answer, "validation", 422)["errors"][0]["message"]
    assert (
        "two"
        in problem(await client.patch("/v1/namespaces//acme/prod", json={"tagPrefixes": []}), "validation", 422)[
            "detail"
        ]
    )
    await client.patch("/v1/namespaces//acme", json={"tagPrefixes": []})
    assert (await client.patch("/v1/namespaces//acme/prod", json={"tagPrefixes": []})).status_code == 200


async def test_organizational_metadata_takes_effect_at_once(console: Running, client: httpx2.AsyncClient) -> None:
    await create(client, "namespaces", name="acme", organizationalMetadata=["@org:team=a"])
    await create(client, "namespaces", name="/acme/prod")
    body = {"name": "n", "entries": ["10.0.0.0/8"], "associatedTags": ["net=n"]}
    await client.post("/v1/externalnetworks", json=body, headers=at("/acme/prod"))

    async def tags(plural: str, name: str) -> set[str]:
        found = (await client.get(f"/v1/{plural}/{name}", headers=at("/acme/prod"))).json()
        return {tag for tag in found["normalizedTags"] if tag.startswith("@org:")}

    async with Peer(await enrol(console, "edge", "/acme/prod")) as peer:
        accepted = await peer.register(unit("web"))
        identifier = accepted.units["web"]
        await peer.until(lambda d: identifier in d.units and "@org:team=a" in d.units[identifier].tags)
        await client.patch("/v1/namespaces//acme", json={"organizationalMetadata": ["@org:team=b", "@org:zone=z"]})
        document = await peer.until(lambda d: "@org:team=b" in d.units[identifier].tags)
        assert "@org:team=a" not in document.units[identifier].tags
    for plural, name in (("processingunits", "web"), ("externalnetworks", "n"), ("enforcers", "edge")):
        assert await tags(plural, name) == {"@org:team=b", "@org:zone=z"}
    # a key that is given above cannot be given again below, whichever comes first
    answer = await client.patch("/v1/namespaces//acme/prod", json={"organizationalMetadata": ["@org:team=c"]})
    assert problem(answer, "validation", 422)["errors"][0]["path"] == "organizationalMetadata[0]"
    await client.patch("/v1/namespaces//acme/prod", json={"organizationalMetadata": ["@org:own=1"]})
    answer = await client.patch("/v1/namespaces//acme", json={"organizationalMetadata": ["@org:own=2"]})
    assert "/acme/prod" in problem(answer, "validation", 422)["errors"][0]["message"]


async def test_inherit_takes_the_nearest_default(console: Running, client: httpx2.AsyncClient) -> None:
    await create(client, "namespaces", name="acme", defaultPUIncomingTrafficAction="Reject")
    await create(client, "namespaces", name="/acme/prod")
    async with Peer(await enrol(console, "edge", "/acme/prod")) as peer:
        accepted = await peer.register(unit("web"))
        identifier = accepted.units["web"]
        document = await peer.until(lambda d: identifier in d.units)
        entry: Any = document.units[identifier]
        assert (entry.default_incoming, entry.default_outgoing) == ("Reject", "Allow")
        await client.patch("/v1/namespaces//acme/prod", json={"defaultPUIncomingTrafficAction": "Allow"})
        await peer.until(lambda d: d.units[identifier].default_incoming == "Allow")
        await client.patch("/v1/namespaces//", json={"defaultPUOutgoingTrafficAction": "Inherit"})
        await peer.until(lambda d: d.units[identifier].default_outgoing == "Reject")


def age(welcome: messages.Welcome) -> float:
    """After how many seconds without a Console rules lapse."""
    assert welcome.boundaries is not None
    return welcome.boundaries.offline_max_age


async def test_offline_age_is_the_nearest_and_reaches_a_connected_enforcer(
    console: Running, client: httpx2.AsyncClient
) -> None:
    await create(client, "namespaces", name="acme", offlineMaxAge=3600)
    await create(client, "namespaces", name="/acme/prod")
    async with Peer(await enrol(console, "edge", "/acme/prod")) as peer:
        assert peer.welcome is not None
        assert age(peer.welcome) == 3600
        await client.patch("/v1/namespaces//acme/prod", json={"offlineMaxAge": 60})
        assert age(await peer.answer(messages.Welcome)) == 60
        await client.patch("/v1/namespaces//acme/prod", json={"offlineMaxAge": 0})
        assert age(await peer.answer(messages.Welcome)) == 3600
