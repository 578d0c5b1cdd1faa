"""IP packets of any protocol: headers, extension headers, options, fragments and ICMP, byte by byte.

Pure. What :mod:`testbed.packets` is for TCP; everything that a test may want to get wrong is a parameter.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from testbed.packets import checksum

ICMP, IGMP, TCP, UDP, GRE, ESP, AH, ICMP6, NO_NEXT, SCTP = 1, 2, 6, 17, 47, 50, 51, 58, 59, 132
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60


@dataclass(frozen=True, slots=True)
class Extension:
    """One IPv6 extension header: its own number, and all of it but the first byte."""

    protocol: int
    rest: bytes


def padding(protocol: int = DESTINATION, units: int = 0) -> Extension:
    """A hop-by-hop or destination options header of ``8 + 8 * units`` bytes that says nothing.

    Padding where it is short; receivers take no long padding, so there it is an option for experiments.
    """
    size = 6 + 8 * units
    return Extension(protocol, bytes([units, 30 if units else 1, size - 2]) + bytes(size - 2))


def routing(kind: int, left: int, *addresses: str) -> Extension:
    """A routing header of this type with so many segments left."""
    body = b"".join(ip_address(each).packed for each in addresses)
    return Extension(ROUTING, bytes([len(body) // 8, kind, left]) + bytes(4) + body)


def fragment(offset: int, more: bool, number: int) -> Extension:
    """A fragment header; ``offset`` in bytes, a multiple of eight."""
    return Extension(FRAGMENT, struct.pack("!BHI", 0, offset | more, number))


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    options: bytes = b"",
    offset: int = 0,
    more: bool = False,
    number: int = 0,
    length: int | None = None,
) -> bytes:
    """An IPv4 packet; ``options`` a multiple of four bytes, ``offset`` of a fragment in bytes."""
    total = 20 + len(options) + len(payload) if length is None else length
    head = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45 + len(options) // 4, 0, total, number, 0x2000 * more | offset // 8, ttl, protocol, 0),
        *(ip_address(source).packed, ip_address(destination).packed),
    )
    head += options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    chain: Sequence[Extension] = (),
    hops: int = 64,
    length: int | None = None,
) -> bytes:
    """An IPv6 packet with these extension headers before its upper layer ``protocol``."""
    numbers = [each.protocol for each in chain] + [protocol]
    headers = b"".join(bytes([after]) + each.rest for each, after in zip(chain, numbers[1:], strict=True))
    body = headers + payload
    size = len(body) if length is None else length
    addresses = ip_address(source).packed + ip_address(destination).packed
    return struct.pack("!IHBB", 6 << 28, size, numbers[0], hops) + addresses + body


def packet(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """A plain packet of either IP version."""
    make = ipv6 if ip_address(source).version == 6 else ipv4
    return make(source, destination, protocol, payload)


def summed(source: str, destination: str, protocol: int, payload: bytes, at: int) -> bytes:
    """``payload`` with the checksum over pseudo header and itself put ``at`` bytes into it."""
    ends = ip_address(source).packed + ip_address(destination).packed
    found = checksum(ends + struct.pack("!IHBB", len(payload), 0, 0, protocol) + payload)
    return payload[:at] + struct.pack("!H", found or 0xFFFF) + payload[at + 2 :]


def udp(source: str, destination: str, sport: int, dport: int, data: bytes = b"") -> bytes:
    """A UDP datagram with its checksum."""
    plain = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    return summed(source, destination, UDP, plain, 6)


def icmp(kind: int, code: int = 0, rest: bytes = bytes(4), data: bytes = b"") -> bytes:
    """An ICMP message with its checksum; ``rest`` are the four bytes behind the checksum."""
    plain = struct.pack("!BBH", kind, code, 0) + rest + data
    return plain[:2] + struct.pack("!H", checksum(plain)) + plain[4:]


def icmp6(source: str, destination: str, kind: int, code: int = 0, rest: bytes = bytes(4), data: bytes = b"") -> bytes:
    """An ICMPv6 message with its checksum."""
    return summed(source, destination, ICMP6, struct.pack("!BBH", kind, code, 0) + rest + data, 2)


def message(
    source: str, destination: str, kind: int, code: int = 0, rest: bytes = bytes(4), data: bytes = b""
) -> bytes:
    """An ICMP or ICMPv6 message, by the addresses' version."""
    if ip_address(source).version == 4:
        return icmp(kind, code, rest, data)
    return icmp6(source, destination, kind, code, rest, data)


def upper(raw: bytes) -> tuple[int, bytes]:
    """Protocol and bytes of the upper layer of an IP packet, behind options and known extension headers."""
    if raw[0] >> 4 == 4:
        return raw[9], raw[(raw[0] & 15) * 4 :]
    protocol, at = raw[6], 40
    while protocol in (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION) and len(raw) >= at + 8:
        length = 8 if protocol == FRAGMENT else (raw[at + 1] + 1) * 8
        protocol, at = raw[at], at + length
    return protocol, raw[at:]
