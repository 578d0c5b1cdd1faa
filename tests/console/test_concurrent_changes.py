"""Many clients at once: every change happens whole, once, on what its author has seen."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx2
import pytest

from tests.console.rig import Peer, Running, enrol, unit
from tests.console.test_field_limits import BODIES, WRITABLE, written
from tests.console.test_rest_conventions import create, problem
from watchword.model.registry import Kind

CREATABLE = [kind for kind in WRITABLE if "create" in kind.verbs]
CHANGEABLE = [kind for kind in CREATABLE if "update" in kind.verbs]


@pytest.mark.parametrize("kind", CREATABLE, ids=lambda kind: kind.singular)
async def test_of_many_creations_one_succeeds(client: httpx2.AsyncClient, kind: Kind) -> None:
    await create(client, "namespaces", name="below")
    answers = await asyncio.gather(*(client.post(f"/v1/{kind.plural}", json=BODIES[kind.singular]) for _ in range(6)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 5}
    name = next(answer for answer in answers if answer.status_code == 201).json()["name"]
    listed = (await client.get(f"/v1/{kind.plural}", params={"filter": f'name == "{name}"'})).json()
    assert len(listed) == 1


@pytest.mark.parametrize("kind", CREATABLE, ids=lambda kind: kind.singular)
async def test_an_idempotency_key_creates_once(client: httpx2.AsyncClient, kind: Kind) -> None:
    await create(client, "namespaces", name="below")
    key = {"Idempotency-Key": f"key-{kind.singular}"}
    url, body = f"/v1/{kind.plural}", BODIES[kind.singular]
    answers = await asyncio.gather(*(client.post(url, json=body, headers=key) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["ID"] for answer in answers}) == 1
    problem(await client.post(url, json={**body, "description": "other"}, headers=key), "conflict", 409)


@pytest.mark.parametrize("kind", CHANGEABLE, ids=lambda kind: kind.singular)
async def test_of_many_changes_of_one_state_one_succeeds(client: httpx2.AsyncClient, kind: Kind) -> None:
    await create(client, "namespaces", name="below")
    made = await client.post(f"/v1/{kind.plural}", json=BODIES[kind.singular])
    assert made.status_code == 201, made.text
    url, seen = f"/v1/{kind.plural}/{made.json()['ID']}", {"If-Match": made.headers["ETag"]}
    answers = await asyncio.gather(
        *(client.patch(url, json={"description": f"d{index}"}, headers=seen) for index in range(6))
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 5}
    (winner,) = (answer for answer in answers if answer.status_code == 200)
    now = await client.get(url)
    assert written(kind, now.json()) == written(kind, winner.json())
    assert now.headers["ETag"] == winner.headers["ETag"] != made.headers["ETag"]
    problem(await client.delete(url, headers=seen), "changed-meanwhile", 412)
    assert (await client.delete(url, headers={"If-Match": now.headers["ETag"]})).status_code == 204


async def test_tags_and_mappings_that_change_together_end_where_they_belong(
    console: Running, client: httpx2.AsyncClient
) -> None:
    """Whatever the order in which they come, every unit is at last where its tags and the policies put it."""
    for path in ("acme", "/acme/a", "/acme/b"):
        await create(client, "namespaces", name=path)
    inside = {"X-Namespace": "/acme"}
    async with Peer(await enrol(console, "edge", "/acme")) as peer:
        accepted = await peer.register(*(unit(f"u{index}", "to=x") for index in range(8)))
        ids = list(accepted.units.values())

        async def tag(identifier: str, value: str) -> None:
            for each in ("a", "b", value):
                body = {"associatedTags": [f"to={each}"]}
                answer = await client.patch(f"/v1/processingunits/{identifier}", json=body)
                assert answer.status_code == 200, answer.text

        async def policies() -> None:
            for name in ("b", "a"):
                body = {"name": name, "subject": [[f"to={name}"]], "mappedNamespace": f"/acme/{name}"}
                answer = await client.post("/v1/namespacemappingpolicies", json=body, headers=inside)
                assert answer.status_code == 201, answer.text
            await client.patch("/v1/namespacemappingpolicies/a", json={"disabled": True}, headers=inside)
            await client.patch("/v1/namespacemappingpolicies/a", json={"disabled": False}, headers=inside)

        wanted = {identifier: "abx"[index % 3] for index, identifier in enumerate(ids)}
        await asyncio.gather(policies(), *(tag(identifier, value) for identifier, value in wanted.items()))
        for identifier, value in wanted.items():
            found = (await client.get(f"/v1/processingunits/{identifier}")).json()
            assert found["namespace"] == {"a": "/acme/a", "b": "/acme/b", "x": "/acme"}[value]
        revision = (await client.get("/v1/health")).json()["revision"]
        document = await peer.until(lambda d: d.revision >= revision, seconds=30)
        assert {key: entry.namespace for key, entry in document.units.items()} == {
            identifier: {"a": "/acme/a", "b": "/acme/b", "x": "/acme"}[value] for identifier, value in wanted.items()
        }
