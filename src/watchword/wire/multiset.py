"""A hash of a set that follows the set: adding or removing one element costs one addition.

The construction is AdHash (Bellare and Micciancio, "A New Paradigm for Collision-free Hashing",
Eurocrypt 1997): every element is hashed to a number of :data:`BITS` bits by SHAKE-256, and the hash of
a set is the sum of its elements' hashes modulo 2^BITS. Order does not matter, and two sets that share
most of their elements share most of the work.

Why it is safe. Two sets of one sum are a solution of a generalised birthday problem; the best known
way to find one, Wagner's, takes about 2^(2 sqrt(BITS)) steps and as much memory, which is 2^128 here,
and lattice reduction does worse at this size. (That is why the sum has 4096 bits: at 256, as many as a
plain hash has, the same attack would take 2^32.) It needs no secret, so both sides and a file on disk
can be checked with what is public. The sum is taken over *sets*: callers give every element a key of its
own, so that none is in twice.

Sums are plain integers without reduction, so that removal is subtraction; :func:`encoded` reduces.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

#: Length of an element's hash and of a sum.
BITS = 4096

_BYTES = BITS // 8
_MASK = (1 << BITS) - 1

_encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode


def element(kind: str, *parts: Any) -> int:
    """The hash of one element: of its kind, its key and its content.

    ``parts`` are structs, tuples, strings, bytes and numbers; their msgpack form is the canonical one,
    as nothing in them is a mapping or a set.
    """
    return int.from_bytes(hashlib.shake_256(_encode((kind, *parts))).digest(_BYTES), "little")


def encoded(total: int) -> bytes:
    """A sum as bytes."""
    return (total & _MASK).to_bytes(_BYTES, "little")
