"""What several classes decide together about one address, by example."""

from __future__ import annotations

from watchword.policy.tables import Verdict
from watchword.policy.verdicts import together

DEFAULT, OPEN = Verdict("Reject", log=True), Verdict("Allow", log=True)
ALLOW, OTHER = Verdict("Allow", "b", log=False), Verdict("Allow", "c", log=True)
REJECT, LATER = Verdict("Reject", "x", explicit=True, log=False), Verdict("Reject", "y", explicit=True, log=True)


def seen(action: str, rule: str, *, log: bool = False) -> Verdict:
    """A rule that allows, and an observation."""
    return Verdict("Allow", "b", observed_action=action, observed_rule=rule, log=log)  # type: ignore[arg-type]


def test_one_class_decides_alone_and_of_two_defaults_the_first_is_taken() -> None:
    for verdict in (DEFAULT, OPEN, ALLOW, REJECT, seen("Reject", "w")):
        assert together([verdict]) == verdict
    assert together([DEFAULT, OPEN]) == DEFAULT
    assert together([OPEN, DEFAULT]) == OPEN


def test_a_rule_beats_a_default_whichever_comes_first() -> None:
    for verdict in (ALLOW, REJECT):
        assert together([DEFAULT, verdict]) == together([verdict, DEFAULT]) == verdict
        assert together([OPEN, verdict]) == together([verdict, OPEN]) == verdict


def test_a_reject_beats_an_allow_and_of_equals_the_first_by_name_is_told() -> None:
    assert together([ALLOW, LATER]) == together([LATER, ALLOW]) == LATER
    assert together([LATER, REJECT]) == together([REJECT, LATER]) == REJECT
    assert together([OTHER, ALLOW]) == together([ALLOW, OTHER]) == ALLOW


def test_observations_are_weighed_by_themselves() -> None:
    first, second = seen("Allow", "v"), seen("Reject", "w")
    assert together([first, second]) == together([second, first]) == second
    assert together([first, seen("Allow", "w")]) == first
    assert together([OTHER, ALLOW, first]) == first
    told = together([REJECT, second])
    assert (told.action, told.rule, told.explicit) == ("Reject", "x", True)
    assert (told.observed_action, told.observed_rule) == ("Reject", "w")


def test_a_flow_that_the_winner_or_the_observation_reports_is_reported() -> None:
    assert not together([REJECT, seen("Reject", "w")]).log
    assert together([REJECT, seen("Reject", "w", log=True)]).log
    assert together([LATER, seen("Reject", "w")]).log
    assert not together([REJECT, OTHER]).log
