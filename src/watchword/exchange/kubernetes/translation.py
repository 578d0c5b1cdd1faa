"""NetworkPolicies as namespaces, rulesets and external networks that decide the same.

A NetworkPolicy only allows; and as soon as one policy selects a pod for a direction, the pod is *isolated*: what no
policy allows is refused. Here a namespace has a default for each direction, and an Allow adds to it. So:

1. Each Kubernetes namespace becomes a namespace, its labels ``organizationalMetadata``.
2. A direction in which none of its policies isolates has the default Allow. A direction in which some policy isolates
   has the default Reject, and pods that none of them selects get a ruleset that allows them everything: its subject is
   the complement of the policies' selectors.
3. Each policy becomes a ruleset: subject the pods it selects, and an Allow rule for each of its rules.
4. "From anywhere" is every unit and every address (:data:`EVERYTHING`); an ``ipBlock`` is an external network.
5. A named port is the pods that have it, by tag: for incoming flows a ruleset about those of the selected pods, for
   outgoing flows a rule about those of the peers.

What cannot be exact is refused (:class:`Unreadable`) where leaving it out would allow more, else listed.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from watchword.exchange.documents import Document
from watchword.exchange.family import Translated
from watchword.exchange.kubernetes import manifests
from watchword.exchange.kubernetes.labels import Selection, clauses, outside
from watchword.exchange.kubernetes.manifests import Cluster, Direction, IPBlock, Peer, Policy, Port
from watchword.exchange.kubernetes.pods import (
    NAME_LABEL,
    NAMESPACE,
    label_key,
    namespace_label_key,
    namespace_tags,
    port_tag,
)
from watchword.exchange.notes import Note, Unreadable

#: Alternatives of one expression, and parts of one complement.
LIMIT = 1000

#: The label of an import that is given none.
LABEL = "kubernetes"

EVERYTHING = "kubernetes:network=everything"

_ALL_UNITS = ["$identity=processingunit"]
_ALL_PODS = [f"{NAMESPACE}*"]
_DIRECTIONS: tuple[tuple[Direction, str], ...] = (("Ingress", "incoming"), ("Egress", "outgoing"))

Alternatives = list[list[str]]


class _Pieces(NamedTuple):
    """Ports of a rule: those with numbers, and for each name what it stands for."""

    plain: list[str]
    named: list[tuple[str, str]]  # the tag of pods that have the port, and the port


def translate(documents: Sequence[Document], namespace: str, pod_networks: Sequence[str] = ()) -> Translated:
    """The NetworkPolicies (with Namespaces, and workloads for their ports) in ``documents``, for ``namespace``.

    ``pod_networks`` are the CIDRs of the cluster's pods: what an ipBlock means for pods depends on them.
    """
    return _Translation(manifests.read(documents), namespace, pod_networks).result()


class _Translation:
    def __init__(self, cluster: Cluster, namespace: str, pod_networks: Sequence[str]) -> None:
        self._cluster = cluster
        self._base = namespace.rstrip("/")
        self._pods = [_pod_network(text) for text in pod_networks]
        self._notes = list(cluster.notes)
        self._networks: dict[str, dict[str, Any]] = {}
        self._rulesets: list[dict[str, Any]] = []
        self._labels_matter = False

    def result(self) -> Translated:
        """Everything as one import."""
        names = sorted({*self._cluster.namespaces, *(policy.namespace for policy in self._cluster.policies)})
        if not names:
            raise Unreadable("NetworkPolicy", "there is none, and no Namespace", "give the cluster's manifests")
        namespaces = [self._namespace(name) for name in names]
        for policy in self._cluster.policies:
            self._policy(policy)
        self._remarks(names)
        data = {
            "namespaces": namespaces,
            "externalnetworks": [self._networks[tag] for tag in sorted(self._networks)],
            "networkrulesetpolicies": self._rulesets,
            "namespacemappingpolicies": [_mapping(name, self._place(name)) for name in names],
        }
        return Translated({"label": LABEL, "data": {kind: items for kind, items in data.items() if items}}, self._notes)

    def _place(self, name: str) -> str:
        return f"{self._base}/{name}"

    def _lost(self, policy: Policy, message: str) -> None:
        self._notes.append(Note(f"{policy.place}: {policy.title}", message))

    def _remarks(self, names: Iterable[str]) -> None:
        unknown = [name for name in names if name not in self._cluster.namespaces]
        if unknown and self._labels_matter:
            listed = ", ".join(unknown)
            message = f"a namespaceSelector asks for labels, and those of {listed} are not known; give their manifests"
            self._notes.append(Note("Namespace", message))
        if any(tag != EVERYTHING for tag in self._networks) and not self._pods:
            message = (
                "addresses of pods are not known: an ipBlock is taken to mean addresses outside the cluster, "
                "as Kubernetes advises; give --pod-network to have pods counted"
            )
            self._notes.append(Note("ipBlock", message, lost=False))

    def _namespace(self, name: str) -> dict[str, Any]:
        """A namespace with its defaults, and the ruleset of its pods that are not isolated."""
        found: dict[str, Any] = {"name": self._place(name), "type": "Kubernetes"}
        tags = namespace_tags(self._cluster.namespaces.get(name, {}))
        if tags:
            found["organizationalMetadata"] = tags
        for direction, word in _DIRECTIONS:
            isolating = self._isolating(name, direction)
            field = f"defaultPU{word.capitalize()}TrafficAction"
            found[field] = "Reject" if isolating else "Allow"
            if isolating:
                self._not_isolated(name, word, isolating)
        return found

    def _isolating(self, name: str, direction: Direction) -> list[Selection]:
        """What the policies that isolate pods of a namespace select."""
        found = [
            manifests.selection(policy.specification.pod_selector)
            for policy in self._cluster.policies
            if policy.namespace == name and direction in policy.specification.directions()
        ]
        return [selection for selection in found if selection is not None]

    def _not_isolated(self, name: str, word: str, isolating: list[Selection]) -> None:
        try:
            free = outside(isolating, LIMIT)
            subject = _unique(each for part in free for each in _pods_in(name, part))
        except OverflowError:
            subject = [[]] * (LIMIT + 1)
        if len(subject) > LIMIT:
            message = f"its policies select {word} by too many different labels to say whom none of them selects"
            raise Unreadable(f"Namespace {name}", message, "split the namespace, or isolate all its pods")
        if subject:
            rules = [{"object": self._everything(), "protocolPorts": ["any"]}]
            description = f"Pods that no NetworkPolicy isolates for {word} flows."
            self._ruleset(name, f"not isolated {word}", subject, {word: rules}, description)

    def _policy(self, policy: Policy) -> None:
        selected = manifests.selection(policy.specification.pod_selector)
        if selected is None:
            return  # it selects no pod
        subject = self._bounded(policy, lambda: _pods_in(policy.namespace, selected))
        directions = policy.specification.directions()
        by_port: dict[str, dict[str, list[dict[str, Any]]]] = {"": {}}
        for direction, word in _DIRECTIONS:
            rules = policy.specification.ingress if direction == "Ingress" else policy.specification.egress
            for rule in (rules or ()) if direction in directions else ():
                pieces = self._ports(policy, rule.ports)
                objects = self._peers(policy, rule.peers)
                if objects and pieces.plain:
                    _add(by_port.setdefault("", {}), word, {"object": objects, "protocolPorts": pieces.plain})
                for tag, port in pieces.named:
                    if word == "incoming" and objects:
                        _add(by_port.setdefault(tag, {}), word, {"object": objects, "protocolPorts": [port]})
                    elif word == "outgoing":
                        having = _unique([*each, tag] for each in self._pod_peers(policy, rule.peers))
                        if having:
                            _add(by_port[""], word, {"object": having, "protocolPorts": [port]})
        description = f"NetworkPolicy {policy.namespace}/{policy.name}"
        for tag, found in by_port.items():
            if found:
                name = f"{policy.name} {tag.partition('port:')[2]}".strip()
                narrowed = [[*each, tag] for each in subject] if tag else subject
                self._ruleset(policy.namespace, name, narrowed, found, description)

    def _ruleset(
        self, name: str, title: str, subject: Alternatives, rules: dict[str, list[dict[str, Any]]], description: str
    ) -> None:
        found: dict[str, Any] = {
            "namespace": self._place(name),
            "name": title if len(title) <= 256 else f"{title[:239]} {_digest(title)}",
            "description": description[:1024],
            "subject": subject,
        }
        for word, each in rules.items():
            found[f"{word}Rules"] = each
        self._rulesets.append(found)

    def _bounded(self, policy: Policy, make: Any) -> Alternatives:
        """Alternatives, of which there must not be too many."""
        try:
            found: Alternatives = make()
        except OverflowError:
            found = [[]] * (LIMIT + 1)
        if len(found) > LIMIT or any(len(each) > 60 for each in found):
            raise Unreadable(
                policy.place, f"{policy.title} has a selector of too many combinations", "split the policy"
            )
        return found

    def _peers(self, policy: Policy, peers: Sequence[Peer] | None) -> Alternatives:
        """Who the peers of a rule are: units and networks."""
        if not peers:
            return self._everything()
        found = [*self._pod_peers(policy, peers)]
        for peer in peers:
            if peer.ip_block is not None:
                found += self._addresses(policy, peer.ip_block)
        return _unique(found)

    def _pod_peers(self, policy: Policy, peers: Sequence[Peer] | None) -> Alternatives:
        """Those of a rule's peers that are pods. A named port is one of a pod: addresses have none."""
        if not peers:
            return [_ALL_PODS]
        found: Alternatives = []
        for peer in peers:
            if peer.ip_block is None:
                found += self._bounded(policy, lambda peer=peer: self._pods_of(policy, peer))
        return self._bounded(policy, lambda: _unique(found))

    def _pods_of(self, policy: Policy, peer: Peer) -> Alternatives:
        pods = manifests.selection(peer.pod_selector)
        if pods is None:
            return []
        if peer.namespace_selector is None:
            return _pods_in(policy.namespace, pods)
        namespaces = manifests.selection(peer.namespace_selector)
        if namespaces is None:
            return []
        self._labels_matter = self._labels_matter or any(key != NAME_LABEL for key in namespaces)
        found = []
        for where in clauses(namespaces, namespace_label_key, LIMIT):
            named = any(clause.startswith(NAMESPACE) for clause in where)
            for labels in clauses(pods, label_key, LIMIT):
                found.append([*([] if named else _ALL_PODS), *where, *labels])
        return found

    def _everything(self) -> Alternatives:
        entry = {
            "name": "everything",
            "description": "Every address, for rules that name no peer.",
            "entries": ["0.0.0.0/0", "::/0"],
            "associatedTags": [EVERYTHING],
            "propagate": True,
        }
        self._networks.setdefault(EVERYTHING, entry)
        return [_ALL_UNITS, [EVERYTHING]]

    def _addresses(self, policy: Policy, block: IPBlock) -> Alternatives:
        cidr = str(ipaddress.ip_network(block.cidr, strict=False))
        carved = sorted({str(ipaddress.ip_network(text, strict=False)) for text in block.excluded or ()})
        without = f" without {_digest(' '.join(carved))}" if carved else ""
        tag = f"kubernetes:ipblock={cidr}{without}"
        entry = {
            "name": f"ipBlock {cidr}{without}",
            "entries": [cidr, *(f"!{text}" for text in carved)],
            "associatedTags": [tag],
            "propagate": True,
        }
        self._networks.setdefault(tag, entry)
        return [[tag], _ALL_PODS] if self._has_pods(policy, cidr, carved) else [[tag]]

    def _has_pods(self, policy: Policy, cidr: str, carved: list[str]) -> bool:
        """Whether a block contains all pods; one that contains some of them cannot be said here."""
        outer = ipaddress.ip_network(cidr)
        holds = []
        for pods in self._pods:
            inside = pods.version == outer.version and pods.subnet_of(outer)  # type: ignore[arg-type]
            touched = pods.version == outer.version and pods.overlaps(outer)
            holes = [ipaddress.ip_network(text) for text in carved] if touched else []
            if touched and any(pods.subnet_of(hole) for hole in holes):  # type: ignore[arg-type]
                touched = False
            elif any(pods.overlaps(hole) for hole in holes):
                inside = False
            holds.append((inside and touched, touched))
        if all(whole for whole, _ in holds):
            return bool(holds)
        if any(touched for _, touched in holds):
            listed = ", ".join(map(str, self._pods))
            self._lost(
                policy, f"ipBlock {cidr} contains some of the pods' addresses ({listed}) only; no pod is meant by it"
            )
        return False

    def _ports(self, policy: Policy, ports: Sequence[Port] | None) -> _Pieces:
        if not ports:
            return _Pieces(["any"], [])
        plain: list[str] = []
        named: list[tuple[str, str]] = []
        for port in ports:
            protocol = port.protocol or "TCP"
            if isinstance(port.port, str):
                named += self._named(policy, protocol, port.port)
            elif protocol == "SCTP" and port.port is not None:
                self._lost(policy, f"SCTP port {port.port}: ports of SCTP cannot be named here; it is not allowed")
            elif protocol == "SCTP":
                plain.append("sctp")
            else:
                plain.append(f"{protocol.lower()}/{_span(port)}")
        return _Pieces(list(dict.fromkeys(plain)), list(dict.fromkeys(named)))

    def _named(self, policy: Policy, protocol: str, name: str) -> list[tuple[str, str]]:
        numbers = sorted(number for spoken, number in self._cluster.ports.get(name, ()) if spoken == protocol)
        if protocol == "SCTP":
            self._lost(policy, f"port {name}: ports of SCTP cannot be named here; it is not allowed")
            return []
        if not numbers:
            message = (
                f"port {name}/{protocol}: no pod that has it is given, so its number is not known; it is not allowed"
            )
            self._lost(policy, message)
        return [(port_tag(name, protocol, number), f"{protocol.lower()}/{number}") for number in numbers]


def _pod_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise Unreadable(f"--pod-network {text}", str(error), "write it like 10.244.0.0/16") from None


def _pods_in(namespace: str, pods: Selection) -> Alternatives:
    return [[NAMESPACE + namespace, *labels] for labels in clauses(pods, label_key, LIMIT)]


def _mapping(name: str, path: str) -> dict[str, Any]:
    return {"name": f"kubernetes {name}", "subject": [[NAMESPACE + name]], "mappedNamespace": path}


def _add(rules: dict[str, list[dict[str, Any]]], word: str, rule: dict[str, Any]) -> None:
    """Add a rule that is not there yet; two that say the same are refused."""
    there = rules.setdefault(word, [])
    if not any(_meaning(rule) == _meaning(other) for other in there):
        there.append(rule)


def _meaning(rule: dict[str, Any]) -> object:
    return frozenset(map(frozenset, rule["object"])), frozenset(rule["protocolPorts"])


def _unique(alternatives: Iterable[list[str]]) -> Alternatives:
    """Alternatives and clauses once each, in their order."""
    found: dict[frozenset[str], list[str]] = {}
    for each in alternatives:
        found.setdefault(frozenset(each), list(dict.fromkeys(each)))
    return list(found.values())


def _span(port: Port) -> str:
    if port.port is None:
        return "0:65535"
    return f"{port.port}:{port.end_port}" if port.end_port not in (None, port.port) else f"{port.port}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
