"""Network namespaces: create, delete, switch the calling thread into one.

Knows nothing of hosts or links. Namespaces are named as ``ip netns`` names them, so people can look
into a running bed with the usual tools.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMED = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)  # os.setns arrived with Python 3.12 only


def create(name: str) -> None:
    """Create the namespace ``name``."""
    subprocess.run(["ip", "netns", "add", name], check=True)


def delete(name: str) -> None:
    """Remove the name; the kernel drops the namespace when its last socket and process are gone."""
    subprocess.run(["ip", "netns", "delete", name], check=True)


def named(prefix: str) -> list[str]:
    """Names of all namespaces that begin with ``prefix``."""
    if not NAMED.is_dir():
        return []
    return sorted(entry.name for entry in NAMED.iterdir() if entry.name.startswith(prefix))


def inode(name: str) -> int:
    """The number by which ``/proc/PID/ns/net`` tells namespaces apart."""
    return (NAMED / name).stat().st_ino


def processes_in(inodes: set[int]) -> list[int]:
    """PIDs of all processes whose main thread is in one of the namespaces."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "ns/net").stat().st_ino in inodes:
                found.append(int(entry.name))
        except OSError:  # the process ended while we looked
            continue
    return found


@contextmanager
def entered(name: str) -> Iterator[None]:
    """Switch the *calling thread* into namespace ``name`` for the body of the ``with``.

    Other threads stay where they are. Never ``await`` inside: another task of the same thread would
    run in the wrong namespace.
    """
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(NAMED / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(target)
        finally:
            os.close(target)
        try:
            yield
        finally:
            _setns(own)
    finally:
        os.close(own)


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def configure(name: str, commands: list[str]) -> None:
    """Run ``ip`` commands (without the leading word ``ip``) inside namespace ``name``, in order."""
    text = "\n".join(commands) + "\n"
    done = subprocess.run(["ip", "-n", name, "-batch", "-"], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip failed in {name}: {done.stderr.strip()}\n{text}")
