"""The wheel, built for real from a copy of the sources: it contains the compiled kernel programs, or is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conventions.tracked import ROOT, tracked_files

OBJECTS = "watchword/enforcer/datapath/ebpf/objects/"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources alone: what is built is not copied."""
    folder = tmp_path_factory.mktemp("sources")
    for path in tracked_files():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target)
    return folder


def build(sources: Path, wheels: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    # A make that runs these tests must not hand its own options to the one that compiles.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        [*command, "--wheel-dir", str(wheels), str(sources)],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        env=environment,
    )


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    wheels = tmp_path_factory.mktemp("wheels")
    done = build(sources, wheels)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = wheels.iterdir()
    return built


def test_it_runs_on_every_machine(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")


def test_every_program_is_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name.removeprefix(OBJECTS) for name in archive.namelist() if name.startswith(OBJECTS)}
        assert inside >= {"stamp.bpf.o", "enforce.bpf.o", "refuse.bpf.o"}
        for name in inside:
            head = archive.read(OBJECTS + name)[:20]
            assert head[:4] == b"\x7fELF", name
            assert int.from_bytes(head[18:20], "little") == 247, f"{name} is not for the BPF machine"


def test_what_is_installed_finds_its_programs(wheel: Path, tmp_path: Path) -> None:
    """Installed without the source tree, and without what only the command line for people needs."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(tmp_path)]
    subprocess.run([*install, str(wheel)], check=True, timeout=60)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.modules.update(typer=None, rich=None, yaml=None)\n"
        "from watchword.cli import agent, main, run\n"
        "from watchword.enforcer.doctor import features as probes\n"
        "print(probes.__file__, len(probes.objects()), run.parser().prog, agent.parser().prog, sep='|')\n"
        "main.main(['flows'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    place, number, *programs = done.stdout.strip().split("|")
    assert place.startswith(str(tmp_path))
    assert int(number) >= 3
    assert programs == ["watchword run", "watchword enforcer start"]
    assert done.returncode == 2
    assert "pip install 'watchword[cli]'" in done.stderr


def test_nothing_else_is_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    assert top == {"watchword", f"{wheel.name.rpartition('-py3')[0]}.dist-info"}


def test_every_module_and_the_licences_are_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    modules = {path.relative_to("src").as_posix() for path in tracked_files() if path.is_relative_to("src/watchword")}
    assert modules <= inside
    licences = {name.rpartition("licenses/")[2] for name in inside if "/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE", "bpf/LICENSE.GPL-2.0", "bpf/LICENSE.BSD-2-Clause"}


def test_a_wheel_without_programs_is_refused(sources: Path, tmp_path: Path) -> None:
    """A compiler that succeeds and writes nothing must not lead to a wheel that protects nothing."""
    copy = tmp_path / "sources"
    shutil.copytree(sources, copy)
    shutil.rmtree(copy / "src" / OBJECTS, ignore_errors=True)
    (copy / "bpf/Makefile").write_text("PROGRAMS := stamp enforce\nall:\n\t@true\n")
    done = build(copy, tmp_path / "wheels")
    assert done.returncode != 0
    assert "did not build stamp.bpf.o, enforce.bpf.o" in done.stdout + done.stderr
    assert not list((tmp_path / "wheels").glob("*.whl"))
