"""A database of the first schema, filled by a Console of that time, under the Console of today."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from tests.console.rig import Running, running
from tests.console.test_rest_conventions import problem
from watchword.console.recovery import recover_administrator
from watchword.console.settings import Settings
from watchword.console.store import schema

#: What ``sqlite3.Connection.iterdump`` said of a database that the first schema's Console had filled.
FIRST = Path(__file__).with_name("database_0001.sql")


@pytest.fixture
async def upgraded(tmp_path: Path) -> AsyncIterator[Running]:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    database = sqlite3.connect(data / "console.db")
    database.executescript(FIRST.read_text())
    database.close()
    (data / "console.db").chmod(0o600)
    _, credential = await recover_administrator(Settings(data, listen=("127.0.0.1:0",)))
    async with running(data, credential) as console:
        assert console.first is None, "it was taken for a new one"
        yield console


async def everything(client: httpx2.AsyncClient, plural: str) -> dict[str, dict[str, Any]]:
    answer = await client.get(f"/v1/{plural}", params={"recursive": "true", "limit": "1000"})
    assert answer.status_code == 200, answer.text
    return {each.get("name") or each["ID"]: each for each in answer.json()}


async def test_everything_is_still_there(upgraded: Running) -> None:
    async with upgraded.client() as client:
        namespaces = await everything(client, "namespaces")
        assert set(namespaces) == {"/", "/acme", "/acme/prod", "/acme/prod/shop"} - {"/"} | ({"/"} & set(namespaces))
        assert namespaces["/acme"]["offlineMaxAge"] == 3600
        assert namespaces["/acme"]["defaultEnforcerVersion"] == ""
        networks = await everything(client, "externalnetworks")
        assert (networks["office"]["metadata"], networks["office"]["associatedTags"]) == ([], ["net=office"])
        rulesets = await everything(client, "networkrulesetpolicies")
        assert set(rulesets) == {"db", "web", "wide"}
        assert rulesets["web"]["description"] == "shop\nfront"
        assert rulesets["db"]["incomingRules"][1]["protocolPorts"] == ["tcp/80", "TCP/80:90", "icmp/3/1,4:7"]
        units = await everything(client, "processingunits")
        assert {unit["name"]: unit["operationalStatus"] for unit in units.values()} == {
            "web-1": "Running",
            "web-2": "Running",
            "pg": "Running",
            "gone": "Terminated",
        }
        assert set(await everything(client, "enforcers")) == {"edge", "db"}
        assert {"spare"} <= set(await everything(client, "tokens"))
        assert "eye" in await everything(client, "appcredentials")
        assert await everything(client, "enforcerprofiles") == {}


async def test_what_the_console_derives_is_brought_up_to_date(upgraded: Running) -> None:
    async with upgraded.client() as client:
        for unit in (await everything(client, "processingunits")).values():
            assert unit["registeredNamespace"] == unit["namespace"]
            assert f"$controller={upgraded.ready.console_id}" in unit["normalizedTags"]
            assert {"@org:tenant=acme", "@org:group=prod"} <= set(unit["normalizedTags"])
        office = (await everything(client, "externalnetworks"))["office"]
        assert office["warnings"] == ["entries[1]: 198.51.100.9/32 lies within entries[0] and adds nothing"]
        revision = (await client.get("/v1/health")).json()["revision"]
    async with running(upgraded.data_dir.parent / "other") as fresh, fresh.client() as client:
        assert (await client.get("/v1/health")).json()["revision"] == 1, (
            "a new database has nothing to bring up to date"
        )
    assert revision > 1


async def test_it_is_brought_up_to_date_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    database = sqlite3.connect(data / "console.db")
    database.executescript(FIRST.read_text())
    database.close()
    _, credential = await recover_administrator(Settings(data, listen=("127.0.0.1:0",)))
    revisions = []
    for _ in range(2):
        async with running(data, credential) as console, console.client() as client:
            revisions.append((await client.get("/v1/health")).json()["revision"])
    assert revisions[0] == revisions[1]


async def test_a_lowered_limit_breaks_nothing_that_is_stored(upgraded: Running) -> None:
    """What is beyond a limit of today can be read and deleted; changing it asks to bring it within."""
    async with upgraded.client(namespace="/acme") as client:
        wide = (await client.get("/v1/networkrulesetpolicies/wide")).json()
        assert len(wide["annotations"]) == 600
        changed = await client.patch("/v1/networkrulesetpolicies/wide", json={"description": "x"})
        assert problem(changed, "validation", 422)["errors"][0]["path"] == "annotations"
        repaired = await client.patch("/v1/networkrulesetpolicies/wide", json={"annotations": {}})
        assert repaired.status_code == 200, repaired.text
        assert (await client.delete("/v1/networkrulesetpolicies/wide")).status_code == 204


async def test_new_things_work_on_old_ones(upgraded: Running) -> None:
    async with upgraded.client(namespace="/acme/prod") as client:
        body = {"name": "m", "subject": [["app=web"]], "mappedNamespace": "/acme/prod/shop"}
        assert (await client.post("/v1/namespacemappingpolicies", json=body)).status_code == 201
        assert {name: unit["namespace"] for name, unit in (await everything(client, "processingunits")).items()} == {
            "web-1": "/acme/prod/shop",
            "web-2": "/acme/prod/shop",
            "pg": "/acme/prod/shop",
            "gone": "/acme/prod/shop",
        }
        await client.post("/v1/enforcerprofiles", json={"name": "p"})
        body = {"name": "m", "subject": [["$name=edge"]], "object": [["$name=p"]]}
        assert (await client.post("/v1/enforcerprofilemappingpolicies", json=body)).status_code == 201
        assert (await client.get("/v1/enforcers/edge")).json()["profileName"] == "p"


async def test_the_schema_is_that_of_a_new_database(upgraded: Running) -> None:
    engine = create_engine(f"sqlite:///{upgraded.data_dir / 'console.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()
