"""The engine's answers next to the oracle's, for every end, peer and flow of a world."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from tests.property import oracle
from watchword.policy.decide import decide, stranger
from watchword.policy.lookup import lookup, reachable
from watchword.policy.tables import Direction, Tables, Verdict
from watchword.policy.world import Unit, World
from watchword.wire.policy import PolicyDocument

DIRECTIONS: tuple[Direction, Direction] = ("in", "out")

Flows = Iterable[tuple[int, int]]


def opinion(verdict: Verdict, document: PolicyDocument) -> oracle.Opinion:
    """A table's verdict with the rule that the document has under its key: what a flow report would say."""
    rule = document.rules[verdict.rule] if verdict.rule else None
    return oracle.Opinion(
        verdict.action,
        verdict.rule,
        rule.ruleset if rule else "",
        rule.namespace if rule else "",
        rule.name if rule else "",
        verdict.observed_action,
        verdict.observed_rule,
        verdict.log,
    )


def peers_of(world: World) -> list[Unit]:
    """Units that can prove themselves to anybody: they have a badge, and their Enforcer a certificate."""
    return [unit for unit in world.units.values() if unit.badge and unit.enforcer in world.enforcers]


def check_tables(
    world: World,
    enforcer: str,
    document: PolicyDocument,
    tables: Tables,
    flows: Flows,
    addresses: Iterable[str],
    directions: Iterable[Direction] = DIRECTIONS,
) -> int:
    """Hold one Enforcer's tables against the oracle; returns how many questions were asked."""
    assert tables.revision == document.revision == world.revision
    assert set(tables.units) == {unit.id for unit in world.units.values() if unit.enforcer == enforcer}
    provable = peers_of(world)
    assert set(tables.peers) <= {unit.badge for unit in provable}
    peers: list[Unit | str] = [*provable, *addresses]
    asked, flows = 0, list(flows)
    for unit_id, direction, peer, flow in itertools.product(tables.units, directions, peers, flows):
        check_end(world, document, tables, world.units[unit_id], direction, peer, flow)
        asked += 1
    for unit_id, flow in itertools.product(tables.units, flows):
        assert reachable(tables, unit_id, *flow) == oracle.hopeful(world, world.units[unit_id], *flow)
    return asked


def check_end(
    world: World,
    document: PolicyDocument,
    tables: Tables,
    unit: Unit,
    direction: Direction,
    peer: Unit | str,
    flow: tuple[int, int],
) -> None:
    """One question: tables, the direct decision and the oracle agree."""
    expected = oracle.judge(world, unit, peer, direction, *flow)
    name = peer.badge if isinstance(peer, Unit) else peer
    verdict = lookup(tables, unit.id, name, direction, *flow)
    assert opinion(verdict, document) == expected
    assert verdict.explicit == (expected.action == "Reject" and expected.rule != "")
    party = peer if isinstance(peer, Unit) else stranger(world, peer)
    assert decide(world, unit, party, direction, *flow).verdict == verdict
