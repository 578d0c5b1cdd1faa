"""Explaining a flow, real or hypothetical: what both ends decide, by which rules, and what would change it.

Plain records, ready for JSON. The verdicts are those of :mod:`watchword.policy.decide`; this module
adds the words, the rules that nearly matched (:mod:`watchword.policy.nearly`) and the remedies
(:mod:`watchword.policy.counsel`), and decides nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import msgspec

from watchword.model import prefixes
from watchword.model.ports import ANY_PROTOCOL, format_flow, format_ports
from watchword.model.problems import Invalid
from watchword.policy import decide as deciding
from watchword.policy import nearly, unresolved, views
from watchword.policy.counsel import counsel, title
from watchword.policy.decide import Decision, FlowDecision, Party, Stranger
from watchword.policy.namespaces import ROOT
from watchword.policy.nearly import Missed
from watchword.policy.remedies import Remedy
from watchword.policy.rulebook import Rulebook
from watchword.policy.selection import PlacedRule
from watchword.policy.world import Unit, World
from watchword.wire.policy import Action

Outcome = Literal["decides", "agrees", "overruled", "observed", "missed"]

#: Rules that nearly matched which are listed for one end; their number is told besides.
MISSED_LIMIT = 20


class PartyFound(msgspec.Struct, frozen=True, rename="camel"):
    """One end of the flow: a unit, or an address in some external networks or none ("somewhere").

    ``hypothetical`` is true of a unit that was described rather than named.
    """

    kind: Literal["unit", "network", "somewhere"]
    id: str = ""
    name: str = ""
    namespace: str = ""
    address: str = ""
    networks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    hypothetical: bool = False


class RuleFound(msgspec.Struct, frozen=True, rename="camel"):
    """A rule that matched, or nearly did, and what became of it.

    ``lack`` is the one thing that kept a rule from matching, "" for a rule that matched.
    """

    key: str
    ruleset: str
    ruleset_name: str
    namespace: str
    rule: str
    action: Action
    protocol_ports: tuple[str, ...]
    outcome: Outcome
    why: str
    lack: Literal["", "disabled", "fallback", "scope", "network", "ports", "object"] = ""


class EndExplained(msgspec.Struct, frozen=True, rename="camel"):
    """What one end decides. ``rule`` is a rule key, "" for a default.

    ``missed`` are the nearest of ``missed_total`` rules that nearly matched. Each of ``remedies`` would
    turn this end's verdict round.
    """

    unit: str
    direction: Literal["incoming", "outgoing"]
    action: Action
    rule: str
    default_namespace: str
    observed_action: Literal["", "Allow", "Reject"]
    observed_rule: str
    summary: str
    matching: tuple[RuleFound, ...]
    missed: tuple[RuleFound, ...]
    missed_total: int
    remedies: tuple[Remedy, ...]


class Explanation(msgspec.Struct, frozen=True, rename="camel"):
    """A whole flow. An end without an Enforcer decides nothing and is None."""

    revision: int
    source: PartyFound
    destination: PartyFound
    flow: str
    protocol: int
    port: int
    action: Action
    summary: str
    outgoing: EndExplained | None
    incoming: EndExplained | None
    notes: tuple[str, ...] = ()  # what may look as if it decided, and does not


def hypothetical(side: Literal["source", "destination"], namespace: str, tags: frozenset[str]) -> Unit:
    """A unit that need not exist: what policy would know of it, were it in ``namespace`` with these tags."""
    return Unit(
        id=f"hypothetical {side}",
        native_id="",
        name=f"a hypothetical {side}",
        namespace=namespace,
        enforcer="",
        badge=0,
        tags=tags,
    )


def explain(
    world: World,
    source: str | Unit,
    destination: str | Unit,
    protocol: int,
    port: int,
    *,
    book: Rulebook | None = None,
    reader: str = ROOT,
) -> Explanation:
    """Why a flow would be allowed or rejected.

    Each of ``source`` and ``destination`` is a unit's ID, the address of a peer without identity, or a
    unit that need not be in the world; ``port`` is ``type << 8 | code`` for ICMP and 0 for protocols
    without ports. ``book`` has followed ``world``; with it the answer is as quick in a large world as
    in a small one. ``reader`` is the namespace whose reader asks: rules and networks that only others may
    read are not told of, also where they decide. Raises :class:`Invalid`.
    """
    if not 0 <= protocol < ANY_PROTOCOL:
        raise Invalid("protocol", f"{protocol} is no protocol", "name one by its number from 0 to 254")
    if not 0 <= port <= 65535:
        raise Invalid("port", f"{port} is no port", "choose a number from 0 to 65535")
    if book is None:
        book = Rulebook()
        book.follow(world)
    sides = [_side(world, source, "source"), _side(world, destination, "destination")]
    excerpt = book.excerpt(
        world,
        [side for side in sides if isinstance(side, Unit)],
        [prefixes.parse_address(side) for side in sides if isinstance(side, str)],
    )
    client, server = (side if isinstance(side, Unit) else deciding.stranger(excerpt, side) for side in sides)
    decision = deciding.decide_flow(excerpt, client, server, protocol, port)
    asked = _Question(excerpt, reader, protocol, port)
    return Explanation(
        revision=world.revision,
        source=_party(world, client, reader),
        destination=_party(world, server, reader),
        flow=format_flow(protocol, port),
        protocol=protocol,
        port=port,
        action=decision.action,
        summary=_summary(decision),
        outgoing=asked.end(decision.outgoing, server) if decision.outgoing else None,
        incoming=asked.end(decision.incoming, client) if decision.incoming else None,
        notes=_notes(world, excerpt, decision, reader),
    )


def _notes(world: World, excerpt: World, decision: FlowDecision, reader: str) -> tuple[str, ...]:
    """Host names that may make a difference, where an end has to do with an address."""
    ends = [end for end in (decision.outgoing, decision.incoming) if end is not None]
    if len(ends) > 1:
        return ()
    readable = (network for network in world.networks.values() if network.names and views.readable(network, reader))
    return tuple(unresolved.notes(excerpt, readable, ends))


def _side(world: World, side: str | Unit, path: str) -> Unit | str:
    """The unit meant, else the address in its canonical form. Raises :class:`Invalid`."""
    if isinstance(side, Unit):
        return side
    unit = world.units.get(side)
    if unit is not None:
        return unit
    try:
        return str(prefixes.parse_address(side))
    except Invalid as problem:
        raise Invalid(path, f"{side!r} is no processing unit's ID and no address", "name one of both") from problem


def _party(world: World, found: Party, reader: str) -> PartyFound:
    if isinstance(found, Unit):
        return PartyFound(
            "unit",
            found.id,
            found.name,
            found.namespace,
            tags=tuple(sorted(found.tags)),
            hypothetical=found.id not in world.units,
        )
    shown = [network for network in found.networks if views.readable(network, reader)]
    tags = tuple(sorted({tag for network in shown for tag in network.tags}))
    networks = tuple(network.name for network in shown)
    return PartyFound("network" if networks else "somewhere", address=found.address, networks=networks, tags=tags)


def _summary(decision: FlowDecision) -> str:
    refusing = [end for end in (decision.outgoing, decision.incoming) if end and end.verdict.action == "Reject"]
    if not refusing:
        return "allowed by every end that has an Enforcer"
    return "rejected: " + "; ".join(f"{end.unit.name} ({_direction(end)}): {_reason(end)}" for end in refusing)


def _direction(end: Decision) -> Literal["incoming", "outgoing"]:
    return "incoming" if end.direction == "in" else "outgoing"


def _reason(end: Decision) -> str:
    if end.itself:
        return "a unit may always talk to itself"
    for placed in end.matching:
        if placed.key == end.verdict.rule:
            return f"{placed.rule.action} by {title(placed)}"
    if not end.default_namespace:
        return "no rule matches and no namespace sets a default: Reject"
    return f"no rule matches; the default of {end.default_namespace} is {end.default}"


class _Question:
    """One flow asked about in one world, by somebody who may not know all of it."""

    def __init__(self, world: World, reader: str, protocol: int, port: int) -> None:
        self._world = world
        self._reader = reader
        self._protocol = protocol
        self._port = port

    def end(self, end: Decision, peer: Party) -> EndExplained:
        """What one end decides, in words."""
        known = self._known()
        if isinstance(peer, Stranger):
            shown = tuple(network for network in peer.networks if network.id in known.networks)
            told: Party = Stranger(peer.address, shown)
        else:
            told = peer
        missed = nearly.missed(known, end, told, self._protocol, self._port)
        return EndExplained(
            unit=end.unit.id,
            direction=_direction(end),
            action=end.verdict.action,
            rule=end.verdict.rule,
            default_namespace=end.default_namespace,
            observed_action=end.verdict.observed_action,
            observed_rule=end.verdict.observed_rule,
            summary=_reason(end),
            matching=tuple(_found(placed, *_outcome(placed, end)) for placed in end.matching),
            missed=tuple(_nearly(each) for each in missed[:MISSED_LIMIT]),
            missed_total=len(missed),
            remedies=counsel(self._world, end, told, missed, self._protocol, self._port),
        )

    def _known(self) -> World:
        """The part that the reader may know; whatever decides about a readable unit is in it, networks apart."""
        networks = {key: each for key, each in self._world.networks.items() if views.readable(each, self._reader)}
        rulesets = {key: each for key, each in self._world.rulesets.items() if views.readable(each, self._reader)}
        return dataclasses.replace(self._world, networks=networks, rulesets=rulesets)


def _outcome(placed: PlacedRule, end: Decision) -> tuple[Outcome, str]:
    """What became of a matching rule, and why."""
    if placed.rule.observed:
        if placed.key == end.verdict.observed_rule:
            return "observed", "it is in observation: reported, never decides"
        return "observed", f"it is in observation, and {end.verdict.observed_rule} is reported instead"
    if placed.key == end.verdict.rule:
        return "decides", "a matching Reject wins over everything" if placed.rule.action == "Reject" else (
            "it allows and nothing that matches rejects"
        )
    if placed.rule.action == end.verdict.action:
        return "agrees", f"{end.verdict.rule} says the same and is named first"
    return "overruled", f"{end.verdict.rule} rejects, and a Reject wins over every Allow"


def _found(placed: PlacedRule, outcome: Outcome, why: str) -> RuleFound:
    return RuleFound(
        key=placed.key,
        ruleset=placed.ruleset.resource,
        ruleset_name=placed.ruleset.name,
        namespace=placed.ruleset.namespace,
        rule=placed.rule.name,
        action=placed.rule.action,
        protocol_ports=format_ports(placed.rule.ports),
        outcome=outcome,
        why=why,
    )


def _nearly(each: Missed) -> RuleFound:
    return msgspec.structs.replace(_found(each.placed, "missed", each.why), lack=each.lack)
