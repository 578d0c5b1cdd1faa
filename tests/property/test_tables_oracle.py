"""Compiled tables, and decisions straight from the world, are what the naive oracle says."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import given, settings

from tests.property import oracle
from tests.property.agreement import check_tables, opinion
from tests.property.worlds import ADDRESSES, ENFORCERS, FLOWS, worlds
from watchword.policy.compile import compile
from watchword.policy.explain import explain
from watchword.policy.lookup import lookup
from watchword.policy.lookup import verdict as table_verdict
from watchword.policy.render import render
from watchword.policy.tables import NO_CLASS, SOMEWHERE, Direction, VerdictKey
from watchword.policy.world import Unit, World
from watchword.wire.policy import ANY_PROTOCOL

DIRECTIONS: tuple[Direction, Direction] = ("in", "out")


@settings(max_examples=120, deadline=None)
@given(worlds())
def test_tables_decide_every_flow_as_the_oracle_does(world: World) -> None:
    for enforcer in ENFORCERS:
        document = render(world, enforcer)
        check_tables(world, enforcer, document, compile(document), FLOWS, ADDRESSES)


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_a_flow_passes_where_both_ends_let_it(world: World) -> None:
    tables = {enforcer: compile(render(world, enforcer)) for enforcer in ENFORCERS}
    provable = [unit for unit in world.units.values() if unit.badge]
    parties: list[Unit | str] = [*provable, *ADDRESSES[::4]]
    for source, destination, flow in itertools.product(parties, parties, FLOWS[::3]):
        ends = [(source, destination, DIRECTIONS[1]), (destination, source, DIRECTIONS[0])]
        let = [
            lookup(tables[here.enforcer], here.id, there.badge if isinstance(there, Unit) else there, way, *flow).action
            for here, there, way in ends
            if isinstance(here, Unit)
        ]
        assert (set(let) <= {"Allow"}) == oracle.passes(world, source, destination, *flow)


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
        document = render(world, enforcer)
        tables = compile(document)
        for unit_id, peer, direction in itertools.product(tables.units, world.units.values(), DIRECTIONS):
            unit = world.units[unit_id]
            known = tables.peers.get(peer.badge)
            if peer is unit or known is None:
                continue
            blind = table_verdict(tables, tables.units[unit_id].local_class, known.peer_class, direction, 1, 0)
            opinions = {oracle.judge(world, unit, peer, direction, 1, kind) for kind in kinds}
            if len(opinions) == 1:
                assert opinion(blind, document) in opinions
            else:
                assert blind.action == "Reject"


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_explanations_agree_with_tables_and_are_json(world: World) -> None:
    tables = {enforcer: compile(render(world, enforcer)) for enforcer in ENFORCERS}
    parties = [*(unit.id for unit in world.units.values() if unit.badge), ADDRESSES[3]]
    for source, destination in itertools.product(parties, parties):
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
                actions.append(end.action)
            assert explained.action == ("Reject" if "Reject" in actions else "Allow")
