"""Datagrams that no trailer fits behind: in fragments, segments or jumbo frames. Not even the first one is lost."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from testbed import Testbed
from testbed.datagrams import Recording
from tests.datapath.ground import CLIENT, SERVER, Ground, grounds, says, until
from tests.datapath.udp import VERSIONS, bound, emptied, exchange, nothing, tells
from watchword.identity.trailer import Message

UDP_SEGMENT, SO_RCVBUFFORCE = 103, 33
#: A veth hands buffers over as they are: each datagram of one that is sent again counts as much as the whole.
ROOM = [(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)]
OFFLOAD = pytest.mark.parametrize("offload", [True, False], ids=["offload", "no offload"])


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("udpsize") as made:
        yield made


@pytest.fixture(params=[True, False], ids=["offload", "no offload"])
def offload(ground: Ground, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whether checksums and segments are left to the devices."""
    ground.link.offload(request.param)
    yield
    ground.link.offload(True)


def to(ground: Ground, version: int, port: int) -> tuple[str, int]:
    return ground.server.host.address(version), port


def introduced(ground: Ground, version: int, port: int) -> None:
    """The two have met on this port, so that a session stands."""
    with bound(ground.server, version, port) as far, bound(ground.client, version) as near:
        exchange(near, far, to(ground, version, port))


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes that show whether one is missing, or in another's place."""
    return b"".join(struct.pack("!I", number * 2654435761 + seed & 0xFFFFFFFF) for number in range(size // 4 + 1))[
        :size
    ]


@VERSIONS
def test_large_datagrams_go_in_fragments_behind_a_proof(ground: Ground, version: int) -> None:
    port = ground.port()
    introduced(ground, version, port)
    with bound(ground.server, version, port) as far:
        for size in (1500, 4000, 60000):
            with bound(ground.client, version) as near:
                exchange(near, far, to(ground, version, port), bytes([size & 0xFF]) * size)


@VERSIONS
@pytest.mark.usefixtures("offload")
def test_a_fragmented_datagram_on_first_contact_arrives(ground: Ground, version: int) -> None:
    """Its fragments are kept, and follow the proof: one call, one bounce."""
    for size in (1473, 1481, 4000, 60000):
        port = ground.port()
        with (
            Recording(ground.server.host, port) as wire,
            bound(ground.server, version, port) as far,
            bound(ground.client, version) as near,
        ):
            exchange(near, far, to(ground, version, port), pattern(size))
            assert len(wire.datagrams(tells(Message.HELLO))) == 1
            assert len(wire.datagrams(tells(Message.BOUNCE))) == 1
            exchange(near, far, to(ground, version, port), pattern(size))


@VERSIONS
@pytest.mark.parametrize("connected", [True, False])
def test_large_and_small_ones_at_once_on_first_contact(ground: Ground, version: int, connected: bool) -> None:
    port = ground.port()
    data = [pattern(size, size) for size in (3000, 10, 9000, 1472 if version == 4 else 1452, 2000, 0, 5000)]
    with bound(ground.server, version, port) as far, bound(ground.client, version) as near:
        if connected:
            near.connect(to(ground, version, port))
        for each in data:
            near.send(each) if connected else near.sendto(each, to(ground, version, port))
        assert sorted(far.recv(65536) for _ in data) == sorted(data)
        nothing(far, 0.1)


@VERSIONS
@pytest.mark.parametrize("segment", [0, 1000], ids=["fragments", "segments"])
def test_a_server_that_has_forgotten_the_session_loses_no_large_one(ground: Ground, version: int, segment: int) -> None:
    """The data leaves under a session that is none any more: it is kept as well, and called for."""
    port = ground.port()
    introduced(ground, version, port)
    for name in ("udp_flows", "udp_admitted"):
        emptied(ground.server, name)
    with bound(ground.server, version, port, ROOM) as far, bound(ground.client, version) as near:
        if segment:
            near.setsockopt(socket.SOL_UDP, UDP_SEGMENT, segment)
        data = pattern(9500)
        near.sendto(data, to(ground, version, port))
        pieces = [data[at : at + segment] for at in range(0, 9500, segment)] if segment else [data]
        assert [far.recv(65536) for _ in pieces] == pieces
        nothing(far, 0.1)


@VERSIONS
@pytest.mark.parametrize("offload", [True, False], ids=["offload", "no offload"])
def test_segmented_datagrams_arrive_as_they_were_meant(ground: Ground, version: int, offload: bool) -> None:
    """UDP_SEGMENT: one buffer, many datagrams; a trailer behind it would become payload of the last."""
    port = ground.port()
    introduced(ground, version, port)
    ground.link.offload(offload)
    try:
        with bound(ground.server, version, port) as far, bound(ground.client, version) as near:
            near.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 1000)
            data = bytes(n & 0xFF for n in range(9500))
            near.sendto(data, to(ground, version, port))
            taken = [far.recv(65536) for _ in range(10)]
            assert taken == [data[at : at + 1000] for at in range(0, 9500, 1000)]
    finally:
        ground.link.offload(True)


@VERSIONS
@pytest.mark.usefixtures("offload")
def test_segmented_datagrams_on_first_contact_arrive_each(ground: Ground, version: int) -> None:
    """As many in one buffer as the kernel takes, of several sizes, with a shorter last one."""
    for segment, size in ((1000, 9500), (7, 7 * 63 + 1), (1400, 1400 * 45)):
        port = ground.port()
        with bound(ground.server, version, port, ROOM) as far, bound(ground.client, version) as near:
            near.setsockopt(socket.SOL_UDP, UDP_SEGMENT, segment)
            data = pattern(size)
            near.sendto(data, to(ground, version, port))
            pieces = [data[at : at + segment] for at in range(0, size, segment)]
            assert [far.recv(65536) for _ in pieces] == pieces


@VERSIONS
@pytest.mark.parametrize("segment", [0, 1000], ids=["fragments", "segments"])
def test_no_piece_of_a_large_one_goes_to_whom_no_rule_names(ground: Ground, version: int, segment: int) -> None:
    """The call has left, the answer names somebody else: no byte of the application's follows."""
    port = ground.port()
    ground.client.apply(says(CLIENT, SERVER, "out", "Reject"))
    raw = ground.server.host.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raw.settimeout(0.3)
    try:
        with bound(ground.server, version, port) as far, bound(ground.client, version) as near:
            if segment:
                near.setsockopt(socket.SOL_UDP, UDP_SEGMENT, segment)
            near.sendto(b"secret" * 1000, to(ground, version, port))
            until(lambda: bool(ground.client.flows(port)))
            assert ground.client.flow(port, "Reject").peer_badge == SERVER
            nothing(far)
        seen = []
        while True:
            try:
                seen.append(raw.recv(65536))
            except TimeoutError:
                break
        assert len(seen) >= 2
        assert not [frame for frame in seen if b"secret" in frame]
    finally:
        raw.close()
        ground.allow()


@pytest.fixture(scope="module")
def wide() -> Iterator[Ground]:
    """Two hosts on a link of jumbo frames."""
    with Testbed("udpwide") as bed:
        made = Ground(bed, mtu=9000)
        yield made
        made.close()
    assert bed.leftovers() == []


@VERSIONS
@OFFLOAD
def test_jumbo_frames_on_first_contact_arrive(wide: Ground, version: int, offload: bool) -> None:
    """One packet, kept in several pieces."""
    wide.link.offload(offload)
    for size in (1528, 1529, 1530, 3071, 3072, 9000 - (28 if version == 4 else 48)):
        port = wide.port()
        with bound(wide.server, version, port) as far, bound(wide.client, version) as near:
            exchange(near, far, to(wide, version, port), pattern(size))
            exchange(near, far, to(wide, version, port), pattern(size))
    wide.link.offload(True)
