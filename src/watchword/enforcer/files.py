"""Private files: written whole or not at all, readable by their owner only.

Everything an Enforcer keeps (keys, credential, policy) goes through here, so that a crash at any
moment leaves either the old content or the new, and no moment exists at which others could read it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from watchword.enforcer.errors import CredentialError, StorageError

#: The largest private file that is read back, in bytes; a policy document is the largest of them.
SIZE_LIMIT = 128 << 20


def private_directory(path: Path) -> None:
    """Make ``path`` a directory that only its owner can enter. Raises :class:`StorageError`."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(path.stat().st_mode) != 0o700:
            path.chmod(0o700)
    except OSError as error:
        raise StorageError(path, error) from error


def replace(path: Path, content: bytes, *, durable: bool = True, before: Path | None = None) -> None:
    """Put ``content`` at ``path`` atomically with mode 0600.

    ``durable`` waits for the disk; without it the content survives the process but perhaps not the host.
    What was there becomes ``before``, if that is given; at every moment there is something at ``path``.
    Raises :class:`StorageError` when there is no room, or the disk fails; the old content is there then.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        _write(beside, content, durable=durable)
        if before is not None:
            _step_back(path, before)
        beside.rename(path)
        if durable:
            _settle(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)  # half a file takes room that others need
        raise StorageError(path, error) from error


def _step_back(path: Path, before: Path) -> None:
    beside = before.with_name(f".{before.name}.new")
    beside.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):  # somebody has removed it: then what was before that stays
        os.link(path, beside, follow_symlinks=False)
        beside.rename(before)


def _write(beside: Path, content: bytes, *, durable: bool) -> None:
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def read_private(path: Path) -> bytes | None:
    """The content of ``path``, or None when there is no such file.

    A file that others may read or write, or that another user owns, is an error: it may have been
    changed by someone else, or its secret is no longer one.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CredentialError(f"{path} cannot be read: {error.strerror}") from error
    try:
        _check(path, os.fstat(descriptor))
    except CredentialError:
        os.close(descriptor)
        raise
    try:
        with os.fdopen(descriptor, "rb") as file:
            return file.read()
    except OSError as error:
        raise CredentialError(f"{path} cannot be read: {error.strerror}") from error


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CredentialError(f"{path} is not a regular file; remove it")
    if status.st_uid != os.geteuid():
        raise CredentialError(f"{path} belongs to user {status.st_uid}; it must belong to {os.geteuid()}")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise CredentialError(f"{path} is accessible to others (mode {mode:o}); find out why, then chmod 0600")
    if status.st_size > SIZE_LIMIT:
        raise CredentialError(f"{path} has {status.st_size} bytes, more than {SIZE_LIMIT}; remove it")


def _settle(directory: Path) -> None:
    """Wait until a rename inside ``directory`` is on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
