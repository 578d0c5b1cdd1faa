"""The engine as the Console has it: publications, who is told, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.policy.shop import keyed, rule, ruleset, unit, world
from watchword.policy.engine import Engine
from watchword.policy.render import render
from watchword.policy.world import PARTS, Alteration, World
from watchword.wire.policy import EnforcerEntry, digest


def everything(made: World) -> list[Alteration]:
    return [Alteration(part, *item) for part in PARTS for item in getattr(made, part).items()]


def test_a_new_engine_is_empty_and_tells_from_its_first_revision_on() -> None:
    engine = Engine()
    assert engine.revision == 0
    assert len(engine.units) == 0
    assert "e1" not in engine
    publication = engine.apply(3, [Alteration("enforcers", "e1", EnforcerEntry(b"e1", ()))])
    assert (publication.revision, engine.revision) == (3, 3)
    assert set(publication.amendments) == {"e1"}
    assert "e1" in engine


def test_what_is_loaded_is_told_to_nobody() -> None:
    shop = world()
    engine = Engine.of(shop)
    assert engine.revision == 7
    assert {each.id for each in engine.units.things(engine.units.everything)} == set(shop.units)
    engine.load(8, everything(world(units={})))
    assert engine.apply(9, []).amendments == {}
    assert engine.document("e1") == render(dataclasses.replace(shop, revision=9), "e1")


def test_loading_that_fails_does_not_leave_the_engine_mute() -> None:
    engine = Engine.of(world())
    with pytest.raises(LookupError, match="no-such-unit"):
        engine.load(8, [Alteration("units", "no-such-unit", None)])
    renamed = dataclasses.replace(world().units["web"], name="other")
    assert set(engine.apply(9, [Alteration("units", "web", renamed)]).amendments) == {"e1", "e2"}


def test_who_is_told_the_same_gets_the_same_object() -> None:
    """Three readers of app=db, of which e1 and e4 have nothing else to learn; e9 is not concerned."""
    entries = {f"e{number}": EnforcerEntry(b"%d" % number, ()) for number in (1, 2, 4, 9)}
    units = keyed(*(unit(f"u{key}", 1 + number, key, "app=web") for number, key in enumerate(("e1", "e4"))))
    units |= keyed(unit("idle", 9, "e9", "app=idle"), unit("db", 8, "e2", "app=db"))
    reading = ruleset("r", "/shop", [["app=web"]], out=[rule("Allow", [["app=db"]], "tcp/1")])
    engine = Engine.of(world(enforcers=entries, units=units, rulesets=keyed(reading)))
    told = engine.apply(8, [Alteration("units", "db2", unit("db2", 10, "e2", "app=db"))]).amendments
    assert set(told) == {"e1", "e2", "e4"}
    assert told["e1"] is told["e4"]
    assert told["e2"] is not told["e1"]
    renamed = dataclasses.replace(units["db"], name="other")
    told = engine.apply(9, [Alteration("units", "db", renamed)]).amendments
    assert told["e1"] is told["e4"]


def test_digests_are_of_the_newest_revision_or_of_any_other() -> None:
    shop = world()
    engine = Engine.of(shop)
    assert engine.digest("e1") == digest(render(shop, "e1"))
    assert engine.digest("e1", 0) == digest(render(dataclasses.replace(shop, revision=0), "e1"))


def test_strangers_are_refused() -> None:
    engine = Engine.of(world())
    for question in (engine.document, engine.digest, lambda key: engine.ask(key, [11])):
        with pytest.raises(LookupError, match="no Enforcer 'e9'"):
            question("e9")
    with pytest.raises(LookupError, match="no part 'people'"):
        engine.apply(8, [Alteration("people", "p", None)])


def test_asking_for_what_is_known_or_unknown_says_nothing() -> None:
    engine = Engine.of(world())
    assert engine.ask("e3", [11]).asked == (11,)
    assert engine.ask("e3", [11, 99]).weight() == 0
    assert engine.ask("e3", []).asked == ()


def test_an_enforcer_that_goes_is_told_nothing_more() -> None:
    """Not of its networks either, which are looked at when everything else was said."""
    shop = world()
    engine = Engine.of(shop)
    assert set(engine.apply(8, [Alteration("enforcers", "e1", None)]).amendments) <= {"e2", "e3"}
