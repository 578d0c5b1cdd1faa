"""Compiled tables, and decisions straight from the world, are what the naive oracle says."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import given, settings

from tests.property import oracle
from tests.property.worlds import ADDRESSES, ENFORCERS, FLOWS, enforcers, worlds
from watchword.model.ports import ANYTHING, PortRange
from watchword.policy.compile import compile
from watchword.policy.decide import decide, stranger
from watchword.policy.explain import explain
from watchword.policy.lookup import lookup, reachable
from watchword.policy.lookup import verdict as table_verdict
from watchword.policy.render import render
from watchword.policy.tables import NO_CLASS, SOMEWHERE, Direction, Tables, Verdict, VerdictKey
from watchword.policy.world import Namespace, Network, Rule, Ruleset, Unit, World
from watchword.wire.policy import ANY_PROTOCOL, Action

DIRECTIONS: tuple[Direction, Direction] = ("in", "out")


def opinion(verdict: Verdict) -> oracle.Opinion:
    return oracle.Opinion(verdict.action, verdict.rule, verdict.observed_action, verdict.observed_rule)


def check_world(
    world: World, flows: tuple[tuple[int, int], ...] = FLOWS, addresses: tuple[str, ...] = ADDRESSES
) -> int:
    checked = 0
    for enforcer in ENFORCERS:
        tables = compile(render(world, enforcer))
        assert set(tables.units) == {unit.id for unit in world.units.values() if unit.enforcer == enforcer}
        for unit_id, direction in itertools.product(tables.units, DIRECTIONS):
            checked += check_end(world, tables, world.units[unit_id], direction, flows, addresses)
    return checked


def check_end(
    world: World,
    tables: Tables,
    unit: Unit,
    direction: Direction,
    flows: tuple[tuple[int, int], ...],
    addresses: tuple[str, ...],
) -> int:
    peers: list[Unit | str] = [*world.units.values(), *addresses]
    for peer, (protocol, port) in itertools.product(peers, flows):
        expected = oracle.judge(world, unit, peer, direction, protocol, port)
        name = peer.badge if isinstance(peer, Unit) else peer
        verdict = lookup(tables, unit.id, name, direction, protocol, port)
        assert opinion(verdict) == expected
        assert verdict.explicit == (expected.action == "Reject" and expected.rule != "")
        party = peer if isinstance(peer, Unit) else stranger(world, peer)
        assert decide(world, unit, party, direction, protocol, port).verdict == verdict
        if isinstance(peer, Unit) and direction == "out" and expected.action == "Allow" and peer is not unit:
            assert reachable(tables, unit.id, protocol, port)
    return len(peers) * len(flows)


@settings(max_examples=120, deadline=None)
@given(worlds())
def test_tables_decide_every_flow_as_the_oracle_does(world: World) -> None:
    check_world(world)


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_tables_hold_nothing_that_a_broader_entry_says(world: World) -> None:
    for enforcer in ENFORCERS:
        tables = compile(render(world, enforcer))
        for key, verdict in tables.verdicts.items():
            default = VerdictKey(key.local, NO_CLASS, key.direction, ANY_PROTOCOL, 0)
            if key == default:
                continue
            any_protocol = VerdictKey(key.local, key.peer, key.direction, ANY_PROTOCOL, 0)
            broader = tables.verdicts[default]
            if key != any_protocol:
                broader = tables.verdicts.get(any_protocol, broader)
            assert verdict != broader
            assert key.peer not in (NO_CLASS, SOMEWHERE)


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_identities_and_addresses_never_share_a_class(world: World) -> None:
    for enforcer in ENFORCERS:
        tables = compile(render(world, enforcer))
        identities = {peer.peer_class for peer in tables.peers.values()}
        assert identities.isdisjoint(tables.prefixes.values())
        assert identities.isdisjoint((NO_CLASS, SOMEWHERE))


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_icmp_is_refused_rather_than_guessed_where_the_type_matters(world: World) -> None:
    """A datapath that does not look at ICMP types asks for segment 0."""
    kinds = sorted({port for protocol, port in FLOWS if protocol == 1})
    for enforcer in ENFORCERS:
        tables = compile(render(world, enforcer))
        for unit_id, peer, direction in itertools.product(tables.units, world.units.values(), DIRECTIONS):
            unit = world.units[unit_id]
            known = tables.peers.get(peer.badge)
            if peer is unit or known is None:
                continue
            blind = table_verdict(tables, tables.units[unit_id].local_class, known.peer_class, direction, 1, 0)
            opinions = {oracle.judge(world, unit, peer, direction, 1, kind) for kind in kinds}
            if len(opinions) == 1:
                assert opinion(blind) in opinions
            else:
                assert blind.action == "Reject"


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_explanations_agree_with_tables_and_are_json(world: World) -> None:
    tables = {enforcer: compile(render(world, enforcer)) for enforcer in ENFORCERS}
    for source, destination in itertools.product([*world.units, ADDRESSES[3]], [*world.units, ADDRESSES[3]]):
        if source == destination == ADDRESSES[3]:
            continue
        for protocol, port in FLOWS[::3]:
            explained = explain(world, source, destination, protocol, port)
            assert msgspec.json.decode(msgspec.json.encode(explained), type=type(explained)) == explained
            actions = []
            for end, other in ((explained.outgoing, destination), (explained.incoming, source)):
                if end is None:
                    continue
                peer = world.units[other].badge if other in world.units else other
                direction: Direction = "in" if end.direction == "incoming" else "out"
                verdict = lookup(tables[world.units[end.unit].enforcer], end.unit, peer, direction, protocol, port)
                assert (end.action, end.rule) == (verdict.action, verdict.rule)
                assert (end.observed_action, end.observed_rule) == (verdict.observed_action, verdict.observed_rule)
                assert [found.key for found in end.matching if found.outcome == "decides"] == [end.rule] * bool(
                    end.rule
                )
                assert bool(end.remedies) == (end.action == "Reject")
                actions.append(end.action)
            assert explained.action == ("Reject" if "Reject" in actions else "Allow")


SMALL_OBJECTS = ((("x=1",),), (("x=2",),))
SMALL_PORTS = (ANYTHING, PortRange(6, 80, 80), PortRange(6, 80, 81))
SMALL_FLOWS = ((6, 79), (6, 80), (6, 81), (17, 80))
SMALL_ADDRESSES = ("9.9.9.9", "10.0.0.1", "10.1.0.1", "10.1.2.1")
ACTIONS: tuple[Action, Action] = ("Allow", "Reject")


def small_world(rules: tuple[Rule, ...], default: Action, propagate: bool, fallback: bool) -> World:
    """Two units, two overlapping networks, a ruleset above with all rules but one and one beside the unit."""
    above, beside = rules[:-1], rules[-1:]
    return World(
        revision=1,
        namespaces={"/": Namespace("/", default, default), "/a": Namespace("/a")},
        units={
            "u1": Unit("u1", "1", "one", "/a", "e1", 101, frozenset({"x=1"})),
            "u2": Unit("u2", "2", "two", "/", "e2", 102, frozenset({"x=2"})),
        },
        networks={
            "n1": Network("n1", "wide", "/", True, ("10.0.0.0/8", "!10.1.2.0/24"), frozenset({"x=1"})),
            "n2": Network("n2", "narrow", "/a", False, ("10.1.0.0/16",), frozenset({"x=2"})),
        },
        rulesets={
            "s1": Ruleset("s1", "above", "/", (("x=1",), ("x=2",)), above, above, propagate),
            "s2": Ruleset("s2", "beside", "/a", (("x=1",),), beside, (), False, fallback),
        },
        enforcers=enforcers(),
    )


def test_every_small_world_is_decided_as_the_oracle_does() -> None:
    kinds = [
        Rule("", action, selected, (ports,), observed)
        for action, selected, ports, observed in itertools.product(ACTIONS, SMALL_OBJECTS, SMALL_PORTS, (False, True))
    ]
    checked = 0
    for chosen in itertools.product(kinds, repeat=2):
        for default in ACTIONS:
            checked += check_world(small_world(chosen, default, True, False), SMALL_FLOWS, SMALL_ADDRESSES)
    for chosen in itertools.product(kinds[::2], repeat=2):
        for default, propagate, fallback in itertools.product(ACTIONS, (False, True), (False, True)):
            checked += check_world(small_world(chosen, default, propagate, fallback), SMALL_FLOWS, SMALL_ADDRESSES)
    assert checked > 100_000
