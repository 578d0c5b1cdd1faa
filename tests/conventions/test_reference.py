"""Generated pages say what the program does; a change without `make docs` is noticed here."""

from __future__ import annotations

import re

from tests.conventions.tracked import ROOT, tracked_files
from watchword.cli.reference import page


def test_the_command_line_reference_is_up_to_date() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == page(), "run: make docs"


def test_the_reference_has_every_command() -> None:
    text = page()
    promised = """
    console start|enforcer start|enforcer status|enforcer uninstall|run|apply|flows|explain|wait|token create|
    api list|api get|api create|api update|api delete|api describe|api stub|profile add|profile list|profile use|
    doctor|completion"""
    assert [name.strip() for name in promised.split("|") if f"## watchword {name.strip()}\n" not in text] == []


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for path in tracked_files():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / path).read_text()):
            if "://" not in target and not (ROOT / path).parent.joinpath(target).exists():
                broken.append(f"{path}: {target}")
    assert broken == []
