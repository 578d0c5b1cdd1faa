"""Requirements of a cluster, by what its API says. Pure.

Platforms are told apart by what their own software writes: GKE and EKS into the API's version, AKS into its nodes'
labels. Nodes get a route each under kubenet, and on AKS only then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from watchword.enforcer.doctor.findings import Finding
from watchword.enforcer.doctor.orchestrators import GROUP, refused_kubenet

_finding = partial(Finding, GROUP)

#: The oldest versions that are supported.
KUBERNETES = (1, 16)
OPENSHIFT = (4, 6)
ISTIO = (1, 8)

_AKS = "kubernetes.azure.com/"


@dataclass(frozen=True, slots=True)
class Node:
    """One node as the API describes it."""

    name: str
    system: str  # status.nodeInfo.operatingSystem
    labels: frozenset[str] = frozenset()  # key=value
    routed: bool = False  # its network counts as available because a route to it was made

    @property
    def serverless(self) -> str:
        """As what no host of its own stands behind it, or none that anything may be installed on; empty for a host."""
        if "eks.amazonaws.com/compute-type=fargate" in self.labels:
            return "AWS Fargate (EKS)"
        if "type=virtual-kubelet" in self.labels:
            return "virtual nodes"
        return "GKE Autopilot" if self.name.startswith("gk3-") else ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster as its API describes it to whoever asked. ``None``: the asker may not know."""

    version: str  # gitVersion of /version
    nodes: tuple[Node, ...] | None = ()
    openshift: str | None = ""  # version of its ClusterVersion; empty for a cluster that is no OpenShift
    istio: tuple[str, ...] | None = ()  # version of each istiod; empty where an image's tag tells none
    may_grant: bool | None = None  # whether the asker may create cluster roles

    @property
    def platform(self) -> str:
        """Who runs it."""
        if self.openshift != "":
            return "OpenShift"
        if "-gke." in self.version:
            return "GKE"
        if "-eks-" in self.version:
            return "EKS"
        aks = any(label.startswith(_AKS) for node in self.nodes or () for label in node.labels)
        return "AKS" if aks else "self-managed"


def judge(cluster: Cluster) -> list[Finding]:
    """What the API says of each requirement."""
    found = [_at_least("Kubernetes", cluster.version, KUBERNETES, f", {cluster.platform}"), *_nodes(cluster)]
    if cluster.openshift is None:
        found.append(_finding("OpenShift", "skip", "you may not read its version"))
    elif cluster.openshift:
        found.append(_at_least("OpenShift", cluster.openshift, OPENSHIFT))
    found += [_kubenet(cluster), *_istio(cluster.istio), _permission(cluster)]
    return found


def _nodes(cluster: Cluster) -> list[Finding]:
    if cluster.nodes is None:
        return [_finding("nodes", "skip", "you may not list them", "ask with a user who may")]
    hosts = [node for node in cluster.nodes if not node.serverless]
    others = sorted({node.system for node in hosts if node.system != "linux"})
    linux = sum(1 for node in hosts if node.system == "linux")
    found = []
    if not linux:
        found.append(_finding("nodes", "fail", "there is no Linux node", "add a node pool of Linux hosts"))
    elif others:
        remedy = "keep workloads that need protection on Linux nodes"
        found.append(_finding("nodes", "degraded", f"{linux} of Linux; ignored: those of {', '.join(others)}", remedy))
    else:
        found.append(_finding("nodes", "pass", f"{linux} of Linux"))
    kinds = [node.serverless for node in cluster.nodes if node.serverless]
    for kind in sorted(set(kinds)):
        remedy = "their pods have no Enforcer; name them as external networks, or move them to nodes"
        found.append(_finding("serverless", "degraded", f"{kind}, ignored: {kinds.count(kind)} of the nodes", remedy))
    return found


def _kubenet(cluster: Cluster) -> Finding:
    if cluster.platform == "AKS" and any(node.routed for node in cluster.nodes or ()):
        return refused_kubenet("the nodes' pods are reached by routes, as with kubenet")
    return _finding(
        "CNI plugin", "skip", "the API does not tell it; each node does", "run watchword doctor on the nodes"
    )


def _istio(versions: Sequence[str] | None) -> list[Finding]:
    if versions is None:
        return [_finding("Istio", "skip", "you may not look for istiod")]
    return [_at_least("Istio", version, ISTIO) for version in sorted(set(versions))]


def _permission(cluster: Cluster) -> Finding:
    name = "cluster roles"
    if cluster.may_grant is None:
        return _finding(name, "skip", "the API did not say whether you may create them")
    if cluster.may_grant:
        return _finding(name, "pass", "you may create them, as an installation has to")
    remedy = "ask for the role Kubernetes Engine Admin" if cluster.platform == "GKE" else "ask for cluster-admin"
    return _finding(name, "fail", "you may not create them, and an installation has to", remedy)


def _at_least(name: str, version: str, oldest: tuple[int, int], remark: str = "") -> Finding:
    needed = ".".join(map(str, oldest))
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is None:
        why = f"{version!r} is no version" if version else "its version is not told"
        return _finding(name, "skip", why, f"see to it that it is {needed} or later")
    if (int(numbers[1]), int(numbers[2])) >= oldest:
        return _finding(name, "pass", version + remark)
    return _finding(name, "fail", f"{version}{remark} is older than {needed}", f"upgrade it to {needed} or later")
