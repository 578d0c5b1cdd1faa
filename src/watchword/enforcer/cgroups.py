"""The cgroup v2 tree: where it is mounted, where units live in it, when they become empty.

Knows directories only; what a unit is, is :mod:`watchword.enforcer.units`' business. Never touches
a controller or the cgroups of others.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator
from pathlib import Path

from watchword.enforcer.errors import SettingsError, UnitError

_MOUNTS = Path("/proc/self/mounts")


def mounted(mounts: str | None = None) -> Path:
    """Where cgroup v2 is mounted on this host, pure or hybrid."""
    text = _MOUNTS.read_text() if mounts is None else mounts
    for line in text.splitlines():
        _device, directory, kind, *_rest = line.split(" ")
        if kind == "cgroup2":
            return Path(directory.replace("\\040", " "))
    raise SettingsError(
        "cgroup_root", "cgroup v2 is not mounted", "mount it: mount -t cgroup2 none /sys/fs/cgroup/unified"
    )


def checked_root(root: str) -> Path:
    """The cgroup root to police: ``root``, or the whole tree when that is empty."""
    if not root:
        return mounted()
    path = Path(os.path.normpath(root))
    if not path.is_absolute():
        raise SettingsError("cgroup_root", f"{root!r} is not absolute", "give a directory of the cgroup v2 tree")
    if not (path / "cgroup.controllers").is_file():
        raise SettingsError("cgroup_root", f"{path} is no cgroup v2 directory", f"choose one below {mounted()}")
    return path


def exists(path: Path) -> bool:
    """Whether a cgroup stands at ``path``."""
    return (path / "cgroup.procs").exists()


def inode(path: Path) -> int:
    """The cgroup's ID, by which a cgroup made anew at the same path is told apart; 0 if there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


class Standing:
    """Which cgroups stand, as of one look: whatever is above them is read once, however many there are."""

    def __init__(self) -> None:
        self._below: dict[str, dict[str, int]] = {}

    def inode(self, path: str) -> int:
        """As :func:`inode`, for an absolute path."""
        parent, _, name = path.rpartition("/")
        below = self._below.get(parent)
        if below is None:
            below = self._below[parent] = _directories(parent)
        return below.get(name, 0)


def _directories(path: str) -> dict[str, int]:
    """The directories in one that may be gone, with their inodes, without a look at each."""
    try:
        with os.scandir(path) as entries:
            return {entry.name: entry.inode() for entry in entries if entry.is_dir(follow_symlinks=False)}
    except FileNotFoundError:
        return {}
    except OSError as error:
        if error.errno == errno.ENODEV:  # removed while it was read
            return {}
        raise


def populated(path: Path) -> bool:
    """Whether any process lives in the cgroup or below it."""
    try:
        return _says_populated((path / "cgroup.events").read_bytes())
    except (FileNotFoundError, OSError) as error:
        if isinstance(error, FileNotFoundError) or error.errno == errno.ENODEV:
            return False
        raise


def create(path: Path) -> None:
    """Make the cgroup, and its parents; one that is there already and empty is used as it is."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnitError(f"cannot make the cgroup {path}: {error.strerror}") from error


def remove(path: Path) -> bool:
    """Remove the cgroup and those below it; False when processes still live there."""
    if not path.is_dir():
        return True
    for directory, _names, _files in os.walk(path, topdown=False):
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            raise
    return True


def evacuate(path: Path, target: Path) -> None:
    """Move every process in ``path`` and below it to ``target``."""
    for directory, _names, _files in os.walk(path):
        for process in _processes(Path(directory)):
            try:
                (target / "cgroup.procs").write_text(process)
            except OSError:
                continue  # it ended meanwhile, or may not leave: who removes the cgroup will notice


def service(root: Path, unit: str) -> Path | None:
    """The cgroup of a running systemd unit below ``root``, or None while it does not run."""
    for candidate in _slices(root):
        path = candidate / unit
        if exists(path):
            return path
    return None


class PopulationWatch:
    """Tells when cgroups become populated or empty, without polling.

    ``fileno`` becomes readable when some ``cgroup.events`` changed; ``changed`` then names the keys.
    The kernel announces these changes as POLLPRI, which event loops do not offer: hence an epoll of
    its own, which is itself readable when it has something to say.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._files: dict[int, str] = {}
        self._descriptors: dict[str, int] = {}

    def fileno(self) -> int:
        """What the event loop is to watch for reading."""
        return self._epoll.fileno()

    def add(self, key: str, path: Path) -> None:
        """Watch the cgroup at ``path`` under the name ``key``."""
        self.discard(key)
        descriptor = os.open(path / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        os.pread(descriptor, 256, 0)  # from here on, changes are announced
        self._epoll.register(descriptor, select.EPOLLPRI)
        self._files[descriptor] = key
        self._descriptors[key] = descriptor

    def discard(self, key: str) -> None:
        """Watch ``key`` no longer."""
        descriptor = self._descriptors.pop(key, None)
        if descriptor is not None:
            del self._files[descriptor]
            self._epoll.unregister(descriptor)
            os.close(descriptor)

    def changed(self) -> dict[str, bool]:
        """Keys whose cgroup changed since last asked, and whether it is populated now."""
        changes = {}
        for descriptor, _mask in self._epoll.poll(0):
            key = self._files[descriptor]
            try:
                changes[key] = _says_populated(os.pread(descriptor, 256, 0))
            except OSError as error:
                if error.errno != errno.ENODEV:
                    raise
                changes[key] = False
                self.discard(key)  # the cgroup is gone; its file would be announced for ever
        return changes

    def close(self) -> None:
        """Let go of everything."""
        for key in list(self._descriptors):
            self.discard(key)
        self._epoll.close()


def _says_populated(events: bytes) -> bool:
    return b"populated 1" in events.splitlines()


def _processes(path: Path) -> list[str]:
    try:
        return (path / "cgroup.procs").read_text().split()
    except (FileNotFoundError, OSError):
        return []


def _slices(root: Path) -> Iterator[Path]:
    """The places below ``root`` in which systemd puts services, likely ones first."""
    yield root / "system.slice"
    for directory, names, _files in os.walk(root):
        names[:] = sorted(name for name in names if name.endswith(".slice"))
        yield Path(directory)
