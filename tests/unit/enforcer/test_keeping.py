"""What could not be written is a problem until it is written, and is what was asked for last."""

from __future__ import annotations

from pathlib import Path

from watchword.enforcer import files
from watchword.enforcer.keeping import RETRY_AFTER, Keeping


def test_a_disk_that_is_gone_for_a_while(tmp_path: Path) -> None:
    disk, problems = tmp_path / "disk", {"other": "stays"}
    keeping = Keeping(problems)
    for content in (b"first", b"second"):
        assert not keeping.keep("policy", lambda content=content: files.replace(disk / "policy", content))  # type: ignore[misc]
    assert "a restart of this host would not know of it (policy)" in problems["kept policy"]
    assert str(disk / "policy") in problems["kept policy"]
    keeping.again(RETRY_AFTER)
    assert problems.keys() == {"other", "kept policy"}
    disk.mkdir()
    keeping.again(RETRY_AFTER * 1.5)  # too early
    assert list(disk.iterdir()) == []
    keeping.again(RETRY_AFTER * 2.5)
    assert (disk / "policy").read_bytes() == b"second"
    assert problems == {"other": "stays"}


def test_what_was_written_meanwhile_is_not_undone(tmp_path: Path) -> None:
    disk, problems = tmp_path / "disk", dict[str, str]()
    keeping = Keeping(problems)
    keeping.keep("policy", lambda: files.replace(disk / "policy", b"first"))
    disk.mkdir()
    assert keeping.keep("policy", lambda: files.replace(disk / "policy", b"second"))
    keeping.again(RETRY_AFTER * 9)
    assert (disk / "policy").read_bytes() == b"second"
    assert problems == {}
