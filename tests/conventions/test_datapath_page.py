"""The datapath's page names every map and program: whoever lists what is loaded in a kernel finds it explained."""

from __future__ import annotations

import re

import pytest

from tests.conventions.tracked import ROOT, tracked_files

_MAP = re.compile(r'^\} (\w+) SEC\("\.maps"\)', re.MULTILINE)
_PROGRAM = re.compile(r'^SEC\("(?!license|\.)[^"]+"\)\s+int (?:BPF_PROG\()?(\w+)', re.MULTILINE)


def sources() -> str:
    """All C of the kernel half that is compiled into objects."""
    return "\n".join(
        (ROOT / path).read_text() for path in tracked_files() if path.parts[0] == "bpf" and path.suffix in {".c", ".h"}
    )


@pytest.mark.parametrize(("kind", "pattern", "least"), [("map", _MAP, 40), ("program", _PROGRAM, 10)])
def test_the_page_names_every_one(kind: str, pattern: re.Pattern[str], least: int) -> None:
    found = set(pattern.findall(sources()))
    assert len(found) >= least, f"the test does not find the {kind}s any more: {sorted(found)}"
    page = (ROOT / "docs/datapath.md").read_text()
    page = page.replace("prefixes4/6", "prefixes4` `prefixes6").replace("connect4/6", "connect4` `connect6")
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", page))))
    assert not found - named, f"docs/datapath.md does not name these {kind}s: {sorted(found - named)}"
