"""The kernel's reader of DNS answers, run on built and bent messages: an oracle of its own is the judge.

The oracle reads with recursion and sets where the program has loops, hashes and one buffer. Both have to say the
same of each message: what came of it, and exactly which addresses the unit has learned, under which names, for
how long. Messages are made from a seed, which a failure tells: ``WATCHWORD_SEED`` and ``WATCHWORD_MESSAGES``
choose others.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import random
import secrets
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.remains import ensure_bpffs
from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf.editions import OBJECTS
from watchword.enforcer.datapath.ebpf.hostnames import HostNames
from watchword.enforcer.datapath.ebpf.object import BpfObject, Map

A, CNAME, AAAA = 1, 5, 28
UNREAD, TRUNCATED, EMPTY = layout.LookupResult.UNREAD, layout.LookupResult.TRUNCATED, layout.LookupResult.EMPTY
BADGE = 77
DAY, MINUTE = 86400, 60

PATTERNS = {"*.test": 40, "*.b.test": 41, "a.example": 42}

#: What was learned: (address, name) -> seconds for which it is good.
Learned = dict[tuple[str, str], int]


class Bent(Exception):  # noqa: N818
    """The message is not understood."""


# --- the oracle ---------------------------------------------------------------------------------


def name_at(message: bytes, at: int) -> tuple[str, bool, int]:
    """The name at a place, in small letters; whether host names can look like this; and where it ends."""
    pieces: list[bytes] = []
    steps, end, floor = 0, 0, at
    while True:
        steps += 1
        if at >= len(message) or steps > 640:
            raise Bent
        length = message[at]
        if length >= 0xC0:
            if at + 1 >= len(message):
                raise Bent
            end = end or at + 2
            at = (length & 0x3F) << 8 | message[at + 1]
            if at >= floor:
                raise Bent
            floor = at
            continue
        if length >= 0x40:
            raise Bent
        if length == 0:
            text = b".".join(pieces)
            if len(text) > 253:
                raise Bent
            strange = not all(set(piece) <= set(b"abcdefghijklmnopqrstuvwxyz0123456789-_") for piece in pieces)
            return text.decode("latin-1"), strange, end or at + 1
        pieces.append(message[at + 1 : at + 1 + length].lower())
        if len(pieces[-1]) < length:
            raise Bent
        if len(b".".join(pieces)) > 253:
            raise Bent
        steps += length
        at += 1 + length


def records_of(message: bytes, at: int, count: int) -> Iterator[tuple[str, int, int, int, int, int]]:
    """Owner, type, class, time to live, and where the data begins and ends, of each record."""
    for _ in range(count):
        owner, _, at = name_at(message, at)
        if at + 10 > len(message):
            raise Bent
        kind, class_, ttl, size = struct.unpack_from(">2HIH", message, at)
        start, at = at + 10, at + 10 + size
        if at > len(message):
            raise Bent
        yield owner, kind, class_, ttl, start, at


def listed(name: str, strange: bool) -> bool:
    return not strange and (name.endswith(".test") or name == "a.example")


def is_nobodys(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner: tuple[str, ...]
    if address.version == 4:
        inner = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
    else:
        inner = ("::/64", "ff00::/8", "fe80::/10")
    return any(address in ipaddress.ip_network(network) for network in inner)


def read(message: bytes) -> tuple[int, Learned]:
    """What has to come of a message (``enum ww_lookup_result``), and what the unit has to know after it."""
    try:
        return _read(message)
    except Bent:
        return UNREAD, {}


def _read(message: bytes) -> tuple[int, Learned]:
    if len(message) < 12:
        raise Bent
    _, flags, questions, answers, _, _ = struct.unpack_from(">6H", message)
    if flags & 0xF800 != 0x8000 or questions != 1:
        raise Bent
    asked, strange, at = name_at(message, 12)
    if at + 4 > len(message):
        raise Bent
    kind, class_ = struct.unpack_from(">2H", message, at)
    if class_ != 1:
        raise Bent
    if flags & 0xF:
        return flags & 0xF, {}
    if flags & 0x0200:
        return TRUNCATED, {}
    if answers > 4096 // 11:
        raise Bent
    chain, least = [(asked, listed(asked, strange))], DAY
    found = list(records_of(message, at + 4, answers))
    for owner, type_, class_, ttl, start, end in found:
        if (owner, type_, class_) == (chain[-1][0], CNAME, 1):
            target, strange, behind = name_at(message, start)
            if behind != end or target in {name for name, _ in chain} or len(chain) == 8:
                raise Bent
            chain.append((target, listed(target, strange)))
            least = min(least, ttl)
    return _addresses(message, kind, found, chain, least)


def _addresses(
    message: bytes,
    kind: int,
    found: list[tuple[str, int, int, int, int, int]],
    chain: list[tuple[str, bool]],
    least: int,
) -> tuple[int, Learned]:
    learned: Learned = {}
    names, some = [name for name, _ in chain], False
    for owner, type_, class_, ttl, start, end in found:
        if owner in names and class_ == 1 and type_ == kind and (type_, end - start) in ((A, 4), (AAAA, 16)):
            some = True
            address = ipaddress.ip_address(message[start:end])
            for name, wanted in chain[: names.index(owner) + 1]:
                if wanted and not is_nobodys(address):
                    good = min(max(min(ttl, least), MINUTE), DAY)
                    known = learned.get((str(address), name), 0)
                    learned[str(address), name] = max(known, good)
    return (0 if some else EMPTY), learned


# --- messages -----------------------------------------------------------------------------------

LABELS = (b"a", b"b", b"test", b"TeSt", b"AZaz", b"example", b"x-y_z", b"a.b", b"\0", b"\xff", b"q" * 63, b"r" * 62)


class Maker:
    """Makes messages that are mostly right, and bends some of them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def message(self) -> bytes:
        """One message."""
        roll = self._random
        self._made = bytearray(12)
        self._names: list[int] = []
        self._name()
        kind = roll.choice((A, A, A, AAAA, AAAA, CNAME, 65))
        self._made += struct.pack(">2H", kind, self._mostly(1, 2))
        count = roll.choice((0, 1, 1, 2, 3, 5, 12))
        for _ in range(count):
            self._record(kind)
        flags = self._mostly(0x8180, 0x8380, 0x8183, 0x0100, 0xA980, 0x818F)
        header = (roll.randrange(1 << 16), flags, self._mostly(1, 0, 2), self._mostly(count, count + 1, 400), 0, 1)
        self._made[:12] = struct.pack(">6H", *header)
        return self._bend(bytes(self._made))

    def _mostly(self, right: int, *wrong: int) -> int:
        return right if self._random.random() < 0.97 else self._random.choice(wrong)

    def _name(self) -> None:
        """A name, whole, or ending in a pointer to an earlier one (or to anywhere)."""
        roll, start = self._random, len(self._made)
        if not self._names or roll.random() < 0.45:
            for _ in range(self._mostly(roll.randrange(1, 5), 0, 9)):
                label = roll.choice(LABELS[:6] if roll.random() < 0.8 else LABELS)
                self._made += bytes([len(label)]) + label
        if self._names and roll.random() < 0.75:
            anywhere = roll.randrange(1 << 14 if roll.random() < 0.3 else start + 2)
            to = roll.choice((self._names[0], self._names[-1], roll.choice(self._names)))
            self._made += (0xC000 | self._mostly(to, anywhere, start)).to_bytes(2, "big")
        else:
            self._made += b"\4test\0" if roll.random() < 0.6 else b"\0"
        self._names.append(start)

    def _record(self, kind: int) -> None:
        roll = self._random
        if roll.random() < 0.7:
            self._made += (0xC000 | roll.choice((12, self._names[-1]))).to_bytes(2, "big")
        else:
            self._name()
        type_ = roll.choice((kind, kind, CNAME, CNAME, A, AAAA, 16))
        self._made += struct.pack(">2HI", type_, self._mostly(1, 3), roll.choice((0, 30, 61, 3600, 90000, 1 << 31)))
        size = len(self._made)
        self._made += b"\0\0"
        if type_ == CNAME:
            self._name()
        else:
            first = roll.choice((192, 10, 127, 169, 224, 0, 0x20, 0xFE, 0xFF))
            rest = bytes(roll.choice((0, 1, 254, 255)) for _ in range(15 if type_ == AAAA else 3))
            self._made += bytes([first]) + rest + (b"?" if roll.random() < 0.03 else b"")
        length = self._mostly(len(self._made) - size - 2, 0, 3, 500)
        self._made[size : size + 2] = length.to_bytes(2, "big")

    def _bend(self, message: bytes) -> bytes:
        roll = self._random
        if roll.random() < 0.8:
            return message + (b"\0\0\x29\x04\xd0" + bytes(6) if roll.random() < 0.5 else b"")
        if roll.random() < 0.3:
            return message[: roll.randrange(len(message) + 1)]
        bent = bytearray(message)
        for _ in range(roll.randrange(1, 4)):
            at = roll.randrange(len(bent))
            bent[at] = roll.choice((bent[at] ^ 1 << roll.randrange(8), roll.randrange(256), 0xC0, 0))
        return bytes(bent)


# --- the kernel ---------------------------------------------------------------------------------


class Kernel:
    """The programs that only the agent runs, with tables of their own."""

    def __init__(self, pins: Path) -> None:
        self._object = BpfObject(OBJECTS / "names.bpf.o", pins, {"learned": 256})
        self._names = HostNames(self._object.maps, self._object.programs)
        self._names.fill(0, PATTERNS)
        self._learned = Map(self._object.maps["learned"], layout.LearnedKey, layout.Learned, "learned")
        self._spelled = Map(self._object.maps["spelled"], ctypes.c_uint64, layout.Spelled, "spelled")

    def read(self, message: bytes) -> tuple[int, Learned]:
        """What the program says, and everything that is learned after it; which is forgotten at once."""
        before = time.monotonic_ns()
        result = self._names.learn(BADGE, message)
        after = time.monotonic_ns()
        learned: Learned = {}
        for key, entry in list(self._learned.items()):
            assert key.unit == BADGE
            raw = bytes(key.address)
            address = str(ipaddress.ip_address(raw[12:] if raw[:12] == bytes(10) + b"\xff\xff" else raw))
            for name, until in zip(entry.names[::2], entry.names[1::2], strict=True):
                if name:
                    found = self._spelled.get(ctypes.c_uint64(name))
                    assert found is not None
                    good = (until - before) // 10**9
                    assert before <= until - good * 10**9 <= after
                    learned[address, bytes(found.text)[: found.length].decode("latin-1")] = good
            self._learned.remove(key)
        return result, learned

    def close(self) -> None:
        self._names.close()
        self._object.close()


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    ensure_bpffs()
    pins = Path("/sys/fs/bpf") / f"watchword-dns-{secrets.token_hex(4)}"
    pins.mkdir()
    made = Kernel(pins)
    yield made
    made.close()
    shutil.rmtree(pins)


def test_program_and_oracle_say_the_same_of_every_message(kernel: Kernel) -> None:
    seed = int(os.environ.get("WATCHWORD_SEED") or secrets.randbits(32))
    maker, results, names = Maker(seed), set(), 0
    for number in range(int(os.environ.get("WATCHWORD_MESSAGES", "5000"))):
        message = maker.message()
        expected = read(message)
        assert kernel.read(message) == expected, f"seed {seed}, message {number}: {message.hex()}"
        results.add(expected[0])
        names += len(expected[1])
    assert results >= {0, EMPTY, TRUNCATED, UNREAD, 3}  # what is made is worth reading
    assert names > number / 10
