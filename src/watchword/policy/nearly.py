"""Rules that nearly matched a flow: one single thing kept them from it, and what that is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from watchword.model.expressions import matches
from watchword.model.ports import format_flow, format_ports
from watchword.policy import decide as deciding
from watchword.policy import selection
from watchword.policy.decide import Decision, Party
from watchword.policy.namespaces import upwards
from watchword.policy.selection import PlacedRule
from watchword.policy.world import Network, Ruleset, Unit, World

#: What one thing was missing, nearest first.
Lack = Literal["disabled", "fallback", "scope", "network", "ports", "object"]

_ORDER: tuple[Lack, ...] = ("disabled", "fallback", "scope", "network", "ports", "object")


class Missed(NamedTuple):
    """A rule whose ruleset's subject selects the unit, and the one thing it lacks."""

    placed: PlacedRule
    lack: Lack
    why: str
    network: str  # the ID of the network that is not visible, "" where that is not the lack


def missed(world: World, end: Decision, peer: Party, protocol: int, port: int) -> list[Missed]:
    """All rules that nearly matched at one end, nearest first."""
    if end.itself:
        return []
    counting = {ruleset.id for ruleset in selection.about(end.unit, world.rulesets.values())}
    found = []
    for ruleset in world.rulesets.values():
        if ruleset.namespace not in upwards(end.unit.namespace) or not matches(ruleset.subject, end.unit.tags):
            continue
        absent = () if ruleset.id in counting else tuple(_absence(ruleset, end.unit))
        for placed in selection.rules_of([ruleset], end.direction):
            lacks = [*absent, *_mismatch(placed, peer, protocol, port)]
            if len(lacks) == 1:
                lack, why, network = lacks[0]
                found.append(Missed(placed, lack, why, network))
    return sorted(found, key=lambda each: (_ORDER.index(each.lack), each.placed.key))


_Reason = tuple[Lack, str, str]


def _absence(ruleset: Ruleset, unit: Unit) -> Iterator[_Reason]:
    """Why a ruleset whose subject matches does not count for a unit below it."""
    away = ruleset.namespace != unit.namespace and not ruleset.propagate
    if ruleset.disabled:
        yield "disabled", "its ruleset is disabled", ""
    if away:
        yield "scope", f"its ruleset is not in force in {unit.namespace}", ""
    if ruleset.fallback and not ruleset.disabled and not away:
        yield "fallback", "its ruleset is a fallback and an ordinary ruleset selects the unit", ""


def _mismatch(placed: PlacedRule, peer: Party, protocol: int, port: int) -> Iterator[_Reason]:
    if not deciding.takes(placed.rule, protocol, port):
        listed = ", ".join(format_ports(placed.rule.ports))
        yield "ports", f"its protocolPorts are {listed}, which leaves out {format_flow(protocol, port)}", ""
    if deciding.names(placed, peer):
        return
    hidden = _hidden(placed, peer)
    if hidden is None:
        yield "object", "its object does not select the peer", ""
    else:
        away = placed.ruleset.namespace
        yield "network", f"external network {hidden.name} is not visible from {away}", hidden.id


def _hidden(placed: PlacedRule, peer: Party) -> Network | None:
    """One of the peer's networks that the rule's object matches but does not see; rather one that stands above it."""
    if isinstance(peer, Unit):
        return None
    above = set(upwards(placed.ruleset.namespace))
    matching = (network for network in peer.networks if matches(placed.rule.object, network.tags))
    return min(matching, key=lambda network: (network.namespace not in above, network.id), default=None)
