"""cgroup v2 subtrees: where they are on this machine, create, empty, remove.

Works on hybrid machines (v2 beside v1) and on pure v2. Enables no controllers, so processes may live
at any level of the subtree.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from functools import cache
from pathlib import Path


@cache
def root() -> Path:
    """The mount point of the cgroup v2 hierarchy."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount_point, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(mount_point)
    raise RuntimeError("no cgroup2 file system is mounted: boot with systemd.unified_cgroup_hierarchy=1 or mount one")


def create(path: Path) -> None:
    """Create the group and those above it."""
    path.mkdir(parents=True, exist_ok=True)


def members(path: Path) -> list[int]:
    """PIDs in the group and all below it; zombies do not count."""
    found: list[int] = []
    for directory, _, _ in os.walk(path):
        try:
            found += [int(line) for line in (Path(directory) / "cgroup.procs").read_text().split()]
        except OSError:  # removed meanwhile
            continue
    return found


def kill(path: Path, timeout: float = 10.0) -> None:
    """SIGKILL everything in the subtree and wait until it is empty."""
    if not path.is_dir():
        return
    at_once = path / "cgroup.kill"  # Linux 5.14
    deadline = time.monotonic() + timeout
    if at_once.exists():
        at_once.write_text("1")
    while "populated 1" in (path / "cgroup.events").read_text():
        if not at_once.exists():
            for member in members(path):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes survive in {path}: {members(path)}")
        time.sleep(0.002)


def remove(path: Path, timeout: float = 10.0) -> None:
    """Remove an empty subtree, deepest group first."""
    deadline = time.monotonic() + timeout
    for directory, _, _ in os.walk(path, topdown=False):
        while True:
            try:
                os.rmdir(directory)
                break
            except FileNotFoundError:
                break
            except OSError:  # EBUSY for a moment after the last process has gone
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
