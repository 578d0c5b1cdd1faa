"""Mutation testing itself: it notices a test that does not look, and accepts nothing that is not there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.conventions.tracked import ROOT

PAGE = ROOT / "docs" / "mutation.md"
ACCEPTED = re.compile(r"^\| `([^`]+\.py)` `([^`]+)` \| `(.+)` → `(.+)` \| (.*) \|$", re.MULTILINE)

RUN = re.compile(r"^\| `(policy/[^`]+\.py)` \| \S+ \| (\d+) \| (\d+) \| \d+ \| (\d+) \| (\d+) \|$", re.MULTILINE)


def mutate(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "mutate"), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def listed(module: str) -> list[str]:
    """Place and mutation of each mutant."""
    lines = mutate("--list", module).stdout.splitlines()
    return [line.split(":", 1)[1].partition(" ")[2] for line in lines]


def test_every_accepted_mutant_exists_and_has_a_reason() -> None:
    rows = ACCEPTED.findall(PAGE.read_text())
    present = {module: listed(module) for module in {row[0] for row in rows}}
    stale = [row for row in rows if f"{row[1]}: {row[2]} → {row[3]}" not in present[row[0]]]
    assert stale == []
    assert all(len(row[4].split()) > 3 for row in rows)


def test_every_module_of_the_policy_engine_has_been_mutated_as_it_is_now() -> None:
    """A module that has changed since has other mutants: run `make mutate` for it and write the row anew."""
    rows = {row[0]: [int(number) for number in row[1:]] for row in RUN.findall(PAGE.read_text())}
    folder = ROOT / "src" / "watchword"
    now = {str(path.relative_to(folder)): len(listed(str(path.relative_to(folder)))) for path in policy(folder)}
    assert {module: row[0] for module, row in rows.items()} == {module: count for module, count in now.items() if count}
    for mutants, killed, accepted, survived in rows.values():
        assert (killed + accepted, survived) == (mutants, 0)


def policy(folder: Path) -> list[Path]:
    return sorted((folder / "policy").rglob("*.py"))


def test_a_mutant_is_killed_by_a_test_that_looks_and_survives_one_that_does_not() -> None:
    number = next(n for n, found in enumerate(listed("policy/numbers.py"), 1) if "number in self._taken" in found) + 2
    looking = mutate("--only", str(number), "--tests", "tests/unit/policy/test_numbers.py", "--", "policy/numbers.py")
    assert json.loads(looking.stdout.splitlines()[-1])["survived"] == 0, looking.stdout
    assert looking.returncode == 0
    blind = mutate("--only", str(number), "--tests", "tests/unit/policy/test_regions.py", "--", "policy/numbers.py")
    assert json.loads(blind.stdout.splitlines()[-1])["survived"] == 1
    assert blind.returncode == 1
