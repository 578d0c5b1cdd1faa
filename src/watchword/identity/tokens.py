"""Install tokens and API credentials: their text form, and the check of their secrets.

Both secrets are 256 random bits, so a plain SHA-256 is enough to store them by. An install token also
carries the fingerprint of the Console's CA, so that a new host can tell the Console from an impostor
before it shows anything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec

from watchword.identity.keys import Random

INSTALL_PREFIX = "ww1."
CREDENTIAL_PREFIX = "wwc1."
SECRET_LENGTH = 32


class TokenError(ValueError):
    """The text is not a token of this kind. Its message never repeats the text."""


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise TokenError("the token is damaged: it is not base64url; copy it again") from None


def new_secret(random: Random) -> str:
    """A fresh secret as text."""
    return _encode(random(SECRET_LENGTH))


def hashed(secret: str) -> bytes:
    """What a Console stores of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def matches(secret: str, stored: bytes) -> bool:
    """Whether ``secret`` is the one ``stored`` was made of, in time that depends on neither."""
    return hmac.compare_digest(hashed(secret), stored)


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate, hexadecimal: what ``ca_sha256`` of an install token holds."""
    return hashlib.sha256(der).hexdigest()


class InstallToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator hands to a new host: where the Console is, its CA, and the right to enrol."""

    url: str
    ca_sha256: str
    id: str
    secret: str

    def __repr__(self) -> str:
        return f"InstallToken(url={self.url!r}, id={self.id!r})"

    def encode(self) -> str:
        """The token's text, ``ww1.…``."""
        return INSTALL_PREFIX + _encode(msgspec.json.encode(self))

    @classmethod
    def decode(cls, text: str) -> InstallToken:
        """The token in ``text``. Raises :class:`TokenError`."""
        text = text.strip()
        if not text.startswith(INSTALL_PREFIX):
            raise TokenError(f"an install token begins with {INSTALL_PREFIX!r}; copy the whole token")
        try:
            token = msgspec.json.decode(_decode(text.removeprefix(INSTALL_PREFIX)), type=cls)
        except msgspec.DecodeError:
            raise TokenError("the install token is damaged; copy the whole token") from None
        if not token.url.startswith("https://"):
            raise TokenError("the install token's url is not https://")
        if len(token.ca_sha256) != 64 or not token.id or not token.secret:
            raise TokenError("the install token lacks a field; make a new one")
        return token


class Credential(msgspec.Struct, frozen=True):
    """A bearer secret of this API: the ID of its record, and the secret."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"Credential(id={self.id!r})"

    def encode(self) -> str:
        """The credential's text, ``wwc1.<id>.<secret>``."""
        return f"{CREDENTIAL_PREFIX}{self.id}.{self.secret}"

    @classmethod
    def decode(cls, text: str) -> Credential:
        """The credential in ``text``. Raises :class:`TokenError`."""
        identifier, dot, secret = text.removeprefix(CREDENTIAL_PREFIX).partition(".")
        if not text.startswith(CREDENTIAL_PREFIX) or not dot or not identifier or not secret or len(text) > 256:
            raise TokenError(f"an API credential has the form {CREDENTIAL_PREFIX}<id>.<secret>")
        return cls(id=identifier, secret=secret)
