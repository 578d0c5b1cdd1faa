"""The trailer of a datagram: bytes, checksum, transcripts and proofs (docs/wire-protocol.md).

What the kernel programs compute (``bpf/lib/udp_trailer.h``), once more and written independently: the reference
that tests compare captured datagrams with, and that tools read them with. No packet is judged by it.

The trailer is a UDP option (RFC 9868): bytes that stand behind the UDP length and inside the IP length.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import ClassVar

from watchword.identity.transcript import siphash

#: UDP option kind of experiments and the experiment's identifier (RFC 9868, sections 11 and 27).
OPTION_KIND = 127
EXID = 0x5757
VERSION = 1

_LAYOUT = struct.Struct("!HBBHBBBBHIIQQQ")


class Message(IntEnum):
    """What a trailer says; the first byte of its transcript."""

    HELLO = 5
    SESSION = 6
    CHALLENGE = 7
    BOUNCE = 8
    ANSWER = 9


@dataclass(frozen=True, slots=True)
class Trailer:
    """One trailer. Epochs as they are on the wire: the client's low 8 bits, the server's lowest bit."""

    message: Message
    badge: int  # of who sends it
    dialled: int  # the server's port as the client knows it
    nonce: int  # client's, 64 bits
    epoch: int = 1
    server_epoch: int = 0
    server_nonce: int = 0
    proof: int = 0
    ticket: int = 0
    bodyless: bool = False
    version: int = VERSION

    SIZE: ClassVar[int] = 44

    def surplus(self, length: int) -> bytes:
        """All bytes behind a datagram whose UDP length is ``length``: a pad for odd ones, checksum, option."""
        pad = bytes(length % 2)
        data = _LAYOUT.pack(
            0,
            OPTION_KIND,
            self.SIZE - 2,
            EXID,
            self.message,
            self.epoch & 0xFF,
            self.server_epoch & 1,
            self.version << 4 | self.bodyless,
            self.dialled,
            self.badge,
            self.ticket,
            self.nonce,
            self.server_nonce,
            self.proof,
        )
        return pad + struct.pack("!H", option_checksum(data, len(pad) + len(data))) + data[2:]

    @classmethod
    def parse(cls, surplus: bytes, length: int) -> Trailer:
        """The trailer behind a datagram of UDP length ``length``; ValueError if these bytes are none of ours."""
        data = surplus[length % 2 :]
        if len(data) != cls.SIZE:
            raise ValueError(f"trailer: {len(data)} bytes where {cls.SIZE} are expected")
        _, kind, size, exid, message, epoch, server_epoch, flags, dialled, badge, ticket, *rest = _LAYOUT.unpack(data)
        if (kind, size, exid) != (OPTION_KIND, cls.SIZE - 2, EXID):
            raise ValueError(f"trailer: option {kind} of {size} bytes, experiment {exid:04x}")
        if _folded(data) + len(surplus) not in (0xFFFF, 0x1FFFE):
            raise ValueError("trailer: the option checksum is wrong")
        nonce, server_nonce, proof = rest
        return cls(
            Message(message),
            badge,
            dialled,
            nonce,
            epoch,
            server_epoch,
            server_nonce,
            proof,
            ticket,
            bool(flags & 1),
            flags >> 4,
        )

    def proved(self, key: bytes, client: int, server: int) -> Trailer:
        """The same with the proof that belongs there."""
        return replace(self, proof=self.expected_proof(key, client, server))

    def expected_proof(self, key: bytes, client: int, server: int) -> int:
        """SipHash-2-4 over the transcript of this message between the two badges."""
        script = struct.pack(
            "<BBBxHxxIIQQ",
            self.message,
            self.epoch & 0xFF,
            self.server_epoch & 1,
            self.dialled,
            client,
            server,
            self.nonce,
            self.server_nonce,
        )
        return siphash(key, script)


def option_checksum(data: bytes, surplus: int) -> int:
    """OCS: makes these bytes and the number of surplus bytes sum up to nothing (RFC 9868, section 9)."""
    total = _folded(data) + surplus
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def _folded(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
