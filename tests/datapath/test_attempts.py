"""One attempt of a unit between two datapaths: judged like any call, found by its nonce, and gone without trace."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.datapath.ground import CLIENT, SERVER, Ground, grounds, says
from tests.datapath.pinging import attempted, sighted
from watchword.enforcer.attempt import Call

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
    return Call(str(side.host.cgroup), side.badge, ground.server.host.address(version), port, patience, quiet, False)


def half_open(ground: Ground) -> int:
    """Requests that wait for an ACK at the server."""
    listed = ground.server.host.run(["ss", "-tnH", "state", "syn-recv"]).stdout
    return len(listed.splitlines())


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
        assert half_open(ground) == 0
        assert not sighted(ground.server.host, made.nonce, ending=True)[1], "it was ended already"
    with pytest.raises(TimeoutError):
        listener.accept()
    for side in ground.sides:
        side.fence.call("look")
        # On a busy machine the server may repeat its SYN-ACK before it is asked, and is answered by RST.
        assert [flow for flow in side.flows(port) if flow.reason != "stray"] == []


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
        assert made.refusal is not None
        assert (made.refusal.peer_badge, made.refusal.reason) == (SERVER, "policy")
    ground.allow()
    server.apply(says(server.badge, CLIENT, "in", "Reject", explicit=True, rule="no"))
    with attempted(client.host, call(ground, port)) as made:
        assert (made.stage, made.wire.answer, made.refusal) == ("reset", "rst", None)
    server.apply()
    with attempted(client.host, call(ground, port, patience=0.3)) as made:
        assert (made.stage, made.wire.answer, made.wire.announced) == ("silent", "", True)
    assert {(flow.action, flow.rule) for flow in server.flows(port)} == {("Reject", "no"), ("Reject", "")}
    with pytest.raises(TimeoutError):
        listener.accept()
