"""Looking for many cgroups at once finds what looking at each would."""

from __future__ import annotations

from pathlib import Path

from watchword.enforcer import cgroups


def test_one_look_at_all_agrees_with_a_look_at_each(tmp_path: Path) -> None:
    for name in ("web", "db", "slice/app"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "cgroup.procs").write_text("")
    standing = cgroups.Standing()
    for name in ("web", "db", "slice", "slice/app", "gone", "slice/gone", "gone/app"):
        assert standing.inode(str(tmp_path / name)) == cgroups.inode(tmp_path / name)
    assert standing.inode(str(tmp_path / "cgroup.procs")) == 0, "a file is no cgroup"


def test_a_look_shows_one_moment_and_the_next_look_the_next(tmp_path: Path) -> None:
    web = tmp_path / "web"
    web.mkdir()
    standing = cgroups.Standing()
    first = standing.inode(str(web))
    web.rmdir()
    (tmp_path / "other").mkdir()
    web.mkdir()
    assert standing.inode(str(web)) == first
    assert cgroups.Standing().inode(str(web)) == cgroups.inode(web) != 0
