"""An independent, deliberately naive evaluation of one end of one flow.

Written from the policy semantics alone; shares no code with the engine and must never import it
beyond the plain records of a world. Slow and obvious on purpose.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import NamedTuple

from watchword.policy.world import Network, Rule, Ruleset, Unit, World


class Opinion(NamedTuple):
    action: str
    rule: str  # "" for a default
    observed_action: str
    observed_rule: str


def has(tags: frozenset[str], clause: str) -> bool:
    if clause.startswith("!"):
        return not has(tags, clause[1:])
    if clause.endswith("*"):
        return any(tag.startswith(clause[:-1]) for tag in tags)
    return clause in tags


def selected(expression: tuple[tuple[str, ...], ...], tags: frozenset[str]) -> bool:
    return any(all(has(tags, clause) for clause in alternative) for alternative in expression)


def lineage(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    return ["/" + "/".join(parts[:depth]) for depth in range(len(parts), -1, -1)]


def applies(origin: str, propagate: bool, path: str) -> bool:
    return origin == path or (propagate and origin in lineage(path))


address_of = functools.cache(ipaddress.ip_address)
prefix_of = functools.cache(ipaddress.ip_network)


def contains(network: Network, address: str) -> bool:
    ip = address_of(address)
    inside = [ip in prefix_of(entry) for entry in network.entries if not entry.startswith("!")]
    outside = [ip in prefix_of(entry[1:]) for entry in network.entries if entry.startswith("!")]
    return any(inside) and not any(outside)


def on_port(rule: Rule, protocol: int, port: int) -> bool:
    return any(
        piece.protocol == 255 or (piece.protocol == protocol and piece.first <= port <= piece.last)
        for piece in rule.ports
    )


def rulesets_about(world: World, unit: Unit) -> list[Ruleset]:
    about = [
        ruleset
        for ruleset in world.rulesets.values()
        if not ruleset.disabled
        and applies(ruleset.namespace, ruleset.propagate, unit.namespace)
        and selected(ruleset.subject, unit.tags)
    ]
    return [ruleset for ruleset in about if not ruleset.fallback] or about


def names_peer(world: World, ruleset: Ruleset, rule: Rule, peer: Unit | str) -> bool:
    if isinstance(peer, Unit):
        return selected(rule.object, peer.tags)
    return any(
        contains(network, peer)
        and selected(rule.object, network.tags)
        and applies(network.namespace, network.propagate, ruleset.namespace)
        for network in world.networks.values()
    )


def judge(world: World, unit: Unit, peer: Unit | str, direction: str, protocol: int, port: int) -> Opinion:
    """What the end at ``unit`` decides about a peer: a unit that proved itself, or an address without identity."""
    if isinstance(peer, Unit) and peer.id == unit.id:
        return Opinion("Allow", "", "", "")
    hits: list[tuple[str, str, bool]] = []  # rule, action, observed
    for ruleset in rulesets_about(world, unit):
        for index, rule in enumerate(ruleset.incoming if direction == "in" else ruleset.outgoing):
            if on_port(rule, protocol, port) and names_peer(world, ruleset, rule, peer):
                hits.append((f"{ruleset.id}/{direction}/{index}", rule.action, rule.observed))
    for network in world.networks.values():
        visible = applies(network.namespace, network.propagate, unit.namespace)
        if isinstance(peer, str) and network.identity_required and visible and contains(network, peer):
            hits.append((f"{network.id}/{direction}/0", "Reject", False))
    action, rule_name = "Reject", ""
    for path in lineage(unit.namespace):
        here = world.namespaces[path]
        wanted = here.default_incoming if direction == "in" else here.default_outgoing
        if wanted != "Inherit":
            action = wanted
            break
    observed_action, observed_rule = "", ""
    for candidate in ("Allow", "Reject"):  # a later Reject overwrites an Allow, an Allow overwrites the default
        deciding = sorted(key for key, what, observed in hits if what == candidate and not observed)
        watching = sorted(key for key, what, observed in hits if what == candidate and observed)
        if deciding:
            action, rule_name = candidate, deciding[0]
        if watching:
            observed_action, observed_rule = candidate, watching[0]
    return Opinion(action, rule_name, observed_action, observed_rule)
