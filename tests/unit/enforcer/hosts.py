"""A host for an agent: directories, a cgroup root, and a kernel in memory that outlives the agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.fakes.datapath import Kernel, MemoryDatapath
from watchword.enforcer import run
from watchword.enforcer.agent import Agent
from watchword.enforcer.settings import Settings, load


class Host:
    """A host: directories, a kernel, and at times an agent."""

    def __init__(self, directory: Path, name: str = "edge", root: Path | None = None) -> None:
        self.directory = directory / name
        self.directory.mkdir()
        self.kernel = Kernel()
        self.datapath: MemoryDatapath | None = None
        self.root = root or self.cgroup("", "cgroup.controllers")
        self.token_file = self.directory / "token"
        self.settings = load(
            None,
            {
                "name": name,
                "data_dir": str(self.directory / "data"),
                "run_dir": str(self.directory / "run"),
                "cgroup_root": str(self.root),
                "install_token_file": str(self.token_file),
                "tags": ["role=edge"],
                "unit": [{"name": "shop", "cgroup": "apps/shop", "tags": ["app=shop"]}],
                "proxy": "none",
            },
        )

    def cgroup(self, path: str, *files: str) -> Path:
        """Make what looks like a cgroup."""
        made = self.directory / "cgroup" / path
        made.mkdir(parents=True)
        for file in ("cgroup.procs", *files):
            (made / file).touch()
        return made

    def give(self, token: str) -> None:
        self.token_file.write_text(token)
        self.token_file.chmod(0o600)

    def factory(self, _settings: Settings) -> MemoryDatapath:
        self.datapath = MemoryDatapath(self.kernel)
        return self.datapath

    def decide(self, peer: int | str, port: int, cgroup: str = "") -> str:
        return self.kernel.decide(str(self.root / cgroup), peer, "incoming", 6, port)

    async def status(self) -> dict[str, Any]:
        return await asyncio.to_thread(run.status, self.settings)

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Agent]:
        """An agent of this host, stopped orderly at the end."""
        made = Agent(self.settings, self.factory)
        task = asyncio.create_task(made.run())
        try:
            await until(lambda: task.done() or (made.guard is not None and self.settings.socket_path.exists()))
            if task.done():
                task.result()
            yield made
        finally:
            made.stop()
            async with asyncio.timeout(60):
                await task


async def until(condition: Callable[[], bool], patience: float = 60.0) -> None:
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110 - what is waited for is somebody else's
            await asyncio.sleep(0.02)


def revision(host: Host) -> int:
    """What the host's kernel enforces; 0 for nothing."""
    return host.kernel.tables.revision if host.kernel.tables else 0
