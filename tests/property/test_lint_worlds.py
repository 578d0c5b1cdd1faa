"""The worlds that lint is tried on are worth trying: all findings occur."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.clashes import clashing
from tests.property.worlds import worlds
from watchword.policy.lint import CODES, findings
from watchword.policy.world import World


@pytest.fixture(scope="module")
def seen() -> Counter[str]:
    """How many of some generated worlds have each finding."""
    counted: Counter[str] = Counter()

    @settings(max_examples=250, deadline=None, database=None, derandomize=True)
    @given(st.one_of(worlds(), worlds(), clashing()))
    def draw(world: World) -> None:
        counted.update({finding.code for finding in findings(world)})

    draw()
    return counted


def test_the_generated_worlds_have_every_finding(seen: Counter[str]) -> None:
    assert set(seen) == set(CODES) - {"tag-outside-prefixes", "long-disabled"}
