"""A disk that is full, a host that is booted without a Console, files that a disk has damaged: seen by applications.

The data directory of ``db`` is a small file system of its own. A boot is a kernel that has forgotten everything,
cgroups made anew, and a network that comes up when the agent says that it is ready, as the systemd unit orders it.
"""

from __future__ import annotations

import errno
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.operator import WATCHWORD
from testbed import Host
from testbed.services import listens
from tests.datapath import load
from tests.e2e.outpost import PORT, RULED, Outpost, data, outposts, until

pytestmark = pytest.mark.timeout(240)

SIZE = 1 << 20


@pytest.fixture(scope="module")
def outpost() -> Iterator[Outpost]:
    mounted: list[Path] = []

    def prepare(host: Host) -> None:
        data(host).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(data(host))], check=True)
        mounted.append(data(host))

    with outposts("disks", prepare) as made:
        try:
            yield made
        finally:
            for path in mounted:
                subprocess.run(["umount", "-l", str(path)], check=True)


@contextmanager
def full(directory: Path) -> Iterator[None]:
    """Not a byte of room."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    try:
        yield
    finally:
        filler.unlink()


def problems(outpost: Outpost) -> str:
    return " ".join(outpost.status("db")["problems"])


def reported(outpost: Outpost) -> int:
    """How many connections to the server the Console knows to have been allowed there."""
    query = {"filter": f"destinationPort == {PORT}", "limit": "1000", "order": "-ID", "recursive": "true"}
    return sum(
        flow["value"]
        for flow in outpost.operator.get("/v1/flowreports", **query)
        if (flow["reportedBy"], flow["action"]) == ("Destination", "Allow")
    )


def call_many(outpost: Outpost) -> None:
    """Two hundred connections of the client's program."""
    found = load.result(load.call(outpost.web, outpost.db, PORT, rate=200, inflight=16, seconds=1))
    assert found["failures"] == {}
    outpost.answered += found["connections"]


def each_is_reported_once(outpost: Outpost) -> None:
    until(lambda: reported(outpost) >= outpost.answered, outpost.logs)
    time.sleep(1.5)  # one report more
    assert reported(outpost) == outpost.answered


def test_a_revision_takes_effect_on_a_full_disk_and_no_flow_is_lost_or_told_twice(outpost: Outpost) -> None:
    """Also with an agent that is killed meanwhile and starts on the full disk."""
    db, kept = outpost.enforcers["db"], data(outpost.db) / "revision"
    call_many(outpost)
    each_is_reported_once(outpost)
    before = kept.read_bytes()
    with full(data(outpost.db)):
        outpost.enforces(outpost.let_in(False), "db")
        assert outpost.verdicts() == (False, False, False)
        until(lambda: "No space left" in problems(outpost), outpost.logs)
        until(
            lambda: "know of it (policy)" in str(outpost.operator.get("/v1/enforcers", recursive="true")), outpost.logs
        )
        outpost.enforces(outpost.let_in(True), "db")
        call_many(outpost)
        until(lambda: "not reported" in problems(outpost), outpost.logs)
        assert not_started(outpost)
        db.kill()
        db.start()
        until(lambda: outpost.status("db")["revision"]["enforced"] > 0, outpost.logs)
        call_many(outpost)
        assert outpost.verdicts() == RULED
        assert kept.read_bytes() == before, "what the disk holds is whole"
    until(lambda: outpost.status("db")["problems"] == [], outpost.logs)
    assert kept.read_bytes() != before
    call_many(outpost)
    each_is_reported_once(outpost)


def not_started(outpost: Outpost) -> bool:
    """Whether a unit is refused in words, and nothing is left of it."""
    settings = str(outpost.enforcers["db"].settings)
    command = [WATCHWORD, "run", "--name", "late", "--tag", "app=late", "--settings", settings, "--", "true"]
    done = outpost.db.run(command, check=False, cgroup="shell")
    assert "make room" in done.stderr, done.stderr
    return done.returncode != 0 and not (outpost.db.cgroup / "watchword" / "late").exists()


class Boot:
    """The host ``db`` is booted: nothing in its kernel, cgroups made anew, no Console."""

    def __init__(self, outpost: Outpost) -> None:
        self.outpost, self.db = outpost, outpost.enforcers["db"]
        self._router = outpost.db.links[0].other(outpost.db)

    @contextmanager
    def down(self) -> Iterator[None]:
        """While it is down, and until its network comes up; the server listens by then."""
        outpost = self.outpost
        self._link("down")
        self.db.kill()
        shutil.rmtree(self.db.pins)
        app = outpost.db.cgroup / "app"
        for process in outpost.db.processes:
            if process.group == app and process.running():
                process.kill()
        app.rmdir()
        yield
        serving = load.start(outpost.db, "serve", port=PORT)
        load.ready(serving)
        self._link("up")

    def start(self) -> None:
        """Start the agent, and wait until it says that whoever waits for it may go on."""
        address = self.outpost.db.directory / "notify"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.settimeout(60)
            told.bind(str(address))
            self.db.start({"NOTIFY_SOCKET": str(address)})
            while b"READY=1" not in told.recv(4096):
                pass

    def _link(self, state: str) -> None:
        self._router.host.run(["ip", "link", "set", self._router.device, state])


@contextmanager
def no_console(outpost: Outpost) -> Iterator[None]:
    console = outpost.console
    console.process.kill()
    until(lambda: not listens(console.host, 7443), outpost.logs)
    yield
    console.process = console.host.start(console.process.command)
    until(lambda: listens(console.host, 7443), console.process.output)
    until(lambda: outpost.status("db")["link"]["state"] == "established", outpost.logs)


def test_a_booted_host_is_policed_before_its_first_packet_without_a_console(outpost: Outpost) -> None:
    """Somebody without an identity knocks all the time: while the host goes down, boots and is up."""
    last = outpost.status("db")["revision"]["enforced"]
    boot = Boot(outpost)
    knocking = load.start(
        outpost.outside,
        "connect",
        "",
        address=outpost.db.ipv4,
        port=PORT,
        rate=50,
        inflight=32,
        seconds=120,
        timeout_ms=500,
    )
    with no_console(outpost):
        with boot.down():
            boot.start()
        assert outpost.verdicts() == RULED
        assert outpost.status("db")["revision"]["enforced"] == last
        knocked = load.result(knocking, stop=True)
        assert knocked["connections"] == 0
        assert sum(knocked["failures"].values()) > 50
    assert outpost.verdicts() == RULED


def test_a_host_booted_with_damaged_keys_proves_nothing_and_is_itself_again_with_the_console(outpost: Outpost) -> None:
    """Rules hold all the same: nobody gets in who is not proved, and so nobody does."""
    boot = Boot(outpost)
    with no_console(outpost):
        with boot.down():
            (data(outpost.db) / "datapath-keys").write_bytes(b"\xc1 no keys")
            boot.start()
        assert outpost.verdicts() == (False, False, False)
        assert "datapath-keys.damaged" in problems(outpost)
    until(outpost.calls, outpost.logs)
    assert outpost.verdicts() == RULED


def test_a_damaged_revision_is_never_enforced_and_the_console_mends_it(outpost: Outpost) -> None:
    """The last one is: the one before holds, which says the same here. Both are: nothing does, and that is said."""
    outpost.enforces(outpost.change_elsewhere(7), "db")
    last = outpost.status("db")["revision"]["enforced"]
    boot, stored = Boot(outpost), data(outpost.db)
    with no_console(outpost):
        for name in ("revision", "revision-before"):
            with boot.down():
                content = bytearray((stored / name).read_bytes())
                content[len(content) // 2] ^= 1
                (stored / name).write_bytes(content)
                boot.start()
            assert "the stored revision is not used" in problems(outpost)
            enforced = outpost.status("db")["revision"]["enforced"]
            if name == "revision":
                assert 0 < enforced < last
                assert outpost.verdicts() == RULED
            else:
                assert enforced == 0
    until(lambda: outpost.status("db")["revision"]["enforced"] > 0, outpost.logs)
    assert outpost.verdicts() == RULED
    assert outpost.status("db")["problems"] == []


def test_nothing_is_left_of_an_enforcer_whose_disk_is_full(outpost: Outpost) -> None:
    """The last test: it is removed with what the tests before have left. Only what is not its own stays."""
    db, directory = outpost.enforcers["db"], data(outpost.db)
    with full(directory):
        command = [WATCHWORD, "enforcer", "uninstall", "--json", "--settings", str(db.settings)]
        removed = outpost.db.run(command, check=False, cgroup="shell")
        assert json.loads(removed.stdout) == {"told": True, "left": [str(directory / "filler")]}
        assert db.agent.wait() == 0
    assert list(directory.iterdir()) == []
    assert not db.pins.exists()
    assert not [path for path in outpost.db.cgroup.rglob("watchword*") if path.is_dir()]
    assert outpost.calls("", outpost.outside), "nobody is policed there any more"
