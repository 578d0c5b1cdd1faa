"""The TCP handshake's options, transcripts and proofs, byte by byte (docs/wire-protocol.md).

What the kernel programs compute (``bpf/lib/identity.h``), once more and written independently: the reference
that tests compare captured handshakes with, and that tools read them with. No packet is judged by it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

#: TCP option kind of RFC 3692 experiments and the experiment's identifier (RFC 6994).
OPTION_KIND = 253
EXID = 0x5757
VERSION = 1

_MASK = (1 << 64) - 1
_TRUNCATED = (1 << 48) - 1  # bits of a server nonce, and of a proof in a SYN-ACK


class Message(IntEnum):
    """Whose proof it is: the first byte of a transcript keeps the two apart."""

    SYNACK = 1
    ACK = 2


@dataclass(frozen=True, slots=True)
class Transcript:
    """Everything that both ends of one handshake agree about."""

    client: int  # badges
    server: int
    client_nonce: int  # 64 bits
    server_nonce: int  # 48 bits; the lowest is that of the server's epoch
    dialled: int  # the server's port as the client knows it
    client_epoch: int
    server_epoch: int

    def encode(self, message: Message) -> bytes:
        """The 32 bytes under the MAC."""
        return struct.pack(
            "<BBBxHxxIIQQ",
            message,
            self.client_epoch & 0xFF,
            self.server_epoch & 1,
            self.dialled,
            self.client,
            self.server,
            self.client_nonce,
            self.server_nonce,
        )

    def synack_proof(self, key: bytes) -> int:
        """What the SYN-ACK carries: 48 bits, the server's proof."""
        return siphash(key, self.encode(Message.SYNACK)) & _TRUNCATED

    def ack_proof(self, key: bytes) -> int:
        """What the ACK carries: 64 bits, the client's proof."""
        return siphash(key, self.encode(Message.ACK))


@dataclass(frozen=True, slots=True)
class SynOption:
    """Who calls, from which key epoch, which port it dialled, and a fresh nonce."""

    badge: int
    epoch: int
    dialled: int
    nonce: int
    version: int = VERSION

    LENGTH: ClassVar[int] = 20

    def data(self) -> bytes:
        """The option without its kind and length bytes."""
        return struct.pack("!HIBBHQ", EXID, self.badge, self.epoch & 0xFF, self.version, self.dialled, self.nonce)

    @classmethod
    def parse(cls, data: bytes) -> SynOption:
        """The option out of its bytes behind kind and length; ValueError if it is none."""
        badge, epoch, version, dialled, nonce = _fields("!IBBHQ", data, cls.LENGTH)
        return cls(badge, epoch, dialled, nonce, version)


@dataclass(frozen=True, slots=True)
class SynAckOption:
    """Who answers, its nonce and its proof; the nonce's lowest bit is that of the server's key epoch."""

    badge: int
    nonce: int
    proof: int

    LENGTH: ClassVar[int] = 20

    def data(self) -> bytes:
        """The option without its kind and length bytes."""
        return struct.pack("!HI", EXID, self.badge) + self.nonce.to_bytes(6, "big") + self.proof.to_bytes(6, "big")

    @classmethod
    def parse(cls, data: bytes) -> SynAckOption:
        """The option out of its bytes behind kind and length; ValueError if it is none."""
        badge, nonce, nonce_tail, proof, proof_tail = _fields("!IIHIH", data, cls.LENGTH)
        return cls(badge, nonce << 16 | nonce_tail, proof << 16 | proof_tail)


@dataclass(frozen=True, slots=True)
class AckOption:
    """The client's proof, with everything a server needs that has kept nothing of the SYN."""

    badge: int
    epoch: int
    server_epoch: int
    dialled: int
    nonce: int  # the client's
    proof: int

    LENGTH: ClassVar[int] = 28

    def data(self) -> bytes:
        """The option without its kind and length bytes."""
        head = struct.pack("!HIBBH", EXID, self.badge, self.epoch & 0xFF, self.server_epoch & 1, self.dialled)
        return head + struct.pack("!QQ", self.nonce, self.proof)

    @classmethod
    def parse(cls, data: bytes) -> AckOption:
        """The option out of its bytes behind kind and length; ValueError if it is none."""
        return cls(*_fields("!IBBHQQ", data, cls.LENGTH))


def transcript_of(syn: SynOption, answer: SynAckOption) -> Transcript:
    """What a SYN and its SYN-ACK have agreed about."""
    return Transcript(syn.badge, answer.badge, syn.nonce, answer.nonce, syn.dialled, syn.epoch, answer.nonce & 1)


def siphash(key: bytes, data: bytes, rounds: int = 2, last_rounds: int = 4) -> int:
    """SipHash-2-4 or another of the family (Aumasson and Bernstein, 2012), 128-bit key, 64-bit result."""
    if len(key) != 16:
        raise ValueError(f"key: {len(key)} bytes where SipHash takes 16")
    first, second = struct.unpack("<QQ", key)
    state = (
        first ^ 0x736F6D6570736575,
        second ^ 0x646F72616E646F6D,
        first ^ 0x6C7967656E657261,
        second ^ 0x7465646279746573,
    )
    whole = len(data) // 8 * 8
    last = int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56
    for (word,) in (*struct.iter_unpack("<Q", data[:whole]), (last,)):
        a, b, c, d = state
        state = _rounds(rounds, (a, b, c, d ^ word))
        state = (state[0] ^ word, *state[1:])
    a, b, c, d = state
    a, b, c, d = _rounds(last_rounds, (a, b, c ^ 0xFF, d))
    return a ^ b ^ c ^ d


_State = tuple[int, int, int, int]


def _rounds(count: int, state: _State) -> _State:
    a, b, c, d = state
    for _ in range(count):
        a, c = (a + b) & _MASK, (c + d) & _MASK
        b, d = _rotated(b, 13) ^ a, _rotated(d, 16) ^ c
        a = _rotated(a, 32)
        c, a = (c + b) & _MASK, (a + d) & _MASK
        b, d = _rotated(b, 17) ^ c, _rotated(d, 21) ^ a
        c = _rotated(c, 32)
    return a, b, c, d


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & _MASK


def _fields(layout: str, data: bytes, length: int) -> tuple[int, ...]:
    if len(data) != length - 2:
        raise ValueError(f"option: {len(data) + 2} bytes where {length} are expected")
    if data[:2] != EXID.to_bytes(2, "big"):
        raise ValueError(f"option: experiment {data[:2].hex()} is not {EXID:04x}")
    return struct.unpack(layout, data[2:])
