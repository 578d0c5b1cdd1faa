"""A wall clock for some programs, which a test may set while they run.

The kernel has one wall clock, and time namespaces know only the clocks that nobody can set. So the programs get theirs
from a small library that is loaded before the C library and asked in its place.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).parent
_LIBRARY = _SOURCE / "build" / "wallclock.so"


class WallClock:
    """One clock; programs started with :attr:`env` have it."""

    def __init__(self, path: Path) -> None:
        """``path`` is a file of its own."""
        subprocess.run(["make", "-s", "-C", str(_SOURCE)], check=True)
        self._path = path
        path.write_bytes(bytes(8))
        self.env = {"LD_PRELOAD": str(_LIBRARY), "WATCHWORD_WALLCLOCK": str(path)}

    def set_ahead(self, seconds: float) -> None:
        """Let it be ahead of the kernel's by that much (behind, if negative), at once."""
        with self._path.open("r+b", buffering=0) as file:  # in place: it is mapped
            file.write(struct.pack("=q", int(seconds)))
