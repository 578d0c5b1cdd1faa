"""Documents and their sums, as the engine writes them out."""

from __future__ import annotations

import dataclasses

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.policy.engine import Engine
from watchword.policy.engine.documents import Reading, total
from watchword.policy.render import render
from watchword.policy.world import Alteration, Namespace, World
from watchword.wire import policy
from watchword.wire.policy import EnforcerEntry, PolicyDocument


def busy() -> World:
    """Units in no order of their IDs or badges, two rulesets, a network that is named and one that demands identity."""
    objects = [[["app=db"]], [["app=job"]], [["net=1"]]]
    return world(
        units=keyed(
            unit("z", 12, "e1", "app=web"),
            unit("a", 31, "e1", "app=web"),
            unit("m", 11, "e2", "app=db"),
            unit("b", 21, "e3", "app=job"),
            unit("c", 20, "e2", "app=db", "app=job"),
            unit("x", 22, "e2", "app=idle"),
            unit("mute", 0, "e1", "app=idle"),
        ),
        rulesets=keyed(
            ruleset("s", "/shop", [["app=web"]], out=[rule("Allow", each, "tcp/80") for each in objects]),
            ruleset("r", "/shop", [["app=web"]], inc=[rule("Reject", each, "tcp/80") for each in objects]),
        ),
        networks=keyed(
            network("n", "/shop", "10.0.0.0/8", tags=("net=1",)),
            network("m", "/shop", "11.0.0.0/8", tags=("net=1",), identity_required=True),
            network("o", "/", "12.0.0.0/8", tags=("net=1",)),
        ),
    )


def orders(document: PolicyDocument) -> list[list[object]]:
    """The keys of every table, as they stand."""
    return [list(getattr(document, table)) for table in policy.TABLES]


def test_documents_are_the_rendered_ones_and_in_order() -> None:
    made = busy()
    engine = Engine.of(made)
    for enforcer in made.enforcers:
        document = engine.document(enforcer)
        assert document == render(made, enforcer)
        assert all(keys == sorted(keys) for keys in orders(document))  # type: ignore[type-var]
        assert all(list(peer.selectors) == sorted(peer.selectors) for peer in document.peers.values())


def test_sums_are_those_of_documents_and_are_kept() -> None:
    made = busy()
    state = Engine.of(made)._state
    for enforcer, station in state.stations.items():
        assert station.local is None
        found = total(state, station)
        assert found == policy.total(render(made, enforcer))
        assert station.total == found
        reading = Reading(state, station)
        assert station.local == reading.local()
        assert set(station.selectors) == set(reading.selectors)
        assert {each.key for each in reading.selectors} == set(render(made, enforcer).selectors)
        station.total = 5
        assert total(state, station) == 5
        station.total = None
        assert total(state, station) == found


def test_who_was_asked_for_is_there_as_long_as_it_exists() -> None:
    made = busy()
    engine = Engine.of(made)
    engine.ask("e1", [22, 11, 99])
    document = engine.document("e1")
    assert document.asked == (11, 22)
    assert document.peers[22].selectors == ()
    assert document == render(made, "e1", [22, 11, 99])
    assert engine.digest("e1") == policy.digest(document)
    engine.apply(8, [Alteration("units", "x", None)])
    assert engine.document("e1").asked == (11,)


def test_with_an_open_default_everybody_is_there() -> None:
    made = dataclasses.replace(busy(), namespaces={"/": Namespace("/", "Reject", "Allow")})
    engine = Engine.of(made)
    document = engine.document("e3")
    assert document.everybody
    assert set(document.peers) == {11, 12, 20, 21, 22, 31}
    assert document == render(made, "e3")
    assert engine.digest("e3") == policy.digest(document)


def test_an_enforcer_without_units_has_itself_alone() -> None:
    made = dataclasses.replace(busy(), enforcers={**busy().enforcers, "e9": EnforcerEntry(b"e9", ())})
    engine = Engine.of(made)
    assert engine.document("e9") == render(made, "e9")
    assert set(engine.document("e9").enforcers) == {"e9"}
    assert engine.digest("e9") == policy.digest(render(made, "e9"))
