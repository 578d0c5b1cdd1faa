"""The last revision on disk: what a host enforces when it starts and no Console answers.

A file is worth what its signature says: it is verified at every load exactly like a frame from the
network, with the same key, for this Enforcer. Anything else is refused whole and left for inspection.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from watchword.enforcer import files
from watchword.enforcer.errors import UNDECODABLE, CredentialError, RevisionError
from watchword.identity.keys import SignatureError
from watchword.identity.signatures import verify_revision
from watchword.wire.policy import PolicyDocument, digest

_FILE = "revision"


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
    """The file of the last signed revision."""

    def __init__(self, directory: Path, console_public: bytes, enforcer: str) -> None:
        self._path = directory / _FILE
        self._console_public = console_public
        self._enforcer = enforcer

    def keep(self, signed: SignedDocument) -> None:
        """Put a verified revision on disk in place of the one before."""
        files.replace(self._path, msgspec.msgpack.encode(_Stored(1, signed.document, signed.signature)))

    def confirm(self) -> None:
        """A Console stands behind the stored revision now: its age begins anew."""
        if self._path.exists():
            os.utime(self._path)

    def age(self, now: float) -> float:
        """Seconds since a Console last stood behind the stored revision; 0 without one."""
        return max(0.0, now - self._path.stat().st_mtime) if self._path.exists() else 0.0

    def load(self, at_least: int = 0) -> SignedDocument | None:
        """The stored revision, or None when there is none.

        ``at_least`` is the revision that the kernel decides by: an older file is a step back in time
        and is refused, like one that does not verify, with :class:`RevisionError`.
        """
        try:
            content = files.read_private(self._path)
        except CredentialError as error:
            raise RevisionError(str(error)) from None
        if content is None:
            return None
        try:
            stored = msgspec.msgpack.decode(content, type=_Stored)
        except UNDECODABLE as error:
            raise RevisionError(f"{self._path} is not a stored revision: {error}") from None
        if stored.format != 1:
            raise RevisionError(f"{self._path} has format {stored.format}; this agent reads format 1")
        signed = SignedDocument(stored.document, stored.signature)
        verify(self._console_public, self._enforcer, signed)
        if stored.document.revision < at_least:
            raise RevisionError(
                f"{self._path} holds revision {stored.document.revision}, older than {at_least} which is enforced"
            )
        return signed
