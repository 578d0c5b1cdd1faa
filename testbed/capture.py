"""Packet capture by AF_PACKET sockets, all devices of a host at once, ``lo`` included.

Outgoing packets are seen after the device's tc egress programs, incoming ones before its tc ingress
programs: what is captured is what is on the wire.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType

from testbed.machine import Machine
from testbed.packets import Segment, parse_frame

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33
_BUFFER = 64 << 20

Filter = Callable[[Segment], bool]


@dataclass(frozen=True)
class Frame:
    """One captured frame. On ``lo`` every packet appears twice, outgoing and then incoming."""

    time: float
    device: str
    outgoing: bool
    raw: bytes

    @cached_property
    def segment(self) -> Segment | None:
        """The TCP segment in it, if it is one."""
        return parse_frame(self.raw)

    @property
    def packet(self) -> bytes:
        """Without the Ethernet header."""
        return self.raw[14:]


def compile_filter(text: str) -> Filter:
    """A filter from words joined by ``and``: ``tcp``, ``[src|dst] port N``, ``[src|dst] host A``."""
    tests: list[Filter] = []
    for clause in filter(None, (part.strip() for part in text.split(" and "))):
        words = ["tcp" if clause == "tcp" else "", *clause.removeprefix("tcp ").split()]
        if words[0] != "tcp":
            tests.append(_clause(words[1:], text))
    return lambda segment: all(test(segment) for test in tests)


def _clause(words: list[str], text: str) -> Filter:
    side = words.pop(0) if words and words[0] in ("src", "dst") else ""
    if len(words) != 2 or words[0] not in ("port", "host"):
        raise ValueError(f"capture filter {text!r}: use tcp, [src|dst] port N and [src|dst] host A, joined by 'and'")
    kind, value = words

    def matches(segment: Segment) -> bool:
        source, destination = (
            (str(segment.sport), str(segment.dport)) if kind == "port" else (segment.source, segment.destination)
        )
        return (side != "dst" and source == value) or (side != "src" and destination == value)

    return matches


class Capture:
    """A running capture of TCP segments; a context manager, and a list of frames when it is over."""

    def __init__(self, machine: Machine, filter: str | Filter = "tcp") -> None:
        self.frames: list[Frame] = []
        self.lost = 0  # frames the kernel had no room for
        self._filter = compile_filter(filter) if isinstance(filter, str) else filter
        self._socket = machine.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setblocking(False)
        self._ended = threading.Event()
        self._grew = threading.Condition()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="capture", daemon=True)

    def __enter__(self) -> Capture:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.lost = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
        self._socket.close()
        if self._failure is not None:
            raise RuntimeError("the capture broke off") from self._failure

    def segments(self) -> list[Segment]:
        """The captured segments in order (on ``lo`` only as they are sent)."""
        with self._grew:
            return [f.segment for f in self.frames if f.segment and (f.device != "lo" or f.outgoing)]

    def wait(self, test: Filter, *, count: int = 1, timeout: float = 5.0) -> Segment:
        """Wait until ``count`` segments pass ``test``; returns the last of them."""
        deadline = time.monotonic() + timeout
        with self._grew:
            while True:
                found = [f.segment for f in self.frames if f.segment and (f.device != "lo" or f.outgoing)]
                found = [segment for segment in found if test(segment)]
                if len(found) >= count:
                    return found[count - 1]
                if not self._grew.wait(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"{len(found)} of {count} such segments in {timeout} s")

    def _read(self) -> None:
        try:
            while not self._ended.is_set():
                if select.select([self._socket], [], [], 0.02)[0]:
                    self._drain()
            self._drain()
        except BaseException as error:  # handed to the owner when the capture ends
            self._failure = error

    def _drain(self) -> None:
        while True:
            try:
                raw, extra, _, (device, _, kind, *_) = self._socket.recvmsg(70000, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("qq", extra[0][2]) if extra else (0, 0)
            frame = Frame(seconds + nanoseconds / 1e9, device, kind == socket.PACKET_OUTGOING, raw)
            if frame.segment is not None and self._filter(frame.segment):
                with self._grew:
                    self.frames.append(frame)
                    self._grew.notify_all()
