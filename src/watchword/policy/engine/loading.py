"""Loading much that stays, without the garbage collector going through it again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """No collection within; afterwards everything there is then counts as permanent.

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
        if enabled:
            gc.enable()
