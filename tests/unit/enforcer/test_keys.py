"""Datapath keys: private, kept, and rotated so that no handshake names an epoch its receiver cannot know."""

from __future__ import annotations

import math
import secrets
from pathlib import Path

import msgspec
import pytest

from watchword.enforcer.errors import StorageError
from watchword.enforcer.keys import SETTLE, DatapathKeys
from watchword.identity.keys import SigningKey
from watchword.identity.signatures import verify_datapath_key

SIGNER = SigningKey.generate(secrets.token_bytes)


def keys(directory: Path, now: float = 1000.0) -> DatapathKeys:
    return DatapathKeys(directory, "e1", SIGNER, now, secrets.token_bytes)


def epochs(known: DatapathKeys) -> tuple[list[int], list[int]]:
    """What is published, and what handshakes may use (the first is the one they name)."""
    return [key.epoch for key in known.published()], [key.epoch for key in known.usable()]


def test_the_first_key_is_on_disk_and_private(tmp_path: Path) -> None:
    known = keys(tmp_path)
    assert epochs(known) == ([1], [1])
    path = tmp_path / "datapath-keys"
    assert path.stat().st_mode & 0o777 == 0o600
    assert known.usable()[0].to_bytes() in path.read_bytes()


def test_published_keys_are_signed_for_this_enforcer(tmp_path: Path) -> None:
    (key,) = keys(tmp_path).published()
    verify_datapath_key(SIGNER.public, "e1", key)


def test_the_same_keys_come_back_after_a_restart(tmp_path: Path) -> None:
    before = keys(tmp_path)
    before.rotate(2000.0)
    after = keys(tmp_path, 3000.0)
    assert after.published() == before.published()
    assert [key.to_bytes() for key in after.usable()] == [key.to_bytes() for key in before.usable()]
    assert after.age(3000.0) == 1000.0


def test_a_new_key_is_published_before_handshakes_name_it(tmp_path: Path) -> None:
    known = keys(tmp_path)
    assert known.rotate(2000.0)
    assert epochs(known) == ([2, 1], [1])
    known.carried(50.0)
    assert not known.settle(50.0 + SETTLE - 0.1)
    assert known.settle(50.0 + SETTLE)
    assert epochs(known) == ([2, 1], [2, 1])
    assert epochs(keys(tmp_path)) == ([2, 1], [2, 1])


def test_a_key_that_the_console_may_not_have_does_not_settle(tmp_path: Path) -> None:
    known = keys(tmp_path)
    known.rotate(2000.0)
    assert not known.settle(1e9)
    known.carried(50.0)
    known.dropped()
    assert not known.settle(1e9)
    known.carried(100.0)
    assert not known.settle(100.0 + SETTLE - 0.1)
    assert known.settle(100.0 + SETTLE)


def test_a_restart_while_settling_goes_on_naming_the_old_epoch(tmp_path: Path) -> None:
    keys(tmp_path).rotate(2000.0)
    again = keys(tmp_path, 2001.0)
    assert epochs(again) == ([2, 1], [1])
    assert not again.rotate(9999.0), "a third key must not push out the one that handshakes name"
    assert epochs(again) == ([2, 1], [1])


def test_two_epochs_are_valid_and_the_oldest_goes(tmp_path: Path) -> None:
    known = keys(tmp_path)
    for turn in range(5):
        known.rotate(2000.0 + turn)
        known.carried(0.0)
        known.settle(SETTLE)
    assert epochs(known) == ([6, 5], [6, 5])
    assert keys(tmp_path).usable()[0].public == known.published()[0].public


def test_a_clock_that_went_back_leaves_no_key_for_ever(tmp_path: Path) -> None:
    """A key that seems to come from the future is due; a correction of some minutes is not that."""
    known = keys(tmp_path, 500_000.0)
    assert known.age(499_800.0) == 0.0
    assert known.age(400_000.0) == math.inf
    assert known.rotate(400_000.0)
    assert known.age(400_000.0) == 0.0


def test_a_private_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    keys(tmp_path)
    (tmp_path / "datapath-keys").chmod(0o644)
    again = keys(tmp_path, 7_000_000.0)
    assert "accessible to others" in again.problem
    assert epochs(again) == ([7_000_000], [7_000_000])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        msgspec.msgpack.encode({"keys": [], "named": 1}),
        msgspec.msgpack.encode({"keys": [{"epoch": 1, "private": b"short", "created": 0.0}], "named": 1}),
        msgspec.msgpack.encode({"keys": [{"epoch": 1, "private": bytes(32), "created": 0.0}], "named": 2}),
        msgspec.msgpack.encode(
            {"keys": [{"epoch": epoch, "private": bytes(32), "created": 0.0} for epoch in (3, 1)], "named": 1}
        ),
    ],
)
def test_a_damaged_file_is_put_aside_and_new_keys_are_made(tmp_path: Path, content: bytes) -> None:
    """A host that boots with it enforces all the same; an epoch that is the clock's is none that was ever counted."""
    path = tmp_path / "datapath-keys"
    path.write_bytes(content)
    path.chmod(0o600)
    made = keys(tmp_path, 7_000_000.0)
    assert str(tmp_path / "datapath-keys.damaged") in made.problem
    assert (tmp_path / "datapath-keys.damaged").read_bytes() == content
    assert epochs(made) == ([7_000_000], [7_000_000])
    again = keys(tmp_path, 8_000_000.0)
    assert (again.problem, epochs(again)) == ("", ([7_000_000], [7_000_000]))
    assert again.rotate(9_000_000.0)
    assert epochs(again) == ([7_000_001, 7_000_000], [7_000_000])


def test_a_key_that_cannot_be_kept_is_not_made(tmp_path: Path) -> None:
    known = keys(tmp_path)
    tmp_path.rename(away := tmp_path.with_name("away"))
    for _ in range(2):
        with pytest.raises(StorageError, match="make room"):
            known.rotate(1e6)
        assert epochs(known) == ([1], [1])
    away.rename(tmp_path)
    assert known.rotate(1e6)
    known.carried(0.0)
    tmp_path.rename(away)
    with pytest.raises(StorageError):
        known.settle(SETTLE)
    assert known.settling()
    away.rename(tmp_path)
    assert known.settle(SETTLE)
    assert epochs(keys(tmp_path)) == ([2, 1], [2, 1])


def test_no_representation_shows_a_private_key(tmp_path: Path) -> None:
    known = keys(tmp_path)
    secret = known.usable()[0].to_bytes()
    shown = repr((known, vars(known), known.usable(), known.published()))
    assert repr(secret) not in shown
    assert secret.hex() not in shown
