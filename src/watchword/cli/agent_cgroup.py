"""A cgroup for the agent alone.

The kernel exempts one cgroup from policy, so that the agent reaches its Console whatever policy says. Whoever
else lived there would be exempt too: so the agent uses the cgroup it was started in only if it is alone there
(as under systemd), and otherwise moves into one of its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchword.enforcer.settings import Settings

_NAME = "watchword-agent"


@contextlib.contextmanager
def entered(settings: Settings) -> Iterator[None]:
    """Be in a cgroup that holds no other process; afterwards be back where one came from."""
    from watchword.enforcer import cgroups

    root = cgroups.checked_root(settings.cgroup_root)
    here = _current()
    if not here.is_relative_to(root) or _alone(here, root):
        yield
        return
    own_place = root / _NAME
    cgroups.create(own_place)
    _move(own_place)
    try:
        yield
    finally:
        _move(here if cgroups.exists(here) else root)
        cgroups.remove(own_place)


def own(root: Path) -> Path | None:
    """The cgroup this process has for itself; None if it has none below ``root``."""
    here = _current()
    return here if here.is_relative_to(root) and _alone(here, root) else None


def forget(settings: Settings) -> None:
    """Remove the cgroup that a killed agent left."""
    from watchword.enforcer import cgroups

    cgroups.remove(cgroups.checked_root(settings.cgroup_root) / _NAME)


def _current() -> Path:
    from watchword.enforcer import cgroups

    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return Path(os.path.normpath(f"{cgroups.mounted()}/{line.removeprefix('0::')}"))
    return cgroups.mounted()


def _alone(cgroup: Path, root: Path) -> bool:
    if cgroup == root:
        return False
    return (cgroup / "cgroup.procs").read_text().split() == [str(os.getpid())]


def _move(cgroup: Path) -> None:
    (cgroup / "cgroup.procs").write_text("0")
