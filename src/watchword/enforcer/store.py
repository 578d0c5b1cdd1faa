"""The last revision on disk: what a host enforces when it starts and no Console answers.

A file is worth what its signature says: it is verified at every load exactly like a frame from the
network, with the same key, for this Enforcer. Anything else is refused whole and left for inspection.
The revision before the last is kept too, in a file of its own, for the day on which that of the last is damaged.

Beside it stands when a Console last stood behind it, by a clock that nobody can set: whoever sets the other must
neither make its rules lapse nor keep them alive.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import msgspec

from watchword.enforcer import files
from watchword.enforcer.errors import UNDECODABLE, CredentialError, RevisionError
from watchword.enforcer.moment import Mark, Moment, boot_id
from watchword.identity.keys import SignatureError
from watchword.identity.signatures import verify_revision
from watchword.wire.policy import PolicyDocument, digest
from watchword.wire.words import keep_once

_FILE = "revision"
_BEFORE = "revision-before"
_CONFIRMED = "confirmed"

_log = logging.getLogger(__name__)


class SignedDocument(NamedTuple):
    """A policy document and the Console's signature over its digest."""

    document: PolicyDocument
    signature: bytes


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    document: PolicyDocument
    signature: bytes


def verify(console_public: bytes, enforcer: str, signed: SignedDocument) -> None:
    """Raise :class:`RevisionError` unless the Console signed this document for this Enforcer."""
    revision = signed.document.revision
    try:
        verify_revision(console_public, enforcer, revision, digest(signed.document), signed.signature)
    except SignatureError as error:
        raise RevisionError(f"revision {revision}: {error}") from None


class RevisionStore:
    """The files of the last signed revision and of the one before."""

    def __init__(self, directory: Path, console_public: bytes, enforcer: str, boot: str = "") -> None:
        """``boot`` names this boot of the host, if not as the kernel does."""
        self._path = directory / _FILE
        self._before = directory / _BEFORE
        self._sound = False  # the last file has been verified, or was written here
        self._marked = directory / _CONFIRMED
        self._console_public = console_public
        self._enforcer = enforcer
        self._boot = boot or boot_id()
        self._mark = self._read_mark()

    def keep(self, signed: SignedDocument) -> None:
        """Put a verified revision on disk; what it takes the place of becomes the one before.

        Raises :class:`StorageError`. A file that is not known to be good takes the place of nothing. At every moment
        there is a last revision.
        """
        content = msgspec.msgpack.encode(_Stored(1, signed.document, signed.signature))
        files.replace(self._path, content, before=self._before if self._sound else None)
        self._sound = True

    def confirm(self, now: Moment) -> None:
        """A Console stands behind the revision in force now: its age begins anew. Raises :class:`StorageError`."""
        self._mark = Mark.of(now, self._boot)
        files.replace(self._marked, msgspec.msgpack.encode(self._mark), durable=False)

    def age(self, now: Moment) -> float:
        """Seconds since a Console last stood behind the stored revision; 0 without one."""
        if self._mark is not None:
            return self._mark.age(now, self._boot)
        return max(0.0, now.wall - self._path.stat().st_mtime) if self._path.exists() else 0.0

    def _read_mark(self) -> Mark | None:
        """None also for what cannot be read: then the file's own time has to do."""
        try:
            content = files.read_private(self._marked)
            return msgspec.msgpack.decode(content, type=Mark) if content is not None else None
        except (*UNDECODABLE, CredentialError) as error:
            _log.warning("%s is unusable, the age of the revision is that of its file: %s", self._marked, error)
            return None

    def load(self, at_least: int = 0) -> SignedDocument | None:
        """The stored revision, or None when there is none.

        ``at_least`` is the revision that the kernel decides by: an older file is a step back in time
        and is refused, like one that does not verify, with :class:`RevisionError`.
        """
        signed = self._read(self._path)
        if signed is None:
            if self._before.exists():
                raise RevisionError(f"{self._path} is gone")
            return None
        if signed.document.revision < at_least:
            raise RevisionError(
                f"{self._path} holds revision {signed.document.revision}, older than {at_least} which is enforced"
            )
        self._sound = True
        return signed

    def load_before(self) -> SignedDocument | None:
        """The revision before the last, for when that is not usable; None when it is not usable either."""
        try:
            return self._read(self._before)
        except RevisionError as error:
            _log.warning("nor is the one before: %s", error)
            return None

    def _read(self, path: Path) -> SignedDocument | None:
        try:
            content = files.read_private(path)
        except CredentialError as error:
            raise RevisionError(str(error)) from None
        if content is None:
            return None
        try:
            stored = msgspec.msgpack.decode(content, type=_Stored)
        except UNDECODABLE as error:
            raise RevisionError(f"{path} is not a stored revision: {error}") from None
        if stored.format != 1:
            raise RevisionError(f"{path} has format {stored.format}; this agent reads format 1")
        signed = SignedDocument(stored.document, stored.signature)
        verify(self._console_public, self._enforcer, signed)
        keep_once(signed.document)
        return signed
