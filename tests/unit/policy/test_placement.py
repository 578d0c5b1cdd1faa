"""Mapping policies: which one moves a unit, which profile an Enforcer has, and why not another."""

from __future__ import annotations

import itertools
from typing import Any

from watchword.model.resources import EnforcerProfile, EnforcerProfileMappingPolicy, NamespaceMappingPolicy
from watchword.policy.placement import assignment, mapping


def policy(name: str, subject: list[list[str]], **fields: Any) -> NamespaceMappingPolicy:
    return NamespaceMappingPolicy(
        id=f"id-{name}", namespace="/", name=name, subject=subject, mapped_namespace="/a", **fields
    )


def test_the_first_by_name_moves_a_unit_whatever_the_order() -> None:
    policies = [policy("b", [["app=web"]]), policy("a", [["app=db"], ["app=web"]]), policy("c", [["app=web"]])]
    for order in itertools.permutations(policies):
        found = mapping(order, frozenset({"app=web"}))
        assert found is not None
        assert found.name == "a"
    assert mapping(policies, frozenset({"app=other"})) is None
    assert mapping([], frozenset({"app=web"})) is None
    assert mapping([policy("a", [["app=web"]], disabled=True)], frozenset({"app=web"})) is None


def profile(name: str, namespace: str = "/", *, propagate: bool = True) -> EnforcerProfile:
    return EnforcerProfile(
        id=f"p-{name}", namespace=namespace, name=name, propagate=propagate, normalized_tags=[f"$name={name}"]
    )


def mapped(name: str, subject: list[list[str]], profile: str, namespace: str = "/", **fields: Any) -> Any:
    return EnforcerProfileMappingPolicy(
        id=f"m-{name}",
        namespace=namespace,
        name=name,
        subject=subject,
        object=[[f"$name={profile}"]],
        propagate=fields.pop("propagate", True),
        **fields,
    )


TAGS = frozenset({"$identity=enforcer", "env=prod", "rack=7"})
ANY = [["$identity=enforcer"]]


def name_of(mappings: list[Any], profiles: list[EnforcerProfile], namespace: str = "/acme/prod") -> tuple[str, int]:
    """Of the profile in force, and how many others there are, in every order of what is given."""
    found = {
        (result.profile.name if result.profile else "", len(result.others))
        for order in itertools.permutations(mappings)
        for result in [assignment(TAGS, namespace, order, profiles[::-1])]
    }
    assert len(found) == 1, found
    return found.pop()


def test_the_most_specific_is_in_force() -> None:
    profiles = [profile("a"), profile("b")]
    assert name_of([], profiles) == ("", 0)
    assert name_of([mapped("x", ANY, "a")], profiles) == ("a", 0)
    deeper = [mapped("x", ANY, "a"), mapped("y", ANY, "b", "/acme")]
    assert name_of(deeper, profiles) == ("b", 1)
    more_tags = [mapped("x", ANY, "a"), mapped("y", [["env=prod", "rack=7"], ["rack=9"]], "b")]
    assert name_of(more_tags, profiles) == ("b", 1)
    longest_that_matches = [
        mapped("y", [["env=prod"], ["env=prod", "rack=7"], ["env=prod", "rack=7", "x=1"]], "b"),
        mapped("x", [["env=prod"], ["rack=7"]], "a"),
    ]
    assert name_of(longest_that_matches, profiles) == ("b", 1)
    depth_before_tags = [mapped("x", [["env=prod", "rack=7"]], "a"), mapped("y", ANY, "b", "/acme")]
    assert name_of(depth_before_tags, profiles) == ("b", 1)
    by_name = [mapped("y", ANY, "a"), mapped("x", ANY, "b")]
    assert name_of(by_name, profiles) == ("b", 1)
    no_fallback = [mapped("x", ANY, "a", "/acme/prod", fallback=True), mapped("y", ANY, "b")]
    assert name_of(no_fallback, profiles) == ("b", 1)


def test_what_does_not_count() -> None:
    profiles = [profile("a"), profile("own", "/acme", propagate=False), profile("far", "/other")]
    assert name_of([mapped("x", [["env=dev"]], "a")], profiles) == ("", 0)
    assert name_of([mapped("x", ANY, "a", disabled=True)], profiles) == ("", 0)
    assert name_of([mapped("x", ANY, "a", propagate=False)], profiles) == ("", 0)
    assert name_of([mapped("x", ANY, "a", "/acme", propagate=False)], profiles, "/acme") == ("a", 0)
    assert name_of([mapped("x", ANY, "a", "/other")], profiles) == ("", 0)
    assert name_of([mapped("x", ANY, "own", "/acme/prod")], profiles) == ("", 0)
    assert name_of([mapped("x", ANY, "own", "/acme")], profiles) == ("own", 0)
    assert name_of([mapped("x", ANY, "far", "/acme")], profiles) == ("", 0)


def test_the_same_profile_twice_is_no_conflict() -> None:
    assert name_of([mapped("x", ANY, "a"), mapped("y", ANY, "a", "/acme")], [profile("a")]) == ("a", 0)


def test_others_say_why() -> None:
    best = mapped("x", [["env=prod", "rack=7"]], "a", "/acme")
    others = [
        (mapped("y", ANY, "b", "/acme/prod", fallback=True), "/acme/prod y: the mapping is a fallback"),
        (mapped("y", [["env=prod", "rack=7"]], "b"), "/ y: the mapping in force is in a deeper namespace"),
        (mapped("a", ANY, "b", "/acme"), "/acme a: the mapping in force names more tags"),
        (mapped("y", [["rack=7", "env=prod"]], "b", "/acme"), "/acme y: the one in force comes first by name"),
    ]
    for other, why in others:
        result = assignment(TAGS, "/acme/prod", [other, best], [profile("a"), profile("b")])
        assert result.profile is not None
        assert (result.profile.name, result.others) == ("a", (f"/ b (p-b) by {why}",))
