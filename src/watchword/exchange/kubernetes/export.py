"""Rulesets as NetworkPolicies, where a NetworkPolicy can say the same.

Namespaces of type Kubernetes are exported, each for itself. A direction whose default is Reject becomes a policy that
isolates every pod, and each Allow rule a policy that allows; a direction whose default is Allow needs neither, for
nothing in it can refuse. What NetworkPolicy has no word for is listed; a rule that rejects cannot be left out, so a
namespace in which one is in force is refused.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from watchword.exchange.kubernetes.pods import NAME_LABEL, NAMESPACE
from watchword.exchange.notes import Note, Unreadable
from watchword.model.expressions import matches
from watchword.model.ports import ANYTHING, PortRange
from watchword.model.protocols import TCP, UDP
from watchword.policy import selection
from watchword.policy.namespaces import default_action
from watchword.policy.tables import Direction
from watchword.policy.world import Network, Rule, Ruleset, World

_SCTP = 132
_LAST_PORT = 65535
_PROTOCOLS = {TCP: "TCP", UDP: "UDP", _SCTP: "SCTP"}
_DIRECTIONS: tuple[tuple[Direction, str, str], ...] = (("in", "Ingress", "from"), ("out", "Egress", "to"))
_POD_LABEL = re.compile(r"k8s:([^=:]+)=(.*)\Z", re.DOTALL)
_SPACE_LABEL = re.compile(r"@org:k8s:([^=:]+)=(.*)\Z", re.DOTALL)

Manifest = dict[str, Any]


class Exported(NamedTuple):
    """Manifests, and what they do not say."""

    manifests: list[Manifest]
    notes: list[Note]


def export(world: World, namespaces: Sequence[str]) -> Exported:
    """NetworkPolicies of ``namespaces`` (whole paths; a Kubernetes namespace is called by the last component).

    Raises :class:`Unreadable` where a namespace would be more open than it is.
    """
    exporting = _Export(world, {path: path.rpartition("/")[2] for path in namespaces})
    for path in sorted(namespaces):
        exporting.namespace(path)
    return Exported(exporting.manifests, exporting.notes)


class _Unsayable(Exception):  # noqa: N818 - a clause without a counterpart
    """Why something cannot be said in a NetworkPolicy."""


class _Selectors(NamedTuple):
    """What one alternative is as selectors: of namespaces (none: does not matter) and of pods."""

    spaces: Manifest | None
    pods: Manifest


class _Export:
    def __init__(self, world: World, kubernetes: Mapping[str, str]) -> None:
        self._world = world
        self._names = kubernetes
        self.manifests: list[Manifest] = []
        self.notes: list[Note] = []
        self._used: dict[tuple[str, str], int] = {}

    def namespace(self, path: str) -> None:
        """Add the policies of one namespace."""
        in_force = [
            ruleset for ruleset in sorted(self._world.rulesets.values(), key=lambda each: each.id)
            if selection.in_force(ruleset, path)
        ]  # fmt: skip
        for direction, word, peers in _DIRECTIONS:
            self._refuse_rejects(path, in_force, direction)
            default = default_action(self._world.namespaces, path, direction)[0]
            if default == "Allow":
                continue  # nothing here can refuse, and so nothing needs to allow
            self._add(path, f"deny-{word.lower()}", {"podSelector": {}, "policyTypes": [word]})
            for ruleset in in_force:
                self._ruleset(path, ruleset, direction, word, peers)

    def _refuse_rejects(self, path: str, in_force: Sequence[Ruleset], direction: Direction) -> None:
        for ruleset in in_force:
            for rule in ruleset.incoming if direction == "in" else ruleset.outgoing:
                if rule.action == "Reject" and not rule.observed:
                    message = f"{ruleset.namespace} {ruleset.name} rejects; a NetworkPolicy can only allow"
                    raise Unreadable(
                        f"namespace {path}", message, "write it as what is allowed, or leave the namespace out"
                    )
        for network in self._world.networks.values():
            if network.identity_required and selection.visible(network, path):
                message = f"external network {network.name} requires identity, which a NetworkPolicy cannot"
                raise Unreadable(f"namespace {path}", message, "leave the namespace out")

    def _ruleset(self, path: str, ruleset: Ruleset, direction: Direction, word: str, peers: str) -> None:
        rules = [
            built
            for index, rule in enumerate(ruleset.incoming if direction == "in" else ruleset.outgoing)
            if (built := self._rule(path, ruleset, rule, index, peers)) is not None
        ]
        if not rules:
            return
        if ruleset.fallback:
            self._lost(ruleset, "is a fallback, which depends on the other rulesets; left out")
            return
        for number, alternative in enumerate(ruleset.subject):
            try:
                selectors = self._selectors(alternative)
            except _Unsayable as error:
                self._lost(ruleset, f"{error}; whom that selects is allowed nothing by it")
                continue
            if selectors.spaces is not None:
                if set(selectors.spaces) != {"matchLabels"} or set(selectors.spaces["matchLabels"]) != {NAME_LABEL}:
                    self._lost(ruleset, f"selects {alternative} by labels of the namespace; not allowed anything by it")
                    continue
                if selectors.spaces["matchLabels"][NAME_LABEL] != self._names[path]:
                    continue  # pods of another namespace
            spec = {"podSelector": selectors.pods, "policyTypes": [word], word.lower(): rules}
            self._add(path, f"{ruleset.name}-{word.lower()}-{number + 1}", spec)

    def _lost(self, ruleset: Ruleset, message: str) -> None:
        note = Note(f"{ruleset.namespace} {ruleset.name}", message)
        if note not in self.notes:
            self.notes.append(note)

    def _add(self, path: str, name: str, spec: Manifest) -> None:
        plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:200]
        if plain != name:
            plain = f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")
        self._used[path, plain] = self._used.get((path, plain), 0) + 1
        if self._used[path, plain] > 1:
            plain += f"-{self._used[path, plain]}"
        metadata = {"name": plain, "namespace": self._names[path]}
        self.manifests.append(
            {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}
        )

    def _rule(self, path: str, ruleset: Ruleset, rule: Rule, index: int, peers: str) -> Manifest | None:
        if rule.observed:
            self.notes.append(
                Note(
                    f"{ruleset.namespace} {ruleset.name}",
                    "has a rule in observation, which decides nothing",
                    lost=False,
                )
            )
            return None
        title = rule.name or str(index)
        try:
            ports = _ports(rule.ports)
        except _Unsayable as error:
            self._lost(ruleset, f"rule {title}: {error}; not allowed")
            ports = [port for piece in rule.ports for port in _sayable(piece)]
            if not ports:
                return None
        built: Manifest = {"ports": ports} if ports else {}
        if self._is_everyone(ruleset, rule):
            return built
        found = []
        for alternative in rule.object:
            found += self._peers(ruleset, alternative, title)
        if not found:
            return None  # without peers it would allow everybody
        return {peers: found, **built}

    def _is_everyone(self, ruleset: Ruleset, rule: Rule) -> bool:
        """Whether a rule names every unit and every address."""
        return ("$identity=processingunit",) in rule.object and any(
            {"0.0.0.0/0", "::/0"} <= set(network.entries)
            and not any(entry.startswith("!") for entry in network.entries)
            and any((tag,) in rule.object for tag in network.tags)
            for network in self._world.networks.values()
            if selection.visible(network, ruleset.namespace)
        )

    def _peers(self, ruleset: Ruleset, alternative: tuple[str, ...], title: str) -> list[Manifest]:
        found: list[Manifest] = []
        for network in sorted(self._world.networks.values(), key=lambda each: each.id):
            rule = Rule("", "Allow", (alternative,), ())
            if selection.object_matches(selection.PlacedRule("", ruleset, rule), network):
                found += self._blocks(ruleset, network)
        try:
            selectors = self._selectors(alternative)
        except _Unsayable as error:
            if not found or any(matches((alternative,), unit.tags) for unit in self._world.units.values()):
                self._lost(ruleset, f"rule {title}: {error}; not allowed")
            return found
        peer: Manifest = {"namespaceSelector": selectors.spaces or {}}
        if selectors.pods:
            peer["podSelector"] = selectors.pods
        return [*found, peer]

    def _blocks(self, ruleset: Ruleset, network: Network) -> list[Manifest]:
        if network.names:
            self._lost(
                ruleset, f"external network {network.name} has host names, which a NetworkPolicy cannot; not allowed"
            )
        found = []
        carved = [ipaddress.ip_network(entry[1:], strict=False) for entry in network.entries if entry.startswith("!")]
        for entry in network.entries:
            if entry.startswith("!"):
                continue
            block = ipaddress.ip_network(entry, strict=False)
            holes = [hole for hole in carved if hole.version == block.version and hole.overlaps(block)]
            if any(block.subnet_of(hole) for hole in holes):  # type: ignore[arg-type]
                continue
            excluded = {"except": sorted(map(str, holes))} if holes else {}
            found.append({"ipBlock": {"cidr": str(block), **excluded}})
        return found

    def _selectors(self, alternative: Sequence[str]) -> _Selectors:
        spaces = _Terms()
        pods = _Terms()
        for clause in alternative:
            text = clause.removeprefix("!")
            negated = text != clause
            if text == "$identity=processingunit" and not negated:
                continue
            if text.startswith(NAMESPACE):
                if text != f"{NAMESPACE}*" or negated:
                    spaces.add(NAME_LABEL, text.removeprefix(NAMESPACE), negated, clause)
            elif text.startswith("@org:kubernetes=") and text.partition("=")[2] in self._names.values():
                spaces.add(NAME_LABEL, text.partition("=")[2], negated, clause)
            elif text.startswith("$namespace=") and text.removeprefix("$namespace=") in self._names and not negated:
                spaces.add(NAME_LABEL, self._names[text.removeprefix("$namespace=")], negated, clause)
            elif found := _POD_LABEL.match(text):
                pods.add(found[1], found[2], negated, clause)
            elif found := _SPACE_LABEL.match(text):
                spaces.add(found[1], found[2], negated, clause)
            else:
                raise _Unsayable(f"{clause} is no label that Kubernetes has")
        return _Selectors(spaces.selector() or None, pods.selector())


class _Terms:
    """The terms of one label selector."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._expressions: list[Manifest] = []

    def add(self, key: str, value: str, negated: bool, clause: str) -> None:
        """Add one clause. Raises :class:`_Unsayable`."""
        if value == "*":
            self._expressions.append({"key": key, "operator": "DoesNotExist" if negated else "Exists"})
        elif value.endswith("*"):
            raise _Unsayable(f"{clause} is about the beginning of a label")
        elif negated or self._labels.get(key, value) != value:
            plain = "" if value == "<empty>" else value
            self._expressions.append({"key": key, "operator": "NotIn" if negated else "In", "values": [plain]})
        else:
            self._labels[key] = value

    def selector(self) -> Manifest:
        """The selector; empty if there are no terms."""
        labels = {key: "" if value == "<empty>" else value for key, value in self._labels.items()}
        parts = {"matchLabels": labels, "matchExpressions": self._expressions}
        return {name: part for name, part in parts.items() if part}


def _ports(ranges: Sequence[PortRange]) -> list[Manifest]:
    """The ports of a rule; none for every protocol and port. Raises :class:`_Unsayable`."""
    if ANYTHING in ranges:
        return []
    found = [port for piece in ranges for port in _sayable(piece)]
    if any(not _sayable(piece) for piece in ranges):
        raise _Unsayable("NetworkPolicy knows TCP, UDP and SCTP, from port 1")
    return found


def _sayable(piece: PortRange) -> list[Manifest]:
    protocol = _PROTOCOLS.get(piece.protocol)
    if protocol is None:
        return []
    if (piece.first, piece.last) == (0, _LAST_PORT):
        return [{"protocol": protocol}]
    first = max(piece.first, 1)
    if piece.protocol == _SCTP or piece.last < first:
        return []
    upper = {"endPort": piece.last} if piece.last > first else {}
    return [{"protocol": protocol, "port": first, **upper}]
