"""Pairwise keys: both sides derive the same one, and nothing else derives it."""

from __future__ import annotations

import datetime
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.identity.certificates import Authority
from watchword.identity.keys import DatapathPrivateKey, SigningKey
from watchword.identity.pairwise import (
    PAIRWISE_LENGTH,
    End,
    PairwiseError,
    own_end,
    pairwise_key,
    verified_peer,
)
from watchword.identity.signatures import sign_datapath_key
from watchword.wire.policy import DatapathKey, EnforcerEntry

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
KEYS = st.builds(DatapathPrivateKey.from_bytes, st.integers(0, 1000), st.binary(min_size=32, max_size=32))
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)


def private(epoch: int) -> DatapathPrivateKey:
    return DatapathPrivateKey.generate(epoch, secrets.token_bytes)


@given(NAMES, NAMES, KEYS, KEYS)
def test_both_sides_derive_the_same_key(a: str, b: str, own: DatapathPrivateKey, other: DatapathPrivateKey) -> None:
    one = pairwise_key(a, own, own_end(b, other))
    assert one == pairwise_key(b, other, own_end(a, own))
    assert len(one) == PAIRWISE_LENGTH


def test_an_enforcer_pairs_with_itself_across_epochs() -> None:
    old, new = private(4), private(5)
    keys = {(i.epoch, j.epoch): pairwise_key("a", i, own_end("a", j)) for i in (old, new) for j in (old, new)}
    assert keys[4, 5] == keys[5, 4]
    assert len({keys[4, 4], keys[4, 5], keys[5, 5]}) == 3


def test_every_part_of_the_binding_changes_the_key() -> None:
    own, peer = private(1), own_end("peer", private(7))
    same_key = DatapathPrivateKey.from_bytes(2, own.to_bytes())
    keys = [
        pairwise_key("own", own, peer),
        pairwise_key("own2", own, peer),  # another own ID
        pairwise_key("own", same_key, peer),  # another own epoch of the same secret
        pairwise_key("own", own, peer._replace(enforcer="peer2")),  # another peer ID
        pairwise_key("own", own, peer._replace(epoch=8)),  # another peer epoch
        pairwise_key("own", own, own_end("peer", private(7))),  # another peer key
        pairwise_key("own", private(1), peer),  # another own key
    ]
    assert len(set(keys)) == len(keys)


def test_bytes_cannot_move_between_the_parts_of_the_binding() -> None:
    own = private(1)
    public = private(1).public
    assert pairwise_key("ab", own, End("c", 1, public)) != pairwise_key("a", own, End("bc", 1, public))


def test_known_answer() -> None:
    """Written down once from an independent computation (see the test), so that the derivation cannot drift."""
    from cryptography.hazmat.primitives import hashes, hmac

    def hmac256(key: bytes, data: bytes) -> bytes:
        mac = hmac.HMAC(key, hashes.SHA256())
        mac.update(data)
        return mac.finalize()

    a, b = DatapathPrivateKey.from_bytes(3, bytes(range(32))), DatapathPrivateKey.from_bytes(9, bytes(range(1, 33)))
    ends = b"alpha\0" + (3).to_bytes(8, "big") + a.public + b"beta\0" + (9).to_bytes(8, "big") + b.public
    binding = b"watchword-pairwise-v1\0" + ends
    digest = hashes.Hash(hashes.SHA256())
    digest.update(binding)
    extracted = hmac256(digest.finalize(), a.exchange(b.public))  # RFC 5869: extract, then one block of expand
    assert pairwise_key("beta", b, own_end("alpha", a)) == hmac256(extracted, binding + b"\x01")[:16]


@pytest.mark.parametrize("public", [bytes(32), (1).to_bytes(32, "little")], ids=["zero", "one"])
def test_a_public_key_of_low_order_is_refused(public: bytes) -> None:
    """Such a key makes the secret known to everybody."""
    with pytest.raises(PairwiseError, match="peer is no usable"):
        pairwise_key("own", private(1), End("peer", 1, public))


@pytest.mark.parametrize(
    "end", [End("", 1, bytes(32)), End("a\0b", 1, bytes(32)), End("a", -1, bytes(32)), End("a", 1, bytes(31))]
)
def test_ends_that_have_no_unique_encoding_are_refused(end: End) -> None:
    with pytest.raises(PairwiseError):
        pairwise_key("own", private(1), end)


class Host:
    """An Enforcer with a certificate, as its peers see it."""

    def __init__(self, authority: Authority, enforcer: str, console: str = "console") -> None:
        self.signing = SigningKey.generate(secrets.token_bytes)
        self.enforcer = enforcer
        self.certificate = authority.issue_enforcer(console, enforcer, self.signing.public, NOW, secrets.token_bytes)

    def publish(self, *epochs: int) -> tuple[DatapathKey, ...]:
        return tuple(sign_datapath_key(self.signing, self.enforcer, e, private(e).public) for e in epochs)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("console", NOW, secrets.token_bytes)


def test_a_published_key_is_accepted_up_to_the_authority(authority: Authority) -> None:
    host = Host(authority, "e1")
    keys = host.publish(2, 1)
    ends = verified_peer(authority.certificate, "console", "e1", EnforcerEntry(host.certificate, keys))
    assert ends == tuple(End("e1", key.epoch, key.public) for key in keys)


def test_another_enforcers_entry_is_refused(authority: Authority) -> None:
    """A stolen host must not publish a key under another host's name."""
    host, victim = Host(authority, "e1"), Host(authority, "victim")
    with pytest.raises(PairwiseError, match="certificate of e1"):
        verified_peer(authority.certificate, "console", "victim", EnforcerEntry(host.certificate, host.publish(1)))
    with pytest.raises(PairwiseError, match="does not match"):
        verified_peer(authority.certificate, "console", "victim", EnforcerEntry(victim.certificate, host.publish(1)))


def test_an_altered_key_is_refused(authority: Authority) -> None:
    host = Host(authority, "e1")
    (key,) = host.publish(1)
    for altered in (
        DatapathKey(epoch=2, public=key.public, signature=key.signature),
        DatapathKey(epoch=1, public=private(1).public, signature=key.signature),
        DatapathKey(epoch=1, public=key.public, signature=bytes(64)),
        DatapathKey(epoch=1, public=key.public, signature=b""),
    ):
        with pytest.raises(PairwiseError):
            verified_peer(authority.certificate, "console", "e1", EnforcerEntry(host.certificate, (altered,)))


def test_a_certificate_of_another_authority_is_refused(authority: Authority) -> None:
    foreign = Host(Authority.create("console", NOW, secrets.token_bytes), "e1")
    with pytest.raises(PairwiseError, match="not issued"):
        verified_peer(authority.certificate, "console", "e1", EnforcerEntry(foreign.certificate, foreign.publish(1)))


def test_a_certificate_for_another_console_is_refused(authority: Authority) -> None:
    host = Host(authority, "e1", console="elsewhere")
    with pytest.raises(PairwiseError):
        verified_peer(authority.certificate, "console", "e1", EnforcerEntry(host.certificate, host.publish(1)))


def test_a_certificate_that_is_none_is_refused(authority: Authority) -> None:
    with pytest.raises(PairwiseError, match="Enforcer e1"):
        verified_peer(authority.certificate, "console", "e1", EnforcerEntry(b"no certificate", ()))
