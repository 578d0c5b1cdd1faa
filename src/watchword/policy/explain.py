"""Explaining a hypothetical flow: what both ends decide, by which rules, and what would change it.

Plain records, ready for JSON. The verdicts are those of :mod:`watchword.policy.decide`; this module
adds the words and the rules that nearly matched, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from watchword.model.expressions import matches
from watchword.model.ports import ANY_PROTOCOL, format_flow, format_ports
from watchword.model.problems import Invalid
from watchword.policy import decide as deciding
from watchword.policy import selection
from watchword.policy.decide import Decision, FlowDecision, Party
from watchword.policy.selection import PlacedRule
from watchword.policy.world import Ruleset, Unit, World
from watchword.wire.policy import Action

Outcome = Literal["decides", "agrees", "overruled", "observed", "missed"]


class PartyFound(msgspec.Struct, frozen=True, rename="camel"):
    """One end of the flow: a unit, or an address in some external networks or none ("somewhere")."""

    kind: Literal["unit", "network", "somewhere"]
    id: str = ""
    name: str = ""
    namespace: str = ""
    address: str = ""
    networks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class RuleFound(msgspec.Struct, frozen=True, rename="camel"):
    """A rule that matched, or nearly did, and what became of it."""

    key: str
    ruleset: str
    ruleset_name: str
    namespace: str
    rule: str
    action: Action
    protocol_ports: tuple[str, ...]
    outcome: Outcome
    why: str


class EndExplained(msgspec.Struct, frozen=True, rename="camel"):
    """What one end decides. ``rule`` is a rule key, "" for a default."""

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
    remedies: tuple[str, ...]


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


def explain(world: World, source: str, destination: str, protocol: int, port: int) -> Explanation:
    """Why a flow would be allowed or rejected.

    Each of ``source`` and ``destination`` is a unit's ID or the address of a peer without identity;
    ``port`` is ``type << 8 | code`` for ICMP and 0 for protocols without ports. Raises
    :class:`Invalid`.
    """
    if not 0 <= protocol < ANY_PROTOCOL:
        raise Invalid("protocol", f"{protocol} is no protocol", "name one by its number from 0 to 254")
    if not 0 <= port <= 65535:
        raise Invalid("port", f"{port} is no port", "choose a number from 0 to 65535")
    client, server = deciding.party(world, source, "source"), deciding.party(world, destination, "destination")
    decision = deciding.decide_flow(world, client, server, protocol, port)
    asked = _Question(world, protocol, port)
    return Explanation(
        revision=world.revision,
        source=_party(client),
        destination=_party(server),
        flow=format_flow(protocol, port),
        protocol=protocol,
        port=port,
        action=decision.action,
        summary=_summary(decision),
        outgoing=asked.end(decision.outgoing, server) if decision.outgoing else None,
        incoming=asked.end(decision.incoming, client) if decision.incoming else None,
    )


def _party(found: Party) -> PartyFound:
    if isinstance(found, Unit):
        return PartyFound("unit", found.id, found.name, found.namespace, tags=tuple(sorted(found.tags)))
    networks = tuple(network.name for network in found.networks)
    tags = tuple(sorted({tag for network in found.networks for tag in network.tags}))
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
            return f"{placed.rule.action} by {_title(placed)}"
    if not end.default_namespace:
        return "no rule matches and no namespace sets a default: Reject"
    return f"no rule matches; the default of {end.default_namespace} is {end.default}"


def _title(placed: PlacedRule) -> str:
    name = f"rule {placed.rule.name!r}" if placed.rule.name else f"rule {placed.key.rpartition('/')[2]}"
    return f"{name} of {placed.ruleset.name!r} in {placed.ruleset.namespace}"


class _Question:
    """One flow asked about in one world."""

    def __init__(self, world: World, protocol: int, port: int) -> None:
        self._world = world
        self._protocol = protocol
        self._port = port
        self._flow = format_flow(protocol, port)

    def end(self, end: Decision, peer: Party) -> EndExplained:
        """What one end decides, in words."""
        missed = [] if end.itself else sorted(self._missed(end, peer), key=lambda pair: pair[0].key)
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
            missed=tuple(_found(placed, "missed", why) for placed, why in missed),
            remedies=tuple(self._remedies(end, peer, missed)),
        )

    def _missed(self, end: Decision, peer: Party) -> Iterator[tuple[PlacedRule, str]]:
        """Rules that one single thing kept from matching."""
        counting = {ruleset.id for ruleset in selection.about(end.unit, self._world.rulesets.values())}
        for ruleset in self._world.rulesets.values():
            if not matches(ruleset.subject, end.unit.tags):
                continue
            absent = "" if ruleset.id in counting else _absence(ruleset, end.unit)
            for placed in selection.rules_of([ruleset], end.direction):
                reasons = [absent] if absent else []
                if not deciding.takes(placed.rule, self._protocol, self._port):
                    ports = ", ".join(format_ports(placed.rule.ports))
                    reasons.append(f"its protocolPorts are {ports}, which leaves out {self._flow}")
                if not deciding.names(placed, peer):
                    hidden = _hidden(placed, peer)
                    if not hidden:
                        continue
                    reasons.append(hidden)
                if len(reasons) == 1:
                    yield placed, reasons[0]

    def _remedies(self, end: Decision, peer: Party, missed: list[tuple[PlacedRule, str]]) -> Iterator[str]:
        """What would have to change for a refused end to allow the flow."""
        if end.verdict.action == "Allow":
            return
        deciders = [placed for placed in end.matching if not placed.rule.observed]
        for placed in deciders:
            if placed.rule.action == "Reject":
                yield _without(placed, self._flow)
        if end.default == "Allow" or any(placed.rule.action == "Allow" for placed in deciders):
            return
        for placed, why in missed:
            if placed.rule.action == "Allow" and not placed.rule.observed:
                yield f"make {_title(placed)} match: {why}"
        for placed in end.matching:
            if placed.rule.observed and placed.rule.action == "Allow":
                yield f"turn observation off for {_title(placed)}"
        yield (
            f"add an {_direction(end)} Allow rule for {_describe(peer)} on {self._flow} to a ruleset that is in force "
            f"in {end.unit.namespace} and selects {end.unit.name}"
        )


def _describe(peer: Party) -> str:
    if isinstance(peer, Unit):
        return peer.name
    if peer.networks:
        return "external network " + " or ".join(network.name for network in peer.networks)
    return f"a new external network that contains {peer.address}"


def _without(placed: PlacedRule, flow: str) -> str:
    if not placed.rule.object:  # the rule of a network itself
        return f"let the peer prove an identity, or no longer require one in external network {placed.ruleset.name!r}"
    return f"remove {_title(placed)}, or narrow it to leave out this peer or {flow}"


def _absence(ruleset: Ruleset, unit: Unit) -> str:
    """Why a ruleset whose subject matches does not count for a unit."""
    if ruleset.disabled:
        return "its ruleset is disabled"
    if not selection.in_force(ruleset, unit.namespace):
        return f"its ruleset is not in force in {unit.namespace}"
    return "its ruleset is a fallback and an ordinary ruleset selects the unit"


def _hidden(placed: PlacedRule, peer: Party) -> str:
    """Why a rule whose object matches one of the peer's networks does not see it; "" when none matches."""
    if isinstance(peer, Unit):
        return ""
    names = [network.name for network in peer.networks if matches(placed.rule.object, network.tags)]
    return f"external network {names[0]} is not visible from {placed.ruleset.namespace}" if names else ""


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
        ruleset=placed.ruleset.id,
        ruleset_name=placed.ruleset.name,
        namespace=placed.ruleset.namespace,
        rule=placed.rule.name,
        action=placed.rule.action,
        protocol_ports=format_ports(placed.rule.ports),
        outcome=outcome,
        why=why,
    )
