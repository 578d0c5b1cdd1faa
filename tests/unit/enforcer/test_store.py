"""The stored revision: what an attacker (or a bad disk) may do to the file, and must not get by it."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
import pytest

from tests.unit.enforcer.signing_side import ENFORCER, SigningSide, document
from watchword.enforcer.errors import RevisionError, StorageError
from watchword.enforcer.moment import Moment
from watchword.enforcer.store import RevisionStore, SignedDocument
from watchword.identity.keys import SigningKey


@pytest.fixture(scope="module")
def console() -> SigningSide:
    return SigningSide()


@pytest.fixture
def store(tmp_path: Path, console: SigningSide) -> RevisionStore:
    return RevisionStore(tmp_path, console.key.public, ENFORCER)


def content(tmp_path: Path) -> Path:
    return tmp_path / "revision"


def test_what_was_kept_comes_back(store: RevisionStore, console: SigningSide, tmp_path: Path) -> None:
    signed = console.sign(document(7))
    store.keep(signed)
    assert store.load() == signed
    assert content(tmp_path).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["revision"]


def test_nothing_kept_is_nothing(store: RevisionStore) -> None:
    assert store.load() is None
    assert store.age(Moment(1e12, 1e6)) == 0.0


def test_a_policy_edited_in_the_file_is_refused(store: RevisionStore, console: SigningSide, tmp_path: Path) -> None:
    """Somebody turns the Reject into an Allow and keeps the old signature."""
    refusing = console.sign(document(7, action="Reject"))
    store.keep(SignedDocument(document(7, action="Allow"), refusing.signature))
    with pytest.raises(RevisionError, match="does not match"):
        store.load()


def test_a_policy_signed_by_somebody_else_is_refused(store: RevisionStore) -> None:
    store.keep(SigningSide().sign(document(7)))
    with pytest.raises(RevisionError, match="does not match"):
        store.load()


def test_a_policy_for_another_enforcer_is_refused(store: RevisionStore, console: SigningSide) -> None:
    """Rightly signed by the right Console, for a host with a laxer policy."""
    store.keep(console.sign(document(7), enforcer="enforcer-2"))
    with pytest.raises(RevisionError, match="does not match"):
        store.load()


def test_a_signature_does_not_serve_another_revision_number(store: RevisionStore, console: SigningSide) -> None:
    signed = console.sign(document(7))
    newer = msgspec.structs.replace(signed.document, revision=8)
    store.keep(SignedDocument(newer, signed.signature))
    with pytest.raises(RevisionError):
        store.load()


@pytest.mark.parametrize("signature", [b"", bytes(64)], ids=["none", "zero"])
def test_an_unsigned_policy_is_refused(store: RevisionStore, signature: bytes) -> None:
    store.keep(SignedDocument(document(7), signature))
    with pytest.raises(RevisionError):
        store.load()


def test_every_truncation_is_refused(store: RevisionStore, console: SigningSide, tmp_path: Path) -> None:
    store.keep(console.sign(document(7)))
    whole = content(tmp_path).read_bytes()
    for length in range(len(whole)):
        content(tmp_path).write_bytes(whole[:length])
        with pytest.raises(RevisionError):
            store.load()


def test_every_flipped_bit_is_refused(store: RevisionStore, console: SigningSide, tmp_path: Path) -> None:
    store.keep(console.sign(document(7)))
    whole = content(tmp_path).read_bytes()
    for position in range(len(whole)):
        content(tmp_path).write_bytes(
            whole[:position] + bytes([whole[position] ^ 1 << secrets.randbelow(8)]) + whole[position + 1 :]
        )
        with pytest.raises(RevisionError):
            store.load()


def test_an_unknown_field_is_refused(store: RevisionStore, console: SigningSide, tmp_path: Path) -> None:
    """A newer agent's file may mean something this agent does not understand."""
    store.keep(console.sign(document(7)))
    known = msgspec.msgpack.decode(content(tmp_path).read_bytes())
    for place in (known, known["document"], known["document"]["units"]["unit-db"]):
        place["drafts"] = True
        content(tmp_path).write_bytes(msgspec.msgpack.encode(known))
        with pytest.raises(RevisionError, match="unknown field"):
            store.load()
        del place["drafts"]


def test_another_format_is_refused(store: RevisionStore, console: SigningSide, tmp_path: Path) -> None:
    store.keep(console.sign(document(7)))
    known = msgspec.msgpack.decode(content(tmp_path).read_bytes())
    content(tmp_path).write_bytes(msgspec.msgpack.encode({**known, "format": 2}))
    with pytest.raises(RevisionError, match="format 2"):
        store.load()


def test_an_old_file_put_back_is_refused_while_the_kernel_knows_better(
    store: RevisionStore, console: SigningSide
) -> None:
    store.keep(console.sign(document(7)))
    assert store.load(at_least=7) is not None
    with pytest.raises(RevisionError, match="older than 8"):
        store.load(at_least=8)


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o606])
def test_a_file_open_to_others_is_refused(
    store: RevisionStore, console: SigningSide, tmp_path: Path, mode: int
) -> None:
    store.keep(console.sign(document(7)))
    content(tmp_path).chmod(mode)
    with pytest.raises(RevisionError, match="accessible to others"):
        store.load()


def test_a_symbolic_link_is_not_followed(store: RevisionStore, console: SigningSide, tmp_path: Path) -> None:
    store.keep(console.sign(document(7)))
    content(tmp_path).rename(tmp_path / "elsewhere")
    content(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RevisionError):
        store.load()


def test_a_write_that_breaks_off_leaves_the_old_revision(
    store: RevisionStore, console: SigningSide, tmp_path: Path
) -> None:
    signed = console.sign(document(7))
    store.keep(signed)
    (tmp_path / ".revision.new").write_bytes(b"half a revi")  # what a crash would leave
    assert store.load() == signed
    newer = console.sign(document(8))
    store.keep(newer)
    assert store.load() == newer


def test_what_finds_no_room_leaves_nothing_and_says_where(console: SigningSide, tmp_path: Path) -> None:
    store = RevisionStore(tmp_path / "gone", console.key.public, ENFORCER)
    with pytest.raises(StorageError, match=r"gone/revision cannot be written \(No such file or directory\): make room"):
        store.keep(console.sign(document(7)))
    assert list(tmp_path.iterdir()) == []


def flipped(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 4]) + whole[41:])


def test_the_revision_before_the_last_is_kept_for_when_that_is_damaged(
    store: RevisionStore, console: SigningSide, tmp_path: Path
) -> None:
    for number in (7, 8, 9):
        store.keep(console.sign(document(number)))
    assert {path.name for path in tmp_path.iterdir()} == {"revision", "revision-before"}
    assert (tmp_path / "revision-before").stat().st_mode & 0o777 == 0o600
    flipped(content(tmp_path))
    later = RevisionStore(tmp_path, console.key.public, ENFORCER)
    with pytest.raises(RevisionError):
        later.load()
    assert later.load_before() == console.sign(document(8))
    content(tmp_path).unlink()
    with pytest.raises(RevisionError, match="is gone"):
        later.load()


def test_a_damaged_revision_never_becomes_the_one_before(
    store: RevisionStore, console: SigningSide, tmp_path: Path
) -> None:
    for number in (7, 8):
        store.keep(console.sign(document(number)))
    flipped(content(tmp_path))
    later = RevisionStore(tmp_path, console.key.public, ENFORCER)
    with pytest.raises(RevisionError):
        later.load()
    later.keep(console.sign(document(9)))
    assert later.load_before() == console.sign(document(7))
    later.keep(console.sign(document(10)))
    assert later.load_before() == console.sign(document(9))


def test_the_revision_before_is_worth_its_signature_too(
    store: RevisionStore, console: SigningSide, tmp_path: Path
) -> None:
    """Somebody else's, another host's, an edited one, a link: as good as none."""
    assert store.load_before() is None
    refusing = console.sign(document(7, action="Reject"))
    for forged in (
        SigningSide().sign(document(7)),
        console.sign(document(7), enforcer="enforcer-2"),
        SignedDocument(document(7, action="Allow"), refusing.signature),
    ):
        other = RevisionStore(tmp_path, console.key.public, ENFORCER)
        other.keep(forged)
        other.keep(console.sign(document(8)))
        assert other.load_before() is None
    content(tmp_path).rename(tmp_path / "elsewhere")
    (tmp_path / "revision-before").unlink()
    (tmp_path / "revision-before").symlink_to(tmp_path / "elsewhere")
    assert store.load_before() is None


def aged(tmp_path: Path, console: SigningSide, boot: str) -> RevisionStore:
    """As the agent that comes next finds it."""
    return RevisionStore(tmp_path, console.key.public, ENFORCER, boot)


def test_age_counts_from_the_last_confirmation(console: SigningSide, tmp_path: Path) -> None:
    store = aged(tmp_path, console, "boot-1")
    store.keep(console.sign(document(7)))
    store.confirm(Moment(wall=1000.0, elapsed=10.0))
    for seen in (store, aged(tmp_path, console, "boot-1")):
        assert seen.age(Moment(wall=1100.0, elapsed=110.0)) == 100.0
        assert seen.age(Moment(wall=0.0, elapsed=110.0)) == 100.0, "set back"
        assert seen.age(Moment(wall=1e9, elapsed=110.0)) == 100.0, "set ahead"
    assert aged(tmp_path, console, "boot-2").age(Moment(wall=1100.0, elapsed=5.0)) == 100.0
    store.confirm(Moment(wall=0.0, elapsed=200.0))
    assert store.age(Moment(wall=1100.0, elapsed=201.0)) == 1.0


@pytest.mark.parametrize("damage", [None, b"", b"\xc1", b"\x00" * 40])
def test_without_a_confirmation_the_file_itself_has_an_age(
    console: SigningSide, tmp_path: Path, damage: bytes | None
) -> None:
    """As an earlier version left it, or a bad disk."""
    aged(tmp_path, console, "boot-1").keep(console.sign(document(7)))
    if damage is not None:
        (tmp_path / "confirmed").write_bytes(damage)
        (tmp_path / "confirmed").chmod(0o600)
    store, kept = aged(tmp_path, console, "boot-1"), content(tmp_path).stat().st_mtime
    assert store.age(Moment(kept + 100, 5.0)) == pytest.approx(100)
    assert store.age(Moment(kept - 100, 5.0)) == 0.0


def test_the_key_that_verifies_is_the_consoles_own(tmp_path: Path, console: SigningSide) -> None:
    other = RevisionStore(tmp_path, SigningKey.generate(secrets.token_bytes).public, ENFORCER)
    other.keep(console.sign(document(7)))
    with pytest.raises(RevisionError):
        other.load()
