"""A middlebox passes what it is told to pass, and nothing by itself."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from testbed import Host, Middlebox, Segment, Testbed
from testbed.middlebox import renumbered
from testbed.packets import checksums_are_right

Between = tuple[Middlebox, Host, Host]


@pytest.fixture
def between() -> Iterator[Between]:
    with Testbed("box") as bed:
        box = bed.middlebox("m")
        yield box, bed.host("near", box), bed.host("far", box)
    assert bed.leftovers() == []


def listener(host: Host, version: int) -> socket.socket:
    made = host.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    made.bind((host.address(version), 80))
    made.listen()
    made.settimeout(5)
    return made


def connect(host: Host, address: str, timeout: float = 5) -> socket.socket:
    made = host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    made.settimeout(timeout)
    try:
        made.connect((address, 80))
    except BaseException:
        made.close()
        raise
    return made


def echo(near: socket.socket, server: socket.socket, data: bytes) -> None:
    with near, server.accept()[0] as far:
        near.sendall(data)
        far.settimeout(5)
        received = b""
        while len(received) < len(data):
            received += far.recv(65536)
        assert received == data


@pytest.mark.parametrize("version", [4, 6])
def test_everything_passes_while_it_passes(between: Between, version: int) -> None:
    box, near, far = between
    with listener(far, version) as server:
        with pytest.raises(TimeoutError):
            connect(near, far.address(version), 0.5)
        with box.meddling():
            echo(connect(near, far.address(version)), server, b"x" * 50_000)
        with pytest.raises(TimeoutError):
            connect(near, far.address(version), 0.5)


@pytest.mark.parametrize("version", [4, 6])
def test_segments_are_changed_lost_and_multiplied(between: Between, version: int) -> None:
    box, near, far = between

    def meddle(segment: Segment) -> list[Segment]:
        if segment.payload == b"lose me":
            return []
        return [segment.with_(window=segment.window ^ 1), segment] if segment.payload else [segment]

    with far.capture("dst port 80") as taken, box.meddling(meddle):
        one = Segment(near.address(version), far.address(version), 4000, 80, "PA", payload=b"lose me", window=512)
        box.links[0].inject(box, one, one.with_(payload=b"data"))
        taken.wait(lambda s: s.payload == b"data", count=2)
    assert [(s.window, s.payload) for s in taken.segments()] == [(513, b"data"), (512, b"data")]
    assert all(checksums_are_right(frame.packet) for frame in taken.frames)


@pytest.mark.parametrize("version", [4, 6])
def test_sequence_numbers_are_others_on_each_side(between: Between, version: int) -> None:
    box, near, far = between
    meddle = renumbered(near.address(version), 1 << 31, 77)
    with (
        listener(far, version) as server,
        near.capture("tcp port 80") as here,
        far.capture("tcp port 80") as there,
        box.meddling(meddle),
    ):
        echo(connect(near, far.address(version)), server, b"renumbered")
    sent, arrived = (next(s for s in taken.segments() if s.flags == "S") for taken in (here, there))
    assert (arrived.seq - sent.seq) & 0xFFFFFFFF == 1 << 31


def test_a_failure_of_the_function_is_told(between: Between) -> None:
    box, near, far = between
    with (
        pytest.raises(RuntimeError, match="broke down"),
        box.meddling(lambda segment: [segment.with_(nothing=1)]),
        pytest.raises(TimeoutError),
    ):
        connect(near, far.ipv4, 0.5)
