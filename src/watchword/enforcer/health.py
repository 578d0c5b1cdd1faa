"""The agent's own health: memory, processor time, and what it complains about."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(_STATM.read_text().split()[1]) * _PAGE


def processor_seconds() -> float:
    """Processor time this process has used, user and system."""
    return time.process_time()
