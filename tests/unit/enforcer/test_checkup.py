"""An agent holds its host against the requirements when it starts, and tells the Console in each session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.enforcer.stream_side import Talk
from tests.unit.enforcer.test_guard import Bench, until
from watchword.enforcer import checkup
from watchword.wire.messages import Examined


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "AFTER", 0.0)


async def test_the_console_is_told_in_each_session(tmp_path: Path) -> None:
    bench, told = Bench(tmp_path), 0

    async def once(talk: Talk) -> None:
        await talk.welcome()
        while not isinstance(await talk.hear(), Examined):
            pass
        nonlocal told
        told += 1
        await talk.connection.close(1001)

    async def again(talk: Talk) -> None:
        await talk.welcome()
        await bench.listen(talk)

    async with bench.on_duty(once, again):
        await until(lambda: bool(bench.heard(Examined)))
    assert told == 1
    (examined,) = bench.heard(Examined)
    results = {each.result for each in examined.unmet}
    assert examined.result == ("fail" if "fail" in results else "degraded" if results else "pass")
    assert all(each.detail and each.remedy for each in examined.unmet)
    assert "Console" not in {each.name for each in examined.unmet}


async def test_an_examination_that_fails_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path)
    monkeypatch.setattr("sys.executable", "/bin/false")

    async def script(talk: Talk) -> None:
        await talk.welcome()
        await bench.listen(talk)

    async with bench.on_duty(script) as guard:
        await until(lambda: "could not be held" in caplog.text and bool(bench.sent))
        assert guard.link.established
    assert bench.heard(Examined) == []


async def test_an_agent_that_stops_does_not_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(slow))

    async def script(talk: Talk) -> None:
        await talk.welcome()
        await bench.listen(talk)

    async with bench.on_duty(script):
        await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip() != "")
        await until(lambda: bool(bench.sent))
    process = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
