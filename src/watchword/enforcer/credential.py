"""What an Enforcer got at enrolment, and the key that it is bound to, on disk.

The signing key stands in a file of its own because it exists before the rest: enrolment writes it,
asks, and only then has a certificate. Nothing here talks to anybody.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography import x509

from watchword.enforcer import files
from watchword.enforcer.errors import UNDECODABLE, CredentialError
from watchword.identity.certificates import CertificateError, verify_enforcer
from watchword.identity.keys import SigningKey

_KEY_FILE = "signing-key.pem"
_CREDENTIAL_FILE = "credential"


class Enrolled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Console's answer to an enrolment, as it is kept. Nothing in it is secret."""

    console_url: str
    console: str  # ID
    console_public: bytes  # Ed25519: signs revisions
    enforcer: str  # ID
    name: str
    namespace: str
    certificate: bytes  # DER
    authority: bytes  # DER of the Console's CA, the only one trusted


@dataclass(frozen=True, slots=True)
class Credential:
    """An Enforcer's identity towards its Console and its peers."""

    enrolled: Enrolled
    key: SigningKey
    authority: x509.Certificate


def signing_key(directory: Path) -> SigningKey:
    """The key of this data directory; made, and on disk, before this returns."""
    path = directory / _KEY_FILE
    content = files.read_private(path)
    if content is None:
        key = SigningKey.generate(secrets.token_bytes)
        files.replace(path, key.to_pem())
        return key
    try:
        return SigningKey.from_pem(content)
    except ValueError:
        raise CredentialError(f"{path} is damaged; remove {directory} and enrol again") from None


def checked(enrolled: Enrolled, key: SigningKey) -> Credential:
    """The credential, if its parts belong together. Raises :class:`CredentialError`."""
    try:
        authority = x509.load_der_x509_certificate(enrolled.authority)
        issued = x509.load_der_x509_certificate(enrolled.certificate).not_valid_before_utc
        identity = verify_enforcer(authority, enrolled.certificate, issued)
    except (CertificateError, ValueError) as error:
        raise CredentialError(f"the Enforcer's certificate cannot be used: {error}; enrol again") from None
    if (identity.console, identity.enforcer, identity.public) != (enrolled.console, enrolled.enforcer, key.public):
        raise CredentialError("the Enforcer's certificate is for another key or Console; enrol again")
    if len(enrolled.console_public) != 32:
        raise CredentialError("the Console's public key has the wrong length; enrol again")
    return Credential(enrolled, key, authority)


def keep(directory: Path, enrolled: Enrolled) -> None:
    """Put the answer to an enrolment on disk."""
    files.replace(directory / _CREDENTIAL_FILE, msgspec.msgpack.encode(enrolled))


def enrolled(directory: Path) -> Enrolled | None:
    """What stands in this data directory, for whoever needs no key; None when it is not enrolled yet."""
    path = directory / _CREDENTIAL_FILE
    content = files.read_private(path)
    if content is None:
        return None
    try:
        return msgspec.msgpack.decode(content, type=Enrolled)
    except UNDECODABLE:
        raise CredentialError(f"{path} is damaged; remove it and enrol again") from None


def load(directory: Path) -> Credential | None:
    """The credential of this data directory, or None when it is not enrolled yet."""
    known = enrolled(directory)
    if known is None:
        return None
    if files.read_private(directory / _KEY_FILE) is None:
        raise CredentialError(f"{directory / _KEY_FILE} is missing; remove {directory} and enrol again")
    return checked(known, signing_key(directory))
