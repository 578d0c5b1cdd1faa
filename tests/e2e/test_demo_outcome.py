"""How a run of the demonstration ends: nothing that failed may look like success."""

from __future__ import annotations

import json

import pytest

from demo.checks import Checks
from demo.narrator import PlainNarrator
from demo.programs.puppet import why


def test_a_run_without_claims_has_failed() -> None:
    assert json.loads(Checks().last_line()) == {
        "demo": "failed", "checks": 0, "revoke_p99_ms": None, "agent_rss_mb": None,
    }  # fmt: skip


def test_one_failed_claim_fails_the_run_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    checks = Checks(revoke_p99_ms=41.26, agent_rss_mb=53.0)
    checks.add("water is wet", True)
    assert json.loads(checks.last_line()) == {"demo": "ok", "checks": 1, "revoke_p99_ms": 41.3, "agent_rss_mb": 53.0}
    checks.add("the moon is cheese", False, "it is rock")
    checks.add("pigs fly", [], "none seen")  # type: ignore[arg-type]
    assert json.loads(checks.last_line())["demo"] == "failed"
    assert not checks.ok
    PlainNarrator().closing(checks.failed, len(checks.claims))
    shown = capsys.readouterr().out
    assert "1 of 3 claims held" in shown
    assert "FAILED: the moon is cheese: it is rock\nFAILED: pigs fly: none seen\n" in shown


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "ECONNREFUSED"),
        (PermissionError(1, "Operation not permitted"), "EPERM"),
        (TimeoutError("timed out"), "timeout"),
        (OSError("without a number"), "OSError: without a number"),
    ],
)
def test_errors_are_told_apart(error: OSError, word: str) -> None:
    assert why(error) == word
