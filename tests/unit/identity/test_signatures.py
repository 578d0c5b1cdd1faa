"""What is signed for one purpose, by one party, about one thing, is worth nothing for any other."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.identity.keys import DatapathPrivateKey, SignatureError, SigningKey, verify
from watchword.identity.signatures import (
    DATAPATH_KEY_CONTEXT,
    ENROLMENT_CONTEXT,
    REVISION_RECORD_CONTEXT,
    sign_datapath_key,
    sign_enrolment,
    sign_hello,
    sign_revision,
    sign_revision_record,
    verify_datapath_key,
    verify_enrolment,
    verify_hello,
    verify_revision,
    verify_revision_record,
)
from watchword.wire.messages import HELLO_CONTEXT, REVISION_CONTEXT
from watchword.wire.policy import DatapathKey

KEY = SigningKey.generate(lambda n: bytes(range(n)))
OTHER = SigningKey.generate(lambda n: bytes(n))
PUBLIC = DatapathPrivateKey.generate(1, lambda n: bytes([7]) * n).public
NONCE, DIGEST = bytes([1]) * 32, bytes([2]) * 32


def test_signed_bytes_are_as_documented() -> None:
    """Frozen: other implementations sign these very bytes."""
    expected = DATAPATH_KEY_CONTEXT + b"e1\0" + (5).to_bytes(8, "big") + PUBLIC
    verify(KEY.public, expected, sign_datapath_key(KEY, "e1", 5, PUBLIC).signature)
    verify(KEY.public, HELLO_CONTEXT + b"c1\0" + NONCE, sign_hello(KEY, "c1", NONCE))
    expected = REVISION_CONTEXT + b"e1\0" + (9).to_bytes(8, "big") + DIGEST
    verify(KEY.public, expected, sign_revision(KEY, "e1", 9, DIGEST))
    verify(KEY.public, ENROLMENT_CONTEXT + b"t1\0" + KEY.public, sign_enrolment(KEY, "t1"))


def test_good_signatures_verify() -> None:
    verify_datapath_key(KEY.public, "e1", sign_datapath_key(KEY, "e1", 5, PUBLIC))
    verify_hello(KEY.public, "c1", NONCE, sign_hello(KEY, "c1", NONCE))
    verify_revision(KEY.public, "e1", 9, DIGEST, sign_revision(KEY, "e1", 9, DIGEST))
    verify_enrolment(KEY.public, "t1", sign_enrolment(KEY, "t1"))
    verify_revision_record(KEY.public, 3, b"text", b"", sign_revision_record(KEY, 3, b"text", b""))


HELLO = sign_hello(KEY, "c1", NONCE)
REVISION = sign_revision(KEY, "e1", 9, DIGEST)
PUBLISHED = sign_datapath_key(KEY, "e1", 5, PUBLIC)
ENROLMENT = sign_enrolment(KEY, "t1")
RECORD = sign_revision_record(KEY, 3, b"text", b"p" * 64)

FORGERIES: dict[str, Callable[[], None]] = {
    "hello by another key": lambda: verify_hello(OTHER.public, "c1", NONCE, HELLO),
    "hello to another console": lambda: verify_hello(KEY.public, "c2", NONCE, HELLO),
    "hello to another nonce": lambda: verify_hello(KEY.public, "c1", DIGEST, HELLO),
    "hello to a short nonce": lambda: verify_hello(KEY.public, "c1", NONCE[:31], HELLO),
    "hello, NUL moved": lambda: verify_hello(KEY.public, "c1\0", NONCE, HELLO),
    "revision for another Enforcer": lambda: verify_revision(KEY.public, "e2", 9, DIGEST, REVISION),
    "another revision": lambda: verify_revision(KEY.public, "e1", 10, DIGEST, REVISION),
    "another document": lambda: verify_revision(KEY.public, "e1", 9, NONCE, REVISION),
    "negative revision": lambda: verify_revision(KEY.public, "e1", -1, DIGEST, REVISION),
    "huge revision": lambda: verify_revision(KEY.public, "e1", 1 << 64, DIGEST, REVISION),
    "hello as revision": lambda: verify_revision(KEY.public, "c1", 9, NONCE, HELLO),
    "another epoch": lambda: verify_datapath_key(KEY.public, "e1", DatapathKey(6, PUBLIC, PUBLISHED.signature)),
    "another datapath key": lambda: verify_datapath_key(KEY.public, "e1", DatapathKey(5, NONCE, PUBLISHED.signature)),
    "another Enforcer's key": lambda: verify_datapath_key(KEY.public, "e2", PUBLISHED),
    "short datapath key": lambda: verify_datapath_key(
        KEY.public, "e1", DatapathKey(5, PUBLIC[:31], PUBLISHED.signature)
    ),
    "another token": lambda: verify_enrolment(KEY.public, "t2", ENROLMENT),
    "another enrolled key": lambda: verify_enrolment(OTHER.public, "t1", ENROLMENT),
    "another history": lambda: verify_revision_record(KEY.public, 3, b"text", b"q" * 64, RECORD),
    "another text": lambda: verify_revision_record(KEY.public, 3, b"texts", b"p" * 64, RECORD),
    "public key of wrong length": lambda: verify_hello(KEY.public[:31], "c1", NONCE, HELLO),
    "empty signature": lambda: verify_hello(KEY.public, "c1", NONCE, b""),
    "long signature": lambda: verify_hello(KEY.public, "c1", NONCE, HELLO + b"\0"),
}


@pytest.mark.parametrize("case", FORGERIES)
def test_forgeries_are_noticed(case: str) -> None:
    with pytest.raises(SignatureError):
        FORGERIES[case]()


def test_contexts_are_no_prefixes_of_each_other() -> None:
    contexts = [DATAPATH_KEY_CONTEXT, HELLO_CONTEXT, REVISION_CONTEXT, ENROLMENT_CONTEXT, REVISION_RECORD_CONTEXT]
    assert all(context.endswith(b"\0") for context in contexts)
    assert len(set(contexts)) == len(contexts)
    assert not [(a, b) for a in contexts for b in contexts if a != b and b.startswith(a)]


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_bytes_crash_verification(public: bytes, signature: bytes) -> None:
    with pytest.raises(SignatureError):
        verify_hello(public, "c1", NONCE, signature)


@given(st.integers(0, 511))
def test_any_flipped_bit_is_noticed(bit: int) -> None:
    flipped = bytearray(HELLO)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureError):
        verify_hello(KEY.public, "c1", NONCE, bytes(flipped))


def test_keys_survive_storing() -> None:
    key = SigningKey.generate(secrets.token_bytes)
    again = SigningKey.from_pem(key.to_pem())
    assert again.public == key.public
    mine, theirs = (DatapathPrivateKey.generate(epoch, secrets.token_bytes) for epoch in (1, 2))
    again_mine = DatapathPrivateKey.from_bytes(1, mine.to_bytes())
    assert again_mine.exchange(theirs.public) == theirs.exchange(mine.public)


def test_keys_do_not_show_themselves() -> None:
    secret = bytes(range(1, 33))
    signing, datapath = SigningKey.generate(lambda n: secret), DatapathPrivateKey.generate(1, lambda n: secret)
    for shown in (repr(signing), str(signing), repr(datapath), str(datapath), f"{vars(signing)}", f"{vars(datapath)}"):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


def test_a_key_that_gives_a_known_secret_is_refused() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own message
        DatapathPrivateKey.generate(1, secrets.token_bytes).exchange(bytes(32))


def test_only_signing_keys_are_loaded() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    other = ec.generate_private_key(ec.SECP256R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="Ed25519"):
        SigningKey.from_pem(pem)
