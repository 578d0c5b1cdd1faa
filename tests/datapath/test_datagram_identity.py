"""Datagrams between units by identity: first contact, sessions, sizes, checksums; nothing is lost on the way."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from testbed.datagrams import Recording
from testbed.packets import checksum
from tests.datapath.ground import CLIENT, KEY, SERVER, Ground, grounds, until
from tests.datapath.udp import VERSIONS, bound, emptied, exchange, nothing, tells, trailer_of
from watchword.identity.trailer import Message


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("udp") as made:
        yield made


def to(ground: Ground, version: int, port: int) -> tuple[str, int]:
    return ground.server.host.address(version), port


@VERSIONS
def test_what_is_on_the_wire_is_what_the_reference_computes(ground: Ground, version: int) -> None:
    """First contact and the flow after it: every byte behind the datagrams, and every checksum."""
    port = ground.port()
    ground.link.offload(False)
    try:
        with (
            Recording(ground.server.host, port) as wire,
            bound(ground.server, version, port) as far,
        ):
            for data in (b"even", b"odd"):
                with bound(ground.client, version) as near:
                    exchange(near, far, to(ground, version, port), data)
                    near.sendto(b"later", to(ground, version, port))
                    assert far.recv(100) == b"later"
            taken = wire.datagrams()
    finally:
        ground.link.offload(True)
    assert all(each.udp_checksum == each.right_checksum() for each in taken)
    trailers = [(each, found) for each in taken if (found := trailer_of(each))]
    assert [(found.message.name, each.payload) for each, found in trailers] == [
        ("HELLO", b""),
        ("BOUNCE", b""),
        ("CHALLENGE", b"even"),
        ("ANSWER", b"neve"),
        ("SESSION", b"odd"),
        ("ANSWER", b"ddo"),
    ]
    for each, found in trailers:
        assert each.surplus == found.surplus(each.length)
        client = found.message in (Message.HELLO, Message.SESSION, Message.CHALLENGE)
        assert (found.badge, found.dialled, found.epoch) == (CLIENT if client else SERVER, port, 1)
        assert found.bodyless == (not each.payload)
        if found.message is not Message.HELLO:
            assert found.proof == found.expected_proof(KEY, CLIENT, SERVER)
    hello, bounced, challenge, answer, session, _ = (found for _, found in trailers)
    assert hello.nonce == bounced.nonce == challenge.nonce == answer.nonce
    assert (hello.ticket, bounced.server_nonce) == (bounced.ticket, challenge.server_nonce)
    assert session.server_nonce == answer.server_nonce
    assert session.nonce > 0


@VERSIONS
def test_first_contact_costs_one_round_trip_and_later_flows_none(ground: Ground, version: int) -> None:
    port = ground.port()
    with Recording(ground.server.host, port) as wire, bound(ground.server, version, port) as far:
        for _ in range(5):
            with bound(ground.client, version) as near:
                exchange(near, far, to(ground, version, port))
        assert len(wire.datagrams(tells(Message.BOUNCE))) == 1
        assert len(wire.datagrams()) == 2 * 5 + 2
    for side, peer in ((ground.client, SERVER), (ground.server, CLIENT)):
        flow = side.flow(port)
        assert (flow.peer_badge, flow.proved, flow.connections, flow.reason) == (peer, True, 5, "policy")


@VERSIONS
@pytest.mark.parametrize("connected", [True, False])
def test_many_datagrams_at_once_on_first_contact_are_none_lost(ground: Ground, version: int, connected: bool) -> None:
    """All that leave before the server has answered are sent again, in their order."""
    port = ground.port()
    with bound(ground.server, version, port) as far, bound(ground.client, version) as near:
        if connected:
            near.connect(to(ground, version, port))
        for number in range(50):
            data = b"%d" % number
            near.send(data) if connected else near.sendto(data, to(ground, version, port))
        assert [far.recv(100) for _ in range(50)] == [b"%d" % number for number in range(50)]
        nothing(far, 0.1)


@VERSIONS
@pytest.mark.parametrize("offload", [True, False], ids=["offload", "no offload"])
def test_every_size_up_to_the_mtu_arrives_whole(ground: Ground, version: int, offload: bool) -> None:
    """On first contact and under a session; whatever does not fit behind the payload goes ahead of it."""
    ground.link.offload(offload)
    largest = 1500 - (28 if version == 4 else 48)
    try:
        for size in (0, 1, 2, 3, 512, 1200, 1235, 1236, largest - 45, largest - 44, largest - 1, largest):
            port = ground.port()
            with bound(ground.server, version, port) as far:
                for _ in range(2):
                    with bound(ground.client, version) as near:
                        data = bytes(n * 7 & 0xFF for n in range(size))
                        exchange(near, far, to(ground, version, port), data)
                        exchange(near, far, to(ground, version, port), data)
    finally:
        ground.link.offload(True)


def test_a_sender_that_wants_no_checksum_has_none(ground: Ground) -> None:
    port = ground.port()
    so_no_check = (socket.SOL_SOCKET, 11, 1)
    with (
        Recording(ground.server.host, port) as wire,
        bound(ground.server, 4, port) as far,
        bound(ground.client, 4, 0, [so_no_check]) as near,
    ):
        exchange(near, far, to(ground, 4, port))
        assert [each.udp_checksum for each in wire.datagrams(lambda d: d.payload == b"question")] == [0]


@VERSIONS
def test_a_flow_without_answers_goes_on(ground: Ground, version: int) -> None:
    """Nothing comes back, so each datagram says who sends it; none is bounced but the first."""
    port = ground.port()
    with (
        Recording(ground.server.host, port) as wire,
        bound(ground.server, version, port) as far,
        bound(ground.client, version) as near,
    ):
        for number in range(20):
            near.sendto(b"%d" % number, to(ground, version, port))
            assert far.recv(100) == b"%d" % number
        assert len(wire.datagrams(tells(Message.BOUNCE))) == 1


@VERSIONS
def test_who_forgets_is_told_again(ground: Ground, version: int) -> None:
    """The server's tables are gone, as after a reboot: a flow that goes on proves itself, as before or anew."""
    port = ground.port()
    with bound(ground.server, version, port) as far, bound(ground.client, version) as near:
        exchange(near, far, to(ground, version, port))
        for name in ("udp_flows", "udp_admitted"):
            emptied(ground.server, name)
        time.sleep(1.1 if version == 6 else 9.5)  # the nonce of the bounce is good for less
        exchange(near, far, to(ground, version, port))


@VERSIONS
def test_a_server_that_is_called_calls_back_on_its_own_account(ground: Ground, version: int) -> None:
    """Answers belong to the flow; a datagram to another port of the client's is a flow of the server's own."""
    port, other = ground.port(), ground.port()
    with (
        bound(ground.server, version, port) as far,
        bound(ground.client, version) as near,
        bound(ground.client, version, other) as elsewhere,
    ):
        where = exchange(near, far, to(ground, version, port))
        far.sendto(b"by the way", (where[0], other))
        assert elsewhere.recv(100) == b"by the way"
        assert ground.server.flow(other).direction == "outgoing"
        assert ground.client.flow(other).direction == "incoming"


def test_multicast_and_broadcast_carry_nothing(ground: Ground) -> None:
    """Nobody could prove anything for all who listen: judged by address, here refused."""
    port = ground.port()
    with (
        Recording(ground.server.host, port) as wire,
        bound(ground.client, 4, 0, [(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)]) as near,
    ):
        host = ground.client.host
        host.run(["ip", "route", "add", "224.0.0.0/4", "dev", host.end.device])
        for address in ("239.1.2.3", str(host.end.ipv4.network.broadcast_address)):
            near.sendto(b"everybody", (address, port))
            until(lambda address=address: any(f.peer_address == address for f in ground.client.flows(port)))  # type: ignore[misc]
        assert wire.datagrams() == []


def test_the_sum_of_a_whole_packet_is_that_of_its_datagram(ground: Ground) -> None:
    """What a router or a device sums that knows nothing of options (RFC 9868, section 9)."""
    port = ground.port()
    ground.link.offload(False)
    try:
        with (
            Recording(ground.server.host, port) as wire,
            bound(ground.server, 4, port) as far,
            bound(ground.client, 4) as near,
        ):
            exchange(near, far, to(ground, 4, port), b"odd")
    finally:
        ground.link.offload(True)
    stamped = wire.datagrams(lambda d: bool(d.surplus))
    assert len(stamped) == 4
    for each in stamped:
        packet = each.packet()
        pseudo = packet[12:20] + struct.pack("!HH", 17, len(packet) - 20)
        assert checksum(pseudo + packet[20:]) == 0


@VERSIONS
def test_sockets_that_stand_need_no_restart(ground: Ground, version: int) -> None:
    """Made before the programs were attached."""
    server = ground.server
    port = ground.port()
    with bound(server, version, port) as far, bound(ground.client, version) as near:
        server.fence.close()
        server.fence.start()
        server.place()
        server.revision = 0
        ground.trust()
        ground.allow()
        exchange(near, far, to(ground, version, port))
        assert server.flow(port).proved
