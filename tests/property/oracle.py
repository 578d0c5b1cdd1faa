"""An independent, deliberately naive evaluation of one end of one flow.

Written from the policy semantics alone; shares no code with the engine and must never import it
beyond the plain records of a world (``test_oracle.py`` holds it to that). Slow and obvious on purpose:
no index, no class, no segment, no order of evaluation that saves anything.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import NamedTuple

from watchword.policy.world import Network, Rule, Ruleset, Unit, World


class Opinion(NamedTuple):
    """What one end decides; ``rule`` is "" for a default, and then so is everything about the rule."""

    action: str
    rule: str = ""
    ruleset: str = ""
    namespace: str = ""
    name: str = ""
    observed_action: str = ""
    observed_rule: str = ""
    log: bool = True


class Hit(NamedTuple):
    """A rule that matches; several networks' or rulesets' rules may."""

    key: str
    action: str
    observed: bool
    log: bool
    ruleset: str
    namespace: str
    name: str


# --- expressions ------------------------------------------------------------------------------


def has(tags: frozenset[str], clause: str) -> bool:
    """``key=value`` | ``key=*`` | ``key=prefix*`` | ``!`` and one of these."""
    if clause.startswith("!"):
        return not has(tags, clause[1:])
    if clause.endswith("*"):
        key, _, beginning = clause[:-1].partition("=")
        pairs = [tag.partition("=") for tag in tags]
        return any(name == key and value.startswith(beginning) for name, _, value in pairs)
    return clause in tags


def selected(expression: tuple[tuple[str, ...], ...], tags: frozenset[str]) -> bool:
    """OR of ANDs."""
    return any(all(has(tags, clause) for clause in alternative) for alternative in expression)


# --- namespaces -------------------------------------------------------------------------------


def lineage(path: str) -> list[str]:
    """The namespace itself, its parent, …, the root."""
    parts = [part for part in path.split("/") if part]
    return ["/" + "/".join(parts[:depth]) for depth in range(len(parts), -1, -1)]


def applies(origin: str, propagate: bool, path: str) -> bool:
    """Something in ``origin`` is there for ``path``: it stands there, or above and propagates."""
    return origin == path or (propagate and origin in lineage(path))


def default_of(world: World, path: str, direction: str) -> str:
    """What the nearest namespace says that does not inherit."""
    for candidate in lineage(path):
        if candidate in world.namespaces:
            here = world.namespaces[candidate]
            wanted = here.default_incoming if direction == "in" else here.default_outgoing
            if wanted != "Inherit":
                return wanted
    return "Reject"


# --- networks ---------------------------------------------------------------------------------


@functools.cache
def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4-mapped IPv6 address is that IPv4 address."""
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


@functools.cache
def lies_in(address: str, prefix: str) -> bool:
    """Bit by bit; an IPv4-mapped IPv6 prefix from /96 on is an IPv4 prefix."""
    network = ipaddress.ip_network(prefix, strict=False)
    first, length = network.network_address, network.prefixlen
    mapped = getattr(first, "ipv4_mapped", None)
    if mapped is not None and length >= 96:
        first, length = mapped, length - 96
    ip = address_of(address)
    if ip.version != first.version:
        return False
    width = first.max_prefixlen
    return format(int(ip), f"0{width}b")[:length] == format(int(first), f"0{width}b")[:length]


def contains(network: Network, address: str) -> bool:
    """Some entry covers the address and none carves it out of this network."""
    inside = [lies_in(address, entry) for entry in network.entries if not entry.startswith("!")]
    outside = [lies_in(address, entry[1:]) for entry in network.entries if entry.startswith("!")]
    return any(inside) and not any(outside)


def called(name: str, listed: str) -> bool:
    """Label by label from the end: a star stands for one label or more, and stands at the beginning alone."""
    asked, wanted = name.lower().split("."), listed.split(".")
    if wanted[0] == "*":
        return len(asked) >= len(wanted) and asked[len(asked) - len(wanted) + 1 :] == wanted[1:]
    return asked == wanted


def includes(network: Network, address: str, names: tuple[str, ...]) -> bool:
    """By its prefixes, or because the unit that asks has learned the address under one of its names."""
    return contains(network, address) or any(called(name, listed) for name in names for listed in network.names)


# --- rules ------------------------------------------------------------------------------------


def on_port(rule: Rule, protocol: int, port: int) -> bool:
    """Protocol 255 stands for any; ICMP's port is type * 256 + code."""
    return any(
        piece.protocol == 255 or (piece.protocol == protocol and piece.first <= port <= piece.last)
        for piece in rule.ports
    )


def rulesets_about(world: World, unit: Unit) -> list[Ruleset]:
    """Those in force that select the unit; fallback ones only where there is no ordinary one."""
    about = [
        ruleset
        for ruleset in world.rulesets.values()
        if not ruleset.disabled
        and applies(ruleset.namespace, ruleset.propagate, unit.namespace)
        and selected(ruleset.subject, unit.tags)
    ]
    return [ruleset for ruleset in about if not ruleset.fallback] or about


def names_peer(world: World, ruleset: Ruleset, rule: Rule, peer: Unit | str, learned: tuple[str, ...] = ()) -> bool:
    """The object selects units in any namespace, and networks visible from the ruleset's."""
    if isinstance(peer, Unit):
        return selected(rule.object, peer.tags)
    return any(
        includes(network, peer, learned)
        and selected(rule.object, network.tags)
        and applies(network.namespace, network.propagate, ruleset.namespace)
        for network in world.networks.values()
    )


def hits(
    world: World,
    unit: Unit,
    peer: Unit | str,
    direction: str,
    protocol: int,
    port: int,
    names: tuple[str, ...] = (),
) -> list[Hit]:
    """Every rule that matches, and every network's demand for identity that is not met.

    ``names`` are those under which the unit has learned the address; where to somebody goes, not who comes.
    """
    learned = names if direction == "out" else ()
    found: list[Hit] = []
    for ruleset in rulesets_about(world, unit):
        for index, rule in enumerate(ruleset.incoming if direction == "in" else ruleset.outgoing):
            if on_port(rule, protocol, port) and names_peer(world, ruleset, rule, peer, learned):
                known = ruleset.origin or ruleset.id  # an intent's two ends are known by the intent
                key = f"{known}/{direction}/{index}"
                found.append(Hit(key, rule.action, rule.observed, rule.log, known, ruleset.namespace, rule.name))
    for network in world.networks.values():
        visible = applies(network.namespace, network.propagate, unit.namespace)
        if isinstance(peer, str) and network.identity_required and visible and includes(network, peer, learned):
            key = f"{network.id}/{direction}/0"
            found.append(Hit(key, "Reject", False, True, network.id, network.namespace, "identity required"))
    return found


def judge(
    world: World,
    unit: Unit,
    peer: Unit | str,
    direction: str,
    protocol: int,
    port: int,
    names: tuple[str, ...] = (),
) -> Opinion:
    """What the end at ``unit`` decides about a peer: a unit that proved itself, or an address without identity."""
    if isinstance(peer, Unit) and peer.id == unit.id:
        return Opinion("Allow")
    matching = sorted(hits(world, unit, peer, direction, protocol, port, names))
    rejecting = [hit for hit in matching if not hit.observed and hit.action == "Reject"]
    allowing = [hit for hit in matching if not hit.observed and hit.action == "Allow"]
    watching = [hit for hit in matching if hit.observed and hit.action == "Reject"]
    watching += [hit for hit in matching if hit.observed and hit.action == "Allow"]
    opinion = Opinion(default_of(world, unit.namespace, direction))
    if rejecting or allowing:
        winner = (rejecting + allowing)[0]
        opinion = Opinion(winner.action, winner.key, winner.ruleset, winner.namespace, winner.name, log=winner.log)
    if watching:
        seen = watching[0]
        opinion = opinion._replace(observed_action=seen.action, observed_rule=seen.key, log=opinion.log or seen.log)
    return opinion


def passes(world: World, source: Unit | str, destination: Unit | str, protocol: int, port: int) -> bool:
    """A flow needs both ends: outgoing at the client, incoming at the server; no Enforcer, no say."""
    ends: list[tuple[Unit | str, Unit | str, str]] = [(source, destination, "out"), (destination, source, "in")]
    return all(
        judge(world, here, there, direction, protocol, port).action == "Allow"
        for here, there, direction in ends
        if isinstance(here, Unit)
    )


def hopeful(world: World, unit: Unit, protocol: int, port: int) -> bool:
    """Whether some peer with identity, enrolled or not, may be allowed: connect() may then go ahead.

    Nobody fares better than a peer that exactly one rule's object selects (all rulesets that spell this
    object in the same way and see the same networks mean the same object), or none at all.
    """
    if default_of(world, unit.namespace, "out") == "Allow":
        return True
    spelled: dict[object, list[str]] = {}
    for ruleset in rulesets_about(world, unit):
        for rule in ruleset.outgoing:
            same = (ruleset.namespace, frozenset(frozenset(alternative) for alternative in rule.object))
            spelled.setdefault(same, [])
            if on_port(rule, protocol, port) and not rule.observed:
                spelled[same].append(rule.action)
    return any("Allow" in actions and "Reject" not in actions for actions in spelled.values())
