"""Compiled tables decide every flow as the naive oracle does."""

from __future__ import annotations

from hypothesis import given, settings

from tests.property import oracle
from tests.property.worlds import ADDRESSES, ENFORCERS, FLOWS, worlds
from watchword.policy.compile import compile
from watchword.policy.lookup import lookup, reachable
from watchword.policy.render import render
from watchword.policy.tables import Direction, Tables, Verdict
from watchword.policy.world import Unit, World

DIRECTIONS: tuple[Direction, Direction] = ("in", "out")


def opinion(verdict: Verdict) -> oracle.Opinion:
    return oracle.Opinion(verdict.action, verdict.rule, verdict.observed_action, verdict.observed_rule)


def ports_decided_alike(tables: Tables, verdict: Verdict, expected: oracle.Opinion) -> None:
    assert opinion(verdict) == expected
    assert verdict.explicit == (expected.action == "Reject" and expected.rule != "")


def check_world(world: World) -> None:
    for enforcer in ENFORCERS:
        tables = compile(render(world, enforcer))
        assert set(tables.units) == {unit.id for unit in world.units.values() if unit.enforcer == enforcer}
        for unit_id in tables.units:
            check_unit(world, tables, world.units[unit_id])


def check_unit(world: World, tables: Tables, unit: Unit) -> None:
    for direction in DIRECTIONS:
        for protocol, port in FLOWS:
            for peer in world.units.values():
                verdict = lookup(tables, unit.id, peer.badge, direction, protocol, port)
                ports_decided_alike(tables, verdict, oracle.judge(world, unit, peer, direction, protocol, port))
                if direction == "out" and verdict.action == "Allow" and peer is not unit:
                    assert reachable(tables, unit.id, protocol, port)
            for address in ADDRESSES:
                verdict = lookup(tables, unit.id, address, direction, protocol, port)
                ports_decided_alike(tables, verdict, oracle.judge(world, unit, address, direction, protocol, port))


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_tables_decide_every_flow_as_the_oracle_does(world: World) -> None:
    check_world(world)
