"""Clusters of every kind, judged by what their APIs say."""

from __future__ import annotations

import dataclasses

import pytest

from watchword.enforcer.doctor.clusters import Cluster, Node, judge
from watchword.enforcer.doctor.findings import Finding

HOST = Node("a", "linux")
PLAIN = Cluster("v1.30.2", (HOST,), may_grant=True)
AKS = frozenset({"kubernetes.azure.com/mode=system"})


def found(cluster: Cluster, name: str) -> Finding:
    (finding,) = [each for each in judge(cluster) if each.name == name]
    assert finding.remedy or finding.result in ("pass", "skip")
    return finding


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v1.15.12", "fail"),
        ("v1.16.0", "pass"),
        ("v1.30.2+k3s1", "pass"),
        ("v2.0.0", "pass"),
        ("", "skip"),
        ("x", "skip"),
    ],
)
def test_kubernetes_from_1_16_on(version: str, expected: str) -> None:
    assert found(dataclasses.replace(PLAIN, version=version), "Kubernetes").result == expected


@pytest.mark.parametrize(
    ("cluster", "platform"),
    [
        (PLAIN, "self-managed"),
        (Cluster("v1.29.4-gke.1043002"), "GKE"),
        (Cluster("v1.30.4-eks-a737599"), "EKS"),
        (Cluster("v1.29.4", (Node("aks-nodepool1-1", "linux", AKS),)), "AKS"),
        (Cluster("v1.27.8+4fab27b", openshift="4.14.8"), "OpenShift"),
        (Cluster("v1.27.8+4fab27b", openshift=None), "OpenShift"),
    ],
)
def test_platforms(cluster: Cluster, platform: str) -> None:
    assert cluster.platform == platform
    assert found(cluster, "Kubernetes").detail.endswith(f", {platform}")


@pytest.mark.parametrize(("version", "expected"), [("4.5.41", "fail"), ("4.6.0", "pass"), (None, "skip")])
def test_openshift_from_4_6_on(version: str | None, expected: str) -> None:
    assert found(dataclasses.replace(PLAIN, openshift=version), "OpenShift").result == expected
    assert "OpenShift" not in {each.name for each in judge(PLAIN)}


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ((), []),
        (("1.8.0", "1.8.0"), ["pass"]),
        (("1.20.3", "1.7.4"), ["pass", "fail"]),
        (("",), ["skip"]),
        (None, ["skip"]),
    ],
)
def test_each_istiod_from_1_8_on(versions: tuple[str, ...] | None, expected: list[str]) -> None:
    judged = [each.result for each in judge(dataclasses.replace(PLAIN, istio=versions)) if each.name == "Istio"]
    assert judged == expected


def test_nodes_that_are_no_linux_hosts_are_named_and_ignored() -> None:
    windows = Node("w", "windows")
    fargate = Node("fargate-ip-10-0-1-2.ec2.internal", "linux", frozenset({"eks.amazonaws.com/compute-type=fargate"}))
    virtual = Node("virtual-node-aci-linux", "linux", frozenset({"type=virtual-kubelet"}))
    autopilot = Node("gk3-autopilot-1-default-pool-abc", "linux")
    assert found(PLAIN, "nodes").detail == "1 of Linux"
    mixed = dataclasses.replace(PLAIN, nodes=(HOST, windows, fargate, fargate))
    assert (found(mixed, "nodes").result, found(mixed, "serverless").result) == ("degraded", "degraded")
    assert "windows" in found(mixed, "nodes").detail
    assert found(mixed, "serverless").detail == "AWS Fargate (EKS), ignored: 2 of the nodes"
    for node, kind in ((virtual, "virtual nodes"), (autopilot, "GKE Autopilot")):
        alone = dataclasses.replace(PLAIN, nodes=(node,))
        assert found(alone, "nodes").result == "fail"
        assert kind in found(alone, "serverless").detail
    assert found(dataclasses.replace(PLAIN, nodes=(windows,)), "nodes").result == "fail"
    assert found(dataclasses.replace(PLAIN, nodes=()), "nodes").result == "fail"
    assert found(dataclasses.replace(PLAIN, nodes=None), "nodes").result == "skip"


def test_kubenet_is_told_by_routes_on_aks_alone() -> None:
    routed = dataclasses.replace(HOST, routed=True)
    assert found(dataclasses.replace(PLAIN, nodes=(routed,)), "CNI plugin").result == "skip"
    aks = dataclasses.replace(routed, labels=AKS)
    assert found(dataclasses.replace(PLAIN, nodes=(aks, HOST)), "CNI plugin").result == "fail"
    assert (
        found(dataclasses.replace(PLAIN, nodes=(dataclasses.replace(aks, routed=False),)), "CNI plugin").result
        == "skip"
    )


@pytest.mark.parametrize(("may", "expected"), [(True, "pass"), (False, "fail"), (None, "skip")])
def test_whoever_installs_has_to_create_cluster_roles(may: bool | None, expected: str) -> None:
    assert found(dataclasses.replace(PLAIN, may_grant=may), "cluster roles").result == expected
    gke = found(dataclasses.replace(PLAIN, version="v1.29.4-gke.1043002", may_grant=may), "cluster roles")
    assert gke.result == expected
    assert may is not False or "Kubernetes Engine Admin" in gke.remedy
