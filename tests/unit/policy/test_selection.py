"""Which rulesets are about a unit, what their rules are called, and what their objects see."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.model.ports import ANYTHING
from watchword.policy import selection
from watchword.wire.policy import RuleEntry

WEB = unit("web", 1, "e1", "app=web", namespace="/shop/web")


def test_a_ruleset_is_in_force_where_it_stands_and_below_when_it_propagates() -> None:
    here, down = ruleset("a", "/shop", [["app=web"]]), ruleset("b", "/shop", [["app=web"]], propagate=True)
    assert selection.in_force(here, "/shop")
    assert not selection.in_force(here, "/shop/web")
    assert selection.in_force(down, "/shop/web")
    assert not selection.in_force(down, "/")
    assert not selection.in_force(dataclasses.replace(down, disabled=True), "/shop")


def test_what_is_about_a_unit_is_in_order_and_fallback_only_where_nothing_else_is() -> None:
    ordinary = [ruleset(key, "/", [["app=web"]], propagate=True) for key in ("c", "a")]
    fallback = [ruleset(key, "/", [["app=web"]], propagate=True, fallback=True) for key in ("d", "b")]
    others = [ruleset("x", "/", [["app=db"]], propagate=True), ruleset("y", "/shop", [["app=web"]])]
    about = selection.about
    assert [each.id for each in about(WEB, [*ordinary, *fallback, *others])] == ["a", "c"]
    assert [each.id for each in about(WEB, [*fallback, *others])] == ["b", "d"]
    assert about(WEB, others) == []
    # an object's match is not asked again
    assert [each.id for each in selection.counting(WEB, [*fallback, *others])] == ["x"]


def test_rules_are_called_by_their_ruleset_direction_and_place() -> None:
    made = ruleset(
        "r", "/", [["a=1"]], inc=[rule("Allow", [["b=1"]], "tcp/1")], out=[rule("Reject", [["c=1"]], "tcp/2")] * 2
    )
    incoming, outgoing = (selection.rules_of([made], direction) for direction in ("in", "out"))
    assert [each.key for each in incoming] == ["r/in/0"]
    assert [each.key for each in outgoing] == ["r/out/0", "r/out/1"]
    assert incoming[0].rule is made.incoming[0]
    assert outgoing[1].ruleset is made
    (end,) = selection.rules_of([dataclasses.replace(made, origin="i")], "in")
    assert end.key == "i/in/0"


def test_a_rule_as_documents_have_it() -> None:
    said = rule("Allow", [["b=1"]], "tcp/1", name="n", observed=True, log=False)
    (placed,) = selection.rules_of([ruleset("r", "/a", [["a=1"]], inc=[said], origin="i")], "in")
    assert selection.rule_entry(placed, "key") == RuleEntry(
        ruleset="i",
        ruleset_name="the r",
        namespace="/a",
        name="n",
        action="Allow",
        selector="key",
        ports=said.ports,
        observed=True,
        log=False,
    )


def test_rulesets_and_the_ends_of_intents_are_found_by_what_people_know() -> None:
    out, into, own = ruleset("i:out", "/", [["a=1"]]), ruleset("i:in", "/", [["a=1"]]), ruleset("r", "/", [["a=1"]])
    made = world(rulesets=keyed(out, into, own))
    assert selection.end_of("i", "in") == "i:in"
    assert selection.known_as(made, "r") is own
    assert selection.known_as(made, "i") is out
    assert selection.known_as(made, "i", "in") is into
    assert selection.known_as(world(rulesets=keyed(into)), "i") is into
    assert selection.known_as(world(rulesets=keyed(out)), "i", "in") is out
    assert selection.known_as(made, "j") is None


@pytest.mark.parametrize(("where", "propagate", "seen"), [("/", True, True), ("/", False, False), ("/a", False, True)])
def test_objects_see_networks_from_the_rulesets_namespace(where: str, propagate: bool, seen: bool) -> None:
    (placed,) = selection.rules_of([ruleset("r", "/a", [["a=1"]], inc=[rule("Allow", [["net=1"]], "tcp/1")])], "in")
    there = network("n", where, "10.0.0.0/8", tags=("net=1",), propagate=propagate)
    assert selection.visible(there, "/a") is seen
    assert selection.object_matches(placed, there) is seen
    assert not selection.object_matches(placed, dataclasses.replace(there, tags=frozenset({"net=2"})))


def test_the_rule_of_a_network_that_requires_identity() -> None:
    there = network("n", "/a", "10.0.0.0/8", tags=("net=1",), identity_required=True)
    placed = selection.identity_rule(there, "out")
    assert placed.key == "n/out/0"
    assert selection.identity_rule(there, "in").key == "n/in/0"
    assert placed.rule.action == "Reject"
    assert placed.rule.ports == (ANYTHING,)
    assert placed.rule.name == "identity required"
    assert not placed.rule.observed
    assert not selection.object_matches(placed, there)
    assert (placed.ruleset.id, placed.ruleset.name, placed.ruleset.namespace) == ("n", "the n", "/a")
