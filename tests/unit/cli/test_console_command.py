"""`watchword console start` as a process: what its first start tells, and to whom."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import stat
from pathlib import Path
from typing import Any

from tests.console.rig import Peer, Running, enrol, unit
from tests.unit.cli.command_line import PATIENCE, CommandLine
from tests.unit.cli.test_policy_commands import record, report
from watchword.cli.failure import ExitCode
from watchword.console.settings import Ready


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Console:
    """A Console in a process of its own."""

    def __init__(self, shell: CommandLine, *options: str, port: int = 0) -> None:
        listen = ("--listen", f"127.0.0.1:{port}", "--name", "127.0.0.1")
        start = ("console", "start", "--data-dir", str(shell.folder / "console"), *listen, *options, "--json")
        self._starting = shell.started(*start)
        self.events: dict[str, Any] = {}
        self.process: asyncio.subprocess.Process

    async def __aenter__(self) -> Console:
        self.process = await self._starting.__aenter__()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._ready()
        except BaseException:
            await self._starting.__aexit__(None, None, None)
            raise
        return self

    async def _ready(self) -> None:
        assert self.process.stdout is not None
        while "ready" not in self.events:
            line = await self.process.stdout.readline()
            assert line, await self.process.communicate()
            event = json.loads(line)
            self.events[event["event"]] = event

    async def stop(self) -> tuple[str, str]:
        """Ctrl-C; what it printed since, and its log."""
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            out, err = await self.process.communicate()
        assert self.process.returncode == 0, err.decode()
        return out.decode(), err.decode()

    async def __aexit__(self, *_error: object) -> None:
        await self._starting.__aexit__(None, None, None)


async def test_the_first_start_shows_the_credential_and_no_other_does(tmp_path: Path) -> None:
    shell = CommandLine(tmp_path)
    async with Console(shell) as console:
        first = console.events["first-start"]
        credential = first["credential"]
        assert credential.startswith("wwc1.")
        added = ("profile", "add", "a", "--url", first["url"], "--ca", "console/ca.pem", "--credential-file", "-")
        assert (await shell(*added, stdin=credential)).code == 0
        assert (await shell("api", "list", "ns")).code == 0
        out, log = await console.stop()
        assert out == ""
        assert credential not in log
        assert credential.rpartition(".")[2] not in log
    async with Console(shell) as console:
        assert list(console.events) == ["ready"]
    secret = credential.rpartition(".")[2].encode()
    found = [path for path in (tmp_path / "console").rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert found == []


async def test_the_first_start_can_keep_the_credential_instead(tmp_path: Path) -> None:
    shell = CommandLine(tmp_path)
    file = tmp_path / "administrator"
    async with Console(shell, "--profile", "mine", "--credential-file", str(file)) as console:
        assert "credential" not in console.events["first-start"]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "profiles.toml").stat().st_mode) == 0o600
        assert (await shell("api", "list", "ns")).code == 0
        out, log = await console.stop()
        assert file.read_text().strip() not in out + log


async def test_settings_that_cannot_work(tmp_path: Path) -> None:
    shell = CommandLine(tmp_path)
    start = ("console", "start", "--data-dir", str(tmp_path / "console"))
    assert (await shell(*start, "--listen", "nonsense")).code == ExitCode.USAGE
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = await shell(*start, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert refused.code == ExitCode.USAGE
    assert "listen" in refused.err


async def test_following_flows_survives_a_restart_of_the_console(tmp_path: Path) -> None:
    """Nothing is lost and nothing is shown twice, though the Console was away."""
    shell, port = CommandLine(tmp_path), free_port()
    credential = tmp_path / "credential"
    async with contextlib.AsyncExitStack() as stack:
        options = ("--profile", "mine", "--credential-file", str(credential))
        console = await stack.enter_async_context(Console(shell, *options, port=port))
        ready = console.events["ready"]
        ca = (tmp_path / "console/ca.pem").read_text()
        known = Ready(ready["url"], ca, ready["ca_sha256"], "", tuple(ready["addresses"]))
        host = await enrol(Running(known, None, tmp_path / "console", credential.read_text().strip()), "db")
        following = await stack.enter_async_context(shell.started("flows", "--follow", "--since", "1h", "--json"))
        async with Peer(host) as peer:
            local = (await peer.register(unit("d", "app=db", name="db-1"))).units["d"]
            await report(peer, record(local, port=1))
            assert await next_port(following) == 1
        await console.stop()
        await asyncio.sleep(1)
        await stack.enter_async_context(Console(shell, port=port))
        async with Peer(host) as peer:
            await report(peer, record(local, port=2))
            assert await next_port(following) == 2
        following.send_signal(signal.SIGINT)
        rest, said = await following.communicate()
    assert rest == b""
    assert said.decode().count("trying again") == 1
    assert following.returncode == 0


async def next_port(following: asyncio.subprocess.Process) -> int:
    """The port of the next flow that is shown."""
    assert following.stdout is not None
    async with asyncio.timeout(PATIENCE):
        line = await following.stdout.readline()
    assert line, await following.communicate()
    return int(json.loads(line)["destinationPort"])
