"""The rules of tests/conftest.py, tried on small projects of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with our conftest.py, a page that lists one skip, and two stages."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/testing.md").write_text(
        "| test | why |\n|---|---|\n| `tests/unit/test_a.py::test_listed` | no such device |\n"
    )
    for stage in ("unit", "e2e"):
        (tmp_path / "tests" / stage).mkdir(parents=True)
    (tmp_path / "tests/conftest.py").write_text((TESTS / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=False)


def test_listed_skip_is_allowed(project: Path) -> None:
    (project / "tests/unit/test_a.py").write_text(
        "import pytest\n@pytest.mark.skip(reason='x')\ndef test_listed(): pass\n"
    )
    result = run(project, "tests/unit")
    assert result.returncode == 0, result.stdout
    assert "1 skipped" in result.stdout


@pytest.mark.parametrize(
    "body",
    [
        "import pytest\ndef test_other(): pytest.skip('no root')\n",
        "import pytest\npytest.importorskip('no_such_module')\n",
        "import pytest\n@pytest.mark.xfail\ndef test_other(): assert False\n",
    ],
    ids=["skip", "module", "xfail"],
)
def test_unlisted_skip_fails_the_run(project: Path, body: str) -> None:
    (project / "tests/unit/test_b.py").write_text(body)
    result = run(project, "tests/unit")
    assert result.returncode != 0, result.stdout
    assert "does not list it" in result.stdout


def test_empty_stage_fails_the_run(project: Path) -> None:
    (project / "tests/unit/test_c.py").write_text("def test_fine(): pass\n")
    result = run(project, "--stages=unit,e2e", "tests/unit", "tests/e2e")
    assert result.returncode != 0
    assert "no test was collected in tests/e2e" in result.stdout + result.stderr


def test_stages_are_summed_up_before_the_last_line(project: Path) -> None:
    (project / "tests/unit/test_d.py").write_text("def test_fine(): pass\ndef test_wrong(): assert False\n")
    result = run(project, "--stages=unit", "tests/unit")
    assert result.returncode == 1
    assert "unit         1 passed, 1 failed" in result.stdout
    assert "1 failed, 1 passed" in result.stdout.strip().splitlines()[-1]
