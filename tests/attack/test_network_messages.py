"""A unit with CAP_NET_RAW, or somebody on the wire, passes for the network itself: only who is on the link can.

Neighbour discovery and multicast listeners are let through whatever policy says, so whatever looks like them must be
unable to go anywhere (RFC 4861, 2710, 3122, 4890).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from testbed import internet
from testbed.internet import HOP_BY_HOP, ICMP6, Extension, icmp6, ipv4, ipv6, padding
from tests.datapath.ground import Ground, grounds
from tests.datapath.rules import Rules
from tests.datapath.wire import refusable, wires

#: Type, whether its hop limit is 255 (else 1), and whether it has to come from a link-local address.
NEIGHBOURLY = {
    133: (255, False),
    134: (255, True),
    135: (255, False),
    136: (255, False),
    141: (255, False),
    142: (255, False),
    130: (1, True),
    131: (1, True),
    132: (1, True),
    143: (1, True),
}
ALERT = Extension(HOP_BY_HOP, bytes([0, 5, 2, 0, 0, 1, 0]))
LINK_LOCAL = "fe80::77"


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("network") as made:
        yield made


def made(kind: int, source: str, to: str, hops: int, code: int = 0, alert: bool = False) -> bytes:
    message = icmp6(source, to, kind, code, data=b"evil" * 6)
    return ipv6(source, to, ICMP6, message, hops=hops, chain=(ALERT,) if alert else ())


def cases(ground: Ground) -> Iterator[tuple[bytes, bool]]:
    """Packets, and whether they may leave though policy rejects everything."""
    own, to = ground.client.host.ipv6, ground.server.host.ipv6
    for kind, (hops, local) in NEIGHBOURLY.items():
        alert = hops == 1
        yield made(kind, LINK_LOCAL, to, hops, alert=alert), True
        yield made(kind, own, to, hops, alert=alert), not local
        yield made(kind, LINK_LOCAL, to, 64, alert=alert), False
        yield made(kind, LINK_LOCAL, to, 254 if hops == 255 else 2), False
        yield made(kind, LINK_LOCAL, to, hops, code=1, alert=alert), False
    for kind in (127, 128, 129, 137, 138, 139, 140, 144, 151, 200):
        yield made(kind, LINK_LOCAL, to, 255), False
        yield made(kind, LINK_LOCAL, to, 1), False
    yield ipv6(LINK_LOCAL, to, ICMP6, b"\x87", hops=255), False  # cut short
    yield ipv6(LINK_LOCAL, to, internet.UDP, icmp6(LINK_LOCAL, to, 135), hops=255), False
    yield ipv6(LINK_LOCAL, to, ICMP6, icmp6(LINK_LOCAL, to, 135), hops=255, chain=(padding(),) * 20), False


def test_a_unit_speaks_to_nobody_by_speaking_like_a_neighbour(ground: Ground) -> None:
    for side in ground.sides:
        Rules(side).apply()
    with (
        wires(ground.link, ground.server.host) as wire,
        ground.client.app.make(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
    ):
        for packet, leaves in cases(ground):
            wire.arrivals()
            with refusable():
                raw.sendto(packet, (ground.server.host.ipv6, 0))
            left = packet in wire.arrivals()
            assert left == leaves, packet.hex()


def test_a_unit_hears_nobody_who_speaks_like_a_neighbour_from_afar(ground: Ground) -> None:
    """At a raw socket, which hears everything that the kernel takes: the same packets, put on the wire."""
    Rules(ground.server).apply()
    with ground.server.app.make(socket.AF_INET6, socket.SOCK_RAW, ICMP6) as heard:
        heard.settimeout(0.5)
        for packet, passes in cases(ground):
            if not passes:
                ground.link.inject(ground.server.host, packet)
        sent = icmp6(LINK_LOCAL, ground.server.host.ipv6, 135, data=b"last" * 6)
        ground.link.inject(ground.server.host, ipv6(LINK_LOCAL, ground.server.host.ipv6, ICMP6, sent, hops=255))
        got = []
        try:
            while True:
                got.append(heard.recv(1000))
        except TimeoutError:
            pass
    assert [message for message in got if message.endswith(b"evil")] == []
    assert sent in got


def test_over_ipv4_nobody_speaks_like_a_neighbour(ground: Ground) -> None:
    """ICMPv6 is a protocol number like any other there: neither sent nor heard where no rule names it."""
    for side in ground.sides:
        Rules(side).apply()
    here, there = ground.client.host.ipv4, ground.server.host.ipv4
    packets = [
        ipv4(here, there, ICMP6, bytes([kind]) + bytes(7) + b"evil" * 6, ttl=hops, number=kind)
        for kind, (hops, _) in NEIGHBOURLY.items()
    ]
    with (
        wires(ground.link, ground.server.host) as wire,
        ground.client.app.make(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
        ground.server.app.make(socket.AF_INET, socket.SOCK_RAW, ICMP6) as heard,
    ):
        for packet in packets:
            with refusable():
                raw.sendto(packet, (there, 0))
        assert wire.arrivals() == []
        ground.link.inject(ground.server.host, *packets)
        heard.settimeout(0.3)
        with pytest.raises(TimeoutError):
            heard.recv(1000)


def test_neighbours_find_each_other_whatever_policy_says(ground: Ground) -> None:
    """The real thing: addresses are resolved anew, and what policy allows then passes."""
    Rules(ground.client).outgoing("udp/9").apply()
    Rules(ground.server).incoming("udp/9").apply()
    for side in ground.sides:
        side.host.run(["ip", "-6", "neigh", "flush", "all"])
    to = ground.server.host.ipv6
    with (
        ground.server.app.make(socket.AF_INET6, socket.SOCK_DGRAM, bind=(to, 9)) as far,
        ground.client.app.make(socket.AF_INET6, socket.SOCK_DGRAM, connect=(to, 9)) as near,
    ):
        far.settimeout(5)
        near.send(b"found")
        assert far.recv(10) == b"found"
