"""One attempt of a unit between two datapaths: judged like any call, found by its nonce, and gone without trace."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.datapath.ground import CLIENT, SERVER, Ground, grounds, says
from tests.datapath.pinging import attempted, sighted
from watchword.enforcer.attempt import ECHO, Attempted, Call

VERSIONS = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("attempts") as made:
        yield made


@pytest.fixture(autouse=True)
def allowed(ground: Ground) -> None:
    ground.allow()


@pytest.fixture
def listener(ground: Ground) -> Iterator[socket.socket]:
    with ground.listen() as listening:
        listening.settimeout(0.2)
        yield listening


def call(ground: Ground, port: int, version: int = 4, quiet: bool = True, patience: float = 2.0) -> Call:
    side = ground.client
    return Call(
        str(side.host.cgroup), side.badge, ground.server.host.address(version), port, patience, quiet, inside=False
    )


@VERSIONS
def test_a_quiet_attempt_is_judged_at_both_ends_and_leaves_nothing(
    ground: Ground, listener: socket.socket, version: int
) -> None:
    port = listener.getsockname()[1]
    with attempted(ground.client.host, call(ground, port, version)) as made:
        assert made.stage == "opened"
        near = made.handshake
        assert near is not None
        assert (near.peer_badge, near.open, near.allowed, near.rule) == (SERVER, True, True, "rule")
        far, ended = sighted(ground.server.host, made.nonce, ending=True)
        assert far is not None
        assert (far.unit_badge, far.peer_badge, far.incoming, far.open) == (SERVER, CLIENT, True, False)
        assert (far.remote, far.remote_port) == (near.local, near.local_port)
        assert ended
        assert ground.half_open() == 0
        assert not sighted(ground.server.host, made.nonce, ending=True)[1], "it was ended already"
    with pytest.raises(TimeoutError):
        listener.accept()
    for side in ground.sides:
        side.fence.call("look")
        assert side.flows(port) == []


def test_a_connection_is_never_given_up(ground: Ground, listener: socket.socket) -> None:
    """Whoever asks about the nonce of a connection that is open learns of it and ends nothing."""
    port = listener.getsockname()[1]
    with attempted(ground.client.host, call(ground, port, quiet=False)) as made:
        accepted, _ = listener.accept()
        with accepted:
            found, ended = sighted(ground.server.host, made.nonce, ending=True)
            assert found is not None
            assert (found.open, found.rule, ended) == (True, "rule", False)
            accepted.settimeout(0.2)
            with pytest.raises(TimeoutError):
                accepted.recv(1)
    assert sighted(ground.server.host, 12345) == (None, False)


def test_policy_binds_an_attempt_like_any_call(ground: Ground, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    client, server = ground.client, ground.server
    client.apply(reachable=False)
    with attempted(client.host, call(ground, port)) as made:
        assert (made.stage, made.wire.error, made.wire.sent) == ("refused", "EPERM", 0)
    client.apply()
    with attempted(client.host, call(ground, port)) as made:
        assert (made.stage, made.wire.answer, made.wire.identified) == ("refused", "syn-ack", True)
        assert made.decided is not None
        assert (made.decided.peer_badge, made.decided.reason) == (SERVER, "policy")
    ground.allow()
    server.apply(says(server.badge, CLIENT, "in", "Reject", explicit=True, rule="no"))
    with attempted(client.host, call(ground, port)) as made:
        assert (made.stage, made.wire.answer, made.decided) == ("reset", "rst", None)
    server.apply()
    with attempted(client.host, call(ground, port, patience=0.3)) as made:
        assert (made.stage, made.wire.answer, made.wire.announced) == ("silent", "", True)
    assert {(flow.action, flow.rule) for flow in server.flows(port)} == {("Reject", "no"), ("Reject", "")}
    with pytest.raises(TimeoutError):
        listener.accept()


NETWORK = 99
PROTOCOLS = {"icmp": {4: 1, 6: 58}, "udp": {4: 17, 6: 17}}


def anybody(ground: Ground, *, server_too: bool = True) -> None:
    """Client and server may send each other anything, by identity and by address; or the client alone thinks so."""
    everywhere = {"0.0.0.0/0": NETWORK, "::/0": NETWORK}
    for side, peer in ((ground.client, SERVER), (ground.server, CLIENT)):
        ways = [says(side.badge, who, way) for who in (peer, NETWORK) for way in ("in", "out")]
        side.apply(*(ways if server_too or side is ground.client else ()), prefixes=everywhere)


@pytest.fixture
def opened() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@VERSIONS
@pytest.mark.parametrize("name", PROTOCOLS)
def test_other_protocols_are_tried_by_one_packet(
    ground: Ground, opened: contextlib.ExitStack, version: int, name: str
) -> None:
    """An echo request, which the other kernel answers, and an empty datagram, which an application may."""
    port = ground.port() if name == "udp" else 0
    protocol = PROTOCOLS[name][version]
    asked = ECHO.get(protocol, port)

    def tried(patience: float = 2.0) -> Attempted:
        side, to = ground.client, ground.server.host.address(version)
        made = Call(str(side.host.cgroup), side.badge, to, port, patience, True, protocol, inside=False)
        with attempted(side.host, made) as found:
            return found

    anybody(ground)
    if name == "udp":
        found = tried()
        assert (found.stage, found.wire.error) == ("reset", "ECONNREFUSED")
        listening = opened.enter_context(ground.server.app.make(socket.AF_INET6, socket.SOCK_DGRAM, bind=("::", port)))
        found = tried(0.5)
        listening.settimeout(2)
        assert listening.recv(10) == b""
        assert found.stage == "silent"
    else:
        found = tried()
        assert (found.stage, found.wire.answer) == ("opened", "reply")
        assert 0 < found.wire.rtt_us < 2_000_000
    assert found.decided is not None
    assert (found.decided.action, found.decided.rule, found.decided.port) == ("Allow", "rule", asked)
    anybody(ground, server_too=False)
    found = tried(0.5)
    assert found.stage == "silent"
    (refused,) = [flow for flow in ground.server.flows(asked) if flow.action == "Reject" and flow.protocol == protocol]
    assert refused.direction == "incoming"
    ground.client.apply(reachable=False)  # nor could any identity be met: nothing leaves at all
    found = tried(0.3)
    assert (found.stage, found.wire.sent) == ("refused", 0)
    assert found.decided is not None
    assert (found.decided.action, found.decided.reason) == ("Reject", "policy")
