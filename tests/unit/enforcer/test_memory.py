"""Memory that the agent has let go of is the kernel's again."""

from __future__ import annotations

import subprocess
import sys

_PIECES = """
import ctypes
from pathlib import Path
from watchword.enforcer import memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
memory.keep_large_apart()
"""


def _measured(program: str) -> int:
    done = subprocess.run([sys.executable, "-c", _PIECES + program], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_small_pieces_go_back_when_they_are_asked_for() -> None:
    """What lies below a piece that stays would stay with it."""
    returned = _measured(
        "pieces = [libc.malloc(60_000) for _ in range(500)]\n"
        "for piece in pieces: ctypes.memset(piece, 1, 60_000)\n"
        "for piece in pieces[:-1]: libc.free(piece)\n"
        "before = resident()\n"
        "memory.give_back()\n"
        "print(before - resident())\n"
    )
    assert returned > 20_000_000


def test_large_pieces_go_back_at_once_whatever_was_freed_before() -> None:
    """Else glibc takes room for the next ones where small pieces are, once a large one has been freed."""
    kept = _measured(
        "for _ in range(2):\n"
        "    before = resident()\n"
        "    pieces = [libc.malloc(1_000_000) for _ in range(30)]\n"
        "    for piece in pieces: ctypes.memset(piece, 1, 1_000_000)\n"
        "    for piece in pieces[:-1]: libc.free(piece)\n"
        "print(resident() - before)\n"
    )
    assert kept < 5_000_000
