"""Datagrams larger than a packet, judged as one in both directions and IP versions; and ports nobody listens on."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest

from testbed.packets import checksum
from tests.datapath.ground import CLIENT, SERVER, Ground, grounds, says, until

NETWORK = 20
LARGE = 4000  # three fragments
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("fragments") as made:
        yield made


def allow(ground: Ground, client: bool = True, server: bool = True) -> None:
    """Whether datagrams may leave the one and reach the other by their addresses; no identity could be met."""
    everywhere = {"0.0.0.0/0": NETWORK, "::/0": NETWORK}
    leaving = says(CLIENT, NETWORK, "out", "Allow" if client else "Reject")
    ground.client.apply(leaving, prefixes=everywhere, reachable=False)
    ground.server.apply(says(SERVER, NETWORK, "in", "Allow" if server else "Reject"), prefixes=everywhere)


def ends(ground: Ground, version: int) -> tuple[socket.socket, socket.socket]:
    """A socket of the client's that is connected to one of the server's."""
    family, port = FAMILIES[version], ground.port()
    far = ground.server.app.make(family, socket.SOCK_DGRAM, bind=(ground.server.host.address(version), port))
    near = ground.client.app.make(
        family,
        socket.SOCK_DGRAM,
        bind=(ground.client.host.address(version), 0),
        connect=(ground.server.host.address(version), port),
    )
    far.settimeout(5)
    near.settimeout(5)
    return near, far


def nothing(end: socket.socket) -> None:
    end.settimeout(0.3)
    with pytest.raises(TimeoutError):
        end.recv(65536)
    end.settimeout(5)


@pytest.mark.parametrize("version", [4, 6])
def test_a_fragmented_datagram_arrives_whole_and_so_does_its_answer(ground: Ground, version: int) -> None:
    allow(ground)
    near, far = ends(ground, version)
    with near, far:
        for size in (LARGE, 1, 60000):
            near.send(bytes([size % 256]) * size)
            data, peer = far.recvfrom(65536)
            assert data == bytes([size % 256]) * size
            far.sendto(data[::-1], peer)
            assert near.recv(65536) == data


@pytest.mark.parametrize("refusing", ["client", "server"])
@pytest.mark.parametrize("version", [4, 6])
def test_one_that_is_refused_arrives_not_even_in_part(ground: Ground, version: int, refusing: str) -> None:
    allow(ground, client=refusing != "client", server=refusing != "server")
    side = ground.client if refusing == "client" else ground.server
    before = side.counters()["dropped-policy"]
    near, far = ends(ground, version)
    with near, far:
        near.send(bytes(LARGE))
        until(lambda: side.counters()["dropped-policy"] == before + 1)
        nothing(far)
        allow(ground)
        near.send(b"later")
        assert far.recv(100) == b"later"


def udp(sport: int, dport: int, payload: bytes) -> bytes:
    """A UDP header without checksum (IPv4), and its payload."""
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def fragment4(ground: Ground, data: bytes, offset: int, more: bool, number: int) -> bytes:
    """A piece of an IP payload of the client's to the server; ``offset`` in bytes."""
    source, destination = (socket.inet_aton(side.host.ipv4) for side in (ground.client, ground.server))
    where = (0x2000 if more else 0) | offset // 8
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(data), number, where, 64, 17, 0, source, destination)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + data


def fragment6(ground: Ground, data: bytes, offset: int, more: bool, number: int) -> bytes:
    source, destination = (IPv6Address(side.host.ipv6).packed for side in (ground.client, ground.server))
    head = struct.pack("!IHBB16s16s", 6 << 28, 8 + len(data), 44, 64, source, destination)
    return head + struct.pack("!BBHI", 17, 0, offset | more, number) + data


def datagram(ground: Ground, version: int, sport: int, dport: int, payload: bytes) -> bytes:
    """UDP header with a right checksum, and payload."""
    plain = udp(sport, dport, payload)
    if version == 4:
        return plain
    source, destination = (IPv6Address(side.host.ipv6).packed for side in (ground.client, ground.server))
    total = checksum(source + destination + struct.pack("!IHBB", len(plain), 0, 0, 17) + plain)
    return plain[:6] + struct.pack("!H", total or 0xFFFF) + plain[8:]


@pytest.mark.parametrize("version", [4, 6])
def test_pieces_without_the_first_and_pieces_that_overlap_give_nothing(ground: Ground, version: int) -> None:
    """Right pieces, in any order, give the datagram: so it is what is wrong with the others that stops them."""
    allow(ground)
    make = fragment4 if version == 4 else fragment6
    near, far = ends(ground, version)
    with near, far:
        whole = datagram(ground, version, near.getsockname()[1], far.getsockname()[1], b"evil" * 12)
        evil = datagram(ground, version, near.getsockname()[1], far.getsockname()[1], b"good" * 12)
        pieces = [make(ground, whole[at : at + 24], at, at + 24 < len(whole), 1) for at in range(0, len(whole), 24)]
        ground.link.inject(ground.server.host, *reversed(pieces))
        assert far.recv(100) == b"evil" * 12
        without_first = [make(ground, whole[at : at + 24], at, at + 24 < len(whole), 2) for at in (24, 48)]
        overlapping = [
            make(ground, evil[:24], 0, True, 3),
            make(ground, whole[8:32], 8, True, 3),
            make(ground, whole[24:48], 24, True, 3),
            make(ground, whole[48:], 48, False, 3),
        ]
        ground.link.inject(ground.server.host, *without_first, *overlapping)
        nothing(far)
        near.send(b"still there")
        assert far.recv(100) == b"still there"


@pytest.mark.parametrize("version", [4, 6])
def test_pieces_of_a_refused_sender_give_nothing(ground: Ground, version: int) -> None:
    """The receiving end's policy sees the datagram that they make together, and only that."""
    allow(ground, server=False)
    make = fragment4 if version == 4 else fragment6
    near, far = ends(ground, version)
    with near, far:
        whole = datagram(ground, version, near.getsockname()[1], far.getsockname()[1], b"evil" * 12)
        before = ground.server.counters()["dropped-policy"]
        pieces = [make(ground, whole[at : at + 24], at, at + 24 < len(whole), 7) for at in range(0, len(whole), 24)]
        ground.link.inject(ground.server.host, *pieces)
        until(lambda: ground.server.counters()["dropped-policy"] == before + 1)
        nothing(far)


# --- ports that nobody listens on


@pytest.mark.parametrize("policy", ["allowed", "default", "rejected"])
@pytest.mark.parametrize("version", [4, 6])
def test_a_port_that_nobody_listens_on_is_closed_whatever_policy_says(
    ground: Ground, version: int, policy: str
) -> None:
    """There is no unit to protect: the kernel answers by RST, at once, and the client's end takes it for what it is."""
    ground.allow()
    if policy == "default":
        ground.server.apply()
    elif policy == "rejected":
        ground.server.apply(says(SERVER, CLIENT, "in", "Reject", explicit=True, rule="no"))
    port = ground.port()
    with pytest.raises(ConnectionRefusedError):
        ground.client.app.connect(ground.server.host.address(version), port, timeout=5)
    assert ground.server.flows(port) == []


@pytest.mark.parametrize("version", [4, 6])
def test_a_datagram_to_a_port_that_nobody_has_is_answered_by_icmp(ground: Ground, version: int) -> None:
    """The kernel's own ICMP error leaves, and reaches the sender, though no rule speaks of ICMP."""
    allow(ground)
    near, far = ends(ground, version)
    far.close()
    near.settimeout(0.5)
    with near:
        for _ in range(20):  # the kernel sends such errors at a limited rate
            try:
                near.send(b"anybody there?")
                near.recv(1)
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                return
        pytest.fail("twenty datagrams and no answer")
