"""IPv6 extension headers, IPv4 options and odd fragments: parsed to the end, or denied; never guessed.

What leaves is sent by a unit with raw sockets, what arrives is put on the wire by somebody else. In each case the
datagram behind the headers is one that policy allows, or the same one to a port that it does not.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial

import pytest

from testbed import Segment, internet
from testbed.internet import (
    DESTINATION,
    HOP_BY_HOP,
    ICMP6,
    TCP,
    UDP,
    Extension,
    fragment,
    padding,
    routing,
)
from testbed.packets import with_ipv4_options
from tests.datapath.ground import CLIENT, SERVER, Ground, grounds, says, until
from tests.datapath.rules import Rules
from tests.datapath.wire import wires

NETWORK = 20
EVERYBODY = {"0.0.0.0/0": NETWORK, "::/0": NETWORK}
JUMBO = Extension(HOP_BY_HOP, bytes([0, 0xC2, 4]) + struct.pack("!I", 70000))

#: Chains of extension headers before UDP, and whether they are known to their end.
CHAINS: dict[str, tuple[Sequence[Extension], bool]] = {
    "none": ((), True),
    "hop-by-hop": ((padding(HOP_BY_HOP),), True),
    "destination": ((padding(),), True),
    "long destination": ((padding(DESTINATION, 20),), True),
    "hop-by-hop, destination": ((padding(HOP_BY_HOP), padding()), True),
    "route that is over": ((routing(253, 0),), True),
    "destination, route, destination": ((padding(), routing(253, 0), padding()), True),
    "atomic fragment": ((fragment(0, False, 1),), True),
    "hop-by-hop, atomic fragment, destination": ((padding(HOP_BY_HOP), fragment(0, False, 1), padding()), True),
    "seven": ((padding(HOP_BY_HOP), *(padding(),) * 6), True),
    "nine": ((padding(HOP_BY_HOP), *(padding(),) * 8), False),
    "forty": ((padding(),) * 40, False),
    "hop-by-hop behind another": ((padding(), padding(HOP_BY_HOP)), False),
    "hop-by-hop twice": ((padding(HOP_BY_HOP), padding(HOP_BY_HOP)), False),
    "route ahead": ((routing(4, 1, "2001:db8::1"),), False),
    "mobile route ahead": ((routing(2, 1, "2001:db8::1"),), False),
    "source route": ((routing(0, 0),), False),
    "source route ahead": ((routing(0, 1, "2001:db8::1"),), False),
    "two fragment headers": ((fragment(0, False, 1), fragment(0, False, 2)), False),
    "jumbo": ((JUMBO,), True),  # an option; a jumbogram has no other length
    "longer than the packet": ((Extension(DESTINATION, bytes([200, 1, 4, 0, 0, 0, 0])),), False),
}

#: IPv4 options, and whether they leave the destination what it is.
OPTIONS: dict[str, tuple[bytes, bool]] = {
    "none": (b"", True),
    "router alert": (b"\x94\x04\0\0", True),
    "no operation": (b"\1\1\1\0", True),
    "record route": (bytes([7, 7, 4]) + bytes(5), True),
    "as many as there may be": (b"\1" * 39 + b"\0", True),
    "loose source route": (bytes([131, 7, 4]) + socket.inet_aton("198.51.100.1") + b"\0", False),
    "strict source route": (b"\1" + bytes([137, 7, 4]) + socket.inet_aton("198.51.100.1"), False),
    "source route at the end": (b"\1" * 32 + bytes([131, 7, 8]) + bytes(4) + b"\0", False),
    "without a length": (b"\1\1\1\x94", False),
    "length one": (bytes([148, 1, 0, 0]), False),
    "beyond the header": (bytes([148, 9, 0, 0]), False),
}


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("headers") as made:
        made.client.host.sysctl("net.ipv4.conf.all.accept_source_route", 1)
        yield made


def chained(ground: Ground, chain: Sequence[Extension], sport: int, dport: int, data: bytes) -> bytes:
    """A UDP datagram of the client's to the server behind these headers."""
    here, there = ground.client.host.ipv6, ground.server.host.ipv6
    return internet.ipv6(here, there, UDP, internet.udp(here, there, sport, dport, data), chain=chain)


def optioned(ground: Ground, options: bytes, sport: int, dport: int, data: bytes) -> bytes:
    here, there = ground.client.host.ipv4, ground.server.host.ipv4
    return internet.ipv4(here, there, UDP, internet.udp(here, there, sport, dport, data), options=options)


def leaving(ground: Ground, *packets: bytes) -> list[bytes]:
    """Which of these leave, when a socket of the unit sends them."""
    four = ground.client.app.make(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    six = ground.client.app.make(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with wires(ground.link, ground.server.host) as wire, four, six:
        for made in packets:
            with suppress(OSError):  # the kernel may say so; whether it left is seen on the wire
                if made[0] >> 4 == 4:
                    four.sendto(made, (socket.inet_ntoa(made[16:20]), 0))
                else:
                    six.sendto(made, (socket.inet_ntop(socket.AF_INET6, made[24:40]), 0))
        return [raw for raw in wire.arrivals() if raw[0] >> 4 == 4 or raw[6] != ICMP6]


def test_what_leaves_behind_extension_headers_is_what_policy_lets_out(ground: Ground) -> None:
    """By the port that stands behind the last of them; what is not known to its end stays here, and is counted."""
    good, bad = ground.port(), ground.port()
    Rules(ground.client).outgoing(f"udp/{good}").apply()
    unknown = ground.client.counters()["dropped-malformed"]
    refused = ground.client.counters()["dropped-policy"]
    for name, (chain, known) in CHAINS.items():
        allowed, other = (chained(ground, chain, 1, port, name.encode()) for port in (good, bad))
        assert leaving(ground, allowed, other) == [allowed] * known, name
    strange = sum(not known for _, known in CHAINS.values())
    assert ground.client.counters()["dropped-malformed"] == unknown + 2 * strange
    assert ground.client.counters()["dropped-policy"] == refused + len(CHAINS) - strange


def test_what_leaves_behind_ipv4_options_goes_where_the_header_says(ground: Ground) -> None:
    good, bad = ground.port(), ground.port()
    Rules(ground.client).outgoing(f"udp/{good}").apply()
    for name, (options, known) in OPTIONS.items():
        allowed, other = (optioned(ground, options, 1, port, name.encode()) for port in (good, bad))
        left = leaving(ground, allowed, other)
        assert [raw[-len(name) :] for raw in left] == [name.encode()] * known, name
        assert all(struct.unpack_from("!H", internet.upper(raw)[1], 2)[0] == good for raw in left), name


@pytest.mark.parametrize("version", [4, 6])
def test_what_arrives_behind_headers_is_judged_by_what_stands_behind_them(ground: Ground, version: int) -> None:
    """The receiving kernel drops some of these itself. Of those it takes, none reaches a port that is not allowed."""
    good, bad = ground.port(), ground.port()
    Rules(ground.server).incoming(f"udp/{good}").apply()
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    address = ground.server.host.address(version)
    cases: dict[str, tuple[Callable[[int, int, bytes], bytes], bool]]
    if version == 6:
        cases = {name: (partial(chained, ground, chain), known) for name, (chain, known) in CHAINS.items()}
    else:
        cases = {name: (partial(optioned, ground, options), known) for name, (options, known) in OPTIONS.items()}
    with (
        ground.server.app.make(family, socket.SOCK_DGRAM, bind=(address, good)) as open_,
        ground.server.app.make(family, socket.SOCK_DGRAM, bind=(address, bad)) as closed,
    ):
        open_.settimeout(5)
        for number, (name, (make, known)) in enumerate(cases.items()):
            for port in (bad, good):
                ground.link.inject(ground.server.host, make(5000 + number, port, name.encode()))
            if known and name != "jumbo":  # the kernel takes no such option in a small packet
                assert open_.recv(100) == name.encode()
        open_.settimeout(0.3)
        with pytest.raises(TimeoutError):
            open_.recv(100)
        closed.settimeout(0.1)
        with pytest.raises(TimeoutError):
            closed.recv(100)


# --- fragments that leave


def test_later_fragments_follow_a_first_one_that_was_let_out_and_no_other(ground: Ground) -> None:
    """Nor does a first one leave that lacks the header by which it would be judged."""
    port, other = ground.port(), ground.port()
    Rules(ground.client).outgoing(f"udp/{port}", "icmp6/128").apply()
    here, there = ground.client.host.ipv6, ground.server.host.ipv6
    four = ground.client.host.ipv4, ground.server.host.ipv4

    def piece6(dport: int, offset: int, more: bool, number: int, size: int = 24, *behind: Extension) -> bytes:
        whole = internet.udp(here, there, 1, dport, bytes(100))
        chain = (fragment(offset, more, number), *behind)
        return internet.ipv6(here, there, UDP, whole[offset : offset + size], chain=chain)

    def piece4(dport: int, offset: int, more: bool, number: int, size: int = 24) -> bytes:
        whole = internet.udp(*four, 1, dport, bytes(100))
        return internet.ipv4(*four, UDP, whole[offset : offset + size], offset=offset, more=more, number=number)

    for make in (piece4, piece6):
        first, second = make(port, 0, True, 1), make(port, 24, False, 1)
        assert leaving(ground, first, second) == [first, second]
        assert leaving(ground, make(port, 24, False, 2), make(port, 0, True, 2)) == [make(port, 0, True, 2)]
        assert leaving(ground, make(other, 0, True, 3), make(other, 24, False, 3)) == []
        assert leaving(ground, make(port, 0, True, 4, 0), make(port, 8, False, 4)) == []  # no header at all
    assert leaving(ground, piece6(port, 0, True, 5, 24, padding())) != []
    before = ground.client.counters()["dropped-malformed"]
    split = internet.ipv6(
        here, there, DESTINATION, bytes([UDP]) + padding(DESTINATION, 3).rest[:7], chain=(fragment(0, True, 6),)
    )
    assert leaving(ground, split) == []  # the chain goes on in another fragment (RFC 7112)
    assert ground.client.counters()["dropped-malformed"] == before + 1


# --- TCP takes no extension headers


def tcp(ground: Ground, flags: str, sport: int, dport: int, **more: object) -> bytes:
    here, there = ground.client.host.ipv6, ground.server.host.ipv6
    plain = Segment(here, there, sport, dport, flags).with_(**more)
    return internet.ipv6(here, there, TCP, plain.tcp(), chain=(padding(),))


def test_segments_behind_headers_open_nothing_and_carry_nothing(ground: Ground) -> None:
    """Also from an address that may connect: neither a SYN nor data for a connection that is open."""
    ground.client.apply(says(CLIENT, SERVER, "out"))
    ground.server.apply(says(SERVER, CLIENT, "in"), says(SERVER, NETWORK, "in"), prefixes=EVERYBODY)
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        for version in (4, 6):
            with ground.connect(listener, version) as connection:
                connection.exchange()
                with ground.server.host.capture(f"src port {connection.near.getsockname()[1]}") as taken:
                    connection.near.sendall(b"x")
                    assert connection.far.recv(1) == b"x"
                    taken.wait(lambda s: s.payload == b"x")
                last = next(s for s in taken.segments() if s.payload == b"x")
                more = last.with_(seq=last.seq + 1, payload=b"evil", flags="PA")
                own = connection.near.getsockname()[1]
                before = ground.server.counters()["dropped-malformed"]
                if version == 6:
                    made = [
                        tcp(
                            ground,
                            "PA",
                            own,
                            port,
                            seq=more.seq,
                            ack=more.ack,
                            payload=b"evil",
                            raw_options=more.raw_options,
                        ),
                        tcp(ground, "S", 4000, port),
                    ]
                else:
                    syn = Segment(ground.client.host.ipv4, ground.server.host.ipv4, 4000, port, "S").packet()
                    made = [
                        with_ipv4_options(more.packet(), b"\x94\x04\0\0"),
                        with_ipv4_options(syn, b"\x83\x07\x04" + bytes(5)),
                    ]
                ground.link.inject(ground.server.host, *made)
                until(lambda before=before: ground.server.counters()["dropped-malformed"] > before)  # type: ignore[misc]
                connection.near.sendall(b"good")
                assert connection.far.recv(10) == b"good"
        listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_stream_with_extension_headers_does_not_leave(ground: Ground) -> None:
    """It could carry no identity. The application waits; the counter tells why."""
    ground.client.apply(says(CLIENT, NETWORK, "out"), says(CLIENT, SERVER, "out"), prefixes=EVERYBODY)
    sticky = (socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0]))
    before = ground.client.counters()["dropped-malformed"]
    with ground.listen() as listener, wires(ground.link, ground.server.host) as wire:
        with pytest.raises(TimeoutError):
            ground.connect(listener, 6, options=[sticky], timeout=0.5)
        assert [raw for raw in wire.arrivals() if internet.upper(raw)[0] == TCP] == []
    assert ground.client.counters()["dropped-malformed"] > before
