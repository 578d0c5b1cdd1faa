"""What the engine's parts share: who meets whom, and whom there is to tell."""

from __future__ import annotations

from typing import Any

import pytest
from pyroaring import BitMap

from tests.unit.policy.shop import keyed, rule, ruleset, unit, world
from watchword.policy.amendments import UNCHANGED
from watchword.policy.engine import Engine, state
from watchword.policy.engine.nouns import Placement, Station
from watchword.policy.engine.state import State
from watchword.wire.policy import EnforcerEntry


def crowded(readers: int) -> State:
    """Two web servers on e0, a third on e1; so many Enforcers that read of the first, and another that does not."""
    entries = {f"e{number}": EnforcerEntry(b"%d" % number, ()) for number in range(readers + 3)}
    webs = [unit("w1", 1, "e0", "app=web", "one=1"), unit("w2", 2, "e0", "app=web"), unit("w3", 3, "e1", "app=web")]
    clients = [unit(f"c{number}", 10 + number, f"e{number}", "app=client") for number in range(2, readers + 2)]
    idle = unit("idle", 9, f"e{readers + 2}", "app=idle")
    reading = ruleset("r", "/shop", [["app=client"]], out=[rule("Allow", [["one=1"]], "tcp/80")])
    made = world(enforcers=entries, units=keyed(*webs, *clients, idle), rulesets=keyed(reading))
    return Engine.of(made)._state


def unacquainted(found: State, key: str, readers: set[str]) -> set[str]:
    number = found.units.number(key)
    stations = {found.stations[each] for each in readers}
    return {each.id for each in found.unacquainted(stations, found.units.thing(number), number)}


def test_a_new_state_is_of_no_revision_and_tells() -> None:
    fresh = State()
    station = Station("e", EnforcerEntry(b"", ()))
    fresh.tell([station], UNCHANGED)
    assert fresh.collect() == {station: [UNCHANGED]}
    assert fresh.revision == 0
    assert fresh.collect() == {}


@pytest.mark.parametrize("most", [0, 1, 2, 40])
def test_who_knows_another_unit_of_the_enforcer_need_not_be_told_of_it(most: int, monkeypatch: Any) -> None:
    """Whether they are few and looked at one by one, or many; e6 has nothing to do with any of them."""
    monkeypatch.setattr(state, "ONE_BY_ONE", most)
    found = crowded(4)
    assert unacquainted(found, "w2", {"e0", "e2", "e3", "e6"}) == {"e6"}
    assert unacquainted(found, "w1", {"e0", "e2", "e6"}) == {
        "e2",
        "e6",
    }  # through w1 alone, which is the one to tell of
    assert unacquainted(found, "w3", {"e1", "e2", "e6"}) == {"e2", "e6"}


@pytest.mark.parametrize("most", [0, 40])
def test_who_asked_for_a_unit_or_has_everybody_knows_its_enforcer(most: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(state, "ONE_BY_ONE", most)
    found = crowded(4)
    asker, opened = found.stations["e6"], found.stations["e5"]
    asker.asked, found.askers[1][asker] = frozenset((1, 99)), None
    found.open[opened] = None
    assert unacquainted(found, "w2", {"e5", "e6"}) == set()
    assert unacquainted(found, "w3", {"e5", "e6"}) == {"e5", "e6"}  # e1 has no other unit


def test_of_many_only_the_first_units_are_looked_for(monkeypatch: Any) -> None:
    """To tell somebody twice costs less than to find out."""
    monkeypatch.setattr(state, "ONE_BY_ONE", 0)
    monkeypatch.setattr(state, "NEIGHBOURS", 0)
    assert unacquainted(crowded(2), "w2", {"e0", "e2", "e4"}) == {"e2", "e4"}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_enforcers_are_those_of_units_but_for_known_ones(count: int) -> None:
    """Found through the units when they are fewer than the Enforcers, else through the Enforcers."""
    made = world(rulesets={}, enforcers={key: EnforcerEntry(key.encode(), ()) for key in ("e1", "e2")})
    found = Engine.of(made)._state
    numbers = {key: found.units.number(key) for key in ("web", "api", "db")}
    chosen = BitMap(list(numbers.values())[-count:])
    enforcers = {found.units.thing(number).enforcer for number in chosen}
    assert set(found.enforcers_of(chosen, BitMap())) == enforcers
    assert set(found.enforcers_of(chosen, BitMap([numbers["db"]]))) == enforcers - {"e2"}
    assert set(found.enforcers_of(chosen, BitMap([numbers["web"]]))) == enforcers - {"e1"}


def test_standings_are_shared_whatever_the_order() -> None:
    found = Engine.of(world())._state
    placements = list(found.placements.values())
    one, other = found.interned(placements), found.interned(reversed(placements))
    assert one is other
    assert [each.id for each in one.ordinary] == sorted(each.id for each in placements)
    assert found.interned([Placement("demand")]).counting == ()
