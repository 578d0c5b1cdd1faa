"""Rules for every test run: no silent skip, no empty stage.

A skip (or an expected failure) that docs/testing.md does not list by name is a failure, so that a machine
that lacks something cannot look like one that passed. ``--stages`` names the folders that `make test`
asked for; a stage in which nothing was collected fails the run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

TESTING_PAGE = Path(__file__).parent.parent / "docs" / "testing.md"

#: A row of the page's table of skips: | `tests/…::name` | why |
LISTED_SKIP = re.compile(r"^\| `(tests/[^`]+)` \|", re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--stages``."""
    parser.addoption("--stages", default="", help="comma-separated folders of tests/ that must hold at least one test")


def pytest_configure(config: pytest.Config) -> None:
    """Register the rules."""
    listed = frozenset(LISTED_SKIP.findall(TESTING_PAGE.read_text())) if TESTING_PAGE.exists() else frozenset()
    config.pluginmanager.register(SkipsAreListed(listed), "watchword-skips")
    stages = tuple(stage for stage in str(config.getoption("--stages")).split(",") if stage)
    config.pluginmanager.register(StagesAreFull(stages), "watchword-stages")


class SkipsAreListed:
    """Turns a skip that is not in the list into a failure."""

    def __init__(self, listed: frozenset[str]) -> None:
        self.listed = listed

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A test that skipped itself, or was expected to fail."""
        report = yield
        self._judge(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """A whole module that skipped itself, as ``importorskip`` does."""
        report = yield
        self._judge(report)
        return report

    def _judge(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.outcome != "skipped" or self._is_listed(report.nodeid):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped and docs/testing.md does not list it: {reason}"
        if hasattr(report, "wasxfail"):
            del report.wasxfail

    def _is_listed(self, nodeid: str) -> bool:
        return nodeid in self.listed or nodeid.partition("[")[0] in self.listed


class StagesAreFull:
    """Fails a run in which a stage has no test, and shows how many each had."""

    def __init__(self, stages: tuple[str, ...]) -> None:
        self.stages = stages
        self.collected: Counter[str] = Counter()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count what was collected, by folder of tests/."""
        self.collected.update(item.nodeid.split("/")[1] for item in session.items if "/" in item.nodeid)
        empty = [stage for stage in self.stages if not self.collected[stage]]
        if empty:
            raise pytest.UsageError(f"no test was collected in {', '.join(f'tests/{stage}' for stage in empty)}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """One line for each stage, before pytest's own last line."""
        if not self.stages:
            return
        outcomes: dict[str, Counter[str]] = {stage: Counter() for stage in self.stages}
        seconds: Counter[str] = Counter()
        for outcome in ("passed", "failed", "error", "skipped"):
            for report in terminalreporter.stats.get(outcome, []):
                stage = report.nodeid.split("/")[1] if "/" in report.nodeid else ""
                if stage in outcomes:
                    outcomes[stage][outcome] += 1
                    seconds[stage] += getattr(report, "duration", 0)
        terminalreporter.section("stages")
        for stage, counts in outcomes.items():
            shown = ", ".join(f"{number} {outcome}" for outcome, number in counts.items()) or "nothing ran"
            terminalreporter.write_line(f"{stage:<12} {shown} in {seconds[stage]:.1f} s")
