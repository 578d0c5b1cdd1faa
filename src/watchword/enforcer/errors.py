"""What can go wrong in an Enforcer, as a tree::

    EnforcerError
    ├── SettingsError      a setting is missing or wrong: stop, the text names it and the remedy
    ├── EnrolmentError     the Console refused, or is not the one the token names: stop
    │   └── UnreachableError   nobody answered: try again later
    ├── CredentialError    the files of an earlier enrolment cannot be used: stop
    ├── RevisionError   a policy document is not acceptable: keep the one in force
    ├── StorageError     the disk does not take what should be kept: go on with what it holds, try again
    └── UnitError        a unit cannot be started or placed: tell who asked

No text of these ever holds a secret.
"""

from __future__ import annotations

from pathlib import Path

import msgspec


class EnforcerError(Exception):
    """Base of the Enforcer's own errors."""


class SettingsError(EnforcerError):
    """A setting is missing or wrong."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}; {remedy}")
        self.field = field
        self.remedy = remedy


class EnrolmentError(EnforcerError):
    """The Console refused the enrolment, or is not the Console that the token names."""


class UnreachableError(EnrolmentError):
    """Nobody answered as the Console; trying again may help."""


class CredentialError(EnforcerError):
    """The files of an earlier enrolment cannot be used."""


class RevisionError(EnforcerError):
    """A policy document is not acceptable; the one in force stays."""


class StorageError(EnforcerError):
    """Something could not be written to disk, which holds what it held before."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} cannot be written ({error.strerror}): make room there, or mount it writable")


class UnitError(EnforcerError):
    """A unit cannot be started or placed."""


#: What decoding bytes of any origin may raise; text that is not UTF-8 is a plain ValueError there.
UNDECODABLE = (msgspec.MsgspecError, ValueError, RecursionError)
