"""Exported NetworkPolicies decide what the world decides, pod pair by pod pair, or say what they lose."""

from __future__ import annotations

import pytest
from hypothesis import event, given, settings

from tests.property import oracle
from tests.property.clusters import (
    BASE,
    FLOWS,
    NAMESPACES,
    PODS,
    clusters,
    connections,
    documents,
    end,
    manifest,
    translated,
    world_of,
)
from tests.property.networkpolicy_oracle import Cluster, Pod, allowed
from watchword.exchange.kubernetes import manifests
from watchword.exchange.kubernetes.export import Exported, export
from watchword.exchange.notes import Unreadable
from watchword.policy.world import World


def exported(world: World, cluster: Cluster) -> Exported:
    found = export(world, [f"{BASE}/{name}" for name in cluster.namespaces])
    manifests.read(documents(found.manifests))  # Kubernetes would take them
    return found


def differences(world: World, cluster: Cluster, found: Exported) -> list[tuple[Pod | str, Pod | str, str, int, bool]]:
    other = Cluster(cluster.namespaces, cluster.pods, found.manifests)
    return [
        (source, destination, name, kube_port, says)
        for source, destination in connections(cluster)
        for name, kube_port, protocol, port in FLOWS
        if (says := oracle.passes(world, end(world, source), end(world, destination), protocol, port))
        != allowed(other, source, destination, name, kube_port)
    ]


@settings(max_examples=150, deadline=None)
@given(clusters())
def test_what_came_from_kubernetes_goes_back(cluster: Cluster) -> None:
    world = world_of(translated(cluster).document, cluster.pods)
    found = exported(world, cluster)
    wrong = differences(world, cluster, found)
    if [note for note in found.notes if note.lost]:
        event("something is lost")
        assert all(says for *_, says in wrong), "more is allowed than before"
    else:
        event("exact")
        assert wrong == []


def test_the_fixed_cluster_goes_back_exactly() -> None:
    block = {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}
    db = {"matchLabels": {"app": "db"}}
    policies = [
        manifest("shop", "a", {"podSelector": db, "ingress": [{"from": [{"podSelector": {}}]}]}),
        manifest("shop", "b", {"policyTypes": ["Egress"], "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]}),
        manifest("other", "c", {"ingress": [{"from": [{"ipBlock": block}]}]}),
    ]
    cluster = Cluster(NAMESPACES, list(PODS), policies)
    world = world_of(translated(cluster).document, PODS)
    found = exported(world, cluster)
    assert not [note for note in found.notes if note.lost]
    assert differences(world, cluster, found) == []
    assert len(found.manifests) > 3


RULE = {"object": [["@app:k8s:namespace=*", "k8s:app=web"]], "protocolPorts": ["tcp/80"]}


def own(rulesets: list[dict[str, object]]) -> World:
    spaces = [
        {"name": f"{BASE}/{name}", "type": "Kubernetes", "defaultPUIncomingTrafficAction": "Reject"}
        for name in NAMESPACES
    ]
    networks = [{"name": "n", "entries": ["example.com", "10.0.0.0/8"], "associatedTags": ["net=n"], "propagate": True}]
    data = {"namespaces": spaces, "externalnetworks": networks, "networkrulesetpolicies": rulesets}
    return world_of({"data": data}, PODS)


def test_a_reject_is_never_left_out() -> None:
    ruleset = {
        "name": "r",
        "subject": [["k8s:app=db"]],
        "propagate": True,
        "incomingRules": [{**RULE, "action": "Reject"}],
    }
    with pytest.raises(Unreadable, match="can only allow"):
        export(own([ruleset]), [f"{BASE}/shop"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"incomingRules": [{**RULE, "protocolPorts": ["tcp/80", "icmp"]}]}, "knows TCP, UDP and SCTP"),
        ({"incomingRules": [{**RULE, "object": [["app=web"], ["k8s:app=web"]]}]}, "app=web is no label"),
        ({"incomingRules": [{**RULE, "object": [["k8s:app=we*"]]}]}, "beginning of a label"),
        ({"incomingRules": [{**RULE, "object": [["net=n"]]}]}, "host names"),
        ({"subject": [["@org:k8s:team=a"]]}, "by labels of the namespace"),
        ({"subject": [["app=x"]]}, "is no label"),
        ({"fallback": True}, "is a fallback"),
    ],
)
def test_what_cannot_be_said_is_listed_and_not_allowed(change: dict[str, object], said: str) -> None:
    ruleset = {"name": "r", "subject": [["k8s:app=db"]], "propagate": True, "incomingRules": [RULE], **change}
    world = own([ruleset])
    cluster = Cluster(NAMESPACES, list(PODS), [])
    found = exported(world, cluster)
    assert [note for note in found.notes if note.lost and said in note.message], found.notes
    assert all(says for *_, says in differences(world, cluster, found))


def test_two_rulesets_of_one_name_make_two_policies() -> None:
    ruleset = {"name": "Über r", "subject": [["k8s:app=db"]], "propagate": True, "incomingRules": [RULE]}
    below = {**ruleset, "namespace": f"{BASE}/shop"}
    found = export(own([ruleset, below]), [f"{BASE}/shop"])
    assert len({each["metadata"]["name"] for each in found.manifests}) == len(found.manifests) == 4
