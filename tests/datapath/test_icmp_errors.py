"""ICMP errors: those about a unit's own traffic arrive, without a rule; path MTU discovery works; forged ones fail."""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from testbed import Segment, internet
from testbed.internet import ICMP, ICMP6, UDP
from tests.datapath.ground import CLIENT, SERVER, Ground, grounds, says, until
from tests.datapath.rules import EVERYWHERE, Rules
from tests.datapath.wire import refusable
from tests.datapath.workload import read

VERSIONS = pytest.mark.parametrize("version", [4, 6])
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
PROTOCOL = {4: ICMP, 6: ICMP6}
NAME = {4: "icmp", 6: "icmp6"}
UNREACHABLE, TOO_BIG = {4: (3, 3), 6: (1, 4)}, {4: (3, 4), 6: (2, 0)}
#: Of each version an error of every kind.
ERRORS = {4: ((3, 1), (3, 4), (11, 0), (12, 0)), 6: ((1, 0), (2, 0), (3, 0), (4, 1))}
NARROW = 1300
NETWORK = 20


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("errors", routed=True) as made:
        yield made


def raw_icmp(ground: Ground, version: int) -> socket.socket:
    made = ground.client.app.make(FAMILY[version], socket.SOCK_RAW, PROTOCOL[version])
    made.settimeout(5)
    return made


def told(end: socket.socket, version: int, seconds: float = 0.5) -> list[tuple[int, int]]:
    """Type and code of all that arrives."""
    end.settimeout(seconds)
    found = []
    try:
        while True:
            raw = end.recv(70000)
            got = (raw[20], raw[21]) if version == 4 else (raw[0], raw[1])
            if version == 4 or not 133 <= got[0] <= 136:  # neighbours
                found.append(got)
    except TimeoutError:
        return found


def error(ground: Ground, version: int, about: bytes, kind: tuple[int, int], mtu: int = 1500) -> bytes:
    """An error of the router's to the client about a packet."""
    rest = struct.pack("!HH", 0, mtu) if version == 4 else struct.pack("!I", mtu)
    assert ground.router is not None
    source, to = ground.router.links[0].near.address(version), ground.client.host.address(version)
    made = internet.message(source, to, *kind, rest, about)
    return internet.packet(source, to, PROTOCOL[version], made)


def inject(ground: Ground, *packets: bytes) -> None:
    ground.client.host.links[0].inject(ground.client.host, *packets)


@VERSIONS
def test_errors_about_the_units_own_datagrams_arrive_and_others_do_not(ground: Ground, version: int) -> None:
    """No rule speaks of ICMP. What is quoted has to be of a flow of this unit: the same ends and ports, sent by it."""
    port = ground.port()
    Rules(ground.client).outgoing(f"udp/{port}").apply()
    here, there = ground.client.host.address(version), ground.server.host.address(version)
    with (
        raw_icmp(ground, version) as heard,
        ground.client.app.make(
            FAMILY[version], socket.SOCK_DGRAM, bind=("0.0.0.0" if version == 4 else "::", 0)
        ) as sender,
    ):
        own = sender.getsockname()[1]
        sender.sendto(b"question", (there, port))

        def about(source: str, destination: str, sport: int, dport: int) -> bytes:
            return internet.packet(source, destination, UDP, internet.udp(source, destination, sport, dport, b"q" * 8))

        good = about(here, there, own, port)
        assert told(heard, version) == [UNREACHABLE[version]]  # by the server's kernel: nobody listens there
        inject(ground, *(error(ground, version, good, kind) for kind in ERRORS[version]))
        assert told(heard, version) == list(ERRORS[version])
        before = ground.client.counters()["dropped-quote-unknown"]
        other = "198.51.100.9" if version == 4 else "2001:db8::9"
        forged = [
            about(here, there, own, port + 1),
            about(here, there, own + 1, port),
            about(here, other, own, port),
            about(there, here, port, own),  # we were sent that, and have not sent it
            about(other, there, own, port),  # as if somebody else had been told
            good[: 20 if version == 4 else 40],  # cut short before the ports
            b"",
            bytes(48),
        ]
        inject(ground, *(error(ground, version, quote, ERRORS[version][0]) for quote in forged))
        assert told(heard, version) == []
        assert ground.client.counters()["dropped-quote-unknown"] == before + len(forged)
        Rules(ground.client).outgoing("udp/1").apply()  # what was allowed then is over now
        inject(ground, error(ground, version, good, ERRORS[version][0]))
        assert told(heard, version) == []


@VERSIONS
def test_a_rule_may_speak_of_errors_and_a_default_does_not(ground: Ground, version: int) -> None:
    here, there = ground.client.host.address(version), ground.server.host.address(version)
    quote = internet.packet(here, there, UDP, internet.udp(here, there, 1, 2, b"never sent"))
    first, second = ERRORS[version][:2]
    with raw_icmp(ground, version) as heard:
        Rules(ground.client).incoming(f"{NAME[version]}/{first[0]}/{first[1]}").apply()
        inject(ground, error(ground, version, quote, second), error(ground, version, quote, first))
        assert told(heard, version) == [first]
        Rules(ground.client, "Allow").apply()
        inject(ground, error(ground, version, quote, first))
        assert told(heard, version) == []
        Rules(ground.client, "Allow").incoming(NAME[version], action="Reject").apply()
        inject(ground, error(ground, version, quote, first))
        assert told(heard, version) == []


@VERSIONS
def test_errors_about_the_units_own_connections_arrive_and_about_others_do_not(ground: Ground, version: int) -> None:
    ground.allow()
    here, there = ground.client.host.address(version), ground.server.host.address(version)
    with raw_icmp(ground, version) as heard, ground.listen() as listener:
        port = listener.getsockname()[1]
        with ground.connect(listener, version) as connection:
            own = connection.near.getsockname()[1]
            nobodys = ground.client.host.socket(FAMILY[version], socket.SOCK_STREAM)
            with nobodys:
                nobodys.bind((here, 0))
                nobodys.listen()
                quotes = [
                    Segment(here, there, sport, dport, "A", payload=b"12345678").packet()
                    for sport, dport in ((own, port), (own, port + 1), (nobodys.getsockname()[1], port))
                ]
                inject(ground, *(error(ground, version, quote, UNREACHABLE[version]) for quote in quotes[1:]))
                inject(ground, error(ground, version, quotes[0], ERRORS[version][2]))
                assert told(heard, version) == [ERRORS[version][2]]
            connection.exchange()


@VERSIONS
def test_a_unit_reports_errors_about_what_it_was_sent_and_about_nothing_else(ground: Ground, version: int) -> None:
    """A unit with raw sockets cannot speak to somebody by pretending to complain."""
    port = ground.port()
    Rules(ground.client).incoming(f"udp/{port}").apply()
    Rules(ground.server, "Allow").incoming("any").apply()
    here, there = ground.client.host.address(version), ground.server.host.address(version)
    udp = internet.udp(there, here, 777, port, b"question")
    arrived = internet.packet(there, here, UDP, udp)
    with (
        ground.client.app.make(FAMILY[version], socket.SOCK_DGRAM, bind=(here, port)) as receiver,
        raw_icmp(ground, version) as sender,
        ground.server.host.socket(FAMILY[version], socket.SOCK_RAW, PROTOCOL[version]) as heard,
    ):
        receiver.settimeout(5)
        inject(ground, arrived)
        assert receiver.recv(100) == b"question"
        never = internet.packet(there, here, UDP, internet.udp(there, here, 778, port, b"question"))
        for quote in (never, arrived):
            with refusable():
                sender.sendto(internet.message(here, there, *UNREACHABLE[version], data=quote), (there, 0))
        heard.settimeout(5)
        while True:
            raw = heard.recv(1000)
            got = raw[20:] if version == 4 else raw
            if (got[0], got[1]) == UNREACHABLE[version]:
                assert got[8:] == arrived
                break
        assert UNREACHABLE[version] not in told(heard, version, 0.3)


# --- path MTU discovery


@pytest.fixture
def narrow(ground: Ground) -> Iterator[int]:
    """The router's link to the server carries less than the client's own link."""
    assert ground.router is not None
    device = ground.link.end(ground.router).device
    other = ground.link.end(ground.server.host).device
    for host, name in ((ground.router, device), (ground.server.host, other)):
        host.run(["ip", "link", "set", name, "mtu", str(NARROW)])
    yield NARROW
    for host, name in ((ground.router, device), (ground.server.host, other)):
        host.run(["ip", "link", "set", name, "mtu", "1500"])
    for version in ("-4", "-6"):
        ground.client.host.run(["ip", version, "route", "flush", "cache"])


@VERSIONS
def test_a_connection_finds_the_narrow_place(ground: Ground, narrow: int, version: int) -> None:
    """The server promises large segments, the router refuses them, and the client's kernel hears of it."""
    ground.allow()
    size = 1 << 20
    with ground.listen(options=[(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1440)]) as listener:
        ground.server.host.run(["ip", "link", "set", ground.link.end(ground.server.host).device, "mtu", "1500"])
        with ground.connect(listener, version) as connection:
            sending = threading.Thread(target=connection.near.sendall, args=(bytes(size),))
            sending.start()
            assert len(read(connection.far, size)) == size
            sending.join(10)
            level, option = (socket.IPPROTO_IP, 14) if version == 4 else (socket.IPPROTO_IPV6, 24)
            assert connection.near.getsockopt(level, option) == narrow


@VERSIONS
def test_a_datagram_that_is_too_big_is_reported_to_its_sender(ground: Ground, narrow: int, version: int) -> None:
    port = ground.port()
    everywhere = dict.fromkeys(EVERYWHERE, NETWORK)
    ground.client.apply(says(CLIENT, NETWORK, "out"), prefixes=everywhere)
    ground.server.apply(says(SERVER, NETWORK, "in"), prefixes=everywhere)
    to = ground.server.host.address(version)
    level, discover, mtu = (socket.IPPROTO_IP, 10, 14) if version == 4 else (socket.IPPROTO_IPV6, 23, 24)
    with (
        ground.server.app.make(FAMILY[version], socket.SOCK_DGRAM, bind=(to, port)) as far,
        ground.client.app.make(
            FAMILY[version], socket.SOCK_DGRAM, options=[(level, discover, 2)], connect=(to, port)
        ) as near,
    ):
        near.send(bytes(1400))
        until(lambda: near.getsockopt(level, mtu) == narrow)
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EMSGSIZE  # what the router said
        with pytest.raises(OSError, match="too long"):
            near.send(bytes(1400))
        near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        near.send(bytes(narrow - 48))
        far.settimeout(5)
        assert len(far.recv(2000)) == narrow - 48


@VERSIONS
def test_a_forged_report_of_a_narrow_place_changes_nothing_for_connections(ground: Ground, version: int) -> None:
    """The kernel wants a quote of what is under way, sequence number and all."""
    ground.allow()
    here, there = ground.client.host.address(version), ground.server.host.address(version)
    level, mtu = (socket.IPPROTO_IP, 14) if version == 4 else (socket.IPPROTO_IPV6, 24)
    with ground.listen() as listener, ground.connect(listener, version) as connection:
        connection.exchange()
        own, port = connection.near.getsockname()[1], connection.near.getpeername()[1]
        for sport, dport, seq in ((own, port, 1), (own, port + 1, 1), (own + 1, port, 1)):
            quote = Segment(here, there, sport, dport, "A", seq=seq, payload=bytes(1400)).packet()
            inject(ground, error(ground, version, quote[:600], TOO_BIG[version], 1280))
        connection.exchange()
        assert connection.near.getsockopt(level, mtu) == 1500
