"""The control socket: who may ask, what a bad request does, and what becomes of a unit nobody moved into."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from watchword.enforcer import control, run
from watchword.enforcer.control import ControlSocket, PingFrom, Refusal, Report, StartUnit, UnitReady
from watchword.enforcer.errors import EnforcerError, UnitError
from watchword.enforcer.settings import load


class Diary:
    """An owner that writes down what it is asked."""

    def __init__(self, cgroup: Path) -> None:
        self.cgroup = cgroup
        self.started: list[StartUnit] = []
        self.abandoned: list[str] = []
        self.fail = ""
        self.captures: list[str] = []
        self.ended = asyncio.Event()

    async def start_unit(self, request: StartUnit) -> UnitReady:
        if self.fail:
            raise UnitError(self.fail)
        self.started.append(request)
        return UnitReady(f"run/{request.name}", str(self.cgroup))

    def unit_abandoned(self, native_id: str) -> None:
        self.abandoned.append(native_id)

    def status(self) -> dict[str, Any]:
        return {"name": "host"}

    async def ping(self, request: PingFrom) -> dict[str, Any]:
        return {"unit": request.unit}

    def begin_capture(self) -> dict[str, Any]:
        if self.fail:
            raise EnforcerError(self.fail)
        self.captures.append("begun")
        self.ended.clear()
        return {}

    def end_capture(self) -> None:
        self.captures.append("ended")
        self.ended.set()

    def look(self) -> dict[str, Any]:
        return {"counters": {}}

    async def remove_everything(self) -> dict[str, Any]:
        return {"left": []}


class Bench:
    def __init__(self, directory: Path) -> None:
        self.settings = load(None, {"run_dir": str(directory / "run"), "data_dir": str(directory / "data")})
        self.diary = Diary(directory)
        self.path = self.settings.socket_path
        self.control = ControlSocket(self.path, self.diary)

    async def say(self, line: bytes) -> control.Answer:
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            writer.write(line)
            await writer.drain()
            answer: control.Answer = control.decode_answer(await reader.readline())
            return answer
        finally:
            writer.close()
            await writer.wait_closed()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    await made.control.open()
    yield made
    await made.control.close()
    await asyncio.sleep(0)


async def test_the_socket_is_private_from_its_first_moment(bench: Bench) -> None:
    assert stat.S_IMODE(bench.path.stat().st_mode) == 0o600
    current = os.umask(0o022)
    os.umask(current)
    assert current != 0o177, "the process's own mask is as before"


async def test_status(bench: Bench) -> None:
    assert await asyncio.to_thread(run.status, bench.settings) == {"name": "host"}
    assert await bench.say(b'{"request":"status"}\n') == Report({"name": "host"})


async def test_a_capture_lasts_as_long_as_its_connection(bench: Bench) -> None:
    def capture() -> list[str]:
        with run.capturing(bench.settings):
            return list(bench.diary.captures)

    assert await asyncio.to_thread(capture) == ["begun"]
    assert bench.diary.captures == ["begun", "ended"], "over before the command goes on"
    reader, writer = await asyncio.open_unix_connection(bench.path)
    writer.write(b'{"request":"capture"}\n')
    assert await reader.readline()
    assert bench.diary.captures[2:] == ["begun"]
    writer.transport.abort()  # as when it is killed
    async with asyncio.timeout(10):
        await bench.diary.ended.wait()
    assert bench.diary.captures[2:] == ["begun", "ended"]
    bench.diary.fail = "somebody captures already"
    assert await bench.say(b'{"request":"capture"}\n') == Refusal("somebody captures already")
    assert len(bench.diary.captures) == 4


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"not json\n",
        b"\xff\xfe\n",
        b"[]\n",
        b'{"request":"become-root"}\n',
        b'{"request":"status","and":"more"}\n',
        b'{"request":"start-unit","name":"a","tags":"app=web"}\n',
        b'{"request":"start-unit","name":"a","tags":[],"type":"Host"}\n',
        b'{"request":"start-unit","tags":[]}\n',
    ],
)
async def test_a_request_that_is_not_understood_is_refused(bench: Bench, line: bytes) -> None:
    assert isinstance(await bench.say(line), Refusal)
    assert bench.diary.started == []


async def test_an_endless_line_is_given_up(bench: Bench) -> None:
    reader, writer = await asyncio.open_unix_connection(bench.path)
    with contextlib.suppress(ConnectionError):
        writer.write(b"x" * (control.LINE_LIMIT * 4))
        await writer.drain()
        assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    assert await bench.say(b'{"request":"status"}\n') == Report({"name": "host"})


async def test_a_client_that_goes_away_without_moving_in_is_noticed(bench: Bench) -> None:
    answer = await bench.say(control.encode(StartUnit("job", ("app=web",))) + b"\n")
    assert answer == UnitReady("run/job", str(bench.diary.cgroup))
    for _ in range(1000):
        if bench.diary.abandoned:
            break
        await asyncio.sleep(0.01)
    assert bench.diary.abandoned == ["run/job"]


async def test_while_the_client_stays_its_unit_is_kept(bench: Bench) -> None:
    reader, writer = await asyncio.open_unix_connection(bench.path)
    writer.write(control.encode(StartUnit("job", ())) + b"\n")
    await reader.readline()
    await asyncio.sleep(0.1)
    assert bench.diary.abandoned == []
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.1)
    assert bench.diary.abandoned == ["run/job"]


async def test_a_refusal_reaches_who_asked_and_nothing_is_run(bench: Bench, tmp_path: Path) -> None:
    bench.diary.fail = "the Console refused the unit: no such tag"
    touched = tmp_path / "touched"
    with pytest.raises(UnitError, match="no such tag"):
        await asyncio.to_thread(run.start_as_unit, bench.path, "job", (), ("/usr/bin/touch", str(touched)))
    assert not touched.exists()


async def test_a_command_that_does_not_exist_asks_for_nothing(bench: Bench) -> None:
    with pytest.raises(FileNotFoundError):
        await asyncio.to_thread(run.start_as_unit, bench.path, "job", (), ("/nowhere/command",))
    with pytest.raises(UnitError, match="no command"):
        await asyncio.to_thread(run.start_as_unit, bench.path, "job", (), ())
    assert bench.diary.started == []


async def test_a_second_agent_does_not_take_the_socket(bench: Bench) -> None:
    with pytest.raises(EnforcerError, match="another Enforcer answers"):
        await ControlSocket(bench.path, bench.diary).open()
    assert await bench.say(b'{"request":"status"}\n') == Report({"name": "host"})


async def test_the_socket_of_a_killed_agent_is_replaced(tmp_path: Path) -> None:
    made = Bench(tmp_path)
    made.path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(made.path))
    await made.control.open()
    try:
        assert await asyncio.to_thread(run.status, made.settings) == {"name": "host"}
    finally:
        await made.control.close()
    assert not made.path.exists()


def test_without_an_agent_the_error_says_what_to_do(tmp_path: Path) -> None:
    settings = load(None, {"run_dir": str(tmp_path)})
    with pytest.raises(EnforcerError, match="start one"):
        run.status(settings)
    assert not run.is_running(settings)
