"""What time it is, by two clocks: one that people set and one that nobody can.

How long something has lasted is told by the second as long as the host has not been booted since; only over a boot the
first has to be believed, and then at least for the time that the host has been up.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import msgspec

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """What names this boot of the host, and no other (proc(5): random/boot_id)."""
    return _BOOT_ID.read_text().strip()


class Moment(NamedTuple):
    """One moment of one boot."""

    wall: float  # Unix time, as somebody has set it
    elapsed: float  # seconds since the boot, time in suspension included

    @classmethod
    def now(cls) -> Moment:
        """This moment."""
        return cls(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A moment, to be found again after a restart."""

    boot: str
    wall: float
    elapsed: float

    @classmethod
    def of(cls, moment: Moment, boot: str) -> Mark:
        """The mark of a moment of the boot that is called so."""
        return cls(boot, *moment)

    def age(self, now: Moment, boot: str) -> float:
        """Seconds since; a clock that somebody set counts only over boots, and never below the time since the last."""
        if self.boot == boot:
            return max(0.0, now.elapsed - self.elapsed)
        return max(now.elapsed, now.wall - self.wall)
