"""A real Console over TLS, and the commands of somebody who may do everything there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.console.rig import Running, running
from tests.unit.cli.command_line import CommandLine


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "data") as started:
        yield started


@pytest.fixture
def cli(console: Running, tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path).using(console)
