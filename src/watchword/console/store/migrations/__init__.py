"""Schema migrations, one line of versions for each database: ``console`` and ``flows``."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

HERE = Path(__file__).parent


def _config(line: str, connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("version_locations", str(HERE / line / "versions"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["line"] = line
    return config


async def upgrade(connection: AsyncConnection, line: str) -> None:
    """Bring the schema up to date inside the connection's transaction."""
    await connection.run_sync(lambda sync: command.upgrade(_config(line, sync), "head"))
