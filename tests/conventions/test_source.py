"""Rules for the source itself: size, docstrings, words that do not belong, one home for everything."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conventions.tracked import ROOT, python_files, tracked_files

FILE_LIMIT = 700
FUNCTION_LIMIT = 80

#: Files that may be longer, each with its reason.
LONG_FILES = {
    Path("LICENSE"): "the licence as published",
    Path("bpf/LICENSE.GPL-2.0"): "the licence as published",
    Path("docs/cli.md"): "generated",
    Path("requirements.lock"): "generated",
    Path("src/watchword/enforcer/datapath/ebpf/_layout.py"): "generated",
}

#: Functions that may be longer, as file::name, each with its reason.
LONG_FUNCTIONS: dict[str, str] = {}

#: What no tracked file may contain. Split here, so that this file does not contain it either.
FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.])/wo" r"rk/|/ro" r"ot/\."),
    "a package registry (installation must work with any)": re.compile(
        r"index" r"-url|files\.python" r"hosted|py" r"pi\.org"
    ),
    "an unfinished place": re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE" r" KEY-----"),
}

#: Where one of them is right: (file, kind), each with its reason.
ALLOWED = {
    (Path("scripts/lock"), "a package registry (installation must work with any)"): "the option that leaves it out",
}

BINARY = {".png", ".svg", ".o", ".pcap"}


def text_files() -> list[Path]:
    return [path for path in tracked_files() if path.suffix not in BINARY]


def test_there_is_something_to_check() -> None:
    assert Path("src/watchword/wire/policy.py") in python_files()
    assert Path("Makefile") in tracked_files()


def test_every_module_has_a_docstring() -> None:
    bare = [str(path) for path in python_files() if not ast.get_docstring(ast.parse((ROOT / path).read_text()))]
    assert bare == []


def test_files_are_short() -> None:
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path in text_files()}
    assert {path: n for path, n in lengths.items() if n > FILE_LIMIT and path not in LONG_FILES} == {}


def test_exceptions_for_long_files_are_still_needed() -> None:
    assert [path for path in LONG_FILES if not (ROOT / path).is_file()] == []


def test_functions_are_short() -> None:
    long = {}
    for path in python_files():
        if "migrations" in path.parts:  # a schema written as one list of statements
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LIMIT:
                    long[f"{path}::{node.name}"] = length
    assert {name: n for name, n in long.items() if name not in LONG_FUNCTIONS} == {}
    assert set(LONG_FUNCTIONS) <= set(long), "an exception that is no longer needed"


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_forbidden_word(kind: str) -> None:
    found = []
    for path in text_files():
        if (path, kind) in ALLOWED:
            continue
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
            if FORBIDDEN[kind].search(line):
                found.append(f"{path}:{number}: {line.strip()[:80]}")
    assert found == []


def test_no_module_is_named_after_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "common", "manager", "base_utils"}
    assert [str(path) for path in python_files() if path.stem in vague] == []


def test_dependencies_point_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_kernel_sources_carry_their_licence() -> None:
    sources = [path for path in tracked_files() if path.parts[0] == "bpf" and path.suffix in {".c", ".h"}]
    bare = [str(p) for p in sources if "GPL-2.0-only OR BSD-2-Clause" not in (ROOT / p).read_text().splitlines()[0]]
    assert bare == []
