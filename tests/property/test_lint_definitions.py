"""Each code of lint is given exactly where its definition holds, by asking about every flow."""

from __future__ import annotations

from hypothesis import given, settings

from tests.property.clashes import clashing
from tests.property.lint_oracle import Naive, Place, place_of
from tests.property.worlds import worlds
from watchword.policy.lint import CODES, Finding, findings
from watchword.policy.world import World

EXACT = sorted(set(CODES) - {"tag-outside-prefixes", "long-disabled", "shadowed-rule", "overlapping-networks"})


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_codes_are_given_exactly_where_they_are_defined(world: World) -> None:
    naive = Naive(world)
    given_: dict[str, set[Place]] = {code: set() for code in CODES}
    told = findings(world)
    for finding in told:
        if finding.code != "overlapping-networks":
            given_[finding.code].add(place_of(world, finding))
    for code in EXACT:
        assert given_[code] == naive.expected(code), code
    assert overlapping(told) == naive.overlaps()


def overlapping(told: tuple[Finding, ...]) -> set[frozenset[str]]:
    return {frozenset((each.ruleset, each.others[0])) for each in told if each.code == "overlapping-networks"}


@settings(max_examples=60, deadline=None)
@given(clashing())
def test_networks_that_overlap_where_it_matters(world: World) -> None:
    assert overlapping(findings(world)) == Naive(world).overlaps()
