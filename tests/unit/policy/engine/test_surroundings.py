"""Namespaces, external networks and Enforcers, one change at a time: what documents say, and who is told."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.policy.engine.following import Following
from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.policy.engine import Engine
from watchword.policy.world import Alteration, Namespace, Network
from watchword.wire.policy import EnforcerEntry

NET = network("n", "/shop", "10.0.0.0/8", tags=("net=1",))


def shop() -> Following:
    """web and api on e1 may reach networks of net=1, api those of net=2 too; db on e2 and job on e3 may not."""
    rulesets = keyed(
        ruleset("one", "/shop", [["app=web"], ["app=api"]], out=[rule("Allow", [["net=1"]], "tcp/80")]),
        ruleset("two", "/shop", [["app=api"]], out=[rule("Allow", [["net=2"]], "tcp/80")]),
    )
    return Following(world(rulesets=rulesets))


def test_a_network_is_told_to_whose_rules_name_it() -> None:
    following = shop()
    assert set(following.put("networks", "n", NET)) == {"e1"}
    assert following.put("networks", "n", NET) == {}
    for changes in ({"name": "other"}, {"entries": ("11.0.0.0/8",)}, {"namespace": "/", "propagate": True}):
        there = dataclasses.replace(following.world.networks["n"], **changes)
        assert set(following.put("networks", "n", there)) == {"e1"}
    assert set(following.put("networks", "n", None)) == {"e1"}
    assert following.documents["e1"].networks == {}


def test_other_tags_are_told_only_where_they_matter() -> None:
    following = shop()
    following.put("networks", "n", NET)
    assert following.put("networks", "n", dataclasses.replace(NET, tags=frozenset({"net=1", "x=1"}))) == {}
    both = dataclasses.replace(NET, tags=frozenset({"net=1", "net=2"}))
    assert len(following.put("networks", "n", both)["e1"].networks["n"].selectors) == 2
    assert len(following.put("networks", "n", NET)["e1"].networks["n"].selectors) == 1
    gone = following.put("networks", "n", dataclasses.replace(NET, tags=frozenset({"net=3"})))
    assert gone["e1"].removed == {"networks": ("n",)}


def test_a_network_is_seen_from_its_namespace_and_below_if_it_propagates() -> None:
    following = shop()
    above = dataclasses.replace(NET, namespace="/")
    assert following.put("networks", "n", above) == {}
    assert set(following.put("networks", "n", dataclasses.replace(above, propagate=True))) == {"e1"}
    assert set(following.put("networks", "n", above)) == {"e1"}
    assert following.put("networks", "n", None) == {}


def demanding(**changes: object) -> Network:
    return dataclasses.replace(NET, identity_required=True, **changes)  # type: ignore[arg-type]


def test_a_network_that_requires_identity_is_told_to_every_unit_from_which_it_is_seen() -> None:
    following = shop()
    told = following.put("networks", "n", demanding())
    assert set(told) == {"e1", "e2", "e3"}
    assert set(told["e2"].rules) == {"n/in/0", "n/out/0"}
    assert following.put("networks", "n", demanding(tags=frozenset({"net=1", "x=1"}))) == {}
    assert set(following.put("networks", "n", demanding(entries=("11.0.0.0/8",)))) == {"e1", "e2", "e3"}
    renamed = following.put("networks", "n", demanding(name="other"))
    assert {entry.ruleset_name for entry in renamed["e3"].rules.values()} == {"other"}
    assert set(following.put("networks", "n", NET)) == {"e1", "e2", "e3"}
    assert following.documents["e2"].rules == {}
    assert set(following.documents["e1"].networks) == {"n"}
    following.put("networks", "n", demanding())
    assert set(following.put("networks", "n", None)) == {"e1", "e2", "e3"}
    assert following.engine._state.demands == {}


def test_a_demand_follows_its_network_to_another_namespace() -> None:
    following = shop()
    following.put("units", "far", unit("far", 91, "e3", "app=far", namespace="/far"))
    following.put("networks", "n", demanding())
    following.put("networks", "n", demanding(namespace="/far"))
    units = {key: unit for document in following.documents.values() for key, unit in document.units.items()}
    assert {key for key, unit in units.items() if unit.incoming} == {"far"}
    following.put("networks", "n", demanding(namespace="/", propagate=True))
    assert all(unit.incoming for document in following.documents.values() for unit in document.units.values())
    following.put("networks", "m", demanding(id="m", namespace="/far"))
    assert list(following.documents["e3"].units["far"].incoming) == ["m/in/0", "n/in/0"]
    following.put("networks", "n", demanding(namespace="/shop"))
    assert list(following.documents["e3"].units["far"].incoming) == ["m/in/0"]


def test_what_namespaces_bring_reaches_below_until_one_does_not_inherit() -> None:
    following = shop()
    assert set(following.put("namespaces", "/", Namespace("/", "Allow", "Reject"))) == {"e1", "e2", "e3"}
    assert all(document.everybody for document in following.documents.values())
    assert following.put("namespaces", "/", Namespace("/", "Allow", "Reject", ("app=",))) == {}
    assert set(following.put("namespaces", "/shop", Namespace("/shop", "Reject"))) == {"e1", "e2", "e3"}
    assert following.put("namespaces", "/", Namespace("/", "Reject", "Reject")) == {}
    assert following.put("namespaces", "/other", Namespace("/other", "Allow", "Allow")) == {}
    following.put("namespaces", "/shop", Namespace("/shop", "Allow"))
    assert set(following.put("namespaces", "/shop", None)) == {"e1", "e2", "e3"}
    assert following.put("namespaces", "/shop", None) == {}


def test_one_namespace_opens_as_another_closes() -> None:
    """An Enforcer with units in both has everybody as long as one of them is open."""
    following = shop()
    following.put("units", "far", unit("far", 91, "e1", "app=far", namespace="/far"))
    following.put("namespaces", "/far", Namespace("/far", "Allow"))
    following.put("namespaces", "/shop", Namespace("/shop", "Allow"))
    assert following.put("namespaces", "/far", Namespace("/far"))["e1"].everybody is None
    assert following.put("namespaces", "/shop", Namespace("/shop"))["e1"].everybody is False


def test_another_certificate_is_told_to_whoever_has_a_peer_there() -> None:
    following = Following(world())
    other = EnforcerEntry(b"other", ())
    assert following.put("enforcers", "e2", following.world.enforcers["e2"]) == {}
    assert set(following.put("enforcers", "e2", other)) == {"e1", "e2"}
    assert following.put("enforcers", "e2", other) == {}
    assert set(following.put("enforcers", "e3", other)) == {"e3"}


def test_an_enforcer_without_units_is_told_of_its_own_certificate() -> None:
    following = Following(world())
    assert set(following.put("enforcers", "e9", EnforcerEntry(b"one", ()))) == {"e9"}
    assert following.put("enforcers", "e9", EnforcerEntry(b"two", ()))["e9"].enforcers["e9"].certificate == b"two"


def test_the_units_of_an_enforcer_go_and_come_with_it() -> None:
    following = Following(world())
    entry = following.world.enforcers["e2"]
    following.documents.pop("e2")
    assert set(following.put("enforcers", "e2", None)) == {"e1"}
    assert 21 not in following.documents["e1"].peers
    assert set(following.put("enforcers", "e2", entry)) == {"e1", "e2"}
    assert 21 in following.documents["e1"].peers


def test_who_goes_is_told_nothing_and_asks_for_nothing_any_more() -> None:
    following = shop()
    following.put("networks", "n", NET)
    following.put("networks", "m", demanding(id="m"))
    following.engine.ask("e1", [31])
    following.documents.pop("e1")
    assert following.put("enforcers", "e1", None) == {}
    assert following.engine._state.askers == {}
    assert not following.engine._state._told


def test_what_is_not_there_cannot_go() -> None:
    engine = Engine.of(world())
    for part in ("networks", "enforcers", "units"):
        with pytest.raises(LookupError):
            engine.apply(8, [Alteration(part, "nobody", None)])
