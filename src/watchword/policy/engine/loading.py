"""Loading much that stays, and working on it, without the garbage collector going through it again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: Containers made, and not freed by their reference counts, before the youngest are collected. Nothing in the
#: engine is in a cycle, and one change may tell thousands of Enforcers: with Python's 700 a change would be
#: interrupted several times to find nothing.
YOUNG = 20_000


@contextmanager
def undisturbed() -> Iterator[None]:
    """No collection within; afterwards everything there is then counts as permanent, and collections are rarer.

    A world of 100,000 units is millions of objects, and none of them in a cycle. Loading it would
    be a third slower, and every full collection later would stop the process for half a second.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
        if enabled:
            gc.enable()
