"""Private keys: Ed25519 for signing, X25519 for pairwise datapath keys.

Randomness is passed in as a function from a length to that many bytes (``secrets.token_bytes`` in
production), so that tests are repeatable. Where a key is stored, and with which file mode, is the
business of whoever stores it.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

#: A source of randomness: that many unpredictable bytes.
Random = Callable[[int], bytes]

#: Length of Ed25519 and X25519 keys, public and private, in bytes.
KEY_LENGTH = 32


class SignatureError(Exception):
    """A signature does not fit what it is said to sign. Stop: never retry with laxer checks."""


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Raise :class:`SignatureError` unless ``signature`` over ``message`` is by the owner of ``public``."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        raise SignatureError("the signature does not match") from None
    except ValueError as error:
        raise SignatureError(f"the public key or the signature is malformed: {error}") from None


class SigningKey:
    """An Ed25519 private key. It never shows itself in a representation."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"

    @classmethod
    def generate(cls, random: Random) -> SigningKey:
        """A new key."""
        return cls(Ed25519PrivateKey.from_private_bytes(random(KEY_LENGTH)))

    @classmethod
    def from_pem(cls, pem: bytes) -> SigningKey:
        """The key in an unencrypted PKCS#8 PEM file. Raises :class:`ValueError` for anything else."""
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("this is not an Ed25519 private key")
        return cls(key)

    def to_pem(self) -> bytes:
        """The key as unencrypted PKCS#8 PEM, for a file of mode 0600."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, message: bytes) -> bytes:
        """64 bytes of signature over ``message``, which must begin with a context (see ``signatures``)."""
        return self._key.sign(message)


class DatapathPrivateKey:
    """An X25519 private key of one epoch. It never shows itself in a representation."""

    def __init__(self, epoch: int, key: X25519PrivateKey) -> None:
        self.epoch = epoch
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"DatapathPrivateKey(epoch={self.epoch}, public={self.public.hex()})"

    @classmethod
    def generate(cls, epoch: int, random: Random) -> DatapathPrivateKey:
        """A new key for ``epoch``."""
        return cls.from_bytes(epoch, random(KEY_LENGTH))

    @classmethod
    def from_bytes(cls, epoch: int, private: bytes) -> DatapathPrivateKey:
        """The key made of 32 stored bytes."""
        return cls(epoch, X25519PrivateKey.from_private_bytes(private))

    def to_bytes(self) -> bytes:
        """The 32 private bytes, for a file of mode 0600."""
        return self._key.private_bytes_raw()

    def exchange(self, peer_public: bytes) -> bytes:
        """The 32-byte X25519 secret shared with the owner of ``peer_public``.

        Raises :class:`ValueError` for a public key that would give an all-zero secret.
        """
        return self._key.exchange(X25519PublicKey.from_public_bytes(peer_public))
