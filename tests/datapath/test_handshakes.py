"""Handshakes that are not plain: cookies, losses, early data, missing options, odd sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from testbed import Match
from tests.datapath.ground import Ground, grounds, says, setting
from tests.datapath.workload import Workload, finish, read


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("shake") as made:
        yield made


@pytest.fixture(autouse=True)
def allowed(ground: Ground) -> None:
    ground.allow()


def proved_on(ground: Ground, listener: socket.socket) -> None:
    """Exactly one connection to this listener, and both ends say that it is proved."""
    port = listener.getsockname()[1]
    for side, peer in ((ground.client, ground.server), (ground.server, ground.client)):
        flow = side.flow(port)
        assert flow.proved, flow
        assert (flow.connections, flow.peer_badge) == (1, peer.badge)


def outsider(ground: Ground) -> socket.socket:
    """A listener on the server's host that no datapath polices: it belongs to the test's own cgroup."""
    listener = ground.server.host.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("0.0.0.0", ground.port()))
    listener.listen()
    listener.settimeout(10)
    return listener


@pytest.mark.parametrize("version", [4, 6])
def test_syn_cookies(ground: Ground, version: int) -> None:
    with (
        setting("net.ipv4.tcp_syncookies", 2, ground.server.host),
        ground.listen() as listener,
        ground.connect(listener, version) as connection,
    ):
        connection.exchange()
        proved_on(ground, listener)


@pytest.mark.parametrize("version", [4, 6])
def test_without_timestamps(ground: Ground, version: int) -> None:
    with (
        setting("net.ipv4.tcp_timestamps", 0, ground.client.host, ground.server.host),
        ground.listen() as listener,
        ground.connect(listener, version) as connection,
    ):
        connection.exchange()
        proved_on(ground, listener)


@pytest.mark.parametrize("version", [4, 6])
def test_the_first_syn_is_lost(ground: Ground, version: int) -> None:
    with ground.listen() as listener:
        loss = ground.link.drop(Match("S", dport=listener.getsockname()[1]), toward=ground.server.host)
        with ground.connect(listener, version) as connection:
            connection.exchange()
            proved_on(ground, listener)
        assert loss.dropped() == 1
        loss.end()


@pytest.mark.parametrize("version", [4, 6])
def test_the_syn_ack_is_lost(ground: Ground, version: int) -> None:
    with ground.listen() as listener:
        loss = ground.link.drop(Match("SA", sport=listener.getsockname()[1]), toward=ground.client.host)
        with ground.connect(listener, version) as connection:
            connection.exchange()
            proved_on(ground, listener)
        assert loss.dropped() == 1
        loss.end()


@pytest.mark.parametrize("first", ["client", "server"])
@pytest.mark.parametrize("version", [4, 6])
def test_the_ack_is_lost(ground: Ground, version: int, first: str) -> None:
    """Data without proof is not let in; the retransmitted SYN-ACK brings the proof again."""
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        loss = ground.link.drop(Match("A", dport=port, payload=False), toward=ground.server.host)
        near = ground.client.app.connect(ground.server.host.address(version), port)
        if first == "client":
            near.sendall(b"hello")
        far, _ = listener.accept()
        far.settimeout(15)
        far.sendall(b"banner")
        assert read(near, 6) == b"banner"
        if first == "client":
            assert read(far, 5) == b"hello"
        proved_on(ground, listener)
        assert loss.dropped() == 1
        loss.end()
        near.close()
        far.close()


@pytest.mark.parametrize("timestamps", [0, 1])
@pytest.mark.parametrize("version", [4, 6])
def test_fast_open_falls_back(ground: Ground, version: int, timestamps: int) -> None:
    """Nothing reaches the server before the proof; the connection comes about all the same."""
    hosts = ground.client.host, ground.server.host
    listening = (socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    with (
        setting("net.ipv4.tcp_fastopen", 3, *hosts),
        setting("net.ipv4.tcp_timestamps", timestamps, *hosts),
        ground.listen(options=[listening]) as listener,
    ):
        address, port = ground.server.host.address(version), listener.getsockname()[1]
        with ground.server.host.capture(f"dst port {port}") as taken:
            near = ground.client.app.begin(address, port, early=b"early")
            finish(near, 15)
        far, _ = listener.accept()
        near.sendall(b"later")
        far.settimeout(10)
        assert read(far, 5) == b"later"
        assert not [s for s in taken.segments() if "S" in s.flags and s.payload]
        proved_on(ground, listener)
        near.close()
        far.close()


def test_defer_accept(ground: Ground) -> None:
    """The proved ACK makes no socket here; the data that follows it without proof is let in."""
    defer = (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 10)
    with ground.listen(options=[defer]) as listener:
        port = listener.getsockname()[1]
        near = ground.client.app.connect(ground.server.host.ipv4, port)
        near.sendall(b"request")
        far, _ = listener.accept()
        far.settimeout(10)
        assert read(far, 7) == b"request"
        proved_on(ground, listener)
        near.close()
        far.close()


def test_reuseport(ground: Ground) -> None:
    share = (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    port = ground.port()
    with ground.listen(port, options=[share]) as one, ground.listen(port, options=[share]) as two:
        for listener in (one, two):
            listener.setblocking(False)
        accepted = 0
        callers = [ground.client.app.connect(ground.server.host.ipv4, port) for _ in range(16)]
        for listener in (one, two):
            while True:
                try:
                    far, _ = listener.accept()
                except BlockingIOError:
                    break
                accepted += 1
                far.close()
        assert accepted == 16
        for caller in callers:
            caller.close()


def test_simultaneous_open_is_refused(ground: Ground) -> None:
    """Two ends that connect to each other have no server: neither could be proved."""
    port = ground.port()
    ends = [(ground.client, ground.server.host.ipv4), (ground.server, ground.client.host.ipv4)]
    losses = [
        ground.link.drop(Match("R", sport=port), toward=side.host, count=None)
        for side in (ground.client, ground.server)
    ]
    losses += [
        ground.link.drop(Match("RA", sport=port), toward=side.host, count=None)
        for side in (ground.client, ground.server)
    ]
    callers = [side.app.begin(to, port, source=(side.host.ipv4, port)) for side, to in ends]
    for caller in callers:
        with pytest.raises(TimeoutError):
            finish(caller, 1.5)
        caller.close()
    assert ground.client.counters()["dropped-simultaneous"] + ground.server.counters()["dropped-simultaneous"] > 0
    for loss in losses:
        loss.end()


def test_the_agents_own_connections_are_not_judged(ground: Ground) -> None:
    """Whatever policy says of the host: otherwise one wrong rule would cut the agent off for good."""
    ground.client.apply()
    agent = Workload(ground.client.host, "agent", "agent")
    with outsider(ground) as outside:
        address = ground.server.host.ipv4
        near = agent.connect(address, outside.getsockname()[1])
        far, _ = outside.accept()
        far.settimeout(10)
        near.sendall(b"report")
        assert read(far, 6) == b"report"
        ground.client.apply(says(ground.client.badge, ground.server.badge, "in"))
        near.sendall(b" again")
        assert read(far, 6) == b" again"
        with pytest.raises((ConnectionAbortedError, PermissionError)):
            ground.client.app.connect(address, outside.getsockname()[1], timeout=5)
        near.close()
        far.close()
    agent.close()
