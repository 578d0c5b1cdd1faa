"""Rulesets, one change at a time: what documents say, and who is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.policy.engine.following import Following
from tests.unit.policy.shop import keyed, rule, ruleset, unit, world

DB, JOB = rule("Allow", [["app=db"]], "tcp/1"), rule("Reject", [["app=job"]], "tcp/2")


def shop() -> Following:
    return Following(world(rulesets={}))


def own(following: Following, key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rules of a unit in and out."""
    (entry,) = (document.units[key] for document in following.documents.values() if key in document.units)
    return entry.incoming, entry.outgoing


def test_a_ruleset_comes_and_goes() -> None:
    following = shop()
    made = ruleset("r", "/shop", [["app=web"]], inc=[JOB], out=[DB, JOB])
    assert set(following.put("rulesets", "r", made)) == {"e1"}
    assert own(following, "web") == (("r/in/0",), ("r/out/0", "r/out/1"))
    assert following.put("rulesets", "r", made) == {}
    assert set(following.put("rulesets", "r", dataclasses.replace(made, disabled=True))) == {"e1"}
    assert following.put("rulesets", "r", dataclasses.replace(made, disabled=True)) == {}
    following.put("rulesets", "r", made)
    assert set(following.put("rulesets", "r", None)) == {"e1"}
    assert following.put("rulesets", "r", None) == {}
    assert following.documents["e1"].rules == {}


def test_a_rule_that_changes_is_told_and_no_other() -> None:
    following = shop()
    made = ruleset("r", "/shop", [["app=web"]], out=[DB, JOB])
    following.put("rulesets", "r", made)
    told = following.put("rulesets", "r", dataclasses.replace(made, outgoing=(DB, dataclasses.replace(JOB, log=False))))
    assert set(told["e1"].rules) == {"r/out/1"}
    assert (told["e1"].units, told["e1"].removed, told["e1"].selectors) == ({}, {}, {})
    told = following.put("rulesets", "r", dataclasses.replace(made, outgoing=(DB,)))
    assert set(told["e1"].units) == {"web"}
    assert told["e1"].removed["rules"] == ("r/out/1",)
    assert len(told["e1"].removed["selectors"]) == 1
    told = following.put("rulesets", "r", dataclasses.replace(made, outgoing=(DB, JOB)))
    assert (len(told["e1"].selectors), len(told["e1"].rules)) == (1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": (("app=api",),)},
        {"namespace": "/other"},
        {"namespace": "/", "propagate": True},
        {"namespace": "/", "propagate": False},
        {"fallback": True},
        {"origin": "i"},
        {"incoming": (DB,), "outgoing": ()},
        {"incoming": (DB,), "subject": (("app=job",),), "fallback": True},
        {"disabled": True},
        {"disabled": True, "subject": (("app=job",),)},
    ],
)
def test_a_ruleset_that_is_about_others_than_before(changes: dict[str, Any]) -> None:
    """There and back again, beside an ordinary and a fallback ruleset."""
    following = shop()
    everybody = [["app=web"], ["app=api"], ["app=job"]]
    following.put("rulesets", "last", ruleset("last", "/shop", everybody, out=[DB], fallback=True))
    following.put("rulesets", "api", ruleset("api", "/shop", [["app=api"]], out=[JOB]))
    made = ruleset("r", "/shop", [["app=web"]], inc=[JOB], out=[DB])
    following.put("rulesets", "r", made)
    before = following.documents
    following.put("rulesets", "r", dataclasses.replace(made, **changes))
    following.put("rulesets", "r", made)
    assert {key: document.units for key, document in following.documents.items()} == {
        key: document.units for key, document in before.items()
    }


def test_fallback_gives_way_and_comes_back() -> None:
    following = shop()
    following.put("rulesets", "b", ruleset("b", "/shop", [["app=web"], ["app=db"]], out=[DB], fallback=True))
    assert own(following, "web")[1] == own(following, "db")[1] == ("b/out/0",)
    empty = ruleset("a", "/shop", [["app=web"]])
    assert set(following.put("rulesets", "a", empty)) == {"e1"}
    assert own(following, "web")[1] == ()
    assert own(following, "db")[1] == ("b/out/0",)
    following.put("rulesets", "a", None)
    assert own(following, "web")[1] == ("b/out/0",)


def test_units_of_no_enforcer_are_counted_when_theirs_comes() -> None:
    following = Following(world(rulesets={}, units=keyed(unit("lone", 5, "e9", "app=web"))))
    following.put("rulesets", "r", ruleset("r", "/shop", [["app=web"]], out=[DB]))
    following.put("rulesets", "r", ruleset("r", "/shop", [["app=web"]], out=[DB, JOB]))
    following.put("enforcers", "e9", following.world.enforcers["e1"])
    assert own(following, "lone")[1] == ("r/out/0", "r/out/1")


def test_rulesets_of_one_subject_do_not_end_with_one_another() -> None:
    following = shop()
    for key in ("a", "b"):
        following.put("rulesets", key, ruleset(key, "/shop", [["app=web"]], out=[DB]))
    assert set(following.put("rulesets", "a", None)) == {"e1"}
    following.put("units", "new", unit("new", 99, "e3", "app=web"))
    assert own(following, "new")[1] == ("b/out/0",)
