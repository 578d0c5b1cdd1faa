"""The migrations make exactly the schema that the declarations ask for."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData

from watchword.console.flows import sqlite as flows
from watchword.console.store import migrations, schema
from watchword.console.store.database import Database


@pytest.mark.parametrize(("line", "metadata"), [("console", schema.metadata), ("flows", flows.metadata)])
async def test_migrations_match_the_schema(tmp_path: Path, line: str, metadata: MetaData) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'x.db'}")
    async with database.writing() as connection:
        await migrations.upgrade(connection, line)
        await migrations.upgrade(connection, line)  # again is nothing

        def differences(sync: Connection) -> list[object]:
            context = MigrationContext.configure(sync, opts={"compare_type": True, "compare_server_default": True})
            return list(compare_metadata(context, metadata))

        assert await connection.run_sync(differences) == []
    await database.close()


async def test_a_failed_change_leaves_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'x.db'}")
    async with database.writing() as connection:
        await migrations.upgrade(connection, "console")

    async def interrupted() -> None:
        async with database.writing() as connection:
            await connection.execute(schema.counters.insert().values(name="x", value=1))
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        await interrupted()
    async with database.reading() as connection:
        assert (await connection.execute(schema.counters.select())).all() == []
    await database.close()
