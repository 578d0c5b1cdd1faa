"""Plans of exchanges of datagrams: trailers that are wrong in some way around honest ones, as plain data.

As in :mod:`tests.fuzz.plans`, a bend says how one datagram differs from the honest one of its place.
"""

from __future__ import annotations

import struct
from random import Random
from typing import Any

from tests.fuzz import terms
from tests.fuzz.plans import Bend, Plan
from watchword.identity.trailer import Message, Trailer, option_checksum

_FLOOD = 6000
#: Bends that change what a trailer says; the others change its bytes, or what is around it.
FIELDS = ("message", "badge", "dialled", "nonce", "epoch", "server_epoch", "server_nonce", "proof", "ticket", "version")


def field_bend(random: Random) -> Bend:
    """One field of a trailer that says something else; numbers are what is added by exclusive or."""
    bit = 1 << random.randrange(64)
    simple: tuple[Bend, ...] = (
        {"message": random.choice([int(each) for each in Message])},
        {"badge": random.choice((terms.STRANGER, terms.REFUSED, terms.OWN, 0, 0xFFFFFFFF))},
        {"dialled": random.choice((1, 0x100, 0xFFFF))},
        {"nonce": random.choice((bit, 1, random.getrandbits(64)))},
        {"epoch": random.choice((1, 2, 3, 0xFE))},
        {"server_epoch": 1},
        {"server_nonce": random.choice((bit, bit, 1, random.getrandbits(64)))},
        {"proof": random.choice((bit, bit, random.getrandbits(64)))},
        {"ticket": random.choice((1, 7, 0xFFFFFFFF))},
        {"version": random.choice((1, 3, 14))},
        {"bodyless": True},
        {"sign": True, "epoch": random.choice((1, 3))},
        {"sign": True, "badge": random.choice((terms.STRANGER, terms.REFUSED, terms.OWN))},
        {"sign": True, "server_nonce": bit},
        {"zero": True},
    )
    return dict(random.choice(simple))


def byte_bend(random: Random) -> Bend:
    """One way in which the bytes of a trailer, its place or the packet around it are wrong."""
    simple: tuple[Bend, ...] = (
        {"flip": [random.randrange(8 * Trailer.SIZE) for _ in range(random.choice((1, 1, 2)))], "sealed": True},
        {"flip": [random.randrange(8 * Trailer.SIZE)]},
        {"cut": random.randint(1, Trailer.SIZE)},
        {"behind": random.choice(("00", "0000", "01010101", "7f045757"))},
        {"ahead": random.choice(("00", "0000", "01", "7f045757"))},
        {"twice": True},
        {"middle": True},
        {"option": "none"},
        {"option": "old"},
        {"udp length": random.choice((-8, -1, 1, 2, 44, 60000, 1 << 15))},
        {"ip length": random.choice((-44, -2, -1, 1, 8))},
        {"ip options": random.choice(("01010101", "94040000", "8307040a63010100"))},
        {"chain": random.choice(([60], [0], [43], [44], [60, 60], [0, 60, 43]))},
        {"fragments": random.choice((8, 16, 24, 40, 48))},
        {"port": random.choice((1, -1, 256))},
        {"host": random.randint(1, 250)},
        {"to": random.choice((terms.DATAGRAM_PORTS[1], terms.DATAGRAM_PORTS[1], 9))},
    )
    return dict(random.choice(simple))


def bends(random: Random, count: int) -> list[Bend]:
    """As many wrong datagrams, each wrong in one way or a few."""
    made = []
    for _ in range(count):
        bend = field_bend(random) if random.random() < 0.55 else byte_bend(random)
        while random.random() < 0.25:
            bend |= byte_bend(random) if random.random() < 0.5 else field_bend(random)
        made.append(bend)
    return made


def exchange(random: Random) -> Plan:
    """Somebody calls the host by datagram, the host's unit calls somebody, or somebody floods it with calls."""
    kind = random.choices(("called", "asking", "flood"), (0.7, 0.29, 0.01))[0]
    network = terms.OUTWARD if kind == "called" and random.random() < 0.1 else terms.NOWHERE
    network = terms.OPEN if kind == "flood" else network  # whose limit concerns nobody else here
    plan: dict[str, Any] = {
        "kind": kind,
        "way": random.choice(("wire", "run")),
        "version": random.choice((4, 6)),
        "network": network.number,
        "host": random.randint(10, 250),
        "port": random.randint(1024, 65000),
        "to": terms.DATAGRAM_PORTS[0],
        "nonce": random.getrandbits(64),
        "before": bends(random, random.randint(0, 3)),
        "payload": random.choice((0, 1, 2, 7, 64)),
    }
    if kind == "flood":
        return {**plan, "way": "run", "count": _FLOOD, "before": []}
    prove = random.random() < 0.6
    return {
        **plan,
        "syns": bends(random, random.randint(0, 4)),
        "announce": prove or random.random() < 0.9,
        "acks": bends(random, random.randint(0, 12)),
        "prove": prove,
        "calls": bends(random, random.randint(0, 8)) if prove else [],
        "replays": bends(random, random.randint(0, 2)) if prove else [],
    }


def elsewhere(plan: Plan, turn: int) -> Plan:
    """The same from another port: the host remembers what it has met at the one before."""
    return {**plan, "port": 1024 + (plan["port"] + 7919 * turn) % 60000}


def encoded(said: Trailer, bend: Bend, length: int, old: bytes) -> bytes:
    """What stands behind a datagram of this UDP length; what a trailer says has been bent before."""
    pad = bytes(length % 2)
    data = bytearray(said.surplus(length)[len(pad) :])
    if bend.get("option"):
        data = bytearray(old if bend["option"] == "old" else b"")
    for bit in bend.get("flip", ()):
        if data:
            data[bit // 8 % len(data)] ^= 1 << bit % 8
    if bend.get("sealed") and data:
        data[:2] = struct.pack("!H", option_checksum(b"\0\0" + bytes(data[2:]), len(pad) + len(data)))
    if "cut" in bend:
        del data[-bend["cut"] :]
    made = bytes(data) * (2 if bend.get("twice") else 1)
    made = pad + bytes.fromhex(bend.get("ahead", "")) + made + bytes.fromhex(bend.get("behind", ""))
    return made if data or bend.get("ahead") or bend.get("behind") else b""
