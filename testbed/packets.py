"""Ethernet, IPv4, IPv6 and TCP packets: built byte by byte, and parsed.

Pure. Everything a test may want to get wrong can be set: checksums, lengths, data offset, flags,
sequence numbers, raw option bytes. What is left unset is computed correctly.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
_LETTERS = {"F": FIN, "S": SYN, "R": RST, "P": PSH, "A": ACK, "U": URG, "E": ECE, "C": CWR}
_ETHERTYPE = {4: 0x0800, 6: 0x86DD}
_TCP = 6


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def flags_of(letters: str) -> int:
    """``"SA"`` to the number of SYN and ACK."""
    return sum(_LETTERS[letter] for letter in letters)


@dataclass(frozen=True, slots=True)
class Option:
    """One TCP option, kinds 0 and 1 without length byte. ``length`` overrides the length byte."""

    kind: int
    data: bytes = b""
    length: int | None = None

    def encode(self) -> bytes:
        """The bytes on the wire."""
        if self.kind in (0, 1) and self.length is None:
            return bytes([self.kind])
        return bytes([self.kind, len(self.data) + 2 if self.length is None else self.length]) + self.data


def mss(size: int = 1460) -> Option:
    """Maximum segment size."""
    return Option(2, struct.pack("!H", size))


def encode_options(options: list[Option]) -> bytes:
    """All options, padded with end-of-list to a multiple of four bytes."""
    raw = b"".join(option.encode() for option in options)
    return raw + bytes(-len(raw) % 4)


def decode_options(raw: bytes) -> list[Option]:
    """Options up to the end-of-list or the first malformed one; padding (kind 1) is left out."""
    found, at = [], 0
    while at < len(raw) and raw[at] != 0:
        if raw[at] == 1:
            at += 1
            continue
        if at + 1 >= len(raw) or raw[at + 1] < 2 or at + raw[at + 1] > len(raw):
            break
        found.append(Option(raw[at], raw[at + 2 : at + raw[at + 1]]))
        at += raw[at + 1]
    return found


@dataclass(frozen=True)
class Segment:
    """A TCP segment in an IP packet. ``raw_options`` takes the place of ``options`` when given."""

    source: str
    destination: str
    sport: int
    dport: int
    flags: str = "S"
    seq: int = 0
    ack: int = 0
    window: int = 65535
    options: list[Option] = field(default_factory=list)
    payload: bytes = b""
    ttl: int = 64
    ip_id: int = 0
    raw_options: bytes | None = None
    data_offset: int | None = None  # in 32-bit words
    tcp_checksum: int | None = None
    ip_checksum: int | None = None
    ip_length: int | None = None  # IPv4 total length or IPv6 payload length
    urgent: int = 0

    @property
    def version(self) -> int:
        """4 or 6."""
        return ip_address(self.source).version

    def option(self, kind: int) -> bytes | None:
        """The data of the first option of this kind."""
        return next((option.data for option in self.options if option.kind == kind), None)

    def has(self, letters: str) -> bool:
        """Whether all these flags are set."""
        return set(letters) <= set(self.flags)

    def with_(self, **changes: object) -> Segment:
        """A copy with some fields changed; checksums are computed anew unless given."""
        fresh: dict[str, object] = {"tcp_checksum": None, "ip_checksum": None, "ip_length": None, "data_offset": None}
        if "options" in changes:
            fresh["raw_options"] = None
        return replace(self, **(fresh | changes))  # type: ignore[arg-type]

    def reply(self, flags: str, **changes: object) -> Segment:
        """A segment in the other direction on the same ports, without options and payload."""
        there = Segment(self.destination, self.source, self.dport, self.sport, flags)
        return there.with_(**changes) if changes else there

    # -- bytes

    def tcp(self) -> bytes:
        """TCP header and payload."""
        options = encode_options(self.options) if self.raw_options is None else self.raw_options
        words = (20 + len(options)) // 4 if self.data_offset is None else self.data_offset
        head = struct.pack(
            "!HHIIBBHHH",
            *(self.sport, self.dport, self.seq & 0xFFFFFFFF, self.ack & 0xFFFFFFFF),
            *(words << 4, flags_of(self.flags), self.window, self.tcp_checksum or 0, self.urgent),
        )
        segment = head + options + self.payload
        if self.tcp_checksum is not None:
            return segment
        source, destination = ip_address(self.source).packed, ip_address(self.destination).packed
        computed = checksum(_pseudo(source, destination, len(segment)) + segment)
        return segment[:16] + struct.pack("!H", computed) + segment[18:]

    def packet(self) -> bytes:
        """IP header, TCP header and payload."""
        segment = self.tcp()
        source, destination = ip_address(self.source).packed, ip_address(self.destination).packed
        if self.version == 6:
            length = len(segment) if self.ip_length is None else self.ip_length
            return struct.pack("!IHBB16s16s", 6 << 28, length, _TCP, self.ttl, source, destination) + segment
        length = 20 + len(segment) if self.ip_length is None else self.ip_length
        fields = (0x45, 0, length, self.ip_id, 0x4000, self.ttl, _TCP)
        head = struct.pack("!BBHHHBBH4s4s", *fields, self.ip_checksum or 0, source, destination)
        if self.ip_checksum is None:
            head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        return head + segment

    def frame(self, source_mac: bytes, destination_mac: bytes) -> bytes:
        """The packet in an Ethernet frame."""
        return destination_mac + source_mac + struct.pack("!H", _ETHERTYPE[self.version]) + self.packet()


def parse_packet(packet: bytes) -> Segment | None:
    """The TCP segment in an IP packet; None if it is none, is a fragment or is cut short."""
    if not packet:
        return None
    if packet[0] >> 4 == 4:
        head = (packet[0] & 15) * 4
        if len(packet) < max(head, 20) or packet[9] != _TCP or struct.unpack_from("!H", packet, 6)[0] & 0x1FFF:
            return None
        (length, ip_id, ip_sum) = struct.unpack_from("!HH", packet, 2) + struct.unpack_from("!H", packet, 10)
        addresses = str(IPv4Address(packet[12:16])), str(IPv4Address(packet[16:20]))
        ttl, end = packet[8], length
    elif packet[0] >> 4 == 6 and len(packet) >= 40 and packet[6] == _TCP:
        head, ip_id, ip_sum, ttl = 40, 0, None, packet[7]
        length = struct.unpack_from("!H", packet, 4)[0]
        addresses = str(IPv6Address(packet[8:24])), str(IPv6Address(packet[24:40]))
        end = 40 + length
    else:
        return None
    parsed = _parse_tcp(addresses, packet[head : end or None])
    return parsed and replace(parsed, ttl=ttl, ip_id=ip_id, ip_checksum=ip_sum, ip_length=length)


def _parse_tcp(addresses: tuple[str, str], data: bytes) -> Segment | None:
    if len(data) < 20:
        return None
    sport, dport, seq, ack, words, bits, window, tcp_sum, urgent = struct.unpack_from("!HHIIBBHHH", data)
    size = (words >> 4) * 4
    raw = data[20:size]
    return Segment(
        *addresses,
        sport,
        dport,
        "".join(letter for letter, bit in _LETTERS.items() if bits & bit),
        seq=seq,
        ack=ack,
        window=window,
        options=decode_options(raw),
        raw_options=raw,
        payload=data[size:] if size >= 20 else b"",
        data_offset=words >> 4,
        tcp_checksum=tcp_sum,
        urgent=urgent,
    )


def parse_frame(frame: bytes) -> Segment | None:
    """The TCP segment in an Ethernet frame, or None."""
    return parse_packet(frame[14:]) if frame[12:14] in (b"\x08\x00", b"\x86\xdd") else None


def with_ipv4_options(packet: bytes, options: bytes) -> bytes:
    """An IPv4 packet that has none, with these options (a multiple of four bytes) behind its header."""
    length = struct.pack("!H", len(packet) + len(options))
    head = bytes([0x45 + len(options) // 4]) + packet[1:2] + length + packet[4:10] + b"\0\0" + packet[12:20] + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + packet[20:]


def checksums_are_right(packet: bytes) -> bool:
    """Whether IP and TCP checksums of an unfragmented IP packet (without Ethernet header) are correct."""
    four = packet[0] >> 4 == 4
    head = (packet[0] & 15) * 4 if four else 40
    end = struct.unpack_from("!H", packet, 2 if four else 4)[0] + (0 if four else 40)
    if four and checksum(packet[:head]) != 0:
        return False
    source, destination = (packet[12:16], packet[16:20]) if four else (packet[8:24], packet[24:40])
    return checksum(_pseudo(source, destination, end - head) + packet[head:end]) == 0


def tcp_checksum_is_begun(packet: bytes) -> bool:
    """Whether the TCP checksum field has the sum that a device with checksum offload starts from."""
    four = packet[0] >> 4 == 4
    head = (packet[0] & 15) * 4 if four else 40
    end = struct.unpack_from("!H", packet, 2 if four else 4)[0] + (0 if four else 40)
    source, destination = (packet[12:16], packet[16:20]) if four else (packet[8:24], packet[24:40])
    begun: int = struct.unpack_from("!H", packet, head + 16)[0]
    return begun == ~checksum(_pseudo(source, destination, end - head)) & 0xFFFF


def _pseudo(source: bytes, destination: bytes, length: int) -> bytes:
    """The pseudo header that the TCP checksum covers."""
    tail = struct.pack("!BBH", 0, _TCP, length) if len(source) == 4 else struct.pack("!I3xB", length, _TCP)
    return source + destination + tail
