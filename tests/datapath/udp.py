"""Sockets and trailers for tests of datagrams between units."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence

import pytest

from testbed.datagrams import Datagram
from tests.datapath.ground import Side
from tests.datapath.workload import SocketOption
from watchword.identity.trailer import Message, Trailer

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
VERSIONS = pytest.mark.parametrize("version", [4, 6])


def bound(side: Side, version: int, port: int = 0, options: Sequence[SocketOption] = ()) -> socket.socket:
    """A socket of the side's unit that takes datagrams at any address."""
    address = "0.0.0.0" if version == 4 else "::"
    made = side.app.make(FAMILIES[version], socket.SOCK_DGRAM, bind=(address, port), options=options)
    made.settimeout(10)
    return made


def nothing(end: socket.socket, seconds: float = 0.3) -> None:
    """Nothing arrives."""
    before = end.gettimeout()
    end.settimeout(seconds)
    with pytest.raises(TimeoutError):
        end.recv(65536)
    end.settimeout(before)


def exchange(
    near: socket.socket, far: socket.socket, to: tuple[str, int], data: bytes = b"question"
) -> tuple[str, int]:
    """A datagram there and one back; returns where it came from."""
    near.sendto(data, to)
    taken, back = far.recvfrom(65536)
    assert taken == data
    far.sendto(data[::-1], back)
    assert near.recv(65536) == data[::-1]
    return back[0], back[1]


def trailer_of(datagram: Datagram) -> Trailer | None:
    """The trailer that a datagram carries; None where there is none at all."""
    return Trailer.parse(datagram.surplus, datagram.length) if datagram.surplus else None


def tells(message: Message) -> Callable[[Datagram], bool]:
    """A test for datagrams with such a trailer."""
    return lambda datagram: (found := trailer_of(datagram)) is not None and found.message is message


def emptied(side: Side, name: str) -> None:
    """Take everything out of one of a side's tables, as if it had been forgotten."""
    path = str(side.pinned() / name)
    dump = side.host.run(["bpftool", "-j", "map", "dump", "pinned", path])
    for entry in json.loads(dump.stdout):
        side.host.run(["bpftool", "map", "delete", "pinned", path, "key", *entry["key"]])
