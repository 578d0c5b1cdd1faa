"""Games with single segments: on tuples that were refused, that live, and that are over; broken headers."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from testbed.packets import Option, Segment, checksum, mss, with_ipv4_options
from tests.attack.ground import Battlefield, announces, battlefields
from tests.datapath.ground import CLIENT
from watchword.identity.transcript import OPTION_KIND, SynOption

FLAGS = ["A", "PA", "FA", "F", "R", "RA", "SA", "SR", "SF", "SAR", "P", "U", "", "SPUFRA"]


@pytest.fixture(scope="module")
def field() -> Iterator[Battlefield]:
    with battlefields("tuples") as made:
        yield made


@pytest.fixture
def listener(field: Battlefield) -> Iterator[socket.socket]:
    with field.listen() as listening:
        listening.settimeout(0.4)
        yield listening


def refused(listener: socket.socket) -> None:
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize("flags", FLAGS)
def test_a_refused_tuple_stays_refused(field: Battlefield, listener: socket.socket, flags: str) -> None:
    """After a SYN that was refused, nothing else opens what it asked for."""
    port = listener.getsockname()[1]
    syn = field.syn(port)
    after = syn.with_(flags=flags, seq=syn.seq + 1, ack=1, payload=b"evil" * ("P" in flags), options=[])
    with field.server.host.capture(f"src port {port}") as answers:
        field.send(syn, after, after.with_(seq=syn.seq), syn)
        refused(listener)
    assert answers.segments() == []


@pytest.mark.parametrize("flags", FLAGS)
def test_an_announced_tuple_needs_its_proof(field: Battlefield, listener: socket.socket, flags: str) -> None:
    """After a SYN-ACK with a proof, no segment without one makes a connection, whatever its flags."""
    port = listener.getsockname()[1]
    syn = field.syn(port, announces(port))
    with field.server.host.capture(f"src port {port}") as answers:
        field.send(syn)
        answer = answers.wait(lambda s: s.has("SA"))
        tail = answer.reply(flags, seq=answer.ack, ack=answer.seq + 1, payload=b"evil" * ("P" in flags))
        field.send(tail, tail.with_(seq=tail.seq - 1), tail.with_(ack=answer.seq), tail)
        refused(listener)


@pytest.mark.parametrize("flags", FLAGS)
def test_a_live_connection_survives_blind_segments(field: Battlefield, listener: socket.socket, flags: str) -> None:
    """Off the path, right addresses and ports, sequence numbers guessed over the whole space."""
    with field.connect(listener) as connection:
        connection.exchange()
        blind = Segment(
            field.client.host.ipv4,
            field.server.host.ipv4,
            connection.near.getsockname()[1],
            listener.getsockname()[1],
            flags,
            payload=b"evil" * ("P" in flags),
        )
        field.send(*(blind.with_(seq=seq, ack=seq ^ 0x5A5A5A5A) for seq in range(7, 1 << 32, 1 << 26)))
        connection.exchange(b"untouched")


@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize("flags", ["S", *FLAGS])
def test_a_released_tuple_is_not_inherited(field: Battlefield, listener: socket.socket, how: str, flags: str) -> None:
    """The connection was proved and is over: from its address and port nothing follows without a new proof."""
    connection = field.connect(listener)
    connection.exchange()
    port = connection.near.getsockname()[1]
    if how == "reset":
        connection.near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.near.close()
    connection.far.close()
    time.sleep(0.05)
    after = Segment(
        field.client.host.ipv4,
        field.server.host.ipv4,
        port,
        listener.getsockname()[1],
        flags,
        seq=1 << 30,
        ack=1 << 29,
        payload=b"evil" * ("P" in flags),
    )
    field.send(*(after.with_(seq=after.seq + step) for step in range(0, 1 << 31, 1 << 27)))
    refused(listener)


def _valid(port: int) -> bytes:
    return SynOption(CLIENT, 1, port, 7).data()


BROKEN = {
    "empty": lambda data: Option(OPTION_KIND, b""),
    "only the experiment": lambda data: Option(OPTION_KIND, data[:2]),
    "other experiment": lambda data: Option(OPTION_KIND, b"WX" + data[2:]),
    "other kind": lambda data: Option(254, data),
    "one byte short": lambda data: Option(OPTION_KIND, data[:-1]),
    "one byte long": lambda data: Option(OPTION_KIND, data + b"\0"),
    "length too small": lambda data: Option(OPTION_KIND, data, length=19),
    "length too large": lambda data: Option(OPTION_KIND, data, length=21),
    "length zero": lambda data: Option(OPTION_KIND, data, length=0),
    "length one": lambda data: Option(OPTION_KIND, data, length=1),
    "length of an ACK": lambda data: Option(OPTION_KIND, data, length=28),
    "length beyond the header": lambda data: Option(OPTION_KIND, data, length=255),
    "version 0": lambda data: Option(OPTION_KIND, data[:7] + b"\0" + data[8:]),
    "version 2": lambda data: Option(OPTION_KIND, data[:7] + b"\2" + data[8:]),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_option_is_no_identity(field: Battlefield, listener: socket.socket, how: str) -> None:
    """Judged by address like any stranger: here that means no answer at all."""
    port = listener.getsockname()[1]
    with field.server.host.capture(f"src port {port}") as answers:
        field.send(field.syn(port, BROKEN[how](_valid(port))))
        refused(listener)
    assert answers.segments() == []


@pytest.mark.parametrize("after", [[Option(1)] * 4, [Option(0)] * 4, [Option(3, b"\7"), Option(1)], [Option(4)]])
def test_an_option_that_is_not_the_last_is_none(
    field: Battlefield, listener: socket.socket, after: list[Option]
) -> None:
    port = listener.getsockname()[1]
    with field.server.host.capture(f"src port {port}") as answers:
        field.send(field.syn(port, announces(port), *after))
        refused(listener)
    assert answers.segments() == []


def test_of_two_options_the_last_one_speaks(field: Battlefield, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    stranger, known = announces(port, 0xDEAD0001), announces(port)
    for first, second, expected in ((stranger, known, 1), (known, stranger, 0)):
        with field.server.host.capture(f"src port {port}") as answers:
            syn = field.syn(port).with_(options=[first, second])
            field.send(syn)
            refused(listener)
        found = [s for s in answers.segments() if s.ack == syn.seq + 1]  # and none that is sent again to the first
        assert len([s for s in found if s.has("SA")]) >= expected
        assert bool(found) == bool(expected)


#: MSS and the option behind 20 bytes of header.
HONEST_WORDS = (20 + 4 + 20) // 4


@pytest.mark.parametrize("words", [words for words in range(16) if words != HONEST_WORDS])
def test_a_data_offset_that_lies(field: Battlefield, listener: socket.socket, words: int) -> None:
    """The option stands where an honest offset would put it; only that one is read."""
    port = listener.getsockname()[1]
    honest = field.syn(port, announces(port))
    with field.server.host.capture(f"src port {port}") as answers:
        field.send(honest.with_(data_offset=words))
        refused(listener)
    assert answers.segments() == []


def test_ip_options_hide_nothing(field: Battlefield, listener: socket.socket) -> None:
    """The TCP header moves by the options' length; what is behind is judged all the same."""
    port = listener.getsockname()[1]
    for syn in (field.syn(port), field.syn(port, announces(port, 0xDEAD0001))):
        field.send(with_ipv4_options(syn.packet(), b"\1" * 8))
    refused(listener)


@pytest.mark.parametrize("kind", [0, 43, 60, 51, 135])
def test_ipv6_extension_headers_are_refused(field: Battlefield, listener: socket.socket, kind: int) -> None:
    port = listener.getsockname()[1]
    syn = Segment(field.client.host.ipv6, field.server.host.ipv6, 30000 + kind, port, options=[mss(), announces(port)])
    packet = syn.packet()
    extension = bytes([6, 0, 1, 4, 0, 0, 0, 0])
    moved = packet[:4] + struct.pack("!H", len(packet) - 40 + 8) + bytes([kind]) + packet[7:40] + extension
    with field.server.host.capture(f"src port {port}") as answers:
        field.send(moved + packet[40:])
        refused(listener)
    assert not [s for s in answers.segments() if s.has("SA")]


@pytest.mark.parametrize("size", [8, 16, 24])
def test_fragments_are_judged_whole(field: Battlefield, listener: socket.socket, size: int) -> None:
    """The kernel puts them together before any program here looks; a stranger stays one, a badge needs its proof."""
    port = listener.getsockname()[1]
    for number, syn in enumerate((field.syn(port), field.syn(port, announces(port, 0xDEAD0001)))):
        body = syn.tcp()
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        for index, piece in enumerate(pieces):
            more = 0x2000 if index + 1 < len(pieces) else 0
            source, destination = (socket.inet_aton(a) for a in (syn.source, syn.destination))
            head = struct.pack(
                "!BBHHHBBH4s4s",
                *(0x45, 0, 20 + len(piece), 77 + number, more | index * size // 8, 64, 6, 0),
                source,
                destination,
            )
            head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
            field.send(head + piece)
    refused(listener)
