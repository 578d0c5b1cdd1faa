"""What documents have in common: stations, selectors, placements, standings and climates."""

from __future__ import annotations

import dataclasses

import pytest
from pyroaring import BitMap

from tests.unit.policy.shop import network, rule, ruleset
from watchword.policy import selection
from watchword.policy.engine.nouns import (
    DIRECTIONS,
    Climate,
    Crowd,
    Placement,
    Selector,
    Standing,
    Station,
    demand_expression,
    demand_key,
    demand_rules,
)
from watchword.policy.selectors import selector_key
from watchword.policy.tagged import Membership
from watchword.wire.multiset import element
from watchword.wire.policy import EnforcerEntry, enforcer_digest, members_element

EXPRESSION = (("app=db",),)


def selector(key: str = "key") -> tuple[Selector, Crowd]:
    membership = Membership(EXPRESSION, frozenset(), BitMap())
    crowd = Crowd(membership, membership, 0)
    return Selector(key, "/a", EXPRESSION, crowd), crowd


def test_a_station_is_an_enforcer_with_the_digest_of_its_entry() -> None:
    one, other = EnforcerEntry(b"one", ()), EnforcerEntry(b"other", ())
    station = Station("e", one)
    assert (station.id, station.entry, station.digest) == ("e", one, enforcer_digest(one))
    assert (station.openings, station.asked, station.selectors) == (0, frozenset(), ())
    assert station.total is None
    assert station.local is None
    station.replace(other)
    assert (station.entry, station.digest) == (other, enforcer_digest(other))


def test_a_selector_is_one_element_and_its_members_another() -> None:
    found, crowd = selector()
    assert found.own == element("selectors", "key", EXPRESSION)
    assert (found.key, found.namespace, found.expression, found.networks, found.audience) == (
        "key",
        "/a",
        EXPRESSION,
        {},
        {},
    )
    assert found.members() == 0
    for total in (5, 7, 0, 5):
        crowd.total = total
        expected = members_element("key", total) if total else 0
        assert [found.members(), found.members()] == [expected, expected]


def test_a_demand_has_no_members() -> None:
    assert Selector("key", "n", EXPRESSION, None).members() == 0


def test_a_placement_has_rules_by_direction_and_selectors_once() -> None:
    db, any_ = rule("Allow", [["app=db"]], "tcp/1"), rule("Reject", [["app=*"]], "tcp/2")
    made = ruleset("r", "/a", [["app=web"]], inc=[db], out=[any_, db])
    rules = {direction: selection.rules_of([made], direction) for direction in DIRECTIONS}
    one, other = selector("one")[0], selector("other")[0]
    placement = Placement("r")
    assert (placement.ruleset, placement.subject, placement.entries, placement.hosts) == (None, None, {}, {})
    assert (placement.incoming, placement.outgoing, placement.selectors, placement.total) == ((), (), {}, 0)
    placement.fill(rules, {"r/in/0": one, "r/out/0": other, "r/out/1": one})
    assert (placement.incoming, placement.outgoing) == (("r/in/0",), ("r/out/0", "r/out/1"))
    assert {key: (entry.action, entry.selector) for key, entry in placement.entries.items()} == {
        "r/in/0": ("Allow", "one"),
        "r/out/0": ("Reject", "other"),
        "r/out/1": ("Allow", "one"),
    }
    assert list(placement.selectors) == [one, other]
    assert placement.total == sum(element("rules", key, entry) for key, entry in placement.entries.items())
    placement.fill({}, {})
    assert (placement.entries, placement.incoming, placement.outgoing, placement.selectors) == ({}, (), (), {})
    assert placement.total == 0


def test_fallback_counts_where_nothing_ordinary_does() -> None:
    one, other = Placement("one"), Placement("other")
    assert Standing((one,), (other,)).counting == (one,)
    assert Standing((), (other,)).counting == (other,)
    assert Standing((), ()).counting == ()


@pytest.mark.parametrize(
    ("incoming", "outgoing", "opens"),
    [("Allow", "Reject", True), ("Reject", "Allow", True), ("Allow", "Allow", True), ("Reject", "Reject", False)],
)
def test_a_climate_is_open_when_some_default_allows(incoming: str, outgoing: str, opens: bool) -> None:
    assert Climate(incoming, outgoing, ()).open is opens  # type: ignore[arg-type]


def test_climates_are_the_same_when_nothing_differs() -> None:
    demand = Placement("n")
    known = Climate("Allow", "Reject", (demand,))
    assert known.same(Climate("Allow", "Reject", (demand,)))
    for other in (
        Climate("Reject", "Reject", (demand,)),
        Climate("Allow", "Allow", (demand,)),
        Climate("Allow", "Reject", ()),
        Climate("Allow", "Reject", (Placement("n"),)),
    ):
        assert not known.same(other)


def test_the_demand_of_a_network_names_it_alone() -> None:
    there = network("n", "/a", "10.0.0.0/8", tags=("net=1",), identity_required=True)
    assert demand_key("n") == selector_key("n", ())
    assert demand_key("n") != demand_key("m")
    assert demand_expression("n") == (("$id=n",),)
    rules = demand_rules(there)
    assert {direction: [each.key for each in placed] for direction, placed in rules.items()} == {
        "in": ["n/in/0"],
        "out": ["n/out/0"],
    }
    assert demand_rules(dataclasses.replace(there, name="other"))["in"] != rules["in"]
