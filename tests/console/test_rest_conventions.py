"""The conventions that every resource follows, over the real server."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from tests.console.rig import Running, ruleset

NETWORK = {"name": "office", "entries": ["198.51.100.0/24"], "associatedTags": ["net=office"]}


async def create(client: httpx2.AsyncClient, plural: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"/v1/{plural}", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def problem(answer: httpx2.Response, kind: str, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = dict(answer.json())
    assert document["type"] == f"urn:watchword:problem:{kind}"
    assert document["status"] == status
    return document


async def test_life_of_a_resource(client: httpx2.AsyncClient) -> None:
    made = await client.post("/v1/externalnetworks", json=NETWORK)
    assert made.status_code == 201
    network = made.json()
    assert network["namespace"] == "/"
    assert set(network["normalizedTags"]) >= {"net=office", "$name=office", "$identity=externalnetwork"}
    by_id = await client.get(made.headers["Location"])
    by_name = await client.get("/v1/externalnetworks/office")
    assert by_id.json() == by_name.json() == network
    assert by_id.headers["ETag"] == made.headers["ETag"]

    changed = await client.patch("/v1/externalnetworks/office", json={"entries": ["192.0.2.0/24"]})
    assert changed.json()["entries"] == ["192.0.2.0/24"]
    assert changed.json()["associatedTags"] == ["net=office"]
    assert changed.headers["ETag"] != made.headers["ETag"]

    replaced = await client.put("/v1/externalnetworks/office", json={**NETWORK, "description": "d"})
    assert replaced.json()["entries"] == NETWORK["entries"]
    assert replaced.json()["ID"] == network["ID"]

    assert (await client.delete("/v1/externalnetworks/office")).status_code == 204
    problem(await client.get("/v1/externalnetworks/office"), "not-found", 404)


async def test_put_takes_what_get_gave(client: httpx2.AsyncClient) -> None:
    made = await create(client, "networkrulesetpolicies", **ruleset("r", "app=db", incoming=["app=web"]))
    again = await client.put(f"/v1/networkrulesetpolicies/{made['ID']}", json=made)
    assert again.status_code == 200, again.text
    assert again.json() == made


async def test_what_has_been_reported_meanwhile_is_in_nobodys_way(client: httpx2.AsyncClient) -> None:
    """Status changes by itself: a body with what was read a while ago is no error, and says nothing."""
    assertion = {"from": [["app=web"]], "to": [["app=db"]], "protocolPorts": ["tcp/1"], "expect": "Reject"}
    made = await create(client, "policytests", name="t", assertions=[assertion])
    url = f"/v1/policytests/{made['ID']}"
    stale = {"statusRevision": 4711, "results": []}
    put = await client.put(url, json={**made, **stale, "description": "new"})
    assert put.status_code == 200, put.text
    assert (put.json()["description"], put.json()["statusRevision"] != 4711) == ("new", True)
    refused = await client.post("/v1/policytests", json={"name": "u", "assertions": [assertion], "statusRevision": 1})
    problem(refused, "validation", 422)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": "x", "entries": ["10.0.0.0/8"], "associatedTags": ["a=b"], "colour": "red"}, "colour"),
        ({"entries": ["10.0.0.0/8"], "associatedTags": ["a=b"]}, "name"),
        ({"name": "x", "entries": [], "associatedTags": ["a=b"]}, "entries"),
        ({"name": "x", "entries": ["10.0.0.0/8", "10.0.0.300"], "associatedTags": ["a=b"]}, "entries[1]"),
        ({"name": "x", "entries": ["10.0.0.0/8", 7], "associatedTags": ["a=b"]}, "entries[1]"),
        ({"name": "x", "entries": ["10.0.0.0/8"]}, "associatedTags"),
        ({"name": "x", "entries": ["10.0.0.0/8"], "associatedTags": ["a=b", "$id=1"]}, "associatedTags[1]"),
        ({"name": "x", "entries": ["10.0.0.0/8"], "associatedTags": ["@org:a=b"]}, "associatedTags[0]"),
        ({"name": "x", "entries": ["10.0.0.0/8"], "associatedTags": ["a=b"], "ID": "mine"}, "ID"),
        (
            {"name": "x", "entries": ["10.0.0.0/8"], "associatedTags": ["a=b"], "normalizedTags": ["a=b"]},
            "normalizedTags",
        ),
        ({"name": "x\0y", "entries": ["10.0.0.0/8"], "associatedTags": ["a=b"]}, "name"),
        ({"name": "x" * 257, "entries": ["10.0.0.0/8"], "associatedTags": ["a=b"]}, "name"),
    ],
)
async def test_a_wrong_field_is_named(client: httpx2.AsyncClient, body: dict[str, Any], path: str) -> None:
    document = problem(await client.post("/v1/externalnetworks", json=body), "validation", 422)
    assert [error["path"] for error in document["errors"]] == [path]
    assert document["errors"][0]["remedy"]
    assert (await client.get("/v1/externalnetworks")).json() == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"subject": []}, "subject"),
        ({"subject": [[]]}, "subject[0]"),
        ({"subject": [["app"]]}, "subject[0][0]"),
        ({"incomingRules": [{"object": [["a=b"]], "protocolPorts": ["tcp"]}]}, "incomingRules[0].protocolPorts[0]"),
        ({"incomingRules": [{"object": [], "protocolPorts": ["any"]}]}, "incomingRules[0].object"),
        ({"incomingRules": [{"object": [["a=b"]], "protocolPorts": []}]}, "incomingRules[0].protocolPorts"),
        ({"outgoingRules": [{"object": [["a=b"]]}]}, "outgoingRules[0].protocolPorts"),
        ({"outgoingRules": [{"object": [["a=b"]], "protocolPorts": ["any"], "mode": "x"}]}, "outgoingRules[0].mode"),
        (
            {"outgoingRules": [{"object": [["a=b"]], "protocolPorts": ["any"], "action": "Log"}]},
            "outgoingRules[0].action",
        ),
        (
            {
                "outgoingRules": [
                    {"object": [["a=b", "c=d"]], "protocolPorts": ["tcp/80"]},
                    {"object": [["c=d", "a=b"]], "protocolPorts": ["TCP/80"]},
                ]
            },
            "outgoingRules[1]",
        ),
    ],
)
async def test_a_wrong_rule_is_named(client: httpx2.AsyncClient, change: dict[str, Any], path: str) -> None:
    body = {"name": "r", "subject": [["app=db"]], **change}
    document = problem(await client.post("/v1/networkrulesetpolicies", json=body), "validation", 422)
    assert document["errors"][0]["path"] == path


async def test_what_cannot_change_does_not(client: httpx2.AsyncClient) -> None:
    made = await create(client, "externalnetworks", **NETWORK)
    for body in ({"ID": "other"}, {"namespace": "/other"}, {"normalizedTags": ["app=db"]}):
        document = problem(await client.patch(f"/v1/externalnetworks/{made['ID']}", json=body), "validation", 422)
        assert document["errors"][0]["path"] == next(iter(body))
    await create(client, "namespaces", name="acme")
    document = problem(await client.patch("/v1/namespaces/acme", json={"name": "/other"}), "validation", 422)
    assert document["errors"][0]["path"] == "name"
    problem(
        await client.patch("/v1/appcredentials/administrator", json={"roles": ["namespace.viewer"]}), "validation", 422
    )


async def test_if_match(client: httpx2.AsyncClient) -> None:
    made = await client.post("/v1/externalnetworks", json=NETWORK)
    url, seen = made.headers["Location"], {"If-Match": made.headers["ETag"]}
    assert (await client.patch(url, json={"description": "a"}, headers=seen)).status_code == 200
    problem(await client.patch(url, json={"description": "b"}, headers=seen), "changed-meanwhile", 412)
    problem(await client.put(url, json=NETWORK, headers=seen), "changed-meanwhile", 412)
    problem(await client.delete(url, headers=seen), "changed-meanwhile", 412)
    assert (await client.get(url)).json()["description"] == "a"


async def test_idempotency_key(client: httpx2.AsyncClient) -> None:
    key = {"Idempotency-Key": "k-1"}
    answers = await asyncio.gather(*(client.post("/v1/externalnetworks", json=NETWORK, headers=key) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["ID"] for answer in answers}) == 1
    assert len((await client.get("/v1/externalnetworks")).json()) == 1
    other = await client.post("/v1/externalnetworks", json={**NETWORK, "name": "b"}, headers=key)
    problem(other, "conflict", 409)


async def test_idempotency_key_never_repeats_a_secret(client: httpx2.AsyncClient) -> None:
    key = {"Idempotency-Key": "k-2"}
    first = await client.post("/v1/tokens", json={"name": "t"}, headers=key)
    again = await client.post("/v1/tokens", json={"name": "t"}, headers=key)
    assert first.json()["token"].startswith("ww1.")
    assert again.json() == {**first.json(), "token": ""}


async def test_a_secret_is_shown_once(client: httpx2.AsyncClient) -> None:
    token = await create(client, "tokens", name="t")
    credential = await create(client, "appcredentials", name="c", roles=["namespace.viewer"])
    for plural, field, made in (("tokens", "token", token), ("appcredentials", "credential", credential)):
        assert len(made[field]) > 40
        assert (await client.get(f"/v1/{plural}/{made['ID']}")).json()[field] == ""
        listed = (await client.get(f"/v1/{plural}")).text
        assert made[field] not in listed
        assert made[field] not in (await client.get("/v1/activities?limit=1000")).text


async def test_names_are_unique_in_a_namespace(client: httpx2.AsyncClient) -> None:
    await create(client, "externalnetworks", **NETWORK)
    document = problem(await client.post("/v1/externalnetworks", json=NETWORK), "conflict", 409)
    assert "office" in document["detail"]
    await create(client, "namespaces", name="acme")
    elsewhere = await client.post("/v1/externalnetworks", json=NETWORK, headers={"X-Namespace": "/acme"})
    assert elsewhere.status_code == 201


async def test_protected(client: httpx2.AsyncClient) -> None:
    await create(client, "externalnetworks", **NETWORK, protected=True)
    problem(await client.delete("/v1/externalnetworks/office"), "protected", 423)
    await client.patch("/v1/externalnetworks/office", json={"protected": False})
    assert (await client.delete("/v1/externalnetworks/office")).status_code == 204
    problem(await client.delete("/v1/namespaces//"), "protected", 423)


async def test_namespaces(client: httpx2.AsyncClient) -> None:
    acme = await create(client, "namespaces", name="acme")
    assert (acme["name"], acme["namespace"]) == ("/acme", "/")
    inside = {"X-Namespace": "/acme"}
    assert (await client.post("/v1/namespaces", json={"name": "prod"}, headers=inside)).json()["name"] == "/acme/prod"
    deep = await create(client, "namespaces", name="/acme/prod/shop")
    assert deep["namespace"] == "/acme/prod"
    problem(await client.post("/v1/namespaces", json={"name": "/nowhere/x"}), "not-found", 404)
    problem(await client.post("/v1/namespaces", json={"name": "/other"}, headers=inside), "validation", 422)
    problem(await client.post("/v1/namespaces", json={"name": "a b"}), "validation", 422)
    for name in ("/v1/namespaces//acme/prod", "/v1/namespaces/%2Facme%2Fprod", "/v1/namespaces/acme/prod"):
        assert (await client.get(name)).json()["name"] == "/acme/prod"
    document = problem(await client.delete("/v1/namespaces//acme"), "conflict", 409)
    assert "1 namespaces" in document["detail"]
    problem(await client.get("/v1/externalnetworks", headers={"X-Namespace": "/nowhere"}), "not-found", 404)
    names = [each["name"] for each in (await client.get("/v1/namespaces?recursive=true&order=name")).json()]
    assert names == ["/acme", "/acme/prod", "/acme/prod/shop"]


async def test_scope_of_lists(client: httpx2.AsyncClient) -> None:
    for name in ("acme", "acmeother", "Acme"):
        await create(client, "namespaces", name=name)
    await create(client, "namespaces", name="/acme/prod")
    for place, name, propagate in (
        ("/", "root-up", True),
        ("/", "root", False),
        ("/acme", "a", False),
        ("/acme/prod", "p", False),
        ("/acmeother", "o", False),
        ("/Acme", "capital", False),
    ):
        body = {**NETWORK, "name": name, "propagate": propagate}
        assert (await client.post("/v1/externalnetworks", json=body, headers={"X-Namespace": place})).status_code == 201

    async def names(place: str, query: str = "") -> set[str]:
        answer = await client.get(f"/v1/externalnetworks?{query}", headers={"X-Namespace": place})
        assert answer.status_code == 200, answer.text
        return {each["name"] for each in answer.json()}

    assert await names("/acme") == {"a"}
    assert await names("/acme", "recursive=true") == {"a", "p"}
    assert await names("/acme/prod", "propagated=true") == {"p", "root-up"}
    assert await names("/", "recursive=true") == {"root-up", "root", "a", "p", "o", "capital"}
    problem(await client.get("/v1/tokens?propagated=true"), "validation", 422)


async def test_paging_and_order(client: httpx2.AsyncClient) -> None:
    for index in range(7):
        await create(client, "externalnetworks", **{**NETWORK, "name": f"n{index}", "description": "ab"[index % 2]})
    seen: list[tuple[str, str]] = []
    query = {"limit": "3", "order": "-description,name", "fields": "name,description"}
    pages = 0
    while True:
        answer = await client.get("/v1/externalnetworks", params=query)
        assert answer.headers["X-Count-Total"] == "7"
        assert all(set(each) == {"name", "description"} for each in answer.json())
        seen += [(each["description"], each["name"]) for each in answer.json()]
        pages += 1
        if "X-Next" not in answer.headers:
            break
        query["after"] = answer.headers["X-Next"]
    assert pages == 3
    assert seen == [*(("b", f"n{i}") for i in (1, 3, 5)), *(("a", f"n{i}") for i in (0, 2, 4, 6))]
    problem(await client.get("/v1/externalnetworks", params={**query, "order": "name"}), "validation", 422)
    for wrong in (
        {"after": "%%%"},
        {"after": "gaFh"},
        {"order": "colour"},
        {"order": "entries"},
        {"limit": "x"},
        {"colour": "x"},
    ):
        problem(await client.get("/v1/externalnetworks", params=wrong), "validation", 422)


async def test_a_forged_cursor_is_refused(client: httpx2.AsyncClient) -> None:
    import base64

    import msgspec

    for position in ([1], [None], [{"a": 1}], ["x", "y"], [[1]], [b"x"], [float("nan")]):
        raw = msgspec.msgpack.encode([["createTime"], [*position, "id"]])
        cursor = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        answer = await client.get("/v1/externalnetworks", params={"order": "createTime", "after": cursor})
        assert answer.status_code in (200, 422), answer.text


async def test_reading_needs_a_credential(console: Running) -> None:
    async with httpx2.AsyncClient(base_url=console.ready.url, verify=console.tls) as anonymous:
        assert (await anonymous.get("/v1/health")).json()["status"] == "ok"
        assert (await anonymous.get("/v1/ca")).text == console.ready.ca_pem
        for path in ("/v1/namespaces", "/v1/me", "/v1/flowreports", "/v1/explanations", "/v1/revisions/1/enforcement"):
            problem(await anonymous.get(path), "unauthenticated", 401)
        problem(await anonymous.post("/v1/imports", json={}), "unauthenticated", 401)
        for bad in ("x", console.credential[:-1], console.credential + "A", "wwc1.x.y"):
            header = {"Authorization": f"Bearer {bad}"}
            problem(await anonymous.get("/v1/me", headers=header), "unauthenticated", 401)


async def test_guessing_is_slowed_down(console: Running) -> None:
    async with httpx2.AsyncClient(base_url=console.ready.url, verify=console.tls) as anonymous:
        statuses = [
            (await anonymous.get("/v1/me", headers={"Authorization": "Bearer wwc1.a.b"})).status_code for _ in range(25)
        ]
    assert statuses[:20] == [401] * 20
    assert set(statuses[21:]) == {429}


async def test_roles_and_namespaces_confine_a_credential(console: Running, client: httpx2.AsyncClient) -> None:
    for name in ("acme", "/acme/prod", "other"):
        await create(client, "namespaces", name=name)
    inside = {"X-Namespace": "/acme"}
    made = {}
    for name, role in (("boss", "namespace.administrator"), ("eye", "namespace.viewer")):
        answer = await client.post("/v1/appcredentials", json={"name": name, "roles": [role]}, headers=inside)
        made[name] = answer.json()["credential"]
    async with console.client(made["boss"], "/acme") as boss, console.client(made["eye"], "/acme") as eye:
        assert (await boss.post("/v1/externalnetworks", json=NETWORK)).status_code == 201
        assert (await eye.get("/v1/externalnetworks/office")).status_code == 200
        problem(await eye.post("/v1/externalnetworks", json={**NETWORK, "name": "b"}), "forbidden", 403)
        problem(await eye.patch("/v1/externalnetworks/office", json={"description": "x"}), "forbidden", 403)
        problem(await eye.delete("/v1/externalnetworks/office"), "forbidden", 403)
        for place in ("/", "/other", "/acmeother"):
            problem(await boss.get("/v1/externalnetworks", headers={"X-Namespace": place}), "forbidden", 403)
            problem(
                await boss.post("/v1/externalnetworks", json=NETWORK, headers={"X-Namespace": place}), "forbidden", 403
            )
        # its own namespace is its parent's to change, and so is a credential outside
        assert (await boss.get("/v1/namespaces//acme")).status_code == 200
        body = {"defaultPUIncomingTrafficAction": "Allow"}
        problem(await boss.patch("/v1/namespaces//acme", json=body), "forbidden", 403)
        assert (await boss.patch("/v1/namespaces//acme/prod", json=body)).status_code == 200
        problem(await boss.get("/v1/namespaces//other"), "not-found", 404)
        admin = (await client.get("/v1/appcredentials/administrator")).json()["ID"]
        problem(await boss.get(f"/v1/appcredentials/{admin}"), "not-found", 404)
        problem(await boss.delete(f"/v1/appcredentials/{admin}"), "not-found", 404)
        await client.patch("/v1/appcredentials/eye", json={"disabled": True}, headers=inside)
        problem(await eye.get("/v1/me"), "unauthenticated", 401)


async def test_bodies_that_are_no_bodies(client: httpx2.AsyncClient) -> None:
    json_type = {"Content-Type": "application/json"}
    url = "/v1/externalnetworks"
    for content in (b"", b"{", b"[" * 100_000, b'"x"', b"[]", b"\xff\xfe", b'{"name": "\\ud800"}'):
        problem(await client.post(url, content=content, headers=json_type), "malformed", 400)
    problem(
        await client.post(url, content=b"a: b", headers={"Content-Type": "text/yaml"}), "unsupported-media-type", 415
    )
    problem(await client.post(url, content=b" " * ((1 << 20) + 1), headers=json_type), "too-large", 413)
    twice = b'{"name": "a", "entries": ["192.0.2.0/24"], "associatedTags": ["a=b"], "entries": ["0.0.0.0/0"]}'
    refused = await client.post(url, content=twice, headers=json_type)
    problem(refused, "malformed", 400)
    assert "'entries' is there more than once" in refused.json()["detail"]
    problem(await client.get("/v1/nothing"), "not-found", 404)
    problem(await client.post("/v1/enforcers", json={}), "method-not-allowed", 405)
    problem(await client.delete("/v1/revisions/1"), "method-not-allowed", 405)


async def test_every_change_is_an_activity(client: httpx2.AsyncClient) -> None:
    made = await create(client, "externalnetworks", **NETWORK)
    await client.patch("/v1/externalnetworks/office", json={"description": "x"})
    await client.patch("/v1/externalnetworks/office", json={"entries": ["192.0.2.0/24"]})
    await client.delete("/v1/externalnetworks/office")
    query = {"filter": f'targetID == "{made["ID"]}"', "order": "createTime"}
    found = (await client.get("/v1/activities", params=query)).json()
    assert [each["operation"] for each in found] == ["create", "update", "update", "delete"]
    assert found[1]["diff"] == {"description": ['""', '"x"']}
    assert [bool(each["revision"]) for each in found] == [True, False, True, True]
    assert all("administrator" in each["author"] and each["source"] == "127.0.0.1" for each in found)


async def test_revisions_follow_policy_and_nothing_else(client: httpx2.AsyncClient) -> None:
    async def newest() -> int:
        return int((await client.get("/v1/health")).json()["revision"])

    start = await newest()
    made = await client.post("/v1/networkrulesetpolicies", json=ruleset("r", "app=db", incoming=["app=web"]))
    assert int(made.headers["X-Watchword-Revision"]) == start + 1 == await newest()
    quiet = await client.patch("/v1/networkrulesetpolicies/r", json={"description": "words"})
    assert int(quiet.headers["X-Watchword-Revision"]) == start + 1
    await create(client, "tokens", name="t")
    assert await newest() == start + 1
    await client.delete("/v1/networkrulesetpolicies/r")
    assert await newest() == start + 2
    revision = (await client.get(f"/v1/revisions/{start + 2}")).json()
    assert revision["changes"] == ["delete networkrulesetpolicy / r"]


async def test_tag_prefixes_bind_rulesets(client: httpx2.AsyncClient) -> None:
    await create(client, "namespaces", name="acme", tagPrefixes=["app="])
    inside = {"X-Namespace": "/acme"}
    good = ruleset("r", "app=db", incoming=["app=web"])
    assert (await client.post("/v1/networkrulesetpolicies", json=good, headers=inside)).status_code == 201
    bad = ruleset("s", "app=db", incoming=["env=dev"])
    document = problem(await client.post("/v1/networkrulesetpolicies", json=bad, headers=inside), "validation", 422)
    assert document["errors"][0]["path"] == "incomingRules[0].object[0][0]"


async def test_openapi_describes_every_route(client: httpx2.AsyncClient) -> None:
    document = (await client.get("/v1/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    text = (await client.get("/v1/openapi.json")).text
    import re

    names = set(re.findall(r"#/components/(\w+)/(\w+)", text))
    assert all(name in document["components"][section] for section, name in names)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if (
                not any(parameter.get("in") == "path" for parameter in operation.get("parameters", []))
                and method == "get"
            ):
                answer = await client.request(method, path.replace("{key}", "none").replace("{number}", "1"))
                assert answer.status_code != 405, (method, path)
                assert answer.headers["content-type"] != "text/plain"
