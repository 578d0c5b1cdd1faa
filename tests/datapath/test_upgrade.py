"""Another build of the programs follows under load, and the first one follows it again.

The other version is built for real from changed sources: structures have more fields, in another order, and tables
other sizes, so that nothing of it fits and everything has to be carried over by name.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from testbed import Host
from testbed.fence import pair
from tests.conventions.tracked import ROOT, tracked_files
from tests.datapath import load
from tests.datapath.ground import CLIENT, KEY, SERVER, Ground, Side, grounds, says
from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf import libbpf
from watchword.enforcer.datapath.ebpf.object import Map
from watchword.enforcer.datapath.ebpf.succession import flow_key

pytestmark = pytest.mark.timeout(300)

#: (file, what stands there, what the other version has instead)
CHANGES = (
    ("bpf/include/api.h", "struct ww_flow {\n", "struct ww_flow {\n\t__u32 novel[3];\n\t__u32 novel_pad;\n"),
    ("bpf/include/api.h", "struct ww_young {\n", "struct ww_young {\n\t__u64 novel;\n"),
    (
        "bpf/lib/handshake.h",
        "_Static_assert(sizeof(struct ww_young) == 128",
        "_Static_assert(sizeof(struct ww_young) == 136",
    ),
    ("bpf/lib/handshake.h", "offsetof(struct ww_young, id) == 64", "offsetof(struct ww_young, id) == 72"),
    ("bpf/include/api.h", "\t__u64 packets_in;\n", "\t__u64 novel;\n\t__u64 packets_in;\n"),
    (
        "bpf/include/api.h",
        "struct ww_flow_key {\n\t__u32 unit;\n\t__u32 peer;\n",
        "struct ww_flow_key {\n\t__u32 peer;\n\t__u32 unit;\n",
    ),
    (
        "bpf/include/api.h",
        "struct ww_name_key {\n\t__u32 kind;\n\t__u32 number;\n",
        "struct ww_name_key {\n\t__u32 number;\n\t__u32 kind;\n",
    ),
    ("bpf/include/api.h", "\t__u64 secret[2];", "\t__u64 novel;\n\t__u64 secret[2];"),
    ("bpf/include/api.h", "WW_YOUNG_SECOND = 512", "WW_YOUNG_SECOND = 1024"),
    ("bpf/include/api.h", "WW_MAX_LIVE = 131072", "WW_MAX_LIVE = 65536"),
)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the other version is unpacked."""
    folder = tmp_path_factory.mktemp("other")
    sources, unpacked = folder / "sources", folder / "unpacked"
    for path in tracked_files():
        (sources / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, sources / path)
    for name, before, after in CHANGES:
        text = (sources / name).read_text()
        assert text.count(before) == 1, f"{name} has not exactly one {before!r}"
        (sources / name).write_text(text.replace(before, after))
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    subprocess.run(
        [*pip, "--wheel-dir", str(folder), str(sources)], check=True, capture_output=True, env=environment, timeout=110
    )
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(unpacked)
    return unpacked


@pytest.fixture(scope="module")
def lasting_ground() -> Iterator[Ground]:
    load.build()
    with grounds("upgrade") as made:
        yield made


@pytest.fixture
def ground(lasting_ground: Ground) -> Iterator[Ground]:
    """Both sides of this version, before and after."""
    yield lasting_ground
    for side in lasting_ground.sides:
        side.fence.kill()
        side.restart()
    lasting_ground.trust()
    lasting_ground.allow()


class Traffic:
    """Connections that stand and ask all the time, and new ones all the time."""

    def __init__(self, ground: Ground, seconds: int, rate: int = 1000) -> None:
        self.port, echoes = ground.port(), ground.port()
        self._servers = [
            load.start(ground.server.host, "serve", port=self.port),
            load.start(ground.server.host, "echo", port=echoes),
        ]
        for server in self._servers:
            load.ready(server)
        self.held = load.hold(ground.client.host, ground.server.host, echoes, 50)
        self._calling = load.call(
            ground.client.host, ground.server.host, self.port, rate=rate, inflight=64, seconds=seconds
        )

    def intact(self) -> int:
        """Nothing of it was lost; how many new connections there were."""
        called, held = load.result(self._calling), load.result(self.held, stop=True)
        assert called["failures"] == {}, called
        assert called["connections"] == called["begun"] > 1000
        assert held["broken"] == 0, held
        assert held["answers"] > held["connections"]
        self.stop()
        return int(called["connections"])

    def stop(self) -> None:
        for server in self._servers:
            server.stop()


@contextmanager
def knocking(host: Host, server: Host, port: int) -> Iterator[list[str]]:
    """Somebody without an identity tries to get in all the time; what came of each attempt."""
    told: list[str] = []
    over = threading.Event()

    def knock() -> None:
        with host.enter():
            while not over.is_set():
                with socket.socket() as near:
                    near.settimeout(0.05)
                    try:
                        near.connect((server.ipv4, port))
                    except OSError as error:
                        told.append(type(error).__name__)
                    else:
                        told.append("connected")

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        yield told
    finally:
        over.set()
        thread.join()


def follow(side: Side, ground: Ground, code: Path | None) -> None:
    """The agent dies, and one of another version takes over."""
    before = side.pinned()
    side.fence.kill()
    side.restart(code)
    ground.trust()
    ground.allow()
    assert side.pinned() != before, "another build has pins of its own, and nothing is left of the first"


def test_learned_names_are_carried_over(ground: Ground, other: Path) -> None:
    """What a unit has looked up it need not look up again, whichever build of the programs follows."""
    client, server = ground.client, ground.server.host
    answer = b"\0\1\x81\x80\0\1\0\1\0\0\0\0\2db\4test\0\0\1\0\1" + b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4"

    def outcome(port: int) -> str:
        client.apply(says(CLIENT, 31, "out"), names={"db.test": 31}, reachable=False)
        try:
            client.app.connect(server.ipv4, port).close()
        except PermissionError:
            return "refused"
        return "connected"

    with server.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:  # outside every fence: without identity
        listener.bind((server.ipv4, 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert outcome(port) == "refused"
        assert client.fence.call("learn", CLIENT, answer + socket.inet_aton(server.ipv4))
        assert outcome(port) == "connected"
        for code in (other, None):
            follow(client, ground, code)
            assert outcome(port) == "connected"
            assert client.fence.call("learned", CLIENT, server.ipv4) == ["db.test"]


@pytest.mark.parametrize("name", ["server", "client"])
def test_up_and_down_again_under_load(ground: Ground, other: Path, name: str) -> None:
    side: Side = getattr(ground, name)
    proved = ground.server.counters()["proved"]
    traffic = Traffic(ground, 10)
    with knocking(ground.client.host, ground.server.host, traffic.port) as told:
        for code in (other, None):
            time.sleep(1.5)
            follow(side, ground, code)
    made = traffic.intact()
    assert "connected" not in told
    assert len(told) > 50
    flow = ground.server.flow(traffic.port)
    assert (flow.connections, flow.proved, flow.peer_badge) == (made, True, CLIENT), "each is counted once, by either"
    assert ground.server.counters()["proved"] - proved == made + 50, "counters go on"


@pytest.mark.parametrize("name", ["server", "client"])
def test_datagrams_by_identity_go_on(ground: Ground, other: Path, name: str) -> None:
    """A flow that stands loses nothing. Sessions are not carried over: they begin anew with the next question's bounce.

    Only what is on its way on a flow that has just begun, while programs are replaced, may have to be asked again: one
    question at each of the two replacements, and one that meets what they leave.
    """
    side: Side = getattr(ground, name)
    port, host = ground.port(), ground.server.host
    server = load.start(host, "answer", port=port, response=120)
    load.ready(server)
    sizes: dict[str, Any] = {"address": host.ipv4, "port": port, "request": 48, "response": 120}
    asking = [
        load.start(ground.client.host, "ask", **sizes, reuse=reuse, inflight=inflight, seconds=6, timeout_ms=1000)
        for reuse, inflight in ((1, 1), (0, 16))
    ]
    for code in (other, None):
        time.sleep(1)
        follow(side, ground, code)
    each, known = (load.result(process) for process in asking)
    server.stop()
    assert known["failures"] == {}, known
    assert each["failures"].keys() <= {"timeout"}, each
    assert each["failures"].get("timeout", 0) <= 4, each
    assert each["answered"] > 1000, each
    assert all(flow.proved for flow in ground.server.flows(port) if flow.action == "Allow")


def test_who_a_connection_is_stays_known(ground: Ground, other: Path) -> None:
    """What the other build took over it can revoke, by identity, also while nothing is sent."""
    with ground.listen() as listener, ground.connect(listener) as connection:
        connection.exchange()
        follow(ground.server, ground, other)
        connection.exchange()
        ground.server.apply()
        assert connection.ended()["near"] == "ConnectionResetError"


def test_records_have_the_key_that_the_kernel_gives_them(ground: Ground) -> None:
    with ground.listen() as listener, ground.connect(listener), ground.connect(listener, 6):
        time.sleep(1.1)
        ground.server.flows(0)  # a look moves what is older than a second into the table
        fds = [libbpf.pinned(str(ground.server.pinned() / name)) for name in ("live", "state")]
        assert fds[0] is not None
        assert fds[1] is not None
        live = Map(fds[0], ctypes.c_uint64, layout.Flow).items()
        state = Map(fds[1], ctypes.c_uint32, layout.State).get(ctypes.c_uint32(0))
        for fd in fds:
            os.close(fd or 0)
    assert state is not None
    assert len(live) >= 2
    secret = (state.secret[0], state.secret[1])
    assert [key.value for key, _ in live] == [flow_key(secret, record.id) for _, record in live]


def test_young_connections_go_over_too(ground: Ground, other: Path) -> None:
    """Established a moment ago, still in the slots of their handshakes; before any look at the sockets."""
    with ground.listen() as listener:
        ground.server.fence.kill()
        opened = [ground.connect(listener) for _ in range(20)]
        ground.server.restart(other)
        ground.trust()
        ground.allow()
        for _ in range(3):  # sockets without a record are reset at the second look
            ground.server.fence.call("flows")
        for connection in opened:
            connection.exchange()
            connection.close()


def test_an_agent_that_dies_while_it_follows(ground: Ground, other: Path) -> None:
    """At whatever moment: the next one finishes, of either version; what stands goes on, and nobody gets in."""
    server = ground.server
    traffic = Traffic(ground, 15, rate=200)
    with knocking(ground.client.host, server.host, traffic.port) as told:
        for attempt in range(6):
            server.fence.kill()
            server.restart(None if attempt // 2 % 2 else other)
            server.trust([pair("server", "client", KEY)])
            server.fence.begin("apply", server.tables(says(SERVER, CLIENT, "in") | says(SERVER, CLIENT, "out")))
            time.sleep(attempt * 0.012)
        server.fence.kill()
        server.restart()
        ground.trust()
        ground.allow()
    traffic.intact()
    assert "connected" not in told
    assert server.pinned().is_dir()


@pytest.mark.parametrize("moved", ["stamp_", "stamp_ refuse", "stamp_ refuse enforce"])
@pytest.mark.parametrize("finisher", ["the one before", "the same", "a third"])
def test_whoever_comes_next_finishes(ground: Ground, other: Path, tmp_path: Path, moved: str, finisher: str) -> None:
    """An agent has died with some of the links moved: the next one, of whichever version, takes all of them once."""
    server = ground.server
    with ground.listen() as listener, ground.connect(listener) as connection:
        before = server.pinned()
        attached = sum(map(is_link, before.iterdir()))
        server.fence.kill()
        server.restart(other)
        server.fence.kill()
        (following,) = (path for path in before.parent.iterdir() if path != before)
        (following / f"following_{before.name}").mkdir()
        for path in [path for path in before.iterdir() if path.name.startswith(tuple(moved.split()))]:
            path.rename(following / path.name)
        server.restart({"the one before": None, "the same": other, "a third": third(other, tmp_path)}[finisher])
        ground.trust()
        ground.allow()
        assert sum(map(is_link, server.pinned().iterdir())) == attached
        connection.exchange()
        with ground.connect(listener) as another:
            another.exchange()
        server.apply()
        assert connection.ended()["near"] == "ConnectionResetError"


def is_link(path: Path) -> bool:
    return path.name.startswith(("stamp_", "refuse", "enforce"))


def third(other: Path, folder: Path) -> Path:
    """A version of which the programs are the other's, and the build is not: bytes behind an object are nobody's."""
    shutil.copytree(other, folder / "third")
    for enforce in (folder / "third").rglob("enforce.bpf.o"):  # of both editions
        with enforce.open("ab") as file:
            file.write(b"another build")
    return folder / "third"


def test_what_does_not_fit_leaves_the_earlier_build_in_force(ground: Ground, other: Path) -> None:
    """Room for 20 connections where 50 stand: the error names the table, and everything goes on as before."""
    server = ground.server
    traffic = Traffic(ground, 8)
    pins = server.pinned()
    time.sleep(1.5)
    server.flows(0)  # a look: what is older than a second stands in the table
    server.fence.kill()
    server.fence.sizes = {"live": 20}
    server.restart(other)
    server.trust([pair("server", "client", KEY)])
    with pytest.raises(DatapathError, match=r"table live is full: it has room for 20 entries"):
        server.apply(says(SERVER, CLIENT, "in"), says(SERVER, CLIENT, "out"))
    assert (pins / "enforce_in").exists()
    server.fence.kill()
    server.fence.sizes = {}
    server.restart()
    ground.trust()
    ground.allow()
    assert server.pinned() == pins
    traffic.intact()


def test_uninstalling_takes_all_builds_along(ground: Ground, other: Path) -> None:
    """An agent that died before its programs were in place has left pins of its own."""
    ground.server.fence.kill()
    ground.server.restart(other)
    assert len(list((ground.server.host.pins / "watchword").iterdir())) == 2
    ground.server.fence.call("uninstall")
    assert not (ground.server.host.pins / "watchword").exists()
