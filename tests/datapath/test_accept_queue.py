"""A listener whose accept queue is full: what is proved comes in once the server accepts, as with bare TCP.

Every case runs twice, between two hosts with a datapath and between two without: what is expected of TCP is
expected of both. Where bare TCP loses a connection (SYN cookies keep nothing of a handshake whose ACK found
no room, so only the client's data can bring it in), so does a proved one, and neither loses more.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed import Host, Link, Match, Testbed
from testbed.packets import Segment
from tests.datapath.ground import Ground, setting
from tests.datapath.workload import Workload, finish, read

BACKLOG = 2
ROOM = BACKLOG + 1  # the kernel calls a queue full when it holds more than the backlog

_ports = itertools.count(2000)


@dataclass
class Ends:
    """A client and a server, with or without datapaths."""

    client: Workload
    server: Workload
    link: Link
    fenced: Ground | None

    def listen(self, backlog: int = BACKLOG) -> socket.socket:
        return self.server.listen(next(_ports), backlog=backlog)

    def begin(self, listener: socket.socket, version: int = 4) -> socket.socket:
        return self.client.begin(self.server.host.address(version), listener.getsockname()[1])

    def connect(self, listener: socket.socket, version: int = 4) -> socket.socket:
        caller = self.begin(listener, version)
        finish(caller)
        return caller

    def proved(self, listener: socket.socket, accepted: int, aborted: int = 0) -> None:
        """Both ends know of exactly so many connections, and that each was proved; aborted ones only the client had."""
        if self.fenced is not None:
            for side, connections in ((self.fenced.server, accepted), (self.fenced.client, accepted + aborted)):
                flow = side.flow(listener.getsockname()[1])
                assert (flow.proved, flow.connections) == (True, connections)


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    with Testbed("queue") as made:
        yield made
    assert made.leftovers() == []


@pytest.fixture(scope="module", params=["fenced", "bare"])
def ends(request: pytest.FixtureRequest, bed: Testbed) -> Iterator[Ends]:
    if request.param == "fenced":
        ground = Ground(bed)
        yield Ends(ground.client.app, ground.server.app, ground.link, ground)
        ground.close()
        return
    hosts = bed.host("bare-client"), bed.host("bare-server")
    link = bed.direct(*hosts)
    apps = [Workload(host) for host in hosts]
    yield Ends(apps[0], apps[1], link, None)
    for app in apps:
        app.close()


def overflows(host: Host) -> int:
    """How often this host's TCP found an accept queue full."""
    with host.enter():
        names, values = (
            line.split()
            for line in Path("/proc/thread-self/net/netstat").read_text().splitlines()
            if line.startswith("TcpExt:")
        )
    return int(values[names.index("ListenOverflows")])


def answer(listener: socket.socket, callers: list[socket.socket]) -> None:
    """Accept them all; each caller's byte arrives at one accepted socket, and is answered there."""
    accepted = [listener.accept()[0] for _ in callers]
    expected = {caller.getsockname()[1]: bytes([number]) for number, caller in enumerate(callers)}
    for far in accepted:
        far.settimeout(20)
        said = read(far, 1)
        assert said == expected.pop(far.getpeername()[1])
        far.sendall(said)
    for number, caller in enumerate(callers):
        caller.settimeout(20)
        assert read(caller, 1) == bytes([number])
    for end in (*accepted, *callers):
        end.close()


def delayed(ends: Ends, listener: socket.socket, version: int) -> tuple[socket.socket, Segment]:
    """A caller that takes itself for connected, and its ACK, which the network still has."""
    port = listener.getsockname()[1]
    hold = ends.link.drop(Match("A", dport=port, payload=False), toward=ends.server.host)
    with ends.client.host.capture(f"dst port {port}") as taken:
        caller = ends.connect(listener, version)
        ack = taken.wait(lambda s: s.flags == "A")
    assert hold.dropped() == 1
    hold.end()
    return caller, ack.with_()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("abort", [0, 1])
@pytest.mark.parametrize("cookies", [0, 1, 2])
def test_an_ack_that_finds_the_queue_full(ends: Ends, cookies: int, abort: int, version: int) -> None:
    server = ends.server.host
    with (
        setting("net.ipv4.tcp_syncookies", cookies, server),
        setting("net.ipv4.tcp_abort_on_overflow", abort, server),
        ends.listen() as listener,
    ):
        late, ack = delayed(ends, listener, version)
        callers = [ends.connect(listener, version) for _ in range(ROOM)]
        before = overflows(server)
        ends.link.inject(server, ack)
        assert overflows(server) == before + 1
        if abort and cookies != 2:  # a cookie leaves nothing that could be aborted
            late.settimeout(10)
            with pytest.raises(ConnectionResetError):
                late.recv(1)
            late.close()
        else:
            callers.append(late)
        for number, caller in enumerate(callers):
            caller.sendall(bytes([number]))
        answer(listener, callers)
        with ends.connect(listener, version) as again:
            again.sendall(b"\0")
            answer(listener, [again])
        ends.proved(listener, len(callers) + 1, aborted=ROOM + 1 - len(callers))


@pytest.mark.parametrize("cookies", [0, 1, 2])
def test_a_syn_that_finds_the_queue_full(ends: Ends, cookies: int) -> None:
    """It is dropped and sent again, and let in once the server has accepted the others."""
    server = ends.server.host
    with setting("net.ipv4.tcp_syncookies", cookies, server), ends.listen() as listener:
        callers = [ends.connect(listener) for _ in range(ROOM)]
        before = overflows(server)
        waiting = ends.begin(listener)
        assert overflows(server) == before + 1
        for number, caller in enumerate(callers):
            caller.sendall(bytes([number]))
        answer(listener, callers)
        finish(waiting, 20)
        waiting.sendall(b"\0")
        answer(listener, [waiting])
        ends.proved(listener, ROOM + 1)


def ask(caller: socket.socket) -> bytes:
    """Say something as soon as the connection stands, and wait for the answer."""
    with caller:
        finish(caller, 40)
        caller.sendall(b"question")
        return read(caller, 6)


def test_a_backlog_of_one_under_many_callers(ends: Ends) -> None:
    """Twelve at once; the server takes one at a time, and all get their answer."""
    with ends.listen(backlog=1) as listener, ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(ask, ends.begin(listener, version)) for version in (4, 6) * 6]
        listener.settimeout(40)
        for _ in asked:
            far, _ = listener.accept()
            with far:
                far.settimeout(40)
                assert read(far, 8) == b"question"
                far.sendall(b"answer")
        assert [each.result() for each in asked] == [b"answer"] * 12
        ends.proved(listener, 12)
