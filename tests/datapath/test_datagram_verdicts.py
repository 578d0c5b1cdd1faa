"""Datagrams and policy: who may call whom, by identity or by address, and what a new revision changes."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from testbed.datagrams import Recording
from tests.datapath.ground import CLIENT, SERVER, Direction, Ground, Side, grounds, says, until
from tests.datapath.udp import FAMILIES, VERSIONS, bound, exchange, nothing, tells
from watchword.enforcer.datapath.base import PeerKeys
from watchword.identity.trailer import Message
from watchword.policy.tables import Verdict, VerdictKey

NETWORK = 20
WAYS: tuple[Direction, Direction] = ("in", "out")
EVERYBODY = {"0.0.0.0/0": NETWORK, "::/0": NETWORK}


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("udprules") as made:
        yield made


@pytest.fixture(autouse=True)
def allowed(ground: Ground) -> None:
    ground.allow()


@VERSIONS
def test_a_server_lets_in_only_whom_its_rules_name(ground: Ground, version: int) -> None:
    """The refusal is on the server's record, under the caller's name; nothing is bounced."""
    port, to = ground.port(), ground.server.host.address(version)
    ground.server.apply(says(SERVER, CLIENT, "in", "Reject", rule="no"))
    with (
        Recording(ground.server.host, port) as wire,
        bound(ground.server, version, port) as far,
        bound(ground.client, version) as near,
    ):
        near.sendto(b"secret", (to, port))
        until(lambda: bool(ground.server.flows(port)))
        refused = ground.server.flow(port, "Reject")
        assert (refused.peer_badge, refused.reason, refused.rule) == (CLIENT, "policy", "no")
        nothing(far)
        assert wire.datagrams(tells(Message.BOUNCE)) == []
        assert wire.datagrams(lambda d: d.payload == b"secret") == []


@VERSIONS
def test_a_client_sends_nothing_to_whom_its_rules_do_not_name(ground: Ground, version: int) -> None:
    """It calls, learns who is there, and stops: no byte of the application's has left."""
    port, to = ground.port(), ground.server.host.address(version)
    ground.client.apply(says(CLIENT, SERVER, "out", "Reject", rule="no"))
    with (
        Recording(ground.server.host, port) as wire,
        bound(ground.server, version, port) as far,
        bound(ground.client, version) as near,
    ):
        near.sendto(b"secret", (to, port))
        until(lambda: bool(ground.client.flows(port)))
        refused = ground.client.flow(port, "Reject")
        assert (refused.peer_badge, refused.reason, refused.rule) == (SERVER, "policy", "no")
        nothing(far)
        assert wire.datagrams(lambda d: d.payload == b"secret") == []


@VERSIONS
def test_where_no_identity_could_be_met_nothing_leaves(ground: Ground, version: int) -> None:
    port, to = ground.port(), ground.server.host.address(version)
    ground.client.apply(reachable=False)
    with Recording(ground.server.host, port) as wire, bound(ground.client, version) as near:
        near.sendto(b"secret", (to, port))
        assert ground.client.flow(port, "Reject").peer_address == to
        assert wire.datagrams() == []


@VERSIONS
def test_to_an_address_that_proves_nothing_only_the_call_leaves(ground: Ground, version: int) -> None:
    """Its application gets an empty datagram. Whatever it says is not taken, and the second call is on record."""
    port, to = ground.port(), ground.server.host.address(version)
    with (
        ground.server.host.socket(*_kind(version)) as stranger,
        bound(ground.client, version) as near,
    ):
        stranger.bind((to, port))
        stranger.settimeout(5)
        near.sendto(b"secret", (to, port))
        data, back = stranger.recvfrom(100)
        assert data == b""
        stranger.sendto(b"trust me", back)
        nothing(near)
        assert ground.client.flow(port, "Reject").reason == "proof-missing"


def _kind(version: int) -> tuple[int, int]:
    return FAMILIES[version], socket.SOCK_DGRAM


@VERSIONS
def test_an_allowed_address_is_served_as_ever(ground: Ground, version: int) -> None:
    """Nobody there reads trailers: data leaves at once with one, and an ordinary answer is taken."""
    port, to = ground.port(), ground.server.host.address(version)
    ground.client.apply(says(CLIENT, SERVER, "out"), says(CLIENT, NETWORK, "out"), prefixes=EVERYBODY)
    with ground.server.host.socket(*_kind(version)) as stranger, bound(ground.client, version) as near:
        stranger.bind((to, port))
        stranger.settimeout(5)
        for number in range(8):
            near.sendto(b"%d" % number, (to, port))
            data, back = stranger.recvfrom(100)
            assert data == b"%d" % number
            stranger.sendto(b"yes", back)
            assert near.recv(100) == b"yes"
    assert not ground.client.flow(port).proved


@VERSIONS
def test_who_is_there_is_found_out_also_at_an_allowed_address(ground: Ground, version: int) -> None:
    """The first datagram leaves by the address; the server asks for a proof, and the flow becomes one of identities."""
    port, to = ground.port(), ground.server.host.address(version)
    ground.client.apply(says(CLIENT, SERVER, "out"), says(CLIENT, NETWORK, "out"), prefixes=EVERYBODY)
    with bound(ground.server, version, port) as far, bound(ground.client, version) as near:
        exchange(near, far, (to, port))
    assert {(flow.peer_badge, flow.proved) for flow in ground.client.flows(port)} == {(0, False), (SERVER, True)}


@VERSIONS
def test_where_no_rule_names_an_identity_two_units_meet_by_address(ground: Ground, version: int) -> None:
    """Nothing is said there, so each end judges the other's address, though both have an Enforcer."""
    port, to = ground.port(), ground.server.host.address(version)
    ground.client.apply(says(CLIENT, NETWORK, "out"), prefixes=EVERYBODY, reachable=False)
    ground.server.apply(says(SERVER, NETWORK, "in"), prefixes=EVERYBODY, reachable=False)
    with (
        Recording(ground.server.host, port) as wire,
        bound(ground.server, version, port) as far,
        bound(ground.client, version) as near,
    ):
        exchange(near, far, (to, port))
        assert [bool(each.surplus) for each in wire.datagrams()] == [False, False]
    for side in (ground.client, ground.server):
        assert (side.flow(port).peer_badge, side.flow(port).proved) == (0, False)


@VERSIONS
def test_who_says_who_he_is_is_judged_by_that_alone(ground: Ground, version: int) -> None:
    """As with TCP: the server's rule about his address lets in who says nothing."""
    port, to = ground.port(), ground.server.host.address(version)
    ground.client.apply(says(CLIENT, SERVER, "out"), says(CLIENT, NETWORK, "out"), prefixes=EVERYBODY)
    ground.server.apply(says(SERVER, NETWORK, "in"), prefixes=EVERYBODY)
    with (
        ground.client.host.socket(*_kind(version)) as nobody,
        bound(ground.server, version, port) as far,
        bound(ground.client, version) as near,
    ):
        near.sendto(b"by name", (to, port))
        until(lambda: bool(ground.server.flows(port)))
        nothing(far)
        assert ground.server.flow(port, "Reject").peer_badge == CLIENT
        nobody.sendto(b"by address", (to, port))
        assert far.recv(100) == b"by address"


@VERSIONS
def test_a_caller_without_identity_is_judged_by_address(ground: Ground, version: int) -> None:
    port, to = ground.port(), ground.server.host.address(version)
    with ground.client.host.socket(*_kind(version)) as nobody, bound(ground.server, version, port) as far:
        nobody.sendto(b"evil", (to, port))
        until(lambda: bool(ground.server.flows(port)))
        nothing(far)
        ground.server.apply(says(SERVER, NETWORK, "in"), prefixes=EVERYBODY)
        nobody.sendto(b"good", (to, port))
        data, back = far.recvfrom(100)
        assert (data, ground.server.flow(port).proved) == (b"good", False)
        nobody.settimeout(5)
        far.sendto(b"answer", back)  # an answer needs no rule of its own
        assert nobody.recv(100) == b"answer"


@VERSIONS
@pytest.mark.parametrize("refusing", ["client", "server"])
def test_a_new_revision_ends_a_live_flow_in_both_directions(ground: Ground, version: int, refusing: str) -> None:
    """The very next datagram is refused, by whichever end; allowed again, it goes on."""
    port, to = ground.port(), ground.server.host.address(version)
    side = ground.client if refusing == "client" else ground.server
    with bound(ground.server, version, port) as far, bound(ground.client, version) as near:
        back = exchange(near, far, (to, port))
        side.apply()
        near.sendto(b"after", (to, port))
        nothing(far)
        if refusing == "server":
            far.sendto(b"unasked", back)
            nothing(near)
        assert side.flow(port, "Reject").reason == "revoked"
        ground.allow()
        exchange(near, far, (to, port))


@VERSIONS
def test_a_flow_that_was_idle_meanwhile_is_ended_too(ground: Ground, version: int) -> None:
    """There is nothing to reset: what it was allowed by is gone, so its next datagram has nothing to go by."""
    port, to = ground.port(), ground.server.host.address(version)
    with bound(ground.server, version, port) as far, bound(ground.client, version) as near:
        back = exchange(near, far, (to, port))
        for _ in range(3):
            ground.allow()
        ground.server.apply()
        far.sendto(b"unasked", back)
        nothing(near)
        near.sendto(b"after", (to, port))
        nothing(far)
        # Nor is a new flow let in under the session that the two have.
        with bound(ground.client, version) as other:
            other.sendto(b"again", (to, port))
            nothing(far)


@VERSIONS
def test_new_keys_need_no_new_flows(ground: Ground, version: int) -> None:
    """Both have a new epoch beside the old one, then only the new one: flows and sessions find a way."""
    port, to = ground.port(), ground.server.host.address(version)
    try:
        with bound(ground.server, version, port) as far, bound(ground.client, version) as near:
            exchange(near, far, (to, port))
            for epochs in ((2, 1), (2,), (3, 2), (3,)):
                keys = {(mine, theirs): bytes([mine * theirs]) * 16 for mine in epochs for theirs in epochs}
                ground.client.trust([PeerKeys("server", keys)], epochs)
                ground.server.trust([PeerKeys("client", keys)], epochs)
                exchange(near, far, (to, port))
                for _ in range(2):
                    with bound(ground.client, version) as other:
                        exchange(other, far, (to, port))
    finally:
        ground.trust()


@VERSIONS
def test_without_an_agent_everything_goes_on(ground: Ground, version: int) -> None:
    """Killed at both ends; first contact, sessions and refusals are the kernel's business."""
    port, to = ground.port(), ground.server.host.address(version)
    for side in ground.sides:
        side.fence.kill()
    try:
        with bound(ground.server, version, port) as far:
            for _ in range(3):
                with bound(ground.client, version) as near:
                    exchange(near, far, (to, port))
    finally:
        for side in ground.sides:
            side.restart()
        ground.trust()
        ground.allow()


@VERSIONS
def test_what_comes_in_is_looked_at_only_while_it_matters(ground: Ground, version: int) -> None:
    """Without a verdict about identities and UDP no TCP packet pays for a program; with one, it is there in time."""
    port, to = ground.port(), ground.server.host.address(version)
    for side, peer in ((ground.client, SERVER), (ground.server, CLIENT)):
        only_tcp = {VerdictKey(side.badge, peer, way, 6, 0): Verdict("Allow", rule="tcp") for way in WAYS}
        side.apply(only_tcp, reachable=False)
        assert hooks(side) == 0
    ground.allow()
    assert hooks(ground.client) == hooks(ground.server) == 1
    with bound(ground.server, version, port) as far, bound(ground.client, version) as near:
        exchange(near, far, (to, port))


def hooks(side: Side) -> int:
    """How many devices of the host have a program for what comes in."""
    return sum(pin.name.startswith("verify_") for pin in side.pinned().iterdir())
