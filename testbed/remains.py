"""What a bed leaves on the machine, and its removal by the owner, or by others once it is dead.

Everything is derived from the bed's id: namespaces ``ID.*``, cgroup ``ID``, bpf directory ``ID`` and
the directory ``/run/watchword-testbed/ID`` with the owner's PID and start time. That directory is the
first to be made and the last to go, so nothing can exist without an owner on record.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed import cgroup, namespace

RECORDS = Path("/run/watchword-testbed")
_BPFFS = Path("/sys/fs/bpf")


def ensure_bpffs() -> None:
    """Make sure that a bpf file system is mounted at its usual place."""
    if not os.path.ismount(_BPFFS):
        subprocess.run(["mount", "-t", "bpf", "bpf", str(_BPFFS)], check=True)


class Remains:
    """Everything that one bed has on the machine."""

    def __init__(self, bed: str) -> None:
        self.bed = bed
        self.directory = RECORDS / bed
        self.group = cgroup.root() / bed
        self.pins = _BPFFS / bed

    def net(self, host: str) -> str:
        """The name of the network namespace of one host."""
        return f"{self.bed}.{host}"

    def claim(self) -> None:
        """Put the calling process on record as the owner."""
        owner = {"pid": os.getpid(), "started": _started(os.getpid())}
        with _records_locked():
            self.directory.mkdir()
            self.directory.chmod(0o755)  # whatever the umask: programs of other users live below
            (self.directory / "owner.json").write_text(json.dumps(owner))

    def orphaned(self) -> bool:
        """Whether the owner on record has ended (a new process with its PID is not the owner).

        Only with the records locked: then a record without an owner was never finished.
        """
        try:
            owner = json.loads((self.directory / "owner.json").read_text())
        except FileNotFoundError:
            return True
        return bool(_started(owner["pid"]) != owner["started"])

    def found(self, known: Iterable[int] = ()) -> list[str]:
        """What exists, in words. ``known`` are namespaces whose name may be gone already."""
        nets = namespace.named(f"{self.bed}.")
        found = [f"network namespace {name}" for name in nets]
        found += [f"process {pid} in cgroup {self.group}" for pid in cgroup.members(self.group)]
        inodes = {namespace.inode(name) for name in nets}.union(known)
        found += [f"process {pid} in a network namespace" for pid in namespace.processes_in(inodes)]
        places = (self.group, self.pins, self.directory)
        return found + [str(path) for path in places if path.exists()]

    def remove(self) -> None:
        """Remove all of it, the record last; may be repeated."""
        self.clear()
        with _records_locked():
            if self.directory.is_dir():
                shutil.rmtree(self.directory)

    def clear(self) -> None:
        """Remove all but the record and the files beside it."""
        cgroup.kill(self.group)
        nets = namespace.named(f"{self.bed}.")
        for pid in namespace.processes_in({namespace.inode(name) for name in nets}) if nets else []:
            if pid != os.getpid():
                _kill(pid)
        if self.pins.is_dir():
            shutil.rmtree(self.pins)
        for name in nets:
            namespace.delete(name)
        cgroup.remove(self.group)


def sweep() -> list[str]:
    """Remove the remains of beds whose owner is dead; returns their ids."""
    with _records_locked():
        orphans = [remains for path in sorted(RECORDS.glob("bed-*")) if (remains := Remains(path.name)).orphaned()]
        for remains in orphans:
            remains.clear()
            shutil.rmtree(remains.directory)
    return [remains.bed for remains in orphans]


@contextmanager
def _records_locked() -> Iterator[None]:
    RECORDS.mkdir(exist_ok=True)
    RECORDS.chmod(0o755)
    with (RECORDS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _started(pid: int) -> int | None:
    """Start time of a live process in clock ticks since boot; None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        pass
