"""A Console for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.console.rig import Running, running


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "data") as started:
        yield started


@pytest.fixture
async def client(console: Running) -> AsyncIterator[httpx2.AsyncClient]:
    async with console.client() as opened:
        yield opened
