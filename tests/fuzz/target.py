"""The fuzzed host from the inside: its device to the world, and the sockets of its unit.

Runs in the unit's cgroup. What is written to the device is received by the kernel before the call returns, so after
each packet it is settled whether a socket has got it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.fuzz import terms
from tests.fuzz.grammar import ipv4, ipv6
from tests.fuzz.oracle import Ends

_TUNSETIFF = 0x400454CA
_TAP, _NO_PI, _VNET_HDR = 0x0002, 0x1000, 0x4000
_NEEDS_CHECKSUM = 1
_HEADER = 10  # struct virtio_net_hdr
_ETHERNET = 14
_SIOCGIFFLAGS, _RUNNING = 0x8913, 0x40
_PATIENCE = 30.0
_TYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
_IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT = 51, 52
LINGER = struct.pack("ii", 1, 0)


class Arrival(NamedTuple):
    """What a socket has received: a packet as it came, as far as the socket tells."""

    where: str
    packet: bytes


class Target:
    """Device and sockets; closed by :meth:`close`."""

    def __init__(self) -> None:
        self.packets = 0
        self._tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._tap, _TUNSETIFF, struct.pack("16sH22x", terms.DEVICE.encode(), _TAP | _NO_PI | _VNET_HDR))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as probe:
            probe.bind((terms.DEVICE, 0))
            self._mac: bytes = probe.getsockname()[4] + bytes(6)
            _await_carrier(probe)
        self._poll = select.epoll()
        self._sockets: dict[int, tuple[str, socket.socket]] = {}
        self.listeners = [
            self._listener(port, backlog) for port, backlog in zip(terms.STREAM_PORTS, (4096, 8), strict=True)
        ]
        for port in terms.DATAGRAM_PORTS:
            for family in (socket.AF_INET, socket.AF_INET6):
                self._datagram(family, port)
        for version, protocols in terms.RAW.items():
            for protocol in protocols:
                self._raw(version, protocol)
        self._sending = {
            4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
            6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
        }

    # -- sockets

    def _keep(self, name: str, made: socket.socket) -> socket.socket:
        made.setblocking(False)
        self._sockets[made.fileno()] = name, made
        self._poll.register(made.fileno(), select.EPOLLIN)
        return made

    def _listener(self, port: int, backlog: int) -> socket.socket:
        made = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("::", port))
        made.listen(backlog)
        return self._keep("stream", made)

    def _datagram(self, family: int, port: int) -> None:
        made = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(("", port))
        self._keep(f"udp {port}", made)

    def _raw(self, version: int, protocol: int) -> None:
        made = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_RAW, protocol)
        if version == 6:
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
        self._keep(f"raw{version} {protocol}", made)

    # -- the wire

    def send(self, packet: bytes, checked: bool = False) -> None:
        """Put one packet on the wire towards the host.

        The device vouches for the upper layer's checksum, but for one that is to be ``checked``.
        """
        self.packets += 1
        frame = self._mac + _TYPES.get(packet[0] >> 4 if packet else 0, b"\x08\x00") + packet
        if len(frame) < _ETHERNET + 2:
            return
        head = struct.pack("=BBHHHH", 0 if checked else _NEEDS_CHECKSUM, 0, 0, 0, 0 if checked else len(frame) - 2, 0)
        with contextlib.suppress(OSError):  # the kernel takes no such frame
            os.write(self._tap, head + frame)

    def heard(self) -> Iterator[bytes]:
        """Packets that have left the host since the last time, from their IP headers on."""
        while True:
            try:
                frame = os.read(self._tap, 70000)
            except BlockingIOError:
                return
            yield frame[_HEADER + _ETHERNET :]

    def say(self, packet: bytes) -> None:
        """Have the unit send a packet of its own making."""
        self.packets += 1
        version = packet[0] >> 4 if packet else 0
        if version == 4 and len(packet) >= 20:
            to: tuple[object, ...] = (socket.inet_ntop(socket.AF_INET, packet[16:20]), 0)
        elif version == 6 and len(packet) >= 40:
            to = (socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0, 0, socket.if_nametoindex(terms.DEVICE))
        else:
            return
        with contextlib.suppress(OSError):  # not let out, or nothing that the kernel would send
            self._sending[version].sendto(packet, to)

    def speak(self, version: int, port: int, remote: bytes, to: int, data: bytes) -> None:
        """Have the application behind one of the unit's datagram sockets send something."""
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        speaker = next(each for name, each in self._sockets.values() if name == f"udp {port}" and each.family == family)
        self.packets += 1
        with contextlib.suppress(OSError):  # not let out; or an ICMP error about what was sent before
            speaker.sendto(data, (socket.inet_ntop(family, remote), to))

    # -- what has come in

    def accepted(self) -> list[tuple[Ends, socket.socket]]:
        """Connections that have come about."""
        made = []
        for listener in self.listeners:
            while True:
                try:
                    connection, (host, port, *_) = listener.accept()
                except BlockingIOError:
                    break
                connection.setblocking(False)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
                made.append((Ends(_packed(host), port, connection.getsockname()[1]), connection))
        return made

    def ready(self) -> list[int]:
        """Descriptors that have something."""
        return [fd for fd, _ in self._poll.poll(0)]

    def arrivals(self, ready: list[int]) -> Iterator[Arrival]:
        """What these sockets have received, but for listeners."""
        for fd in ready:
            name, receiver = self._sockets[fd]
            if name == "stream":
                continue
            while True:
                try:
                    data, told, _, source = receiver.recvmsg(70000, 256)
                except BlockingIOError:
                    break
                except OSError:  # an ICMP error that the kernel matched with the socket
                    continue
                yield Arrival(name, _as_packet(name, data, told, source))

    def connecting(self, network: terms.Network, version: int, host: int, port: int) -> socket.socket:
        """A socket of the unit that has begun to connect."""
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        with contextlib.suppress(BlockingIOError):
            made.connect((socket.inet_ntop(family, terms.address(version, network, host)), port))
        return made

    def close(self) -> None:
        """Close everything."""
        for _, each in self._sockets.values():
            each.close()
        for each in self._sending.values():
            each.close()
        self._poll.close()
        os.close(self._tap)


def _await_carrier(probe: socket.socket) -> None:
    """Until the kernel has noticed that somebody holds the other end, the device loses what is sent."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        told = fcntl.ioctl(probe, _SIOCGIFFLAGS, struct.pack("40s", terms.DEVICE.encode()))
        (flags,) = struct.unpack_from("=H", told, 16)
        if flags & _RUNNING:
            time.sleep(0.1)  # the queue is put in place right after
            return
        time.sleep(0.01)
    raise TimeoutError(f"{terms.DEVICE} did not come up within {_PATIENCE} s")


def _packed(host: str) -> bytes:
    if host.startswith("::ffff:"):
        return socket.inet_aton(host[7:])
    return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host.partition("%")[0])


def _as_packet(name: str, data: bytes, told: list[tuple[int, int, bytes]], source: tuple[str, int]) -> bytes:
    """The packet that a socket has received a part of: raw IPv4 sockets get all of it, others less."""
    kind, _, which = name.partition(" ")
    if kind == "raw4":
        return data
    remote = _packed(source[0])
    if kind == "udp":
        head = struct.pack("!HHHH", source[1], int(which), 8 + len(data), 0)
        make = ipv4 if len(remote) == 4 else ipv6
        return make(remote, terms.HOST[4 if len(remote) == 4 else 6], 17, head + data)
    hops = next((struct.unpack("=i", value)[0] for _, kind_, value in told if kind_ == _IPV6_HOPLIMIT), 64)
    return ipv6(remote, terms.HOST[6], int(which), data, hops=hops)
