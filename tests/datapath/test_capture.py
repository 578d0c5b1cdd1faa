"""Capturing: the same verdicts by programs with a witness, every packet told or counted, and nothing left of them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from testbed.fence import pair
from tests.datapath.ground import CLIENT, KEY, SERVER, Ground, grounds, says, until
from tests.datapath.udp import bound
from tests.datapath.workload import read
from watchword.enforcer.datapath.base import CapturedPacket, CaptureFilter
from watchword.enforcer.datapath.ebpf import seats
from watchword.enforcer.datapath.ebpf.glance import pins_in_force
from watchword.enforcer.datapath.ebpf.witness import Witness
from watchword.identity.trailer import Message, Trailer


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("capture") as made:
        yield made


class Taken:
    """A capture on the server's host that goes on."""

    def __init__(self, ground: Ground, witness: Witness, packets: list[CapturedPacket]) -> None:
        self._ground, self.witness, self._packets = ground, witness, packets

    def packets(self) -> list[CapturedPacket]:
        """What has been told so far, in order."""
        self.witness.poll(100)
        return sorted(self._packets, key=lambda packet: packet.time)

    def forget(self) -> None:
        """What has been told so far."""
        self.packets()
        self._packets.clear()

    def end(self) -> list[CapturedPacket]:
        """The agent puts its programs back; what was told until then."""
        self._ground.server.fence.call("reattach")
        return self.packets()


@contextmanager
def capturing(ground: Ground, unit: int = SERVER, **wanted: int | str) -> Iterator[Taken]:
    packets: list[CapturedPacket] = []
    with ground.server.host.enter():
        made = Witness(ground.server.host.pins / "watchword", CaptureFilter(unit, **wanted), packets.append)  # type: ignore[arg-type]
    try:
        with ground.server.host.enter():
            made.begin()
        yield Taken(ground, made, packets)
    finally:
        with ground.server.host.enter():
            made.close()


def in_force(ground: Ground) -> dict[tuple[str, str], int]:
    with ground.server.host.enter():
        found = seats.seats(pins_in_force(ground.server.host.pins / "watchword"))
        programs = {(seat.pin.name, seat.direction): seat.program() for seat in found}
        return {place: program for place, program in programs.items() if program is not None}


def test_each_packet_with_its_own_reason(ground: Ground) -> None:
    """Reasons are told apart though packets of several kinds come one after the other; both ways, both versions."""
    before = in_force(ground)
    port, other = ground.port(), ground.port()
    with ground.listen(port) as listener, ground.listen(other) as refused, capturing(ground) as taken:
        assert in_force(ground).keys() == before.keys()
        assert not set(in_force(ground).values()) & set(before.values()), "all places are taken"
        for version in (4, 6):
            with ground.connect(listener, version) as connection:
                connection.exchange()
        ground.server.trust([])
        with pytest.raises(TimeoutError):
            ground.connect(listener, timeout=0.5)
        ground.server.trust([pair("server", "client", KEY)])
        refusing = says(SERVER, CLIENT, "in", "Reject", explicit=True, rule="no")
        ground.server.apply(refusing, says(SERVER, CLIENT, "out"), reachable=False)
        with pytest.raises(ConnectionRefusedError):
            ground.connect(refused)
        with ground.server.app.make(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            datagram.setblocking(False)
            datagram.sendto(b"unasked", (ground.client.host.ipv4, 9))
        until(lambda: sum(packet.action == "Reject" for packet in taken.packets()) >= 3)
        packets = taken.end()
    ground.allow()
    assert in_force(ground) == before
    assert {packet.unit_badge for packet in packets} == {SERVER}
    assert {(p.direction, p.content[0] >> 4) for p in packets if p.action == "Allow"} == {
        ("incoming", 4), ("outgoing", 4), ("incoming", 6), ("outgoing", 6),
    }  # fmt: skip
    refusals = {(p.reason, p.direction, p.rule, p.peer_badge) for p in packets if p.action == "Reject"}
    assert {("key-missing", "incoming", "", CLIENT), ("policy", "incoming", "no", CLIENT)} <= refusals
    assert ("policy", "outgoing", "", 0) in refusals, "the datagram"
    assert {packet.revision for packet in packets} <= set(range(1, ground.server.revision + 1))
    assert all(packet.content == packet.content[: packet.length] for packet in packets)


def shows_what_ends_before_a_socket(ground: Ground, taken: Taken) -> None:
    """A call without proof goes to the Enforcer, one that policy rejects nowhere; both as they came."""
    taken.forget()
    port, to = ground.port(), ground.server.host.ipv4
    with bound(ground.server, 4, port) as far, bound(ground.client, 4) as near:
        ground.server.apply(says(SERVER, CLIENT, "in", "Reject", explicit=True, rule="no"))
        near.sendto(b"question", (to, port))
        until(lambda: any(packet.action == "Reject" for packet in taken.packets()))
        ground.allow()
        near.sendto(b"again", (to, port))
        assert far.recv(100) == b"again"
    packets = [packet for packet in taken.packets() if packet.direction == "incoming"]
    assert [(p.action, p.reason, p.rule, p.peer_badge) for p in packets[:2]] == [
        ("Reject", "policy", "no", CLIENT),
        ("Allow", "policy", "", 0),
    ]
    for packet in packets[:2]:
        assert (packet.content[0] >> 4, packet.length, len(packet.content)) == (4, 20 + 8 + 44, 20 + 8 + 44)
        hello = Trailer.parse(packet.content[28:], 8)
        assert hello is not None
        assert (hello.message, hello.badge, hello.dialled) == (Message.HELLO, CLIENT, port)
    assert [b"again" in packet.content for packet in packets] == [False, False, True]


def test_what_ends_before_a_socket(ground: Ground) -> None:
    with capturing(ground) as taken:
        shows_what_ends_before_a_socket(ground, taken)


def test_what_is_told_and_missed_is_all_there_was(ground: Ground) -> None:
    """A bulk transfer while the reader sleeps: nothing is lost uncounted, and the transfer does not notice."""
    size = 30_000_000
    with ground.listen() as listener, ground.connect(listener) as connection:
        connection.exchange()
        ground.server.flows(listener.getsockname()[1])
        port = listener.getsockname()[1]
        with capturing(ground, port=port, rate=1_000_000, snap=0) as taken:
            before = ground.server.flow(port)
            sender = threading.Thread(target=connection.near.sendall, args=(bytes(size),))
            sender.start()
            assert len(read(connection.far, size)) == size
            sender.join()
            after = ground.server.flow(port)
            rate, room = taken.witness.missed()
            packets = taken.end()
        assert (rate, room > 0) == (0, True), "or this shows nothing"
        wire = after.packets_in - before.packets_in + after.packets_out - before.packets_out
        seen = len(packets) + room
        assert 0 < seen <= wire + 2, "segments that the device has merged are one packet"
        assert {(packet.recorded, packet.peer_badge, packet.action) for packet in packets} == {(True, CLIENT, "Allow")}


def test_only_what_is_wanted(ground: Ground) -> None:
    with ground.listen() as listener, ground.connect(listener) as connection, capturing(ground) as taken:
        for wanted, told in (
            (CaptureFilter(SERVER, port=1), False),
            (CaptureFilter(SERVER, port=listener.getsockname()[1]), True),
            (CaptureFilter(SERVER, remote="198.51.100.0/24"), False),
            (CaptureFilter(SERVER, remote="10.0.0.0/8"), True),
            (CaptureFilter(SERVER, remote=f"{ground.client.host.ipv4}/32"), True),
            (CaptureFilter(SERVER, remote="fd00::/8"), False),
            (CaptureFilter(CLIENT), False),
            (CaptureFilter(SERVER), True),
        ):
            taken.forget()
            taken.witness.want(wanted)
            connection.exchange()
            assert bool(taken.packets()) is told, wanted
        taken.witness.want(CaptureFilter(SERVER, rate=3, snap=44))
        taken.forget()
        begun, number = time.monotonic(), 0
        while time.monotonic() < begun + 2.5:
            connection.exchange(bytes(200))
            number += 1
        packets, (rate, room) = taken.packets(), taken.witness.missed()
        assert {len(packet.content) for packet in packets} == {44}
        assert room == 0
        assert 3 <= len(packets) <= 3 * (time.monotonic() - begun + 2), "three in each second"
        assert len(packets) + rate >= 2 * number


def test_a_revision_during_a_capture_cuts_as_ever(ground: Ground) -> None:
    """And an agent that dies, or starts: whoever of the two is left puts the agent's programs back."""
    before = in_force(ground)
    with ground.listen() as listener:
        with capturing(ground) as taken:
            pins = {path.name for path in pins_in_force(ground.server.host.pins / "watchword").iterdir()}
            assert not pins & {"wanted", "packets", "missed", "pace", "scenes"}
            connection = ground.connect(listener)
            connection.exchange()
            ground.server.apply()
            assert "data" not in connection.ended().values()
            connection.close()
            ground.allow()
            ground.server.fence.kill()
            with ground.connect(listener) as another:
                another.exchange()
            assert taken.packets()
        assert in_force(ground) == before
        with ground.connect(listener) as another:
            another.exchange()
        ground.server.restart()
        with capturing(ground) as taken:
            during = in_force(ground)
            ground.server.fence.kill()
            ground.server.restart()
            agents = in_force(ground)
            assert not set(agents.values()) & {*during.values(), *before.values()}
        assert in_force(ground) == agents, "what an agent has put there since stays"


def test_by_filters_before_tcx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHWORD_DEVICE_HOOK", "clsact")
    with grounds("capturef") as ground, ground.listen() as listener:
        before = in_force(ground)
        assert any(name.startswith("clsact_") for name, _ in before)
        assert {direction for _, direction in before} == {"in", "out"}
        with capturing(ground) as taken:
            with ground.connect(listener) as connection:
                connection.exchange()
            assert {packet.direction for packet in taken.packets()} == {"incoming", "outgoing"}
            shows_what_ends_before_a_socket(ground, taken)
            taken.end()
        assert in_force(ground) == before
