"""Removing an Enforcer: its Console hears of it, and nothing of it stays."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.unit.enforcer.console_side import Operator, console, gone
from tests.unit.enforcer.hosts import Host, revision, until
from watchword.enforcer.agent import Agent, uninstall


async def test_uninstalling_through_the_running_agent(host: Host, operator: Operator) -> None:
    host.give(await operator.token())
    agent = Agent(host.settings, host.factory)
    task = asyncio.create_task(agent.run())
    await until(lambda: revision(host) > 0)
    assert await uninstall(host.settings, host.factory) == {"told": True, "left": []}
    async with asyncio.timeout(60):
        await task
    await gone(operator)
    nothing_left(host)


async def test_uninstalling_without_an_agent(host: Host, operator: Operator) -> None:
    host.give(await operator.token())
    async with host.agent():
        await until(lambda: revision(host) > 0)
    assert await uninstall(host.settings, host.factory) == {"told": True, "left": []}
    await gone(operator)
    nothing_left(host)


async def test_uninstalling_without_a_console_leaves_nothing_either(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchword.enforcer.removal._PATIENCE", 0.5)
    async with console(tmp_path) as operator:
        host.give(await operator.token())
        async with host.agent():
            await until(lambda: revision(host) > 0)
    assert await uninstall(host.settings, host.factory) == {"told": False, "left": []}
    nothing_left(host)


@pytest.mark.parametrize(
    "damaged", ["credential", "datapath-keys", "revision", "signing-key.pem", "welcome", "reports"]
)
async def test_uninstalling_when_files_are_damaged(
    tmp_path: Path, host: Host, damaged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the disk has done: what is in the kernel goes, and so do the files."""
    monkeypatch.setattr("watchword.enforcer.removal._PATIENCE", 0.5)
    async with console(tmp_path) as operator:
        host.give(await operator.token())
        async with host.agent():
            await until(lambda: revision(host) > 0 and (host.directory / "data" / "revision").exists())
    path = host.directory / "data" / damaged
    path.touch(mode=0o600)
    path.write_bytes(b"\xc1" + path.read_bytes()[1:])
    assert await uninstall(host.settings, host.factory) == {"told": False, "left": []}
    nothing_left(host)


async def test_files_of_others_are_left_and_named(host: Host, operator: Operator) -> None:
    host.give(await operator.token())
    async with host.agent():
        await until(lambda: revision(host) > 0)
    note = host.directory / "data" / "note.txt"
    note.write_text("mine")
    removed = await uninstall(host.settings, host.factory)
    assert removed["left"] == [str(note)]
    assert note.exists()


def nothing_left(host: Host) -> None:
    assert host.kernel.history[-1] == "uninstall"
    assert host.kernel.tables is None
    assert not (host.directory / "data").exists()
    assert not (host.directory / "run").exists()
