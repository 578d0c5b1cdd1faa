"""The grammar of packets: IPv4 and IPv6, options, extension headers, fragments, every kind of upper layer, and lies.

Seeded and without any state of its own: the same random numbers make the same packets.
"""

from __future__ import annotations

import struct
from random import Random

from tests.fuzz import terms
from tests.fuzz.reading import DESTINATION, FRAGMENT, HOP_BY_HOP, ICMP, ICMP6, NO_NEXT, ROUTING, SCTP, TCP, UDP
from watchword.identity.trailer import Message, Trailer

#: What stands in each payload that is sent to the host, in each that its unit sends, and in what errors quote.
INCOMING, OUTGOING, QUOTED = b"<-fuzz>", b"<fuzz->", b"<-quote>"
_UPPER = (UDP, UDP, UDP, TCP, TCP, ICMP, ICMP6, SCTP, 136, 47, 50, 51, 2, 253, 0, 4, 41, 103, 135, 139, 255, NO_NEXT)
_ICMP_TYPES = (0, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 17, 42, 43, 253)
_ICMP6_TYPES = (0, 1, 2, 3, 4, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 139, 140, 143, 160, 161, 200)
_CHAIN = (HOP_BY_HOP, DESTINATION, ROUTING, FRAGMENT, 51, 135, 139, 140)
_HOPS = (64, 64, 64, 1, 255, 255, 2)


def header_sum(head: bytes) -> int:
    """The checksum of an IPv4 header whose checksum field is zero."""
    total: int = sum(struct.unpack(f"!{len(head) // 2}H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def ipv4(
    source: bytes,
    destination: bytes,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    options: bytes = b"",
    fragment: int = 0,
    number: int = 0,
    length: int | None = None,
) -> bytes:
    """An IPv4 packet with a right header checksum; ``fragment`` is the whole 16-bit field."""
    words = 5 + len(options) // 4
    total = 4 * words + len(payload) if length is None else length & 0xFFFF
    head = struct.pack("!BBHHHBBH", 0x40 | words & 15, 0, total, number, fragment, ttl, protocol, 0)
    head += source + destination + options
    return head[:10] + struct.pack("!H", header_sum(head)) + head[12:] + payload


def ipv6(
    source: bytes, destination: bytes, following: int, payload: bytes, *, hops: int = 64, length: int | None = None
) -> bytes:
    """An IPv6 packet; extension headers are the beginning of ``payload``."""
    size = len(payload) if length is None else length & 0xFFFF
    return struct.pack("!IHBB", 6 << 28, size, following, hops) + source + destination + payload


def tcp(
    sport: int,
    dport: int,
    seq: int,
    ack: int,
    flags: int,
    options: bytes = b"",
    payload: bytes = b"",
    words: int | None = None,
) -> bytes:
    """A TCP segment; its checksum is left to the device. ``words`` is a data offset that may lie."""
    offset = 5 + len(options) // 4 if words is None else words
    head = struct.pack(
        "!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, (offset & 15) << 4, flags & 0xFF, 65535, 0, 0
    )
    return head + options + payload


class Grammar:
    """Packets to the host, and from it, that no handshake stands behind."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._recent: list[bytes] = []

    def packet(self, incoming: bool) -> bytes:
        """One packet, from its IP header on."""
        random = self.random
        if self._recent and random.random() < 0.2:
            return self.bent(random.choice(self._recent))
        made = self._straight(incoming, random.choice((4, 6)))
        if len(self._recent) < 128:
            self._recent.append(made)
        else:
            self._recent[random.randrange(128)] = made
        return self.bent(made) if random.random() < 0.1 else made

    # -- whole packets

    def _straight(self, incoming: bool, version: int) -> bytes:
        random = self.random
        protocol = random.choice(_UPPER)
        remote = terms.address(version, random.choice(terms.NETWORKS), random.randint(1, 6))
        ends = (remote, terms.HOST[version]) if incoming else (terms.HOST[version], remote)
        if random.random() < 0.03:
            ends = self._odd_ends(version, *ends)
        payload = self._upper(protocol, version, ends, incoming, INCOMING if incoming else OUTGOING)
        hops = random.choice(_HOPS)
        length = None if random.random() < 0.95 else random.choice((0, 20, 39, 41, len(payload), 65535))
        if version == 6:
            return self._in6(protocol, payload, ends, hops, length)
        options = self._ip_options() if random.random() < 0.15 else b""
        fragment = 0 if random.random() < 0.9 else random.choice((0x2000, 0x2001, 1, 3, 0x4000, 0x8000, 0x1FFF))
        return ipv4(
            *ends,
            protocol,
            payload,
            ttl=hops,
            options=options,
            fragment=fragment,
            number=random.randint(0, 7),
            length=length,
        )

    def _odd_ends(self, version: int, source: bytes, destination: bytes) -> tuple[bytes, bytes]:
        odd = (bytes(4), b"\xff" * 4, b"\x7f\0\0\1", b"\xe0\0\0\1") if version == 4 else ()
        odd6 = (bytes(16), bytes(15) + b"\1", b"\xff\2" + bytes(13) + b"\1", b"\xfe\x80" + bytes(13) + b"\7")
        strange = self.random.choice(odd or odd6)
        return (strange, destination) if self.random.random() < 0.7 else (source, strange)

    def _in6(self, protocol: int, payload: bytes, ends: tuple[bytes, bytes], hops: int, length: int | None) -> bytes:
        following = protocol
        if self.random.random() < 0.4:
            for _ in range(self.random.choice((1, 1, 2, 3, 7, 8, 9))):
                kind = self.random.choice(_CHAIN)
                payload = self._extension(kind, following) + payload
                following = kind
        return ipv6(*ends, following, payload, hops=hops, length=length)

    def _extension(self, kind: int, following: int) -> bytes:
        random = self.random
        if kind == FRAGMENT:
            offset = random.choice((0, 0, 0, 1, 8, 9, 0xFFF8, 2))
            return struct.pack("!BBHI", following, 0, offset, random.randint(0, 7))
        units = random.choice((0, 0, 0, 1, 2))
        if kind == ROUTING:
            head = struct.pack(
                "!BBBB", following, units, random.choice((0, 2, 3, 4, 253)), random.choice((0, 0, 0, 1, 9))
            )
            return head + bytes(4 + 8 * units)
        size = 6 + 8 * units
        lie = units if random.random() < 0.95 else random.choice((31, 255, units + 1))
        return bytes([following, lie, 1, size - 2]) + bytes(size - 2)

    def _ip_options(self) -> bytes:
        random = self.random
        return random.choice(
            (
                b"\1\1\1\1",
                b"\1\1\1\0",
                b"\x94\4\0\0",
                b"\x83\7\4\x0a\x63\1\1\0",
                b"\x89\7\4\x0a\x63\1\1\0",
                b"\1\x83\3\4",
                b"\7\7\4\0\0\0\0\0",
                b"\7\0\0\0",
                b"\7\x29\4\0",
                b"\x44\4\5\0",
                b"\0\x83\3\4",
                b"\1" * 40,
                random.randbytes(4 * random.randint(1, 10)),
            )
        )

    # -- upper layers

    def _upper(self, protocol: int, version: int, ends: tuple[bytes, bytes], incoming: bool, mark: bytes) -> bytes:
        random = self.random
        here = random.choice((*terms.DATAGRAM_PORTS, *terms.STREAM_PORTS, 53, 9))
        there = random.choice((*terms.DATAGRAM_PORTS, 53, 4000, 4001))
        ports = (there, here) if incoming else (here, there)
        if protocol in (UDP, 136):
            length = 8 + len(mark) if random.random() < 0.9 else random.choice((0, 7, 8, 9, 1000))
            return struct.pack("!HHHH", *ports, length, 0) + mark + self._trailer(length)
        if protocol == TCP:
            return tcp(*ports, random.getrandbits(32), random.getrandbits(32), random.getrandbits(8), b"", mark)
        if protocol == SCTP:
            return struct.pack("!HHII", *ports, random.getrandbits(32), 0) + b"\1\0\0\x14" + mark
        if protocol in (ICMP, ICMP6):
            return self._icmp(protocol, version, ends, incoming, mark)
        return random.randbytes(random.choice((0, 4, 8, 20))) + mark

    def _trailer(self, length: int) -> bytes:
        """What may stand behind a datagram: mostly nothing, else something that claims an identity."""
        random = self.random
        if random.random() < 0.8:
            return b""
        claim = Trailer(
            random.choice(list(Message)),
            random.choice((terms.FRIEND, terms.OWN, terms.STRANGER)),
            random.choice(terms.DATAGRAM_PORTS),
            random.randint(0, 3),
            server_epoch=1,
            server_nonce=random.randint(0, 3),
            proof=random.getrandbits(64),
            ticket=random.randint(0, 3),
            bodyless=random.random() < 0.3,
        )
        return claim.surplus(length)

    def _icmp(self, protocol: int, version: int, ends: tuple[bytes, bytes], incoming: bool, mark: bytes) -> bytes:
        random = self.random
        kind = random.choice(_ICMP_TYPES if protocol == ICMP else _ICMP6_TYPES)
        code = random.choice((0, 0, 0, 1, 3, 4, 13))
        head = struct.pack("!BBHHH", kind, code, 0, random.randint(0, 3), 1)
        if random.random() < 0.3 and kind in (1, 2, 3, 4, 11, 12):
            return head + self._quote(version, ends, incoming)
        return head + mark

    def _quote(self, version: int, ends: tuple[bytes, bytes], incoming: bool) -> bytes:
        """A packet that the receiver of an error may have sent, or may not."""
        random = self.random
        quoted = (ends[1], ends[0]) if random.random() < 0.7 else ends
        if random.random() < 0.2:
            quoted = (quoted[0], terms.address(version, random.choice(terms.NETWORKS), random.randint(1, 6)))
        protocol = random.choice((UDP, UDP, TCP, ICMP, ICMP6, 47, SCTP))
        inner = self._upper(protocol, version, quoted, not incoming, QUOTED) if protocol not in (ICMP, ICMP6) else b""
        inner = inner or struct.pack("!BBHHH", random.choice((8, 0, 128, 129)), 0, 0, random.randint(0, 3), 1)
        made = ipv4(*quoted, protocol, inner) if version == 4 else ipv6(*quoted, protocol, inner)
        return made[: random.choice((len(made), len(made), 28, 48, 20, 8))]

    # -- lies

    def bent(self, packet: bytes) -> bytes:
        """The packet with some bits flipped, bytes lost, repeated or added; an IPv4 header's checksum is put right."""
        random = self.random
        made = bytearray(packet)
        how = random.random()
        if how < 0.6 and made:
            for _ in range(random.choice((1, 1, 2, 5))):
                made[random.randrange(min(len(made), 80))] ^= 1 << random.randrange(8)
        elif how < 0.8:
            del made[random.randrange(len(made) + 1) :]
        elif how < 0.9:
            at = random.randrange(len(made) + 1)
            made[at:at] = made[: random.randint(1, 16)]
        else:
            made += random.randbytes(random.randint(1, 32))
        return righted(bytes(made))


def righted(packet: bytes) -> bytes:
    """The packet with a right IPv4 header checksum, if it has such a header."""
    size = (packet[0] & 15) * 4 if packet else 0
    if not packet or packet[0] >> 4 != 4 or size < 20 or len(packet) < size:
        return packet
    head = packet[:10] + b"\0\0" + packet[12:size]
    return head[:10] + struct.pack("!H", header_sum(head)) + head[12:] + packet[size:]
