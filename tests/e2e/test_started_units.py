"""``watchword run`` with real processes in real cgroups, a real agent and a real Console.

The kernel's tables are in memory: what is shown here is that a process is in its own, policed cgroup
before its first instruction, and that nothing of it stays afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.enforcer.console_side import Operator, console
from tests.unit.enforcer.hosts import Host, until
from watchword.enforcer import cgroups, control
from watchword.enforcer.agent import uninstall
from watchword.enforcer.units import Units

NOBODY = 65534

RUN = """
import sys
from watchword.enforcer.run import start_as_unit
start_as_unit(sys.argv[1], sys.argv[2], sys.argv[3].split(",") if sys.argv[3] else [], sys.argv[4:])
"""


@pytest.fixture
def root() -> Iterator[Path]:
    """A cgroup subtree of its own, removed with everything in it."""
    made = cgroups.mounted() / f"ww-units-{os.getpid()}-{time.monotonic_ns()}"
    made.mkdir()
    yield made
    for directory, _names, _files in os.walk(made):
        for process in (Path(directory) / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
    for _ in range(1000):
        if cgroups.remove(made):
            return
        time.sleep(0.05)
    raise AssertionError(f"{made} could not be removed")


@pytest.fixture
def host(tmp_path: Path, root: Path) -> Host:
    return Host(tmp_path, root=root)


@pytest.fixture
async def operator(tmp_path: Path, host: Host) -> AsyncIterator[Operator]:
    async with console(tmp_path) as made:
        host.give(await made.token())
        yield made


class Started:
    """A client of ``watchword run`` in a process of its own."""

    def __init__(self, host: Host, name: str, tags: str, *command: str, user: int | None = None) -> None:
        arguments = [sys.executable, "-c", RUN, str(host.settings.socket_path), name, tags, *command]
        self.process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, user=user, cwd="/"
        )

    async def end(self) -> tuple[int, str, str]:
        try:
            out, err = await asyncio.to_thread(self.process.communicate, timeout=90)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return self.process.returncode, out, err

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.communicate()


def native_ids(host: Host) -> list[str]:
    return [unit.native_id for unit in host.kernel.tables.units.values()] if host.kernel.tables else []


async def terminated(operator: Operator, name: str) -> None:
    for _ in range(1000):
        found = [u for u in await operator.get("/v1/processingunits") if u["name"] == name]
        if found and found[0]["operationalStatus"] == "Terminated":
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"the Console still takes {name} for running")


async def test_a_command_runs_as_a_unit_that_is_policed_already(host: Host, operator: Operator, root: Path) -> None:
    async with host.agent():
        await until(lambda: bool(host.kernel.applied))
        job = Started(
            host, "job", "app=job,tier=batch", "/bin/sh", "-c", "cat /proc/self/cgroup; sleep 60 >&- 2>&- & wait"
        )
        try:
            assert job.process.stdout is not None
            line = await asyncio.to_thread(_cgroup2_line, job.process.stdout)
            # The command has only just begun: whatever holds now held before its first instruction.
            assert line.endswith("/watchword/job")
            assert host.kernel.unit_of(str(root / "watchword" / "job")) == "run/job"
            assert "run/job" in native_ids(host)
            (unit,) = [u for u in await operator.get("/v1/processingunits") if u["name"] == "job"]
            assert {"app=job", "tier=batch"} <= set(unit["associatedTags"])
            status = await host.status()
            assert [u["policed"] for u in status["units"] if u["native_id"] == "run/job"] == [True]
        finally:
            job.kill()
        # its child, the sleep, lives on: so does the unit
        assert cgroups.populated(root / "watchword" / "job")
        _end_all(root / "watchword" / "job")
        await until(lambda: not (root / "watchword" / "job").exists())
        assert not list((host.directory / "data" / "units").iterdir())
        await terminated(operator, "job")


def _cgroup2_line(stdout: Any) -> str:
    for line in stdout:
        if line.startswith("0::"):
            return str(line.strip())
    raise AssertionError("the command said nothing")


def _end_all(path: Path) -> None:
    for process in (path / "cgroup.procs").read_text().split():
        os.kill(int(process), signal.SIGKILL)


async def test_a_command_inherits_no_ignored_signals_and_no_connection(host: Host, operator: Operator) -> None:
    """A shell pipeline behind `watchword run` would never end, and the command could talk to the agent."""
    async with host.agent():
        await until(lambda: bool(host.kernel.applied))
        job = Started(host, "job", "", "/bin/sh", "-c", "grep SigIgn /proc/self/status; ls -l /proc/self/fd")
        code, out, err = await job.end()
        assert code == 0, err
        ignored = int(out.split()[1], 16)
        assert not ignored & 1 << (signal.SIGPIPE - 1)
        assert "socket:" not in out


async def test_the_same_name_twice_is_refused_while_the_first_runs(host: Host, operator: Operator, root: Path) -> None:
    async with host.agent():
        await until(lambda: bool(host.kernel.applied))
        first = Started(host, "job", "", "/bin/sleep", "60")
        try:
            await until(lambda: cgroups.populated(root / "watchword" / "job"))
            for name in ("job", "edge"):
                code, _, err = await Started(host, name, "", "/bin/true").end()
                assert code != 0
                assert "exists already" in err
        finally:
            first.kill()
        await until(lambda: not (root / "watchword" / "job").exists())
        code, _, err = await Started(host, "job", "", "/bin/true").end()
        assert code == 0, err


@pytest.mark.parametrize("name", ["..", "../../escape", "/etc", "a/b", "a b", "-x", "a\nb", "x" * 200])
async def test_a_name_cannot_point_elsewhere(host: Host, operator: Operator, root: Path, name: str) -> None:
    async with host.agent():
        await until(lambda: bool(host.kernel.applied))
        before = _below(root)
        code, _, err = await Started(host, name, "", "/bin/true").end()
        assert code != 0
        assert "unit.name" in err
        assert _below(root) == before


def _below(root: Path) -> list[str]:
    """Cgroups of this test: below its root, or where a name could have led out of it."""
    return sorted(str(path) for path in (*root.parent.glob("escape*"), *root.rglob("*")) if path.is_dir())


@pytest.mark.parametrize("tag", ["@app:k8s:namespace=kube-system", "$name=db", "+x=y", "novalue"])
async def test_a_tag_that_is_not_the_users_to_set_is_refused(host: Host, operator: Operator, tag: str) -> None:
    async with host.agent():
        await until(lambda: bool(host.kernel.applied))
        code, _, err = await Started(host, "job", tag, "/bin/true").end()
        assert code != 0
        assert "unit.tags" in err


async def test_a_user_who_is_not_root_cannot_start_units(
    host: Host, operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    async with host.agent():
        await until(lambda: bool(host.kernel.applied))
        for directory in (host.directory, *host.directory.parents):
            if directory.is_relative_to("/tmp/") or directory == host.directory:
                directory.chmod(directory.stat().st_mode | 0o011)
        host.settings.socket_path.parent.chmod(0o755)
        assert await asyncio.to_thread(_ask_as_nobody, host.settings.socket_path) == "PermissionError"
        host.settings.socket_path.chmod(0o666)  # somebody opened it by mistake
        answer = await asyncio.to_thread(_ask_as_nobody, host.settings.socket_path)
        assert "unit-ready" not in answer
        assert f"user {NOBODY} tried to use the control socket" in caplog.text
        assert "run/evil" not in [u["native_id"] for u in (await host.status())["units"]]


def _ask_as_nobody(path: Path) -> str:
    program = (
        "import socket,sys\n"
        "s=socket.socket(socket.AF_UNIX)\n"
        "try: s.connect(sys.argv[1])\n"
        "except OSError as e: print(type(e).__name__); sys.exit()\n"
        "try:\n"
        ' s.sendall(b\'{"request":"start-unit","name":"evil","tags":["app=db"]}\\n\')\n'
        " print(s.recv(1000).decode())\n"
        "except OSError as e: print(type(e).__name__)\n"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", program, str(path)],
        user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, timeout=20, cwd="/", check=True,
    )  # fmt: skip
    return done.stdout.strip()


async def test_a_client_that_dies_before_moving_in_leaves_nothing(host: Host, operator: Operator, root: Path) -> None:
    async with host.agent():
        await until(lambda: bool(host.kernel.applied))
        reader, writer = await asyncio.open_unix_connection(host.settings.socket_path)
        writer.write(control.encode(control.StartUnit("job", ())) + b"\n")
        answer = control.decode_answer(await reader.readline())
        assert isinstance(answer, control.UnitReady)
        assert cgroups.exists(Path(answer.cgroup))
        writer.close()
        await writer.wait_closed()
        await until(lambda: not cgroups.exists(Path(answer.cgroup)))
        await terminated(operator, "job")


async def test_units_are_found_again_by_the_next_agent(host: Host, operator: Operator, root: Path) -> None:
    async with host.agent():
        await until(lambda: bool(host.kernel.applied))
        staying = Started(host, "staying", "app=stay", "/bin/sleep", "60")
        leaving = Started(host, "leaving", "app=leave", "/bin/sleep", "60")
        await until(lambda: all(cgroups.populated(root / "watchword" / n) for n in ("staying", "leaving")))
    leaving.kill()
    try:
        async with host.agent():
            status = await host.status()
            assert {u["native_id"] for u in status["units"]} == {"host", "run/staying"}
            assert host.kernel.unit_of(str(root / "watchword" / "staying")) == "run/staying"
            assert not (root / "watchword" / "leaving").exists()
            await terminated(operator, "leaving")
            (unit,) = [u for u in await operator.get("/v1/processingunits") if u["name"] == "staying"]
            assert unit["operationalStatus"] == "Running"
            assert "app=stay" in unit["associatedTags"]
            staying.kill()
            await until(lambda: not (root / "watchword" / "staying").exists())
    finally:
        staying.kill()


async def test_without_a_console_a_new_unit_does_not_start(
    tmp_path: Path, host: Host, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no identity yet, and running it as somebody else's would be worse than not running it."""
    monkeypatch.setattr("watchword.enforcer.starting.PATIENCE", 1.0)
    async with console(tmp_path) as operator:
        host.give(await operator.token())
        async with host.agent():
            await until(lambda: bool(host.kernel.applied))
            await operator.enforced()
            code, _, err = await Started(host, "known", "app=known", "/bin/true").end()
            assert code == 0, err
            await until(lambda: not (root / "watchword" / "known").exists())
    async with host.agent():
        code, _, err = await Started(host, "new", "", "/bin/true").end()
        assert code != 0
        assert "no session with the Console" in err
        assert not (root / "watchword" / "new").exists()


async def test_a_cgroup_with_strangers_in_it_does_not_become_a_unit(host: Host, operator: Operator, root: Path) -> None:
    squatted = root / "watchword" / "job"
    squatted.mkdir(parents=True)
    squatter = _sleeper_in(squatted)
    try:
        await until(lambda: cgroups.populated(squatted))
        async with host.agent() as agent:
            await until(lambda: bool(host.kernel.applied))
            code, _, err = await Started(host, "job", "app=db", "/bin/true").end()
            assert code != 0
            assert "no known unit" in err
            assert host.kernel.unit_of(str(squatted)) == "host"
            assert agent.guard is not None
            assert any("no known unit" in complaint for complaint in agent.guard.complaints())
    finally:
        squatter.kill()
        squatter.wait()


def _sleeper_in(cgroup: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sh", "-c", f"echo $$ > {cgroup}/cgroup.procs; exec sleep 60"])


async def test_uninstalling_removes_the_cgroups_and_spares_the_processes(
    host: Host, operator: Operator, root: Path
) -> None:
    async with host.agent():
        await until(lambda: bool(host.kernel.applied))
        job = Started(host, "job", "", "/bin/sleep", "60")
        try:
            await until(lambda: cgroups.populated(root / "watchword" / "job"))
            assert await uninstall(host.settings, host.factory) == {"told": True, "left": []}
            assert not (root / "watchword").exists()
            assert job.process.poll() is None
            assert str(job.process.pid) in (root / "cgroup.procs").read_text().split()
        finally:
            job.kill()


def test_a_systemd_unit_is_found_in_its_slice(tmp_path: Path, root: Path) -> None:
    from watchword.enforcer.settings import load

    places = ["system.slice/nginx.service", "system.slice/system-pg.slice/pg@14.service", "user.slice/x.service"]
    for place in places:
        (root / place).mkdir(parents=True)
    declared = {"n": "nginx.service", "p": "pg@14.service", "o": "off.service"}
    settings = load(None, {"unit": [{"name": name, "systemd": unit} for name, unit in declared.items()]})
    units = Units(settings, root, tmp_path / "units")
    try:
        changes = units.refresh()
        assert {r.native_id for r in changes.appeared} == {"unit/n", "unit/p"}
        assert {p.native_id: p.cgroup for p in units.placements()} == {
            "host": str(root), "unit/n": str(root / places[0]), "unit/p": str(root / places[1]),
        }  # fmt: skip
        before = units.places()
        (root / places[0]).rmdir()  # the service is restarted: the same path, another cgroup
        (root / places[0]).mkdir()
        assert units.refresh().moved
        assert units.places() != before
    finally:
        units.close()


def test_a_declared_cgroup_outside_the_root_is_refused(tmp_path: Path, root: Path) -> None:
    from watchword.enforcer.errors import SettingsError
    from watchword.enforcer.settings import load

    for place in ("../elsewhere", str(cgroups.mounted()), "/sys/fs/cgroup/elsewhere", "."):
        with pytest.raises(SettingsError, match="is not below"):
            Units(load(None, {"unit": [{"name": "a", "cgroup": place}]}), root, tmp_path / "units").close()


def test_population_is_announced_and_a_removed_cgroup_is_not_announced_for_ever(root: Path) -> None:
    path = root / "watched"
    path.mkdir()
    watch = cgroups.PopulationWatch()
    try:
        watch.add("watched", path)
        assert watch.changed() == {}
        process = _sleeper_in(path)
        _until_changed(watch, {"watched": True})
        process.kill()
        process.wait()
        _until_changed(watch, {"watched": False})
        path.rmdir()
        watch.changed()
        assert watch.changed() == {}
    finally:
        watch.close()


def _until_changed(watch: cgroups.PopulationWatch, expected: dict[str, bool]) -> None:
    deadline = time.monotonic() + 5
    while (found := watch.changed()) != expected:
        assert found == {}
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_run_socket_name_fits_a_socket_address() -> None:
    """A run directory too long for sockaddr_un fails when the socket is made, not silently elsewhere."""
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(OSError, match="too long"):
        probe.bind("/run/" + "x" * 120)
