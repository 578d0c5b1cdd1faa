"""External networks over the real API: entries in one form, names that wait, tags that cannot be missing."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.console.rig import Peer, Running, enrol, ruleset, unit
from tests.console.test_rest_conventions import create, problem

TAGS = {"associatedTags": ["net=n"]}


async def test_entries_are_stored_in_one_form(client: httpx2.AsyncClient) -> None:
    given = [
        "198.51.100.7/24",
        "203.0.113.9",
        "!198.51.100.128/25",
        "2001:DB8::1/32",
        "*.BÜCHER.example.",
        "Www.Example.COM",
    ]
    made = await create(client, "externalnetworks", name="n", entries=given, **TAGS)
    assert made["entries"] == [
        "198.51.100.0/24",
        "203.0.113.9/32",
        "!198.51.100.128/25",
        "2001:db8::/32",
        "*.xn--bcher-kva.example",
        "www.example.com",
    ]
    # what means the same is no change, however it is written
    again = await client.patch("/v1/externalnetworks/n", json={"entries": given})
    assert again.json()["updateTime"] == made["updateTime"]
    assert (await client.put("/v1/externalnetworks/n", json=made)).json() == made


@pytest.mark.parametrize(
    ("entries", "path"),
    [
        (["10.0.0.0/8", "10.1.2.3/8"], "entries[1]"),
        (["10.0.0.0/8", "10.0.0.0/8"], "entries[1]"),
        (["example.com", "EXAMPLE.com."], "entries[1]"),
        (["!10.0.0.0/8"], "entries"),
        (["example.com", "!10.0.0.0/8"], "entries"),
        ([], "entries"),
        (["10.0.0.0/8", "10.0.0.0/33"], "entries[1]"),
        (["10.0.0.0/8", "!example.com"], "entries[1]"),
        (["a.*.example.com"], "entries[0]"),
        (["x" * 64 + ".example.com"], "entries[0]"),
        (["-x.example.com"], "entries[0]"),
    ],
)
async def test_entries_that_are_none(client: httpx2.AsyncClient, entries: list[str], path: str) -> None:
    answer = await client.post("/v1/externalnetworks", json={"name": "n", "entries": entries, **TAGS})
    (error,) = problem(answer, "validation", 422)["errors"]
    assert error["path"] == path
    assert error["remedy"]
    assert (await client.get("/v1/externalnetworks")).json() == []


async def test_what_does_nothing_is_said(client: httpx2.AsyncClient) -> None:
    entries = ["10.0.0.0/8", "10.1.0.0/16", "!192.0.2.0/24", "*.example.com"]
    made = await create(client, "externalnetworks", name="n", entries=entries, **TAGS)
    assert [warning.partition(":")[0] for warning in made["warnings"]] == ["entries[1]", "entries[2]"]
    assert (await client.get("/v1/externalnetworks/n")).json()["warnings"] == made["warnings"]
    changed = await client.patch("/v1/externalnetworks/n", json={"entries": ["10.0.0.0/8"]})
    assert changed.json()["warnings"] == []
    body = {"warnings": ["mine"]}
    assert (
        problem(await client.patch("/v1/externalnetworks/n", json=body), "validation", 422)["errors"][0]["path"]
        == "warnings"
    )
    found = await client.get("/v1/externalnetworks", params={"filter": "warnings exists"})
    assert found.json() == []


async def test_a_tag_is_needed(client: httpx2.AsyncClient) -> None:
    missing: tuple[dict[str, Any], ...] = ({}, {"associatedTags": []})
    for body in missing:
        answer = await client.post("/v1/externalnetworks", json={"name": "n", "entries": ["10.0.0.0/8"], **body})
        assert problem(answer, "validation", 422)["errors"][0]["path"] == "associatedTags"
    await create(client, "externalnetworks", name="n", entries=["10.0.0.0/8"], **TAGS)
    changes: tuple[dict[str, Any], ...] = ({"associatedTags": []}, {"associatedTags": None})
    for change in changes:
        answer = await client.patch("/v1/externalnetworks/n", json=change)
        assert problem(answer, "validation", 422)["errors"][0]["path"] == "associatedTags"


async def test_metadata_is_for_creation_and_never_the_namespaces(client: httpx2.AsyncClient) -> None:
    for bad in ("app=x", "@org:tenant=acme", "@auth:role=x", "$id=1", "+a=b"):
        answer = await client.post(
            "/v1/externalnetworks", json={"name": "n", "entries": ["10.0.0.0/8"], **TAGS, "metadata": [bad]}
        )
        assert problem(answer, "validation", 422)["errors"][0]["path"] == "metadata[0]"
    made = await create(client, "externalnetworks", name="n", entries=["10.0.0.0/8"], **TAGS, metadata=["@cloud:vpc=1"])
    assert "@cloud:vpc=1" in made["normalizedTags"]
    answer = await client.patch("/v1/externalnetworks/n", json={"metadata": ["@cloud:vpc=2"]})
    assert problem(answer, "validation", 422)["errors"][0]["path"] == "metadata"
    assert (await client.patch("/v1/externalnetworks/n", json={"metadata": ["@cloud:vpc=1"]})).status_code == 200


async def test_enforcers_are_told_of_names_behind_the_prefixes_and_of_names_alone(
    console: Running, client: httpx2.AsyncClient
) -> None:
    await create(client, "externalnetworks", name="mixed", entries=["example.com", "10.0.0.0/8"], **TAGS)
    await create(client, "externalnetworks", name="names", entries=["example.com", "*.example.org"], **TAGS)
    body: dict[str, Any] = ruleset("r", "app=web", outgoing=["net=n"])
    assert (await client.post("/v1/networkrulesetpolicies", json=body)).status_code == 201
    async with Peer(await enrol(console, "edge")) as peer:
        await peer.register(unit("web", "app=web"))
        document = await peer.until(lambda d: d.units and len(d.networks) == 2)
        entries = {network.name: network.entries for network in document.networks.values()}
        assert entries["mixed"] == ("10.0.0.0/8", "example.com")
        assert sorted(entries["names"]) == ["*.example.org", "example.com"]
        answer = await client.patch("/v1/externalnetworks/names", json={"entries": ["example.net"]})
        assert answer.status_code == 200
        await peer.until(lambda d: ("example.net",) in {network.entries for network in d.networks.values()})


async def test_an_explanation_says_where_names_may_make_a_difference(
    console: Running, client: httpx2.AsyncClient
) -> None:
    names = ["example.com", "*.example.org", "a.example.net", "b.example.net"]
    await create(client, "externalnetworks", name="web", entries=names, **TAGS)
    await create(client, "externalnetworks", name="unused", entries=["example.com"], associatedTags=["net=unused"])
    await client.post("/v1/networkrulesetpolicies", json=ruleset("out", "app=web", outgoing=["net=n"]))
    async with Peer(await enrol(console, "edge")) as peer:
        await peer.register(unit("web", "app=web"), unit("db", "app=db"))

        async def notes(source: str, destination: str) -> list[str]:
            query = {"source": source, "destination": destination, "protocol": "tcp", "port": "5432"}
            answer = await client.get("/v1/explanations", params=query)
            assert answer.status_code == 200, answer.text
            return list(answer.json()["notes"])

        (note,) = await notes("web", "203.0.113.7")
        assert note.startswith("out selects external network web, whose host names (example.com, *.example.org,")
        assert await notes("203.0.113.7", "web") == []  # no incoming rule names it
        assert await notes("db", "203.0.113.7") == []
        assert await notes("web", "db") == []
