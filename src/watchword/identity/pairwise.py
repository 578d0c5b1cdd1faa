"""The 128-bit key that two Enforcers share for one pair of epochs of their datapath keys.

::

    key = HKDF-SHA-256(ikm  = X25519(own private, peer public),
                       salt = SHA-256("watchword-pairwise-v1 NUL" end end),
                       info = "watchword-pairwise-v1 NUL" end end,
                       length = 16)
    end = enforcer ID NUL, epoch (u64 BE), public key (32)

The two ends stand in ascending order of (ID, epoch), so both sides derive the same key, and a key is
worth nothing for any other pair of Enforcers or epochs. An Enforcer also pairs with itself, for two
units on one host; then the two ends differ by epoch at most. Identifiers hold no NUL and the rest has
fixed length, so no two pairs have the same encoding.

The peer's public key must have been verified (:func:`verified_peer`) before it comes here.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from watchword.identity.certificates import CertificateError, verify_enforcer
from watchword.identity.keys import KEY_LENGTH, DatapathPrivateKey, SignatureError
from watchword.identity.signatures import verify_datapath_key
from watchword.wire.policy import EnforcerEntry

PAIRWISE_CONTEXT = b"watchword-pairwise-v1\0"

#: Length of a pairwise key in bytes: a SipHash key.
PAIRWISE_LENGTH = 16


class PairwiseError(Exception):
    """Two Enforcers cannot share a key; the message says what is wrong with which of them."""


class End(NamedTuple):
    """One Enforcer's published key of one epoch."""

    enforcer: str
    epoch: int
    public: bytes

    def encoded(self) -> bytes:
        """The bytes by which a pairwise key is bound to this end."""
        name = self.enforcer.encode()
        if not name or b"\0" in name:
            raise PairwiseError("an Enforcer's ID is empty or contains NUL")
        if not 0 <= self.epoch < 1 << 64:
            raise PairwiseError(f"epoch {self.epoch} of Enforcer {self.enforcer} is not an unsigned 64-bit number")
        if len(self.public) != KEY_LENGTH:
            raise PairwiseError(f"the datapath key of Enforcer {self.enforcer} has {len(self.public)} bytes")
        return name + b"\0" + self.epoch.to_bytes(8, "big") + self.public


def own_end(enforcer: str, key: DatapathPrivateKey) -> End:
    """The end that Enforcer ``enforcer`` publishes for its ``key``."""
    return End(enforcer, key.epoch, key.public)


def pairwise_key(enforcer: str, private: DatapathPrivateKey, peer: End) -> bytes:
    """The key shared by Enforcer ``enforcer``, owner of ``private``, and ``peer``.

    Raises :class:`PairwiseError`, in particular for a public key that would make the secret known to all.
    """
    own = own_end(enforcer, private)
    binding = PAIRWISE_CONTEXT + b"".join(end.encoded() for end in sorted((own, peer)))
    try:
        secret = private.exchange(peer.public)
    except ValueError:
        raise PairwiseError(f"the datapath key of Enforcer {peer.enforcer} is no usable X25519 key") from None
    salt = hashlib.sha256(binding).digest()
    return HKDF(algorithm=hashes.SHA256(), length=PAIRWISE_LENGTH, salt=salt, info=binding).derive(secret)


def verified_peer(authority: x509.Certificate, console: str, enforcer: str, entry: EnforcerEntry) -> tuple[End, ...]:
    """The ends that Enforcer ``enforcer`` published, newest first, checked up to the Console's CA.

    Whether a peer still counts is the Console's word: its entry stands in a signed document or does not.
    So this asks no clock, and a host that boots with a wrong one keeps its peers.

    Raises :class:`PairwiseError` when the certificate is another's or a key is not signed by its owner:
    then no key of that entry is to be used.
    """
    try:
        issued = x509.load_der_x509_certificate(entry.certificate).not_valid_before_utc
        identity = verify_enforcer(authority, entry.certificate, issued)
        if (identity.console, identity.enforcer) != (console, enforcer):
            raise PairwiseError(f"Enforcer {enforcer} comes with a certificate of {identity.enforcer}")
        for key in entry.keys:
            verify_datapath_key(identity.public, enforcer, key)
    except (CertificateError, SignatureError, ValueError) as error:
        raise PairwiseError(f"Enforcer {enforcer}: {error}") from None
    return tuple(End(enforcer, key.epoch, key.public) for key in entry.keys)
