"""A slice of `make soak-kills`: agents killed at random moments, of their start and of their duty."""

from __future__ import annotations

import os

import pytest

from tests.e2e.kills import HELD, remove, storm
from tests.e2e.outpost import RULED, outposts

KILLS = int(os.environ.get("WATCHWORD_KILLS", "20"))
SEED = int(os.environ.get("WATCHWORD_KILL_SEED", "1"))


@pytest.mark.timeout(60 + 5 * KILLS)
def test_agents_killed_at_any_moment_lose_nothing_let_nobody_in_and_leave_nothing() -> None:
    with outposts("kills") as outpost:
        outcome = storm(outpost, KILLS, SEED)
        assert outcome.unharmed, outcome
        assert (outcome.kills, outcome.held) == (KILLS, HELD)
        assert 0 < outcome.killed_on_duty < KILLS, outcome
        assert outpost.verdicts() == RULED
        assert remove(outpost) == []
