"""A Console from before revisions kept what they changed goes on: its record stays genuine, its past is unknown."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from alembic import command
from sqlalchemy import Connection, text

from tests.console.rig import running
from tests.console.test_histories import NETWORK, chain, links, made
from watchword.console import trust
from watchword.console.console import utc_now
from watchword.console.store import migrations
from watchword.console.store.database import Database, create_private
from watchword.identity.history import BrokenChain, verify
from watchword.identity.signatures import sign_revision_record


async def old_console(folder: Path) -> None:
    """A database of the first version, with three revisions as that version signed them."""
    os.close(trust.claim_directory(folder))
    root = trust.load(folder, utc_now(), secrets.token_bytes)
    create_private(folder / "console.db")
    database = Database(f"sqlite+aiosqlite:///{folder / 'console.db'}")

    def fill(sync: Connection) -> None:
        command.upgrade(migrations._config("console", sync), "console_0001")
        previous = b""
        for number in range(1, 4):
            body: dict[str, Any] = {
                "ID": str(number),
                "namespace": "/",
                "createTime": "2026-11-01T10:00:00Z",
                "number": number,
                "author": "console",
                "changes": [f"create namespace / /n{number}"],
                "signature": "",
            }
            previous = sign_revision_record(root.signing_key, number, msgspec.json.encode(body), previous)
            sync.execute(
                text(
                    "INSERT INTO revisions (id, namespace, create_time, number, author, changes, signature, version) "
                    "VALUES (:id, '/', 1793527200000000, :number, 'console', :changes, :signature, 1)"
                ),
                {
                    "id": str(number),
                    "number": number,
                    "changes": msgspec.json.encode(body["changes"]).decode(),
                    "signature": previous.hex(),
                },
            )
        sync.execute(text("INSERT INTO counters (name, value) VALUES ('revision', 3)"))
        sync.execute(
            text(
                "INSERT INTO namespaces (id, namespace, name, description, annotations, protected, type, "
                "default_pu_incoming_traffic_action, default_pu_outgoing_traffic_action, tag_prefixes, "
                "organizational_metadata, offline_max_age, version) "
                "VALUES ('n0', '', '/', '', '{}', 1, 'Default', 'Allow', 'Allow', '[]', '[]', 0, 1)"
            )
        )

    async with database.writing() as connection:
        await connection.run_sync(fill)
    await database.close()


async def administrator(folder: Path) -> str:
    from watchword.console.recovery import recover_administrator
    from watchword.console.settings import Settings

    _, credential = await recover_administrator(Settings(data_dir=folder, listen=("127.0.0.1:0",)))
    return credential


async def test_the_record_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    await old_console(folder)
    credential = await administrator(folder)
    async with running(folder, credential) as console, console.client() as client:
        created = await made(client, "externalnetworks", NETWORK)
        found = await chain(client)
        key = base64.b64decode(found["publicKey"])
        checked = verify(
            links(found),
            key,
            policy_complete_from=found["policyCompleteFrom"],
            workload_complete_from=found["workloadCompleteFrom"],
        )
        assert (checked.first, checked.last) == (1, created["revision"])
        assert checked.detailed == created["revision"] - 3
        found["links"][1]["record"]["author"] = "somebody else"
        with pytest.raises(BrokenChain):
            verify(links(found), key, policy_complete_from=4, workload_complete_from=4)
        await refused_before(client)
        assert (await client.post("/v1/rollbacks", json={"revision": 3})).status_code == 200
        assert (await client.get("/v1/externalnetworks")).json() == []


async def refused_before(client: httpx2.AsyncClient) -> None:
    """What was before the upgrade is not guessed."""
    for number in (1, 2):
        answer = await client.post("/v1/rollbacks", json={"revision": number})
        assert answer.status_code == 404
        assert "forgotten" in answer.text
