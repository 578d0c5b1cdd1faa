"""UDP datagrams with what stands behind them: built byte by byte, parsed, and recorded on a host's devices.

The bytes behind the UDP length and inside the IP length (the surplus area of RFC 9868) are kept apart.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from types import TracebackType

from testbed.machine import Machine
from testbed.packets import checksum

_UDP = 17
_ETH_P_ALL = 3
_SO_RCVBUFFORCE = 33
_BUFFER = 8 << 20


@dataclass(frozen=True, slots=True)
class Datagram:
    """A whole UDP datagram in an IP packet. ``udp_checksum`` None computes it; 0 leaves it out."""

    source: str
    destination: str
    sport: int
    dport: int
    payload: bytes = b""
    surplus: bytes = b""
    ttl: int = 64
    udp_checksum: int | None = None
    udp_length: int | None = None

    @property
    def version(self) -> int:
        """4 or 6."""
        return ip_address(self.source).version

    @property
    def length(self) -> int:
        """The UDP length: header and payload."""
        return 8 + len(self.payload) if self.udp_length is None else self.udp_length

    def with_(self, **changes: object) -> Datagram:
        """A copy with some fields changed, and a right checksum unless one is given."""
        return replace(self, **({"udp_checksum": None} | changes))  # type: ignore[arg-type]

    def right_checksum(self) -> int:
        """What the checksum has to be."""
        ends = ip_address(self.source).packed + ip_address(self.destination).packed
        head = struct.pack("!HHHH", self.sport, self.dport, self.length, 0)
        return checksum(ends + struct.pack("!IHH", self.length, 0, _UDP) + head + self.payload) or 0xFFFF

    def packet(self) -> bytes:
        """IP header, UDP header, payload and surplus."""
        check = self.right_checksum() if self.udp_checksum is None else self.udp_checksum
        data = struct.pack("!HHHH", self.sport, self.dport, self.length, check) + self.payload + self.surplus
        source, destination = ip_address(self.source).packed, ip_address(self.destination).packed
        if self.version == 6:
            return struct.pack("!IHBB16s16s", 6 << 28, len(data), _UDP, self.ttl, source, destination) + data
        fields = (0x45, 0, 20 + len(data), 0, 0x4000, self.ttl, _UDP, 0, source, destination)
        head = struct.pack("!BBHHHBBH4s4s", *fields)
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + data


def parse_datagram(packet: bytes) -> Datagram | None:
    """The datagram in an IP packet; None if it is none, is a fragment or is cut short."""
    if len(packet) >= 28 and packet[0] == 0x45 and packet[9] == _UDP:
        if struct.unpack_from("!H", packet, 6)[0] & 0x3FFF:
            return None
        end, head, ttl = struct.unpack_from("!H", packet, 2)[0], 20, packet[8]
        ends = socket.inet_ntop(socket.AF_INET, packet[12:16]), socket.inet_ntop(socket.AF_INET, packet[16:20])
    elif len(packet) >= 48 and packet[0] >> 4 == 6 and packet[6] == _UDP:
        end, head, ttl = 40 + struct.unpack_from("!H", packet, 4)[0], 40, packet[7]
        ends = socket.inet_ntop(socket.AF_INET6, packet[8:24]), socket.inet_ntop(socket.AF_INET6, packet[24:40])
    else:
        return None
    sport, dport, length, check = struct.unpack_from("!HHHH", packet, head)
    payload, surplus = packet[head + 8 : head + length], packet[head + length : end]
    return Datagram(*ends, sport, dport, payload, surplus, ttl, check, length)


class Recording:
    """What datagrams a host sends or receives, in order: a context manager, and a list that grows."""

    def __init__(self, machine: Machine, port: int) -> None:
        self._port, self._found = port, list[tuple[bool, Datagram]]()
        self._socket = machine.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.setblocking(False)

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._read()
        self._socket.close()

    def _read(self) -> None:
        if self._socket.fileno() < 0:
            return
        while True:
            try:
                frame, (device, _, kind, *_) = self._socket.recvfrom(70000)
            except BlockingIOError:
                return
            found = parse_datagram(frame[14:])
            if found and device != "lo" and self._port in (found.sport, found.dport):
                self._found.append((kind == socket.PACKET_OUTGOING, found))

    def datagrams(self, test: Callable[[Datagram], bool] = lambda _: True) -> list[Datagram]:
        """All so far that pass ``test``."""
        self._read()
        return [datagram for _, datagram in self._found if test(datagram)]

    def wait(self, test: Callable[[Datagram], bool] = lambda _: True, count: int = 1, timeout: float = 10) -> Datagram:
        """Wait until ``count`` have passed ``test``; returns the last of them."""
        deadline = time.monotonic() + timeout
        while len(found := self.datagrams(test)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} of {count} such datagrams in {timeout} s")
            time.sleep(0.005)
        return found[count - 1]
