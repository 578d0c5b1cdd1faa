"""Networks that a profile excludes or demands identity in, with real connections, datagrams and echoes."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from testbed import internet
from testbed.internet import ICMP, ICMP6
from tests.datapath.ground import CLIENT, SERVER, Ground, Side, grounds, until
from tests.datapath.rules import EVERYWHERE, Rules
from tests.datapath.wire import refusable
from watchword.wire.messages import Boundaries

VERSIONS = pytest.mark.parametrize("version", [4, 6])
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("excluded") as made:
        yield made


def net(side: Side, version: int) -> str:
    """The other end's network, as this side's profile would name it."""
    return f"{side.host.address(version)}/{32 if version == 4 else 128}"


def other(ground: Ground, side: Side) -> Side:
    return ground.server if side is ground.client else ground.client


def exclude(ground: Ground, version: int, *sides: Side) -> None:
    """No rule on either host; these sides leave the other one's address alone."""
    for side in ground.sides:
        excluded = (net(other(ground, side), version),) if side in sides else ()
        Rules(side).apply(Boundaries(1, excluded))


def datagram_arrives(ground: Ground, version: int, seconds: float = 5) -> bool:
    """From the client's unit to the server's, and an answer back."""
    port, to = ground.port(), ground.server.host.address(version)
    with (
        ground.server.app.make(FAMILY[version], socket.SOCK_DGRAM, bind=(to, port)) as far,
        ground.client.app.make(FAMILY[version], socket.SOCK_DGRAM, connect=(to, port)) as near,
    ):
        far.settimeout(seconds)
        near.settimeout(5)
        near.send(b"question")
        try:
            far.sendto(b"answer", far.recvfrom(100)[1])
        except TimeoutError:
            return False
        return near.recv(100) == b"answer"


def echo_is_answered(ground: Ground, version: int, seconds: float = 5) -> bool:
    here, there = (side.host.address(version) for side in ground.sides)
    kind, reply, protocol = (8, 0, ICMP) if version == 4 else (128, 129, ICMP6)
    with ground.client.app.make(FAMILY[version], socket.SOCK_RAW, protocol) as ping:
        ping.settimeout(seconds)
        with refusable():
            ping.sendto(internet.message(here, there, kind, rest=b"\x12\x34\0\1"), (there, 0))
        try:
            while True:
                raw = ping.recv(1000)
                if (raw[20] if version == 4 else raw[0]) == reply:
                    return True
        except TimeoutError:
            return False


def connects(ground: Ground, version: int) -> bool:
    with ground.listen() as listener:
        try:
            with ground.connect(listener, version, timeout=0.6) as made:
                made.exchange()
                return True
        except OSError:
            return False


@VERSIONS
def test_an_excluded_network_is_left_alone_by_whoever_excludes_it(ground: Ground, version: int) -> None:
    """Every protocol, both ways. What one end leaves alone the other one still judges."""
    exclude(ground, version, *ground.sides)
    assert connects(ground, version)
    assert datagram_arrives(ground, version)
    assert echo_is_answered(ground, version)
    for lonely in ground.sides:
        exclude(ground, version, lonely)
        assert not connects(ground, version)
        assert not datagram_arrives(ground, version, 0.3)
        assert not echo_is_answered(ground, version, 0.3)


@VERSIONS
def test_what_is_excluded_no_more_is_cut(ground: Ground, version: int) -> None:
    exclude(ground, version, *ground.sides)
    with ground.listen() as listener, ground.connect(listener, version) as standing:
        standing.exchange()
        exclude(ground, version, ground.client)
        assert set(standing.ended().values()) <= {"ConnectionResetError", "ConnectionAbortedError"}


@VERSIONS
def test_no_reject_reaches_into_an_excluded_network(ground: Ground, version: int) -> None:
    for side in ground.sides:
        rules = Rules(side).incoming("any", action="Reject").outgoing("any", action="Reject")
        rules.apply(Boundaries(1, (net(other(ground, side), version),), EVERYWHERE))
    assert connects(ground, version)
    assert datagram_arrives(ground, version)


@VERSIONS
def test_where_identity_is_required_an_address_is_not_enough(ground: Ground, version: int) -> None:
    """A proof is, under the same rules; and whoever has no Enforcer stays out though a rule lets its network in."""
    required = Boundaries(1, (), EVERYWHERE)
    there = ground.server.host.address(version)
    for side, badge in ((ground.client, SERVER), (ground.server, CLIENT)):
        rules = Rules(side).peer("friend", badge, other(ground, side).enforcer)
        rules.incoming("any").outgoing("any").incoming("any", network="friend").outgoing("any", network="friend")
        rules.apply()
        rules.apply(required)
    assert connects(ground, version)
    assert datagram_arrives(ground, version)
    assert not echo_is_answered(ground, version, 0.3)
    port = ground.port()
    with ground.listen(port) as listener:
        with ground.client.host.socket(FAMILY[version], socket.SOCK_STREAM) as stranger:
            stranger.settimeout(2)
            with pytest.raises(ConnectionRefusedError):
                stranger.connect((there, port))
        refused = ground.server.flow(port, "Reject")
        assert (refused.rule, refused.peer_badge) == ("@identity-required/in/0", 0)
        Rules(ground.server).incoming("any").apply()
        with ground.client.host.socket(FAMILY[version], socket.SOCK_STREAM) as stranger:
            stranger.settimeout(5)
            stranger.connect((there, port))
        until(lambda: any(s.action == "Allow" for s in ground.server.flows(port)))
        listener.accept()[0].close()
