"""The exact bytes that Consoles and Enforcers sign, and their verification.

Everything signed begins with a context that names its purpose and version, so that a signature made
for one purpose is worthless for another. Identifiers are followed by a NUL, which none may contain.

=================== ==================================================================================
what                signed bytes
=================== ==================================================================================
datapath key        ``watchword-datapath-key-v1 NUL`` enforcer ID NUL, epoch (u64 BE), public key (32)
hello               ``HELLO_CONTEXT`` console ID NUL, nonce (32)
revision            ``REVISION_CONTEXT`` enforcer ID NUL, revision (u64 BE), digest (32)
boundaries          ``BOUNDARIES_CONTEXT`` enforcer ID NUL, issued (u64 BE), SHA-256 of what they say as msgpack (32):
                    both lists of networks; then the age, if it or anything below is said; then all else that
                    is said, by its name
enrolment           ``watchword-enrolment-v1 NUL`` token ID NUL, public key (32)
revision record     ``watchword-revision-record-v1 NUL`` number (u64 BE), SHA-256 of its text,
                    signature of the record before (64, or nothing for the first)
=================== ==================================================================================

Every ``verify_…`` raises :class:`watchword.identity.keys.SignatureError` or returns ``None``.
"""

from __future__ import annotations

import hashlib

import msgspec

from watchword.identity.keys import KEY_LENGTH, SignatureError, SigningKey, verify
from watchword.wire.messages import BOUNDARIES_CONTEXT, HELLO_CONTEXT, REVISION_CONTEXT, Boundaries
from watchword.wire.policy import DatapathKey

DATAPATH_KEY_CONTEXT = b"watchword-datapath-key-v1\0"
ENROLMENT_CONTEXT = b"watchword-enrolment-v1\0"
REVISION_RECORD_CONTEXT = b"watchword-revision-record-v1\0"

#: What boundaries have always said; everything that is not named here is signed by its name.
_FIRST_BOUNDARIES = ("excluded_networks", "identity_required_networks", "offline_max_age")

NONCE_LENGTH = 32
DIGEST_LENGTH = 32


def _identifier(name: str) -> bytes:
    encoded = name.encode()
    if not encoded or b"\0" in encoded:
        raise SignatureError("an identifier is empty or contains NUL")
    return encoded + b"\0"


def _number(value: int) -> bytes:
    if not 0 <= value < 1 << 64:
        raise SignatureError(f"{value} is not an unsigned 64-bit number")
    return value.to_bytes(8, "big")


def _fixed(name: str, value: bytes, length: int) -> bytes:
    if len(value) != length:
        raise SignatureError(f"the {name} has {len(value)} bytes, not {length}")
    return value


def _datapath_key(enforcer: str, epoch: int, public: bytes) -> bytes:
    return DATAPATH_KEY_CONTEXT + _identifier(enforcer) + _number(epoch) + _fixed("datapath key", public, KEY_LENGTH)


def sign_datapath_key(key: SigningKey, enforcer: str, epoch: int, public: bytes) -> DatapathKey:
    """Publish an X25519 public key as Enforcer ``enforcer``'s key of ``epoch``."""
    return DatapathKey(epoch=epoch, public=public, signature=key.sign(_datapath_key(enforcer, epoch, public)))


def verify_datapath_key(signer: bytes, enforcer: str, key: DatapathKey) -> None:
    """Check that ``key`` was published by Enforcer ``enforcer``, whose signing key is ``signer``."""
    verify(signer, _datapath_key(enforcer, key.epoch, key.public), key.signature)


def _hello(console: str, nonce: bytes) -> bytes:
    return HELLO_CONTEXT + _identifier(console) + _fixed("nonce", nonce, NONCE_LENGTH)


def sign_hello(key: SigningKey, console: str, nonce: bytes) -> bytes:
    """An Enforcer's answer to the challenge of Console ``console``."""
    return key.sign(_hello(console, nonce))


def verify_hello(signer: bytes, console: str, nonce: bytes, signature: bytes) -> None:
    """Check an Enforcer's answer to the challenge ``nonce``."""
    verify(signer, _hello(console, nonce), signature)


def _revision(enforcer: str, revision: int, digest: bytes) -> bytes:
    return REVISION_CONTEXT + _identifier(enforcer) + _number(revision) + _fixed("digest", digest, DIGEST_LENGTH)


def sign_revision(key: SigningKey, enforcer: str, revision: int, digest: bytes) -> bytes:
    """A Console's word that Enforcer ``enforcer`` is to enforce the document with ``digest``."""
    return key.sign(_revision(enforcer, revision, digest))


def verify_revision(signer: bytes, enforcer: str, revision: int, digest: bytes, signature: bytes) -> None:
    """Check a Console's signature over a policy document; ``signer`` is the Console's public key."""
    verify(signer, _revision(enforcer, revision, digest), signature)


def _boundaries(enforcer: str, boundaries: Boundaries) -> bytes:
    said: list[object] = [boundaries.excluded_networks, boundaries.identity_required_networks]
    further = _further(boundaries)
    if boundaries.offline_max_age or further:
        said.append(boundaries.offline_max_age)
    if further:
        said.append(further)
    issued = _number(boundaries.issued)
    return BOUNDARIES_CONTEXT + _identifier(enforcer) + issued + hashlib.sha256(msgspec.msgpack.encode(said)).digest()


def _further(boundaries: Boundaries) -> dict[str, object]:
    """What later versions have added, by name, each if it is not as ever: earlier ones have signed the rest alone."""
    fields = {field.name: field.default for field in msgspec.structs.fields(Boundaries)}
    names = sorted(fields.keys() - {"issued", "signature", *_FIRST_BOUNDARIES})
    return {name: value for name in names if (value := getattr(boundaries, name)) != fields[name]}


def sign_boundaries(key: SigningKey, enforcer: str, boundaries: Boundaries) -> Boundaries:
    """``boundaries`` with a Console's signature for Enforcer ``enforcer``."""
    return msgspec.structs.replace(boundaries, signature=key.sign(_boundaries(enforcer, boundaries)))


def verify_boundaries(signer: bytes, enforcer: str, boundaries: Boundaries) -> None:
    """Check a Console's signature over boundaries; ``signer`` is the Console's public key."""
    verify(signer, _boundaries(enforcer, boundaries), boundaries.signature)


def _enrolment(token_id: str, public: bytes) -> bytes:
    return ENROLMENT_CONTEXT + _identifier(token_id) + _fixed("signing key", public, KEY_LENGTH)


def sign_enrolment(key: SigningKey, token_id: str) -> bytes:
    """Proof, at enrolment with install token ``token_id``, that the new host holds ``key``."""
    return key.sign(_enrolment(token_id, key.public))


def verify_enrolment(public: bytes, token_id: str, signature: bytes) -> None:
    """Check the proof that comes with an enrolment."""
    verify(public, _enrolment(token_id, public), signature)


def _revision_record(number: int, text: bytes, previous: bytes) -> bytes:
    return REVISION_RECORD_CONTEXT + _number(number) + hashlib.sha256(text).digest() + previous


def sign_revision_record(key: SigningKey, number: int, text: bytes, previous: bytes) -> bytes:
    """Chain the record of a revision (who changed what) to the record before it."""
    return key.sign(_revision_record(number, text, previous))


def verify_revision_record(signer: bytes, number: int, text: bytes, previous: bytes, signature: bytes) -> None:
    """Check one link of the chain of revision records."""
    verify(signer, _revision_record(number, text, previous), signature)
