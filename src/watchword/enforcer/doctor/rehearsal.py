"""The whole kernel datapath, tried out where it cannot touch anything: installed, attached, and removed again.

Runs in a process of its own (``python -m watchword.enforcer.doctor.rehearsal``), inside a network namespace of its own
and on an empty cgroup made for it. What the kernel's verifier and attach points say there, they will
say when an Enforcer starts. Exit code 0, or 1 with the reason on standard error.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_CLONE_NEWNET = 0x40000000


def rehearse() -> None:
    """Install, attach and remove. Raises what the datapath raises."""
    from watchword.enforcer import cgroups
    from watchword.enforcer.datapath.ebpf.datapath import EbpfDatapath
    from watchword.policy.tables import Tables

    _leave_network()
    name = f"watchword-doctor-{os.getpid()}"
    with _empty_cgroup(cgroups.mounted() / name) as cgroup:
        pins = Path("/sys/fs/bpf") / name
        datapath = EbpfDatapath(cgroup, pins)
        try:
            datapath.install()
            datapath.apply(Tables(revision=1))
        finally:
            datapath.uninstall()


def outcome() -> str:
    """Run it in a process of its own; the reason why it fails, or nothing."""
    done = subprocess.run([sys.executable, "-m", __name__], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 0:
        return ""
    return done.stderr.strip() or f"exit code {done.returncode}"


def _leave_network() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot make a network namespace")


@contextlib.contextmanager
def _empty_cgroup(path: Path) -> Iterator[Path]:
    path.mkdir()
    try:
        yield path
    finally:
        path.rmdir()


def main() -> None:
    """Say why it fails, if it does."""
    from watchword.enforcer.datapath.base import DatapathError
    from watchword.enforcer.errors import EnforcerError

    try:
        rehearse()
    except (DatapathError, EnforcerError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
