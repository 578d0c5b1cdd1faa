"""Landscapes: who is there, what rules name and decide, and what the next comparison keeps."""

from __future__ import annotations

import dataclasses
from typing import Any

from pyroaring import FrozenBitMap

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.model import expressions
from watchword.policy import portsets
from watchword.policy.landscape import Landscape, Survey
from watchword.policy.world import Namespace, World

DB = expressions.parse([["app=db"]])


def of(**parts: Any) -> Landscape:
    (made,) = Survey().landscapes(world(**parts))
    return made


def kind(made: Landscape, name: str) -> int:
    return next(found.number for found in made.kinds if name in found.units)


def who(made: Landscape, parties: FrozenBitMap) -> set[str]:
    """Units, and examples of addresses."""
    return {
        name
        for party in parties
        for name in ((made.blocks[party].example,) if party in made.blocks else made.kinds[party].units)
    }


def networks() -> dict[str, Any]:
    return keyed(
        network("here", "/shop", "10.1.0.0/16", tags=("app=db",)),
        network("above", "/", "10.2.0.0/16", tags=("app=db",)),
        network("down", "/", "10.3.0.0/16", tags=("app=db",), propagate=True),
        network("gone", "/shop", "10.4.0.0/16", "!10.4.0.0/15", tags=("app=db",)),
        network("other", "/shop", "10.5.0.0/16", tags=("app=x",)),
    )


def test_everybody_is_the_units_that_are_there_and_all_addresses() -> None:
    made = of(networks=keyed(network("n", "/shop", "10.0.0.0/8", tags=())))
    assert who(made, made.parties) == {"web", "api", "db", "job", "0.0.0.1", "10.0.0.1"}
    assert who(made, made.present) == {"web", "api", "db", "job"}
    assert who(made, made.addresses) == {"0.0.0.1", "10.0.0.1"}
    assert [made.networks_of(block) for block in made.blocks] == [set(), {"n"}]
    assert who(made, made.blocks_of("n")) == {"10.0.0.1"}
    assert not made.blocks_of("unknown")


def test_an_object_names_units_anywhere_and_networks_that_its_namespace_sees() -> None:
    units = {**world().units, "far": unit("far", 41, "e3", "app=db", namespace="/far")}
    made = of(units=units, networks=networks())
    assert {each.id for each in made.networks(DB)} == {"here", "above", "down", "gone"}
    assert who(made, made.selected(DB)) == {"db", "far"}
    assert who(made, made.named("/shop", DB)) == {"db", "far", "10.1.0.1", "10.3.0.1"}
    assert who(made, made.named("/", DB)) == {"db", "far", "10.2.0.1", "10.3.0.1"}
    assert who(made, made.named("/far", DB)) == {"db", "far", "10.3.0.1"}
    assert made.named("/far", expressions.parse([["app=none"]])) == FrozenBitMap()


def test_subjects_are_whom_a_ruleset_is_about_where_it_is_in_force() -> None:
    units = {**world().units, "far": unit("far", 41, "e3", "app=web", namespace="/shop/eu")}
    made = of(units=units)
    subject = ruleset("s", "/shop", [["app=web"]])
    assert who(made, made.subjects(subject)) == {"web"}
    assert who(made, made.subjects(dataclasses.replace(subject, propagate=True))) == {"web", "far"}
    assert who(made, made.subjects(dataclasses.replace(subject, disabled=True))) == set()
    assert who(made, made.reach("/", True)) == {"web", "api", "db", "job", "far"}
    assert made.about(kind(made, "web")) == ("web-out",)
    assert made.about(kind(made, "far")) == made.about(kind(made, "api")) == ()


def test_an_end_has_its_enforced_rules_and_the_demands_it_sees_best_first() -> None:
    out = [
        rule("Allow", [["app=db"]], "tcp/80"),
        rule("Allow", [["app=job"]], "any", observed=True),
        rule("Reject", [["app=db"]], "udp/53"),
    ]
    strict = [
        network(key, where, "10.9.0.0/16", tags=(), identity_required=key != "lax")
        for key, where in (("z", "/shop"), ("a", "/shop"), ("far", "/far"), ("lax", "/shop"))
    ]
    rulesets = keyed(*(ruleset(key, "/shop", [["app=web"]], out=out) for key in "ts"))
    namespaces = {"/": Namespace("/", "Reject", "Allow"), "/shop": Namespace("/shop")}
    made = of(rulesets=rulesets, networks=keyed(*strict), namespaces=namespaces)
    end = made.end(kind(made, "web"), "out")
    assert [(each.action, each.key) for each in end.reaches] == [
        ("Reject", "a/out/0"), ("Reject", "s/out/2"), ("Reject", "t/out/2"), ("Reject", "z/out/0"),
        ("Allow", "s/out/0"), ("Allow", "t/out/0"),
    ]  # fmt: skip
    assert end.default == "Allow"
    demand, allow = end.reaches[0], end.reaches[4]
    assert (who(made, demand.parties), demand.ports) == ({"10.9.0.1"}, portsets.EVERYTHING)
    assert (who(made, allow.parties), allow.ports) == ({"db"}, ((6 << 16 | 80, 6 << 16 | 80),))
    assert made.placed("a/out/0").ruleset.name == "the a"
    assert made.placed("s/out/0") == allow.placed
    assert [each.id for each in made.demanding] == ["a", "far", "z"]
    assert made.signature(kind(made, "web"), "out") == (("s", "t"), ("a", "z"), "Allow", "out")
    assert made.signature(kind(made, "web"), "in") == (("s", "t"), ("a", "z"), "Reject", "in")
    assert made.end(kind(made, "web"), "out") is end, "found once"
    assert [made.default("/shop", way) for way in ("in", "out", "in")] == ["Reject", "Allow", "Reject"]


def test_units_and_pairs_are_counted_the_same_for_few_kinds_and_for_many() -> None:
    sizes = [1, 2, 3, 5, 8, 1, 1, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 6, 1]
    units = [unit(f"u{n}-{i}", 1, "e1", f"t={n}") for n, size in enumerate(sizes) for i in range(size)]
    objects = [rule("Allow", [[f"t={n}"]], "any") for n in range(len(sizes))]
    made = of(units=keyed(*units), rulesets=keyed(ruleset("s", "/", [["t=0"]], out=objects)))
    assert [len(found.units) for found in made.kinds] == sizes
    for count in (0, 1, 4, 16, 17, 18, 19):
        assert made.count(FrozenBitMap(range(count))) == sum(sizes[:count])
    few, many = FrozenBitMap([1, 2]), FrozenBitMap(range(18))
    assert made.pairs(few, few) == 5 * 5 - 5
    assert made.pairs(few, many) == 5 * sum(sizes[:18]) - 5
    assert made.pairs(FrozenBitMap([1]), FrozenBitMap([2])) == 6


def test_two_worlds_share_numbers_and_each_has_its_own_units_and_networks() -> None:
    before = world(networks=networks())
    moved = {**before.units, "job": unit("job", 31, "e3", "app=db"), "new": unit("new", 41, "e1", "app=web")}
    after = dataclasses.replace(
        before,
        units={key: each for key, each in moved.items() if key != "api"},
        networks={"here": before.networks["here"]},
    )
    one, other = Survey().landscapes(before, after)
    assert [found.units for found in one.kinds] == [found.units for found in other.kinds]
    assert who(one, one.present) == {"web", "api", "db", "job"}
    assert who(other, other.present) == {"web", "db", "job", "new"}
    assert who(one, one.selected(DB)) == {"db"}
    assert who(other, other.selected(DB)) == {"db", "job"}
    assert one.unit(kind(one, "job")).tags == frozenset()
    assert other.unit(kind(one, "job")).tags == {"app=db"}
    (block,) = one.blocks_of("above")
    assert (one.networks_of(block), other.networks_of(block)) == (frozenset({"above"}), frozenset())
    assert block in one.named("/", DB)
    assert block not in other.named("/", DB)
    assert who(other, other.reach("/shop", False)) == {"web", "db", "job", "new"}


def test_a_world_of_one_unit_and_what_its_rules_ask() -> None:
    made = of(units=keyed(unit("web", 11, "e1", "app=web")))
    assert who(made, made.present) == {"web"}
    assert made.vocabulary.exact == {"app=web", "app=db"}


def test_a_world_without_units_has_addresses_alone() -> None:
    made = of(units={})
    assert who(made, made.parties) == {"0.0.0.1"}
    assert made.selected(DB) == FrozenBitMap()


def test_a_survey_keeps_what_the_next_comparison_can_use() -> None:
    survey = Survey()
    before = world(networks=networks())
    (first,) = survey.landscapes(before)
    asking_less = dataclasses.replace(before, rulesets={})
    one, other = survey.landscapes(before, asking_less)
    assert one.kinds is other.kinds is first.kinds
    survey.landscapes(before)
    (first,), (again,) = survey.landscapes(before), survey.landscapes(asking_less)
    assert again.kinds is first.kinds is one.kinds
    assert all(again.blocks[number] is block for number, block in first.blocks.items())


def different(survey: Survey, *worlds: World) -> tuple[Landscape, ...]:
    """What the survey says, which is what one that saw nothing yet says."""
    kept, fresh = survey.landscapes(*worlds), Survey().landscapes(*worlds)
    for one, other in zip(kept, fresh, strict=True):
        assert [each.units for each in one.kinds] == [each.units for each in other.kinds]
        assert one.present == other.present
        assert one.blocks == other.blocks
    return kept


def test_a_survey_begins_again_when_units_networks_or_questions_are_others() -> None:
    survey, before = Survey(), world(networks=networks())
    different(survey, before)
    asking = {**before.rulesets, "s": ruleset("s", "/shop", [["app=job"]])}
    different(survey, dataclasses.replace(before, rulesets=asking))
    units = {**before.units, "new": unit("new", 41, "e1", "app=web")}
    renewed = dataclasses.replace(before, units=units, networks={})
    different(survey, before, renewed)
    different(survey, before, dataclasses.replace(before, units={**before.units, "x": unit("x", 1, "e1", "app=db")}))
    different(survey, before, dataclasses.replace(before, networks={}))
    different(survey, renewed)
    different(survey, before)
