"""The oracle's own reading of packets, written from docs/datapath.md; it shares no code with the kernel programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from watchword.identity.trailer import Message, Trailer

ICMP, IGMP, TCP, UDP, ICMP6, NO_NEXT, SCTP, UDP_LITE = 1, 2, 6, 17, 58, 59, 132, 136
WITH_PORTS = frozenset({TCP, UDP, SCTP, UDP_LITE})
#: Bytes of the upper layer's header without which a packet is malformed.
LEAST = {TCP: 20, UDP: 8, UDP_LITE: 8, SCTP: 12, ICMP: 8, ICMP6: 8}
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
_EXTENSIONS = frozenset({HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION})
_LONGEST_CHAIN = 8
_SOURCE_ROUTES = (131, 137)
#: What asks, and what answers it (RFC 792, 950, 4443, 4620, 8335); what reports an error about another packet.
_ASKS = {ICMP: {8: 0, 13: 14, 15: 16, 17: 18, 42: 43}, ICMP6: {128: 129, 139: 140, 160: 161}}
_ANSWERS = {protocol: {answer: ask for ask, answer in pairs.items()} for protocol, pairs in _ASKS.items()}
_ERRORS = {ICMP: (3, 11, 12), ICMP6: (1, 2, 3, 4)}

Piece = Literal["whole", "first", "later"]
Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A packet as far as policy is concerned."""

    version: int
    source: bytes
    destination: bytes
    protocol: int
    hops: int
    piece: Piece
    upper: bytes  # header and payload of the upper layer, or a later fragment's bytes
    number: bytes  # identification of a fragment

    @property
    def is_error(self) -> bool:
        """Whether it is an ICMP error."""
        return bool(self.upper) and self.upper[0] in _ERRORS.get(self.protocol, ())

    @property
    def is_network(self) -> bool:
        """Whether it is the network itself, which is always allowed."""
        local = self.source[:2] in {bytes([0xFE, low]) for low in range(0x80, 0xC0)}
        if self.protocol == ICMP6 and self.version == 6 and len(self.upper) >= 8:
            kind = self.upper[0]
            if kind in (133, 134, 135, 136, 141, 142):
                return self.hops == 255 and (kind != 134 or local)
            return kind in (130, 131, 132, 143) and self.hops == 1 and (local or not any(self.source))
        grouped = self.version == 4 and self.destination[0] >> 4 == 14
        return self.protocol == IGMP and grouped and self.hops == 1

    def flow(self, incoming: bool) -> Key:
        """The name of the flow it belongs to; the same for a packet and the answer to it."""
        ends = (self.destination, self.source) if incoming else (self.source, self.destination)
        if self.protocol in WITH_PORTS:
            ports = self.upper[:2], self.upper[2:4]
            return (self.protocol, *ends, *(reversed(ports) if incoming else ports))
        if self.protocol not in _ASKS:
            return (self.protocol, *ends)
        kind = self.upper[0]
        asked = _ANSWERS[self.protocol].get(kind)
        if asked is not None:
            return (self.protocol, *ends, self.upper[4:6], asked, not incoming)
        if kind in _ASKS[self.protocol]:
            return (self.protocol, *ends, self.upper[4:6], kind, incoming)
        return (self.protocol, *ends, kind, self.upper[1], incoming)


def is_call(packet: bytes) -> bool:
    """Whether this is a datagram without payload that asks who is there: all that leaves before that is proved."""
    reading = read(packet)
    if reading is None or reading.piece != "whole" or reading.protocol != UDP:
        return False
    header, behind = reading.upper[:8], reading.upper[8:]
    try:
        found = Trailer.parse(behind, int.from_bytes(header[4:6], "big"))
    except ValueError:
        return False
    return header[4:6] == b"\0\x08" and found.message is Message.HELLO and found.bodyless


def read(packet: bytes, quoted: bool = False, cut: bool = False) -> Reading | None:
    """A packet from its IP header on; None where it is malformed. One that an error quotes may be cut short.

    ``cut``: UDP as a socket is about to get it, without what stands behind the datagram (RFC 9868).
    """
    if not packet:
        return None
    made = _read4(packet) if packet[0] >> 4 == 4 else _read6(packet) if packet[0] >> 4 == 6 else None
    if made is None:
        return None
    reading, end, at = made
    if cut and reading.protocol == UDP and at + int.from_bytes(packet[at + 4 : at + 6], "big") == len(packet) <= end:
        return reading  # one shorter than its header never gets here; that is not what is asked
    if at > end or (not quoted and end > len(packet)):
        return None
    if reading.piece != "later" and at + LEAST.get(reading.protocol, 0) > end:
        return None
    return reading


def _read4(packet: bytes) -> tuple[Reading, int, int] | None:
    header = (packet[0] & 15) * 4
    if len(packet) < max(header, 20) or header < 20 or not _options_known(packet[20:header]):
        return None
    end, fragment = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[6:8], "big")
    piece: Piece = "later" if fragment & 0x1FFF else "first" if fragment & 0x2000 else "whole"
    upper = packet[header:end]
    return (
        Reading(4, packet[12:16], packet[16:20], packet[9], packet[8], piece, upper, packet[4:6]),
        end,
        header,
    )


def _options_known(options: bytes) -> bool:
    at = 0
    while at < len(options) and options[at] != 0:
        if options[at] == 1:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if options[at] in _SOURCE_ROUTES or length < 2 or at + length > len(options):
            return False
        at += length
    return True


def _read6(packet: bytes) -> tuple[Reading, int, int] | None:
    if len(packet) < 40:
        return None
    size, protocol, at = int.from_bytes(packet[4:6], "big"), packet[6], 40
    if not size and protocol != NO_NEXT:
        return None
    end, piece, number = 40 + size, "whole", b""
    fragmented = False
    for place in range(_LONGEST_CHAIN + 1):
        if protocol not in _EXTENSIONS:
            break
        head = packet[at : at + 8]
        if place == _LONGEST_CHAIN or len(head) < 8 or at + 8 > end or not _known(protocol, head, place, fragmented):
            return None
        at += 8 if protocol == FRAGMENT else (head[1] + 1) * 8
        if protocol == FRAGMENT:
            fragmented, number = True, head[4:8]
            offset = int.from_bytes(head[2:4], "big")
            piece = "later" if offset & 0xFFF8 else "first" if offset & 1 else piece
        protocol = head[0]
        if piece == "later":
            break
    upper = packet[at:end]
    made = Reading(6, packet[8:24], packet[24:40], protocol, packet[7], piece, upper, number)  # type: ignore[arg-type]
    return made, end, at


def _known(protocol: int, head: bytes, place: int, fragmented: bool) -> bool:
    if protocol == HOP_BY_HOP:
        return place == 0
    if protocol == ROUTING:
        return head[2] != 0 and head[3] == 0
    return protocol != FRAGMENT or not fragmented
