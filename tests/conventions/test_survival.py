"""Each row of docs/survival.md names tests, and they exist."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conventions.tracked import ROOT

ROW = re.compile(r"^\| (?P<what>[^|]+) \| [^|]+ \| (?P<tests>[^|]+) \|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+|\*)`")

ROWS = [match for match in ROW.finditer((ROOT / "docs" / "survival.md").read_text()) if "---" not in match["what"]][1:]


def test_the_table_is_read() -> None:
    assert len(ROWS) >= 16


@pytest.mark.parametrize("row", ROWS, ids=[row["what"][:40] for row in ROWS])
def test_each_row_is_shown_by_tests_that_exist(row: re.Match[str]) -> None:
    named = NAMED.findall(row["tests"])
    assert len(named) == row["tests"].count("::") > 0
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text())
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert test == "*" or test in found, f"{file} has no {test}"
        assert test != "*" or any(name.startswith("test_") for name in found), f"{file} has no test"
