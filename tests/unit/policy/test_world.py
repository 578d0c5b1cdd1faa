"""The world's records: what holds unless they say otherwise."""

from __future__ import annotations

import dataclasses

from watchword.policy.world import PARTS, Namespace, Network, Rule, Ruleset, World


def test_what_is_not_said_takes_away_and_opens_nothing() -> None:
    assert Namespace("/") == Namespace("/", "Inherit", "Inherit", ())
    assert Network("n", "n", "/", True, (), frozenset()) == Network("n", "n", "/", True, (), frozenset(), False, ())
    assert Rule("r", "Allow", (), ()) == Rule("r", "Allow", (), (), observed=False, log=True)
    everything = Ruleset("s", "s", "/", (), (), (), propagate=False, fallback=False, disabled=False, origin="")
    assert Ruleset("s", "s", "/", ()) == everything


def test_people_know_a_ruleset_by_its_intent_or_by_itself() -> None:
    assert Ruleset("s", "s", "/", ()).resource == "s"
    assert Ruleset("i:in", "i", "/", (), origin="i").resource == "i"


def test_parts_are_the_fields_of_a_world_that_changes_go_into() -> None:
    fields = [field.name for field in dataclasses.fields(World)]
    assert list(PARTS) == [name for name in fields if name != "revision"]
