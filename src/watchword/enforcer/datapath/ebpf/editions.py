"""The compiled programs come in two editions, from the same sources: one for each of two ages of kernels.

The older one does without atomic operations that return what was there and without loops by call. It takes words by
entries of a table instead, and never reads a DNS answer: no host name is learned. Which one a kernel gets is found by
trying; ``WATCHWORD_EDITION`` (``newer`` or ``older``) chooses instead.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.datapath.ebpf import features
from watchword.policy.tables import Tables

#: Where `make bpf` puts the newer edition; the older one is in a directory below it.
OBJECTS = Path(__file__).parent / "objects"
OLDER = OBJECTS / "older"

_VARIABLE = "WATCHWORD_EDITION"


@functools.cache
def edition() -> Path:
    """The directory of the programs for this kernel. Raises :class:`DatapathError` for a wrong variable."""
    chosen = os.environ.get(_VARIABLE, "")
    if chosen not in ("", "newer", "older"):
        raise DatapathError(f"{_VARIABLE} is {chosen!r}: leave it away, or say newer or older")
    older = chosen == "older" if chosen else any(True for _ in features.lacking(features.NEWER))
    return OLDER if older else OBJECTS


def hears_names() -> bool:
    """Whether units learn addresses under host names here."""
    return edition() != OLDER


def check_names(tables: Tables) -> None:
    """Raises :class:`DatapathError` where a Reject would not hold because no host name is ever learned here.

    What is allowed by a host name alone stays refused, which needs no error.
    """
    if hears_names():
        return
    classes = set(tables.names.values())
    for key, verdict in tables.verdicts.items():
        if key.peer in classes and key.direction == "out" and verdict.action == "Reject" and verdict.explicit:
            name = min(name for name, number in tables.names.items() if number == key.peer)
            raise DatapathError(
                f"revision {tables.revision} rejects by host name ({name}, rule {verdict.rule}), and this kernel's "
                "programs learn none: reject the network by address, or use Linux 5.17 or later"
            )
