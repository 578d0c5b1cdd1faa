"""How old something is, whoever sets the clock."""

from __future__ import annotations

import pytest

from watchword.enforcer.moment import Mark, Moment, boot_id

DAY, YEAR = 86400.0, 365 * 86400.0
MADE = Moment(wall=1_000_000_000.0, elapsed=500.0)


@pytest.mark.parametrize("jump", [0.0, DAY, -DAY, YEAR, -YEAR])
def test_within_a_boot_no_setting_of_the_clock_counts(jump: float) -> None:
    mark = Mark.of(MADE, "boot-1")
    assert mark.age(Moment(MADE.wall + 60 + jump, MADE.elapsed + 60), "boot-1") == 60.0


@pytest.mark.parametrize(
    ("wall", "uptime", "age"),
    [
        (MADE.wall + DAY, 100.0, DAY),  # the clock went on while the host was down
        (MADE.wall - YEAR, 100.0, 100.0),  # a host without a battery: at least for as long as it has been up
        (0.0, 100.0, 100.0),
        (MADE.wall + YEAR, 100.0, YEAR),  # nothing can tell this from a year
    ],
)
def test_over_a_boot_the_clock_is_believed(wall: float, uptime: float, age: float) -> None:
    assert Mark.of(MADE, "boot-1").age(Moment(wall, uptime), "boot-2") == age


def test_moments_go_on() -> None:
    before, after = Moment.now(), Moment.now()
    assert 0 <= after.elapsed - before.elapsed < 60
    assert len(boot_id()) == 36
