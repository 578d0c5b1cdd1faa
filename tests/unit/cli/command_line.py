"""Runs `watchword` as people and programs do: as a process, against a real Console over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.console.rig import Running

#: Seconds that anything may take on a busy machine.
PATIENCE = 60.0

WATCHWORD = str(Path(sys.executable).with_name("watchword"))


@dataclass(frozen=True)
class Done:
    """What one call of a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class CommandLine:
    """A shell of one user, with a profile file of its own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WATCHWORD_", "_WATCHWORD"))}
        self.environment = {
            **kept,
            "WATCHWORD_PROFILES": str(self.folder / "profiles.toml"),
            "COLUMNS": "200",
            **self.environment,
        }

    def using(self, console: Running) -> CommandLine:
        """The same shell, told by its environment to use ``console``."""
        ca = self.folder / "ca.pem"
        ca.write_text(console.ready.ca_pem)
        told = {
            "WATCHWORD_URL": console.ready.url,
            "WATCHWORD_CA": str(ca),
            "WATCHWORD_CREDENTIAL": console.credential,
        }
        return CommandLine(self.folder, told)

    @contextlib.asynccontextmanager
    async def started(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """A command that goes on until it is stopped, at the latest when the block ends."""
        process = await self._start(arguments, environment or {})
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def _start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            WATCHWORD,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self.environment, **environment},
            cwd=self.folder,
        )

    async def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Done:
        """Run a command to its end."""
        async with self.started(*arguments, environment=environment) as process, asyncio.timeout(PATIENCE):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        done = Done(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in done.err, done.err
        return done
