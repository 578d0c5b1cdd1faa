"""ICMP and ICMPv6 by type and code, between real sockets and the kernels that answer them."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from random import Random

import pytest

from testbed import internet
from testbed.internet import ICMP, ICMP6
from tests.datapath.ground import SERVER, Ground, grounds, until
from tests.datapath.rules import Rules
from tests.datapath.wire import refusable, wires
from tests.datapath.workload import Workload
from watchword.policy import lookup

VERSIONS = pytest.mark.parametrize("version", [4, 6])
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
PROTOCOL = {4: ICMP, 6: ICMP6}
NAME = {4: "icmp", 6: "icmp6"}
ECHO, REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("icmp") as made:
        yield made


class Pinger:
    """A raw ICMP socket of a unit, to talk to one address."""

    def __init__(self, app: Workload, version: int, peer: str, own: str = "") -> None:
        self.version, self.peer = version, peer
        self.own = own or app.host.address(version)
        self.socket = app.make(FAMILY[version], socket.SOCK_RAW, PROTOCOL[version])
        self.identifier = int.from_bytes(os.urandom(2), "big")

    def send(self, kind: int, code: int = 0, data: bytes = b"x" * 40, identifier: int | None = None) -> None:
        rest = struct.pack("!HH", self.identifier if identifier is None else identifier, 1)
        made = internet.message(self.own, self.peer, kind, code, rest, data)
        with refusable():
            self.socket.sendto(made, (self.peer, 0))

    def heard(self, kind: int, seconds: float = 5, *, identifier: int | None = None) -> bytes | None:
        """The next message of this type with the identifier; None when there is none in time."""
        self.socket.settimeout(seconds)
        wanted = self.identifier if identifier is None else identifier
        try:
            while True:
                raw = self.socket.recv(70000)
                got = raw[(raw[0] & 15) * 4 :] if self.version == 4 else raw
                if got[0] == kind and struct.unpack_from("!H", got, 4)[0] == wanted:
                    return got
        except TimeoutError:
            return None

    def __enter__(self) -> Pinger:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def pinger(ground: Ground, version: int) -> Pinger:
    return Pinger(ground.client.app, version, ground.server.host.address(version))


@VERSIONS
def test_an_echo_needs_both_ends_and_its_reply_no_rule(ground: Ground, version: int) -> None:
    """The other end's kernel answers, for its host's unit; the answer of one identifier is no other's."""
    echo = f"{NAME[version]}/{ECHO[version]}"
    client, server = ground.client, ground.server
    port = ECHO[version] << 8
    with pinger(ground, version) as ping, wires(ground.link, server.host) as wire:
        Rules(client).apply()
        Rules(server).incoming(echo).apply()
        ping.send(ECHO[version])
        until(lambda: any(s.action == "Reject" for s in client.flows(port)))
        assert [raw for raw in map(upper, wire.arrivals()) if raw[0] == ECHO[version]] == []

        Rules(client).outgoing(echo).apply()
        ping.send(ECHO[version], data=b"answered")
        reply = ping.heard(REPLY[version])
        assert reply is not None
        assert reply[8:] == b"answered"
        seen = server.flow(port)
        assert (seen.unit_badge, seen.direction, seen.peer_address, seen.protocol) == (
            *(SERVER, "incoming"),
            *(client.host.address(version), PROTOCOL[version]),
        )
        assert client.flow(port).direction == "outgoing"
        ping.send(ECHO[version], data=bytes(5000))  # in fragments, there and back
        assert ping.heard(REPLY[version]) is not None

        Rules(server).incoming(f"{NAME[version]}/13", "udp/1:65535", "tcp/1:65535").apply()
        ping.send(ECHO[version])
        assert ping.heard(REPLY[version], 0.3) is None
        assert server.flow(port, "Reject").reason == "policy"


@VERSIONS
def test_an_answer_that_nobody_asked_for_does_not_arrive(ground: Ground, version: int) -> None:
    """Neither under another identifier nor from another address nor by another type."""
    client, server = ground.client, ground.server
    Rules(client).outgoing(NAME[version]).apply()
    Rules(server).incoming(NAME[version]).apply()
    here, there = client.host.address(version), server.host.address(version)
    elsewhere = "198.51.100.7" if version == 4 else "2001:db8::7"

    def answer(source: str, kind: int, identifier: int, data: bytes) -> bytes:
        rest = struct.pack("!HH", identifier, 1)
        made = internet.message(source, here, kind, 0, rest, data)
        return internet.packet(source, here, PROTOCOL[version], made)

    with pinger(ground, version) as ping:
        ping.send(ECHO[version])
        assert ping.heard(REPLY[version]) is not None
        before = client.counters()["dropped-policy"]
        other = (ping.identifier + 1) & 0xFFFF
        ground.link.inject(
            client.host,
            answer(there, REPLY[version], other, b"evil"),
            answer(elsewhere, REPLY[version], ping.identifier, b"evil"),
            answer(there, 14 if version == 4 else 140, ping.identifier, b"evil"),
            answer(there, ECHO[version], ping.identifier, b"evil"),
            answer(there, REPLY[version], ping.identifier, b"good"),
        )
        reply = ping.heard(REPLY[version])
        assert reply is not None
        assert reply[8:] == b"good"
        assert client.counters()["dropped-policy"] >= before + 3
        assert ping.heard(REPLY[version], 0.2, identifier=other) is None


@pytest.fixture(scope="module")
def other(ground: Ground) -> Iterator[Workload]:
    """Another unit on the client's host."""
    ground.client.neighbours["other"] = 0xA0000002
    ground.client.place()
    app = Workload(ground.client.host, "other/app", "other")
    yield app
    app.close()
    del ground.client.neighbours["other"]
    ground.client.place()


@VERSIONS
def test_one_unit_does_not_hear_what_another_asked(ground: Ground, other: Workload, version: int) -> None:
    """Raw sockets get copies of everything; a unit's get those of its own conversations."""
    echo = f"{NAME[version]}/{ECHO[version]}"
    Rules(ground.client).outgoing(echo).apply()
    Rules(ground.server).incoming(echo).apply()
    with pinger(ground, version) as ping, Pinger(other, version, ping.peer) as curious:
        ping.send(ECHO[version])
        assert ping.heard(REPLY[version]) is not None
        assert curious.heard(REPLY[version], 0.2, identifier=ping.identifier) is None
        curious.send(ECHO[version])
        assert curious.heard(REPLY[version]) is not None


@VERSIONS
def test_a_ping_socket_needs_no_privilege_and_the_same_rules(ground: Ground, version: int) -> None:
    ground.client.host.sysctl("net.ipv4.ping_group_range", "0 2147483647")
    Rules(ground.client).outgoing(f"{NAME[version]}/{ECHO[version]}").apply()
    Rules(ground.server).incoming(f"{NAME[version]}/{ECHO[version]}").apply()
    to = ground.server.host.address(version)
    with ground.client.app.make(FAMILY[version], socket.SOCK_DGRAM, PROTOCOL[version], connect=(to, 0)) as ping:
        ping.settimeout(5)
        ping.send(internet.message(ground.client.host.address(version), to, ECHO[version], data=b"hello"))
        assert ping.recv(100)[8:] == b"hello"
        Rules(ground.client).apply()
        ping.settimeout(0.3)
        with refusable():
            ping.send(internet.message(ground.client.host.address(version), to, ECHO[version], data=b"again"))
        with pytest.raises(TimeoutError):
            ping.recv(100)


@VERSIONS
def test_a_unit_talks_to_itself(ground: Ground, version: int) -> None:
    """Over loopback, whatever policy says; also when the kernel is the one that answers."""
    Rules(ground.server).apply()
    own = "127.0.0.1" if version == 4 else "::1"
    with Pinger(ground.server.app, version, own, own) as ping:
        ping.send(ECHO[version])
        assert ping.heard(REPLY[version]) is not None


#: Types that ask, answer or stand alone; errors are another matter, and so is the network itself.
ORDINARY = {4: (0, 5, 8, 9, 10, 13, 15, 17, 30, 42, 200), 6: (100, 128, 129, 138, 139, 144, 160, 200)}


def drawn(random: Random, version: int) -> list[str]:
    kinds = ORDINARY[version]
    found = {f"{NAME[version]}/{random.choice(kinds)}" for _ in range(2)}
    kind = random.choice(kinds)
    found.add(f"{NAME[version]}/{kind}/{random.randrange(3)},{random.randrange(3, 6)}:7")
    return sorted(found)


@VERSIONS
@pytest.mark.parametrize("number", range(4))
def test_kernels_judge_types_and_codes_as_the_tables_do(ground: Ground, version: int, number: int) -> None:
    """Rules drawn at random, on both ends; each type and code leaves, and arrives, as the look-up says."""
    random = Random(number * 2 + (version == 6))
    made = []
    for side in (ground.client, ground.server):
        rules = Rules(side, random.choice(("Allow", "Reject")))
        for way in (rules.incoming, rules.outgoing):
            way(*drawn(random, version))
            way(*drawn(random, version), action="Reject")
        made.append(rules.apply())
    here, there = ground.client.host.address(version), ground.server.host.address(version)
    asked = [(kind, code) for kind in ORDINARY[version] for code in (0, 1, 2, 3, 5, 7, 8)]
    leaves, arrives = [], []
    for kind, code in asked:
        port = kind << 8 | code
        out = lookup.lookup(made[0], "client", there, "out", PROTOCOL[version], port).action
        enters = lookup.lookup(made[1], "server", here, "in", PROTOCOL[version], port).action
        leaves += [(kind, code)] if out == "Allow" else []
        arrives += [(kind, code)] if out == enters == "Allow" else []
    taken = ground.server.app.make(FAMILY[version], socket.SOCK_RAW, PROTOCOL[version])
    with pinger(ground, version) as ping, wires(ground.link, ground.server.host) as wire, taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for kind, code in asked:  # each a conversation of its own
            ping.send(kind, code, b"mark", identifier=kind << 8 | code)
        assert [told(raw) for raw in map(upper, wire.arrivals()) if raw.endswith(b"mark")] == leaves
        taken.settimeout(0.3)
        heard = []
        try:
            while True:
                raw = taken.recv(1000)
                heard.append(raw[20:] if version == 4 else raw)
        except TimeoutError:
            pass
    assert [told(raw) for raw in heard if raw.endswith(b"mark")] == arrives
    assert leaves != asked


def upper(raw: bytes) -> bytes:
    return internet.upper(raw)[1]


def told(raw: bytes) -> tuple[int, int]:
    return raw[0], raw[1]
