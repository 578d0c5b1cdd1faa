"""What the agent tells systemd and its log."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from watchword.enforcer import cgroups, files, logs
from watchword.enforcer.errors import CredentialError, SettingsError
from watchword.enforcer.notify import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path: Path, abstract: bool) -> None:
    address = f"ww-notify-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + address if abstract else address)
        systemd.settimeout(5)
        assert notify("READY=1", {"NOTIFY_SOCKET": "@" + address if abstract else address})
        assert systemd.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    "environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/nowhere"}]
)
def test_without_systemd_nothing_happens(environ: dict[str, str]) -> None:
    assert not notify("READY=1", environ)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)


def test_a_log_for_programs_is_one_object_a_line(restored_logging: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(json=True)
    logging.getLogger("watchword.enforcer.link").warning("line one\nline %s", "two")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("watchword.enforcer.agent").exception("failed")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["level"], first["part"], first["message"]) == ("warning", "link", "line one\nline two")
    assert first["time"].endswith("Z")
    assert "ValueError: why" in second["trace"]


def test_a_log_for_people(restored_logging: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.getLogger("watchword.enforcer.link").info("hello")
    logging.getLogger("websockets.client").info("chatter")
    assert capsys.readouterr().err.splitlines()[0].endswith("INFO    hello")


HYBRID = (
    "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
    "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
    "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
)
PURE = "sysfs /sys sysfs rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n"


def test_cgroup_v2_is_found_where_it_is_mounted() -> None:
    assert cgroups.mounted(HYBRID) == Path("/sys/fs/cgroup/unified")
    assert cgroups.mounted(PURE) == Path("/sys/fs/cgroup")
    with pytest.raises(SettingsError, match="mount it"):
        cgroups.mounted("tmpfs / tmpfs rw 0 0\n")


@pytest.mark.parametrize("root", ["relative", "/tmp"])
def test_a_cgroup_root_that_is_none_is_refused(root: str) -> None:
    with pytest.raises(SettingsError, match="cgroup_root"):
        cgroups.checked_root(root)


def test_a_private_directory_is_closed_to_others_even_if_it_was_open(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.mkdir(mode=0o755)
    files.private_directory(path)
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_file_planted_in_the_way_of_a_new_one_is_not_written_through(tmp_path: Path) -> None:
    """Somebody guesses the temporary name and puts a link there."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".secret.new").symlink_to(victim)
    files.replace(tmp_path / "secret", b"content")
    assert victim.read_text() == "precious"
    assert files.read_private(tmp_path / "secret") == b"content"


def test_a_private_file_is_no_directory_and_not_huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "directory").mkdir(mode=0o700)
    with pytest.raises(CredentialError):
        files.read_private(tmp_path / "directory")
    files.replace(tmp_path / "large", bytes(11))
    monkeypatch.setattr(files, "SIZE_LIMIT", 10)
    with pytest.raises(CredentialError, match="more than 10"):
        files.read_private(tmp_path / "large")
