"""Sending hand-made packets: from the wire, or through a host's own stack.

From the wire (:func:`onto_wire`): an AF_PACKET socket that goes past the tc egress programs of the
device, as if another machine had sent the frame.
Through the stack: raw IP sockets, which pass netfilter, cgroup programs and tc egress. Run as a
program (``python -m testbed.injection``) so that the socket belongs to the host's cgroup.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable

from testbed.end import End
from testbed.packets import Segment

_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20


def onto_wire(end: End, packets: Iterable[Segment | bytes], destination_mac: bytes) -> None:
    """Send IP packets (bytes) or segments out of one end of a link, past tc egress."""
    source_mac = end.mac()
    with end.host.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        wire.bind((end.device, 0))
        for packet in packets:
            raw = packet if isinstance(packet, bytes) else packet.packet()
            wire.send(destination_mac + source_mac + (b"\x08\x00" if raw[0] >> 4 == 4 else b"\x86\xdd") + raw)


def onto_loopback(host_socket: socket.socket, packets: Iterable[Segment | bytes]) -> None:
    """Send over ``lo`` by an AF_PACKET socket that is bound to it."""
    for packet in packets:
        raw = packet if isinstance(packet, bytes) else packet.packet()
        host_socket.send(bytes(12) + (b"\x08\x00" if raw[0] >> 4 == 4 else b"\x86\xdd") + raw)


def through_stack(packets: Iterable[bytes]) -> int:
    """Send IP packets by raw sockets of this process; returns how many the kernel refused."""
    refused = 0
    with (
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as four,
        socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as six,
    ):
        for raw in packets:
            try:
                if raw[0] >> 4 == 4:
                    four.sendto(raw, (socket.inet_ntop(socket.AF_INET, raw[16:20]), 0))
                else:
                    six.sendto(raw, (socket.inet_ntop(socket.AF_INET6, raw[24:40]), 0))
            except PermissionError:  # a program of the kernel dropped it
                refused += 1
    return refused


if __name__ == "__main__":
    print(through_stack(bytes.fromhex(line.strip()) for line in sys.stdin))
