"""NetworkPolicy (``networking.k8s.io/v1``) and what else a translation needs, from decoded manifests.

Checked as the Kubernetes API checks it, and closed to unknown fields: a misspelt ``ingres`` is an error, not a policy
that isolates. From the API reference of Kubernetes 1.34.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from watchword.exchange.documents import Document
from watchword.exchange.kubernetes.labels import ABSENT, Demand, Selection, both, equal_to
from watchword.exchange.kubernetes.pods import NAME_LABEL, named_ports
from watchword.exchange.notes import Note, Unreadable

_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")
_KEY = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?\Z")
_PORT_NAME = re.compile(r"(?=.{1,15}\Z)(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*\Z")

Direction = Literal["Ingress", "Egress"]


class _Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    pass


class Requirement(_Closed, frozen=True):
    """One of a selector's ``matchExpressions``."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] | None = None


class Selector(_Closed, frozen=True):
    """A label selector; one that says nothing selects everything."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Requirement] | None = None


class IPBlock(_Closed, frozen=True):
    """Addresses, and those of them that are not meant."""

    cidr: str
    excluded: list[str] | None = msgspec.field(default=None, name="except")


class Peer(_Closed, frozen=True):
    """Pods, or addresses."""

    pod_selector: Selector | None = None
    namespace_selector: Selector | None = None
    ip_block: IPBlock | None = None


class Port(_Closed, frozen=True):
    """A protocol, and a port, a range of ports, or a container port's name."""

    protocol: Literal["TCP", "UDP", "SCTP"] | None = None
    port: int | str | None = None
    end_port: int | None = None


class IngressRule(_Closed, frozen=True):
    """Who may come in. What is missing or empty restricts nothing."""

    ports: list[Port] | None = None
    peers: list[Peer] | None = msgspec.field(default=None, name="from")


class EgressRule(_Closed, frozen=True):
    """Whom a pod may go to."""

    ports: list[Port] | None = None
    peers: list[Peer] | None = msgspec.field(default=None, name="to")


class Specification(_Closed, frozen=True):
    """``spec``."""

    pod_selector: Selector | None = None
    policy_types: list[Direction] | None = None
    ingress: list[IngressRule] | None = None
    egress: list[EgressRule] | None = None

    def directions(self) -> set[Direction]:
        """The directions in which the policy isolates the pods it selects."""
        if self.policy_types:
            return set(self.policy_types)
        return {"Ingress", "Egress"} if self.egress else {"Ingress"}


class Policy(NamedTuple):
    """One NetworkPolicy."""

    namespace: str
    name: str
    specification: Specification
    place: str  # in the file

    @property
    def title(self) -> str:
        """What notes call it."""
        return f"NetworkPolicy {self.namespace}/{self.name}"


@dataclass
class Cluster:
    """What manifests say of one cluster."""

    policies: list[Policy] = field(default_factory=list)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)  # labels of those whose manifest is given
    ports: dict[str, set[tuple[str, int]]] = field(default_factory=lambda: defaultdict(set))  # by name
    notes: list[Note] = field(default_factory=list)


#: Where the pods of other kinds are described.
_TEMPLATES = {
    "Pod": ("spec",),
    "Deployment": ("spec", "template", "spec"),
    "ReplicaSet": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}


def read(documents: Sequence[Document]) -> Cluster:
    """What ``documents`` say. Raises :class:`Unreadable` for a NetworkPolicy that Kubernetes would refuse."""
    cluster = Cluster()
    seen: set[tuple[str, str]] = set()
    for document in documents:
        for path, value in _objects(document.value, ""):
            _take(cluster, value, document.place(path))
    for policy in cluster.policies:
        if (policy.namespace, policy.name) in seen:
            raise Unreadable(policy.place, f"{policy.title} is there twice", "leave one of them out")
        seen.add((policy.namespace, policy.name))
    return cluster


def _objects(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    items = value.get("items") if isinstance(value, dict) else None
    if isinstance(items, list) and str(value.get("kind", "")).endswith("List"):
        kind = str(value["kind"]).removesuffix("List")
        for index, item in enumerate(items):
            if kind and isinstance(item, dict) and "kind" not in item:
                item = {"apiVersion": value.get("apiVersion"), "kind": kind, **item}
            yield f"items[{index}]", item
    else:
        yield path, value


def _take(cluster: Cluster, value: Any, place: str) -> None:
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise Unreadable(place, "is no Kubernetes object", "give it apiVersion, kind and metadata.name")
    kind, metadata = value["kind"], value.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name, namespace = metadata.get("name"), metadata.get("namespace") or "default"
    if name is None and kind not in ("NetworkPolicy", "Namespace"):
        name = "-"
    for each in (name, namespace):
        if each != "-" and (not isinstance(each, str) or not _NAME.match(each)):
            raise Unreadable(place, f"{each!r} is no name in Kubernetes", "use lower-case letters, digits, - and .")
    name, namespace = str(name), str(namespace)
    title = f"{kind} {namespace}/{name}"
    if kind == "NetworkPolicy" and value.get("apiVersion") == "networking.k8s.io/v1":
        cluster.policies.append(_policy(value, namespace, name, place))
    elif kind == "Namespace":
        cluster.namespaces[name] = {**_labels(metadata, place), NAME_LABEL: name}
    elif kind in _TEMPLATES:
        for step in _TEMPLATES[kind]:
            value = value.get(step) if isinstance(value, dict) else None
        for port, protocol, number in named_ports(value):
            cluster.ports[port].add((protocol, number))
    elif kind.endswith("NetworkPolicy"):
        message = f"only NetworkPolicy of networking.k8s.io/v1 is translated, not {value.get('apiVersion')} {kind}"
        cluster.notes.append(Note(f"{place}: {title}", message))
    else:
        cluster.notes.append(Note(f"{place}: {title}", "says nothing about who may talk to whom", lost=False))


def _labels(metadata: dict[str, Any], place: str) -> dict[str, str]:
    labels = metadata.get("labels") or {}
    if not isinstance(labels, dict):
        raise Unreadable(place, "metadata.labels is no mapping", "write key: value")
    for key, value in labels.items():
        _check_label(key, value, place)
    return labels


def _policy(value: dict[str, Any], namespace: str, name: str, place: str) -> Policy:
    try:
        given = value.get("spec")
        specification = msgspec.convert({} if given is None else given, Specification)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        path = "spec" + where.removesuffix("`")
        raise Unreadable(f"{place}, {path}", message, "see the reference of NetworkPolicy") from None
    if len(set(specification.policy_types or ())) < len(specification.policy_types or ()):
        raise Unreadable(f"{place}, spec.policyTypes", "names a direction twice", "name each once")
    policy = Policy(namespace, name, specification, place)
    _check_selector(specification.pod_selector, f"{place}, spec.podSelector")
    for field_name in ("ingress", "egress"):
        for index, rule in enumerate(getattr(specification, field_name) or ()):
            _check_rule(rule, f"{place}, spec.{field_name}[{index}]", "from" if field_name == "ingress" else "to")
    return policy


def _check_rule(rule: IngressRule | EgressRule, place: str, peers: str) -> None:
    for index, peer in enumerate(rule.peers or ()):
        where = f"{place}.{peers}[{index}]"
        if peer.ip_block is None and peer.pod_selector is None and peer.namespace_selector is None:
            raise Unreadable(where, "names no peer", "write podSelector, namespaceSelector or ipBlock")
        if peer.ip_block is not None:
            if peer.pod_selector is not None or peer.namespace_selector is not None:
                raise Unreadable(where, "has ipBlock and a selector", "write two peers")
            _check_block(peer.ip_block, f"{where}.ipBlock")
        _check_selector(peer.pod_selector, f"{where}.podSelector")
        _check_selector(peer.namespace_selector, f"{where}.namespaceSelector")
    for index, port in enumerate(rule.ports or ()):
        _check_port(port, f"{place}.ports[{index}]")


def _check_block(block: IPBlock, place: str) -> None:
    outer = _network(block.cidr, f"{place}.cidr")
    for index, text in enumerate(block.excluded or ()):
        inner = _network(text, f"{place}.except[{index}]")
        if inner.version != outer.version or inner == outer or not inner.subnet_of(outer):  # type: ignore[arg-type]
            raise Unreadable(
                f"{place}.except[{index}]", f"{text} is no true part of {block.cidr}", "correct one of both"
            )


def _network(text: str, place: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        if "/" not in text:
            raise ValueError(f"{text!r} has no length")
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise Unreadable(place, str(error), "write it like 10.0.0.0/8 or 2001:db8::/32") from None


def _check_port(port: Port, place: str) -> None:
    if isinstance(port.port, int) and not 1 <= port.port <= 65535:
        raise Unreadable(f"{place}.port", f"{port.port} is no port", "write a number from 1 to 65535")
    if isinstance(port.port, str) and not _PORT_NAME.match(port.port):
        raise Unreadable(
            f"{place}.port", f"{port.port!r} is no name of a port", "write a number, or a container port's name"
        )
    if port.end_port is not None:
        if not isinstance(port.port, int):
            raise Unreadable(f"{place}.endPort", "stands without a port that is a number", "write port too")
        if not port.port <= port.end_port <= 65535:
            raise Unreadable(f"{place}.endPort", f"{port.end_port} is not from {port.port} to 65535", "correct it")


def _check_selector(selector: Selector | None, place: str) -> None:
    if selector is None:
        return
    for key, value in (selector.match_labels or {}).items():
        _check_label(key, value, f"{place}.matchLabels")
    for index, requirement in enumerate(selector.match_expressions or ()):
        where = f"{place}.matchExpressions[{index}]"
        for value in requirement.values or ("",):
            _check_label(requirement.key, value, where)
        if (requirement.operator in ("In", "NotIn")) != bool(requirement.values):
            remedy = "In and NotIn need values, Exists and DoesNotExist must not have any"
            raise Unreadable(where, f"{requirement.operator} with {len(requirement.values or ())} values", remedy)


def _check_label(key: Any, value: Any, place: str) -> None:
    if not isinstance(key, str) or not _KEY.match(key):
        raise Unreadable(place, f"{key!r} is no key of a label", "see Kubernetes' rules for labels")
    if not isinstance(value, str) or not _VALUE.match(value):
        raise Unreadable(place, f"{value!r} is no value of a label", "see Kubernetes' rules for labels, and quote it")


def selection(selector: Selector | None) -> Selection | None:
    """What a selector takes: a demand for each key; ``None`` for nothing at all."""
    found: Selection | None = {}
    demands = [(key, equal_to(value)) for key, value in ((selector and selector.match_labels) or {}).items()]
    for requirement in (selector and selector.match_expressions) or ():
        values = frozenset(requirement.values or ())
        match requirement.operator:
            case "In":
                demand = Demand(values, True)
            case "NotIn":  # also where there is no such label
                demand = Demand(values, False)
            case "Exists":
                demand = Demand(frozenset([ABSENT]), False)
            case "DoesNotExist":
                demand = Demand(frozenset([ABSENT]), True)
        demands.append((requirement.key, demand))
    for key, demand in demands:
        found = both(found, {key: demand}) if found is not None else None
    return found
