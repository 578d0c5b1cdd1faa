"""Plans of handshakes: what an attacker sends around one, as plain data that can be cut down, kept and played again.

A plan says which segments are sent in each state of a handshake. Each is told by how it differs from the honest one,
since numbers and nonces are known only when it is played.
"""

from __future__ import annotations

from random import Random
from typing import Any

from tests.fuzz import terms

#: How one segment differs from the honest one; an empty one does not.
Bend = dict[str, Any]
#: One handshake and everything around it.
Plan = dict[str, Any]

#: The parts of a plan that list segments, in the order in which they are sent.
SEGMENTS = ("before", "syns", "acks", "after", "calls", "replays")
_FLAGS = (0x02, 0x10, 0x12, 0x18, 0x11, 0x04, 0x14, 0x01, 0x00, 0x03, 0x06, 0x08, 0x30, 0x50, 0x90, 0x38, 0x3F, 0xFF)
_BADGES = (terms.STRANGER, terms.REFUSED, terms.OWN, 0, 0xFFFFFFFF)
_ACK_LIKE = (0x10, 0x10, 0x10, 0x18, 0x11)


def option_bend(random: Random, length: int) -> Bend:
    """One way to get an identity option of this many bytes wrong."""
    how = random.randrange(14)
    if how == 0:
        return {"flip": [random.randrange(8 * length) for _ in range(random.choice((1, 1, 2)))]}
    if how == 1:
        return {"flip": [random.randrange(8 * 8, 8 * length)]}
    simple: tuple[Bend, ...] = (
        {"option": "none"},
        {"option": "zero"},
        {"option": "old"},
        {"option": "of the answer"},
        {"kind": random.choice((254, 2, 252, 0, 1, 34))},
        {"exid": random.choice((0x5758, 0xF989, 0, 0x5756))},
        {"length": random.choice((0, 1, 2, 3, 4, 19, 21, 20, 24, 27, 28, 29, 40, 255))},
        {"cut": random.randint(1, length)},
        {"twice": True},
        {"behind": random.choice(("01010101", "00000000", "04020101", "0303070001"[:8], "fd045757"))},
        {"badge": random.choice(_BADGES)},
        {"ahead": "fd14" + "5757" + random.randbytes(16).hex()},
    )
    return dict(simple[how - 2])


def segment_bend(random: Random) -> Bend:
    """One way to get the rest of a segment wrong."""
    how = random.randrange(11)
    bends: tuple[Bend, ...] = (
        {"flags": random.choice(_FLAGS)},
        {"flags": random.getrandbits(8)},
        {"seq": random.choice((-1, 1, 2, 1000, 1 << 31, -(1 << 16)))},
        {"ack": random.choice((-1, 1, 2, 1000, 1 << 31, -(1 << 16)))},
        {"payload": b"evil".hex() * random.choice((1, 2, 300))},
        {"words": random.randrange(16)},
        {"ip options": random.choice(("01010101", "94040000", "8307040a63010100"))},
        {"chain": random.choice(([60], [0], [43], [44], [60, 60], [51], [0, 60, 43]))},
        {"fragments": random.choice((8, 16, 24, 40))},
        {"port": random.choice((1, -1, 256))},
        {"host": random.randint(1, 4)},
    )
    return dict(bends[how])


def bends(random: Random, length: int, count: int) -> list[Bend]:
    """As many wrong segments, each wrong in one way or a few."""
    made = []
    for _ in range(count):
        bend = option_bend(random, length) if random.random() < 0.6 else segment_bend(random)
        while random.random() < 0.25:
            bend |= segment_bend(random) if random.random() < 0.7 else option_bend(random, length)
        made.append(bend)
    return made


def call(random: Random) -> Plan:
    """Somebody calls the host: wrong SYNs, mostly an honest one, wrong ACKs, and perhaps the honest one."""
    honest = random.random() < 0.35
    network = terms.NOWHERE if random.random() < 0.9 else random.choice((terms.OUTWARD, terms.CALLERS))
    plan: Plan = {
        "kind": "call",
        "version": random.choice((4, 6)),
        "network": network.number,
        "host": random.randint(10, 250),
        "port": random.randint(1024, 65000),
        "to": random.choice((*terms.STREAM_PORTS[:1] * 3, terms.STREAM_PORTS[1])),
        "seq": random.getrandbits(32),
        "nonce": random.getrandbits(64),
        "before": bends(random, 28, random.randint(0, 3)),
        "syns": bends(random, 20, random.randint(0, 4)),
        "announce": honest or random.random() < 0.9,
        "acks": bends(random, 28, random.randint(4, 24)),
        "prove": honest,
        "after": blind(random) if honest else [],
    }
    for bend in plan["before"]:
        bend.setdefault("flags", random.choice(_ACK_LIKE))
    return plan


def answer(random: Random) -> Plan:
    """The host's unit calls somebody: wrong answers, and perhaps the honest one."""
    honest = random.random() < 0.5
    return {
        "kind": "answer",
        "version": random.choice((4, 6)),
        "network": terms.NOWHERE.number,
        "host": random.randint(10, 250),
        "to": random.randint(1024, 65000),
        "seq": random.getrandbits(32),
        "nonce": random.getrandbits(48) & ~1 | 1,
        "acks": bends(random, 20, random.randint(1, 7 if honest else 12)),
        "prove": honest,
        "after": blind(random) if honest else [],
    }


def blind(random: Random) -> list[Bend]:
    """Segments for a connection that stands, of somebody who does not know its numbers."""
    return [
        {
            "option": random.choice(("none", "none", "old")),
            "flags": random.choice(_FLAGS),
            "seq": random.choice((1 << 31, 1 << 30, -(1 << 30))) + random.randrange(1 << 16),
            "ack": random.choice((1 << 31, 1 << 30, -(1 << 30))) + random.randrange(1 << 16),
            "payload": random.choice(("", b"evil".hex())),
        }
        for _ in range(random.randint(0, 6))
    ]


def without(plan: Plan, part: str, number: int) -> Plan:
    """The plan without one of its segments."""
    kept = [bend for place, bend in enumerate(plan[part]) if place != number]
    return {**plan, part: kept}


def smaller(plan: Plan) -> list[Plan]:
    """Every plan that lacks one segment, or one way in which a segment is wrong."""
    made: list[Plan] = []
    for part in SEGMENTS:
        for number, bend in enumerate(plan.get(part, ())):
            made.append(without(plan, part, number))
            for key in bend if len(bend) > 1 and part != "after" else ():  # blind segments stay blind
                kept = {name: value for name, value in bend.items() if name != key}
                segments = [kept if place == number else each for place, each in enumerate(plan[part])]
                made.append({**plan, part: segments})
    made += [{**plan, flag: False} for flag in ("prove", "announce") if plan.get(flag)]
    return made
