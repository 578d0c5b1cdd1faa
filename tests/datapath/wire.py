"""What is on the wire at one end of a link, of any protocol: a packet socket outside every unit."""

from __future__ import annotations

import errno
import itertools
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from testbed import Host, Link
from testbed.internet import packet

_ETH_P_ALL, _SOL_PACKET, _PACKET_IGNORE_OUTGOING = 3, 263, 23
_MARKER = 254  # an experimental protocol that no test sends otherwise

_numbers = itertools.count(1)


class Wire:
    """Packets that arrive at ``host`` over ``link``, from the moment this is made."""

    def __init__(self, link: Link, host: Host) -> None:
        self._link, self._host = link, host
        self._socket = host.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._socket.bind((link.end(host).device, _ETH_P_ALL))

    def arrivals(self) -> list[bytes]:
        """IP packets that have arrived since the last time: all that was sent before this was called.

        A marker is put on the wire behind them; it passes no program that could hold it back.
        """
        other = self._link.other(self._host)
        number = next(_numbers).to_bytes(4, "big")
        self._link.inject(self._host, packet(other.address(4), self._link.end(self._host).address(4), _MARKER, number))
        found: list[bytes] = []
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if not select.select([self._socket], [], [], 1)[0]:
                continue
            frame = self._socket.recv(70000)
            if frame[12:14] not in (b"\x08\x00", b"\x86\xdd"):
                continue
            raw = frame[14:]
            if raw[0] >> 4 == 4 and raw[9] == _MARKER:
                if raw[20:24] == number:
                    return found
                continue
            found.append(raw)
        raise AssertionError("the marker did not arrive")

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@contextmanager
def wires(link: Link, host: Host) -> Iterator[Wire]:
    """One for the body of the ``with``."""
    made = Wire(link, host)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def refusable() -> Iterator[None]:
    """Some kinds of socket are told that what they sent was not let out, others are not."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
