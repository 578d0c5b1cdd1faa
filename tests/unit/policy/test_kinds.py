"""Kinds: what rulesets ask of tags, and which units nothing of it tells apart."""

from __future__ import annotations

import dataclasses

from tests.unit.policy.shop import keyed, rule, ruleset, unit, world
from watchword.policy.kinds import Vocabulary, kinds
from watchword.policy.world import Unit, World


def words(exact: set[str], prefixes: set[str] = set()) -> Vocabulary:  # noqa: B006 - never changed
    return Vocabulary(frozenset(exact), frozenset(prefixes))


def members(found: Vocabulary, *worlds: World) -> list[tuple[str, ...]]:
    made = kinds(worlds, found)
    assert [kind.number for kind in made] == list(range(len(made)))
    return [kind.units for kind in made]


def with_units(*units: Unit) -> World:
    return world(units=keyed(*units))


def test_a_vocabulary_is_what_subjects_and_objects_ask() -> None:
    rulesets = [
        ruleset("s", "/", [["a=1", "!b=*"]], inc=[rule("Allow", [["c=x*"]], "any")], disabled=True),
        ruleset("t", "/", [["d=1"]], out=[rule("Allow", [["!e=1", "f=1"]], "any", observed=True)]),
    ]
    assert Vocabulary.of(rulesets) == words({"a=1", "d=1", "e=1", "f=1"}, {"b=", "c=x"})
    assert Vocabulary.of([]) == words(set())


def test_one_vocabulary_is_in_another_when_that_asks_at_least_the_same() -> None:
    small, large = words({"a=1"}, {"b="}), words({"a=1", "c=1"}, {"b=", "d="})
    assert small <= small
    assert small <= large
    assert not large <= small
    assert not words({"x=1"}, {"b="}) <= large
    assert not words({"a=1"}, {"x="}) <= large


def test_units_are_of_one_kind_where_nothing_that_is_asked_tells_them_apart() -> None:
    made = with_units(
        unit("a", 1, "e1", "app=web", "zone=1"),
        unit("b", 2, "e2", "app=web", "zone=2"),
        unit("c", 3, "e1", "app=web", namespace="/"),
        unit("d", 4, "e1", "app=db"),
        unit("e", 5, "e1", "app=web2"),
        unit("f", 6, "e1", "x=1"),
    )
    assert members(words({"app=web"}), made) == [("a", "b"), ("c",), ("d", "e", "f")]
    assert members(words(set()), made) == [("a", "b", "d", "e", "f"), ("c",)]
    assert members(words(set(), {"app=w"}), made) == [("a", "b", "e"), ("c",), ("d", "f")]
    assert members(words(set(), {"app=w", "app=web2", "zone="}), made) == [("a", "b"), ("c",), ("d", "f"), ("e",)]
    assert members(words({"zone=2"}, {"app=d"}), made) == [("a", "e", "f"), ("b",), ("c",), ("d",)]


def test_a_profile_has_the_tags_that_are_seen_and_no_others() -> None:
    made = with_units(unit("a", 1, "e1", "app=web", "zone=1", "x=1"), unit("b", 2, "e1", "x=1"))
    first, second = kinds([made], words({"app=web", "app=db"}, {"zone="}))
    (profile,) = first.profiles
    assert profile == dataclasses.replace(made.units["a"], tags=frozenset({"app=web", "zone=1"}))
    assert second.profiles == (dataclasses.replace(made.units["b"], tags=frozenset()),)
    (only,) = kinds([with_units(unit("a", 1, "e1", "app=web", "zone=1"))], words({"app=web"}))
    assert only.profiles == (unit("a", 1, "e1", "app=web"),)


def test_with_two_worlds_a_kind_is_one_in_both() -> None:
    before = with_units(*(unit(key, 1, "e1", "app=web") for key in "abcd"))
    units = {key: before.units[key] for key in "ab"}
    after = world(units={**units, "c": unit("c", 1, "e1", "app=db"), "new": unit("new", 1, "e1", "app=web")})
    made = kinds([before, after], words({"app=web"}))
    assert [kind.units for kind in made] == [("a", "b"), ("c",), ("d",), ("new",)]
    there = [tuple(profile is not None for profile in kind.profiles) for kind in made]
    assert there == [(True, True), (True, True), (True, False), (False, True)]
    tags = [[profile.tags if profile else None for profile in kind.profiles] for kind in made]
    assert tags[0] == [frozenset({"app=web"}), frozenset({"app=web"})]
    assert tags[1] == [frozenset({"app=web"}), frozenset()]


def test_worlds_with_the_same_units_share_one_profile_and_three_worlds_all_count() -> None:
    before = world()
    after = dataclasses.replace(before, revision=8)
    assert all(len(kind.profiles) == 1 for kind in kinds([before, after], words({"app=web"})))
    moved = dataclasses.replace(before, units={**before.units, "api": unit("api", 12, "e1", "app=web")})
    made = kinds([before, after, moved], words({"app=web"}))
    assert {kind.units for kind in made} == {("web",), ("api",), ("db", "job")}
    assert all(len(kind.profiles) == 3 for kind in made)
