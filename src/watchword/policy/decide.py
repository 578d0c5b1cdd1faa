"""Deciding one flow straight from a world, without documents and tables.

For explanations, simulation and policy tests. It shares what can be got wrong with rendering and
compilation: which rulesets count, what objects select (:mod:`watchword.policy.selection`), and which
rule wins (:mod:`watchword.policy.verdicts`). Too slow for anything per packet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from watchword.model import prefixes
from watchword.model.expressions import matches
from watchword.model.problems import Invalid
from watchword.policy import selection
from watchword.policy.namespaces import default_action
from watchword.policy.selection import PlacedRule
from watchword.policy.tables import Direction, Verdict
from watchword.policy.verdicts import settle
from watchword.policy.world import Network, Rule, Unit, World
from watchword.wire.policy import Action


class Stranger(NamedTuple):
    """A peer without identity: an address, and every external network it belongs to."""

    address: str
    networks: tuple[Network, ...]


Party = Unit | Stranger


@dataclass(frozen=True, slots=True)
class Decision:
    """What one end decides, and everything that went into it."""

    unit: Unit
    direction: Direction
    verdict: Verdict
    matching: tuple[PlacedRule, ...]  # by key
    default: Action
    default_namespace: str  # where the default comes from, "" when every namespace inherits
    itself: bool = False  # the unit talks to itself, which is always allowed


@dataclass(frozen=True, slots=True)
class FlowDecision:
    """Both ends of a flow; an end without an Enforcer decides nothing and is None."""

    outgoing: Decision | None
    incoming: Decision | None

    @property
    def action(self) -> Action:
        """Allow when every end that decides allows."""
        ends = (self.outgoing, self.incoming)
        return "Allow" if all(end is None or end.verdict.action == "Allow" for end in ends) else "Reject"


def stranger(world: World, address: str) -> Stranger:
    """The peer at ``address`` when it proves no identity. Raises :class:`Invalid` for a bad address."""
    parsed = prefixes.parse_address(address)
    covering = [
        network
        for network in world.networks.values()
        if prefixes.covers([prefixes.parse_entry(entry) for entry in network.entries], parsed)
    ]
    return Stranger(str(parsed), tuple(sorted(covering, key=lambda network: network.id)))


def party(world: World, text: str, path: str) -> Party:
    """The unit of that ID, else the stranger at that address. Raises :class:`Invalid`."""
    unit = world.units.get(text)
    if unit is not None:
        return unit
    try:
        return stranger(world, text)
    except Invalid as problem:
        raise Invalid(path, f"{text!r} is no processing unit's ID and no address", "name one of both") from problem


def decide_flow(world: World, source: Party, destination: Party, protocol: int, port: int) -> FlowDecision:
    """Both ends of a flow. Raises :class:`Invalid` when neither end has an Enforcer."""
    if isinstance(source, Stranger) and isinstance(destination, Stranger):
        raise Invalid("source", "neither end is a processing unit", "name a processing unit at one end at least")
    return FlowDecision(
        outgoing=decide(world, source, destination, "out", protocol, port) if isinstance(source, Unit) else None,
        incoming=decide(world, destination, source, "in", protocol, port) if isinstance(destination, Unit) else None,
    )


def decide(world: World, unit: Unit, peer: Party, direction: Direction, protocol: int, port: int) -> Decision:
    """One end: what ``unit`` decides about a flow with ``peer``."""
    default, default_namespace = default_action(world.namespaces, unit.namespace, direction)
    if isinstance(peer, Unit) and peer.id == unit.id:
        return Decision(unit, direction, Verdict("Allow"), (), default, default_namespace, itself=True)
    rulesets = selection.about(unit, world.rulesets.values())
    candidates = [placed for placed in selection.rules_of(rulesets, direction) if names(placed, peer)]
    candidates += identity_rules(unit, peer, direction)
    matching = [placed for placed in candidates if takes(placed.rule, protocol, port)]
    matching.sort(key=lambda placed: placed.key)
    verdict = settle(((placed.key, placed.rule) for placed in matching), default)
    return Decision(unit, direction, verdict, tuple(matching), default, default_namespace)


def names(placed: PlacedRule, peer: Party) -> bool:
    """Whether a rule's object selects ``peer``."""
    if isinstance(peer, Unit):
        return matches(placed.rule.object, peer.tags)
    return any(selection.object_matches(placed, network) for network in peer.networks)


def takes(rule: Rule, protocol: int, port: int) -> bool:
    """Whether a rule's ports take a flow."""
    return any(piece.covers(protocol, port) for piece in rule.ports)


def identity_rules(unit: Unit, peer: Party, direction: Direction) -> list[PlacedRule]:
    """The rejecting rules of those of the peer's networks that require identity and ``unit`` sees."""
    if isinstance(peer, Unit):
        return []
    return [
        selection.identity_rule(network, direction)
        for network in peer.networks
        if network.identity_required and selection.visible(network, unit.namespace)
    ]
