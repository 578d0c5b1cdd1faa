"""How large the kernel's tables are, where an operator wants them other than compiled. Pure."""

from __future__ import annotations

import mmap
from collections.abc import Mapping

from watchword.enforcer.datapath.base import DatapathError

#: Tables whose size may be chosen; all others have to have the one they are compiled with.
CHOSEN = frozenset(
    {
        "datagrams",
        "events",
        "flows",
        "learned",
        "live",
        "lookups",
        "names",
        "peers",
        "prefixes4",
        "prefixes6",
        "reported",
        "spelled",
        "suffixes",
        "udp_flows",
        "units",
        "verdicts",
    }
)

_LIMIT = 1 << 28


def checked_sizes(sizes: Mapping[str, int]) -> dict[str, int]:
    """Numbers of entries by table (bytes for ``events``), if they can be.

    Raises :class:`DatapathError` that names the setting and what it may be.
    """
    for name, size in sizes.items():
        if name not in CHOSEN:
            raise DatapathError(f"table_sizes.{name}: no such table; choose among {', '.join(sorted(CHOSEN))}")
        if not 0 < size < _LIMIT:
            raise DatapathError(f"table_sizes.{name}: {size} is not possible; choose 1 to {_LIMIT - 1}")
        if name == "events" and (size & (size - 1) or size < mmap.PAGESIZE):
            raise DatapathError(f"table_sizes.events: {size} bytes; choose a power of two from {mmap.PAGESIZE} on")
    return dict(sizes)
