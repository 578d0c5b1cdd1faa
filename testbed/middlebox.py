"""Middleboxes: hosts that pass packets on by a function of the test's, for both IP versions.

The kernel of a middlebox forwards nothing. A thread takes every packet that is for somebody beyond from one
link, hands TCP segments to the function and sends what it returns out of the link where their destination is.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address

from testbed.end import End
from testbed.host import Host
from testbed.injection import onto_wire
from testbed.link import Link
from testbed.packets import Segment, parse_packet

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23

#: What becomes of one segment: the segments that go on in its place, none for a loss.
Meddling = Callable[[Segment], Iterable[Segment]]


class Middlebox(Host):
    """A host between others; outside of :meth:`meddling` nothing passes."""

    def create(self) -> None:
        """As a host."""
        super().create()
        self._plain: list[Link] = []

    @contextmanager
    def meddling(self, function: Meddling = lambda segment: [segment]) -> Iterator[None]:
        """Pass packets for the body of the ``with``; what the function returned unchanged goes on byte by byte.

        All links lose their offload, so that the function sees what a real wire carries. It runs in a thread
        of its own; an exception in it ends the passing and is raised at the end of the body.
        """
        for link in self.links:
            if link not in self._plain:
                link.offload(False)
                self._plain.append(link)
        passing = _Passing(self, function)
        passing.start()
        try:
            yield
        finally:
            passing.end()


class _Passing(threading.Thread):
    def __init__(self, box: Middlebox, function: Meddling) -> None:
        super().__init__(name="middlebox", daemon=True)
        self._function = function
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._exits = [(link.end(box), link.other(box), link.other(box).mac()) for link in box.links]
        self._sockets = [self._listening(box, link) for link in box.links]

    @staticmethod
    def _listening(box: Middlebox, link: Link) -> socket.socket:
        made = box.socket(socket.AF_PACKET, socket.SOCK_RAW)
        made.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        made.bind((link.end(box).device, _ETH_P_ALL))
        made.setblocking(False)
        return made

    def end(self) -> None:
        """Pass nothing more; raises what the function raised."""
        self._over.set()
        self.join()
        for each in self._sockets:
            each.close()
        if self._failure is not None:
            raise RuntimeError("the middlebox broke down") from self._failure

    def run(self) -> None:
        """Until :meth:`end`."""
        try:
            while not self._over.is_set():
                for ready in select.select(self._sockets, [], [], 0.02)[0]:
                    self._pass(ready.recv(70000))
        except BaseException as error:  # handed to the owner
            self._failure = error

    def _pass(self, frame: bytes) -> None:
        packet = frame[14:]
        where = self._exit(destination_of(frame))
        if where is None:
            return
        end, mac = where
        segment = parse_packet(packet)
        if segment is None:
            onto_wire(end, [packet], mac)
            return
        for passed in self._function(segment):
            onto_wire(end, [packet if passed is segment else passed], mac)

    def _exit(self, destination: IPv4Address | IPv6Address | None) -> tuple[End, bytes] | None:
        """The own end of the link at whose other end the destination is, and the Ethernet address there."""
        for own, other, mac in self._exits:
            if destination in (other.ipv4.ip, other.ipv6.ip):
                return own, mac
        return None


def destination_of(frame: bytes) -> IPv4Address | IPv6Address | None:
    """Where an IP packet in an Ethernet frame is going; None for other frames."""
    if frame[12:14] == b"\x08\x00" and len(frame) >= 34:
        return IPv4Address(frame[30:34])
    if frame[12:14] == b"\x86\xdd" and len(frame) >= 54:
        return IPv6Address(frame[38:54])
    return None


def renumbered(client: str, to_server: int, to_client: int) -> Meddling:
    """Other sequence numbers on each side, by these distances, as firewalls that randomise them do."""
    near = ip_address(client)

    def meddle(segment: Segment) -> list[Segment]:
        ours, theirs = (to_server, to_client) if ip_address(segment.source) == near else (to_client, to_server)
        ack = (segment.ack - theirs) & 0xFFFFFFFF if segment.has("A") else segment.ack
        return [segment.with_(seq=(segment.seq + ours) & 0xFFFFFFFF, ack=ack)]

    return meddle
