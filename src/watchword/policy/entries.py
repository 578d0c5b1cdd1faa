"""From resources to the world: the one place that says what of a resource a verdict depends on.

The Console goes through here for what it stores, the offline commands for what they read from files.
Most resources are one entry of one part of the world; an intent is two rulesets, one for each end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from watchword.model import expressions, networks, ports
from watchword.model.resources import (
    ExternalNetwork,
    Intent,
    Namespace,
    NetworkRule,
    NetworkRuleSetPolicy,
    ProcessingUnit,
)
from watchword.policy import intents, world
from watchword.wire.policy import EnforcerEntry

Entry = world.Namespace | world.Unit | world.Network | world.Ruleset | EnforcerEntry


class Placed(NamedTuple):
    """An entry and where in a world it stands: ``world.<part>[key]``."""

    part: str
    key: str
    entry: Entry


def entries(resource: Any) -> tuple[Placed, ...]:
    """What a resource contributes to the world; nothing for what has no part in policy, or no longer.

    Enforcers are not here: what of them a verdict depends on is not in the resource alone.
    """
    match resource:
        case Namespace():
            return (Placed("namespaces", resource.name, _namespace(resource)),)
        case ProcessingUnit():
            running = resource.operational_status == "Running"
            return (Placed("units", resource.id, _unit(resource)),) if running else ()
        case ExternalNetwork():
            return (Placed("networks", resource.id, _network(resource)),)
        case NetworkRuleSetPolicy():
            return (Placed("rulesets", resource.id, _ruleset(resource)),)
        case Intent():
            return tuple(Placed("rulesets", end.id, end) for end in intents.ends(resource))
    return ()


def _namespace(namespace: Namespace) -> world.Namespace:
    return world.Namespace(
        path=namespace.name,
        default_incoming=namespace.default_pu_incoming_traffic_action,
        default_outgoing=namespace.default_pu_outgoing_traffic_action,
        tag_prefixes=tuple(namespace.tag_prefixes),
    )


def _unit(unit: ProcessingUnit) -> world.Unit:
    return world.Unit(
        id=unit.id,
        native_id=unit.native_context_id,
        name=unit.name,
        namespace=unit.namespace,
        enforcer=unit.enforcer_id,
        badge=unit.badge,
        tags=frozenset(unit.normalized_tags),
    )


def _network(network: ExternalNetwork) -> world.Network:
    names = tuple(entry for entry in network.entries if networks.is_name(entry))
    return world.Network(
        id=network.id,
        name=network.name,
        namespace=network.namespace,
        propagate=network.propagate,
        entries=tuple(entry for entry in network.entries if not networks.is_name(entry)),
        names=names,
        tags=frozenset(network.normalized_tags),
        identity_required=network.identity_required,
    )


def _ruleset(ruleset: NetworkRuleSetPolicy) -> world.Ruleset:
    return world.Ruleset(
        id=ruleset.id,
        name=ruleset.name,
        namespace=ruleset.namespace,
        subject=expressions.parse(ruleset.subject),
        incoming=tuple(map(_rule, ruleset.incoming_rules)),
        outgoing=tuple(map(_rule, ruleset.outgoing_rules)),
        propagate=ruleset.propagate,
        fallback=ruleset.fallback,
        disabled=ruleset.disabled,
    )


def _rule(rule: NetworkRule) -> world.Rule:
    return world.Rule(
        name=rule.name,
        action=rule.action,
        object=expressions.parse(rule.object),
        ports=ports.parse(rule.protocol_ports),
        observed=rule.observation_enabled,
        log=not rule.logs_disabled,
    )
