"""Identifiers and badges: unguessable enough, unique, and identifiers in order of their making."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from watchword.identity.keys import Random


class Identifiers:
    """Makes identifiers of 24 hexadecimal digits: 12 of the time in milliseconds, 12 random."""

    def __init__(self, clock: Callable[[], datetime.datetime], random: Random) -> None:
        self._clock = clock
        self._random = random

    def new(self) -> str:
        """A new identifier."""
        milliseconds = int(self._clock().timestamp() * 1000)
        return milliseconds.to_bytes(6, "big").hex() + self._random(6).hex()

    def badge(self) -> int:
        """A random badge; never 0, which means no identity. The caller checks that it is free."""
        while True:
            badge = int.from_bytes(self._random(4), "big")
            if badge:
                return badge
