"""The Makefile is how people and machines run everything: each target explains itself, and scripts can be run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.conventions.tracked import ROOT, tracked_files

#: What README, CONTRIBUTING and CI promise.
PROMISED = {
    "help",
    "setup",
    "bpf",
    "lint",
    "test",
    "demo",
    "demo-check",
    "bench-connrate",
    "bench-datagrams",
    "bench-peers",
    "bench-throughput",
    "wheel",
    "clean",
}

TARGET = re.compile(r"^([a-z][a-z-]*):(?!=)(.*)$", re.MULTILINE)


def targets() -> dict[str, str]:
    return dict(TARGET.findall((ROOT / "Makefile").read_text()))


def test_every_target_explains_itself() -> None:
    assert [name for name, rest in targets().items() if " ## " not in rest] == []


def test_every_promised_target_exists() -> None:
    assert set(targets()) >= PROMISED


def test_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in shown.splitlines() if line.strip()} == set(targets())


def test_every_target_is_documented() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    assert [name for name in targets() if f"`make {name}`" not in page] == []


def test_scripts_are_executable_and_valid() -> None:
    scripts = [p for p in tracked_files() if p.parts[0] == "scripts"] + [Path(".ci/run")]
    for path in scripts:
        assert (ROOT / path).stat().st_mode & 0o111, path
        if "bash" in (ROOT / path).read_text().splitlines()[0]:
            subprocess.run(["bash", "-n", path], cwd=ROOT, check=True)
