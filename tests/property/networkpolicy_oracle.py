"""What Kubernetes decides about a connection between pods, written from the NetworkPolicy reference alone.

Works on manifests as they are written. Slow and obvious on purpose; shares no code with the translation and must never
import it.

From the API reference (networking.k8s.io/v1) and "Network Policies" of the Kubernetes documentation:

* A pod is isolated for a direction when some policy in its namespace selects it and has that direction in its
  policyTypes; those left out mean Ingress, and Egress too if there is an egress rule.
* An isolated pod's connection is allowed if some rule of some such policy allows it. One that is not isolated allows
  it.
* A connection needs its source's egress and its destination's ingress. Nothing comes between a pod and itself.
* A rule without peers is about all peers, one without ports about all ports. A peer is an ipBlock, or pods: those that
  podSelector takes in the namespaces that namespaceSelector takes; without one of both, in the policy's own namespace,
  or all pods.
* A port's protocol is TCP if left out; a named port is what the *destination's* container calls so.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    namespace: str
    name: str
    labels: dict[str, str] = field(default_factory=dict)
    ports: tuple[tuple[str, str, int], ...] = ()  # name, protocol, number
    address: str = ""

    def __hash__(self) -> int:
        return hash((self.namespace, self.name))


@dataclass
class Cluster:
    namespaces: dict[str, dict[str, str]]  # their labels
    pods: list[Pod]
    policies: list[Manifest]
    blocks_mean_pods: bool = False  # whether an ipBlock is compared with pods' addresses


def takes(selector: Manifest, labels: dict[str, str]) -> bool:
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for requirement in selector.get("matchExpressions") or []:
        key, operator, values = requirement["key"], requirement["operator"], requirement.get("values") or []
        if operator == "In" and not (key in labels and labels[key] in values):
            return False
        if operator == "NotIn" and key in labels and labels[key] in values:
            return False
        if operator == "Exists" and key not in labels:
            return False
        if operator == "DoesNotExist" and key in labels:
            return False
    return True


def namespace_of(policy: Manifest) -> str:
    return str(policy["metadata"].get("namespace", "default"))


def types_of(policy: Manifest) -> list[str]:
    spec = policy["spec"]
    if spec.get("policyTypes"):
        return list(spec["policyTypes"])
    return ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def isolating(cluster: Cluster, pod: Pod, direction: str) -> list[Manifest]:
    return [
        policy
        for policy in cluster.policies
        if namespace_of(policy) == pod.namespace
        and direction in types_of(policy)
        and takes(policy["spec"].get("podSelector") or {}, pod.labels)
    ]


def in_block(block: Manifest, address: str) -> bool:
    ip = ipaddress.ip_address(address)
    inside = ip in ipaddress.ip_network(block["cidr"])
    return inside and not any(ip in ipaddress.ip_network(hole) for hole in block.get("except") or [])


def is_peer(cluster: Cluster, policy: Manifest, peer: Manifest, other: Pod | str) -> bool:
    if peer.get("ipBlock") is not None:
        if isinstance(other, str):
            return in_block(peer["ipBlock"], other)
        return cluster.blocks_mean_pods and in_block(peer["ipBlock"], other.address)
    if isinstance(other, str):
        return False
    if peer.get("namespaceSelector") is None:
        if other.namespace != namespace_of(policy):
            return False
    elif not takes(
        peer["namespaceSelector"],
        {**cluster.namespaces[other.namespace], "kubernetes.io/metadata.name": other.namespace},
    ):
        return False
    return takes(peer.get("podSelector") or {}, other.labels)


def is_port(entry: Manifest, destination: Pod | str, protocol: str, port: int) -> bool:
    wanted = entry.get("protocol") or "TCP"
    if wanted != protocol:
        return False
    number = entry.get("port")
    if number is None:
        return True
    if isinstance(number, str):
        return isinstance(destination, Pod) and (number, protocol, port) in destination.ports
    return bool(number <= port <= (entry.get("endPort") or number))


def side_allows(
    cluster: Cluster, pod: Pod, direction: str, other: Pod | str, destination: Pod | str, protocol: str, port: int
) -> bool:
    policies = isolating(cluster, pod, direction)
    if not policies:
        return True
    for policy in policies:
        for rule in policy["spec"].get(direction.lower()) or []:
            peers = rule.get("from" if direction == "Ingress" else "to")
            if peers and not any(is_peer(cluster, policy, peer, other) for peer in peers):
                continue
            ports = rule.get("ports")
            if ports and not any(is_port(entry, destination, protocol, port) for entry in ports):
                continue
            return True
    return False


def allowed(cluster: Cluster, source: Pod | str, destination: Pod | str, protocol: str, port: int) -> bool:
    """Whether a connection works; at least one end is a pod."""
    if source == destination:
        return True
    leaving = not isinstance(source, Pod) or side_allows(
        cluster, source, "Egress", destination, destination, protocol, port
    )
    entering = not isinstance(destination, Pod) or side_allows(
        cluster, destination, "Ingress", source, destination, protocol, port
    )
    return leaving and entering
