"""The agent's memory as glibc keeps it: what has been let go of goes back to the kernel.

Most of what an agent ever takes it takes while it starts: the verifier's log, libbpf's view of the kernel's types, a
document as it stands on disk. Python frees these at once. glibc would keep their room, for an agent that never needs
as much again (mallopt(3), malloc_trim(3)). Where there is another C library, nothing is done.
"""

from __future__ import annotations

import ctypes
from typing import Any

#: M_MMAP_THRESHOLD of malloc.h.
_MMAP_THRESHOLD = -3
#: Bytes from which on a piece has a mapping of its own, gone when it is freed. The default is the same, and grows.
_LARGE = 128 << 10


def keep_large_apart() -> None:
    """From now on every large piece has a mapping of its own; to be called before there are many."""
    if mallopt := _function("mallopt"):
        mallopt(ctypes.c_int(_MMAP_THRESHOLD), ctypes.c_int(_LARGE))


def give_back() -> None:
    """Let the kernel have what is free: milliseconds for each 100 MB held."""
    if malloc_trim := _function("malloc_trim"):
        malloc_trim(ctypes.c_size_t(0))


def _function(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None)
