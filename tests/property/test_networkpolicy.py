"""A translated NetworkPolicy decides what Kubernetes does: pod pair by pod pair, address by address."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import event, given, settings

from tests.property.clusters import (
    FLOWS,
    NAMESPACES,
    PODS,
    clusters,
    connections,
    disagreements,
    end,
    manifest,
    translated,
    world_of,
)
from tests.property.networkpolicy_oracle import Cluster, Manifest, Pod, allowed
from watchword.policy.decide import decide_flow, party

WEB = {"matchLabels": {"app": "web"}}
BACK = {"matchLabels": {"tier": "back"}}
SELECTORS: tuple[Manifest, ...] = (
    {},
    WEB,
    {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]},
    {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]},
    {"matchExpressions": [{"key": "tier", "operator": "Exists"}]},
    {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]},
    {"matchLabels": {"app": "db"}, "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": [""]}]},
    {"matchLabels": {"app": "db"}, "matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]},  # nothing
)
PEERS: tuple[list[Manifest] | None, ...] = (
    None,
    [],
    [{"podSelector": {}}],
    [{"podSelector": WEB}],
    [{"podSelector": SELECTORS[3]}],
    [{"podSelector": SELECTORS[7]}],
    [{"namespaceSelector": {}}],
    [{"namespaceSelector": {"matchLabels": {"team": "a"}}}],
    [{"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}}],
    [{"namespaceSelector": {"matchExpressions": [{"key": "env", "operator": "Exists"}]}}],
    [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "third"}}}],
    [{"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, "podSelector": WEB}],
    [{"namespaceSelector": {}, "podSelector": BACK}],
    [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
    [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}],
    [{"podSelector": BACK}, {"ipBlock": {"cidr": "192.0.2.0/24"}}],
)
PORTS: tuple[list[Manifest] | None, ...] = (
    None,
    [],
    [{"port": 80}],
    [{"port": 80, "endPort": 8080, "protocol": "TCP"}],
    [{"protocol": "UDP", "port": 53}, {"port": 9090}],
    [{"protocol": "SCTP"}],
    [{"protocol": "UDP"}],
    [{"port": "http"}],
    [{"port": "http", "protocol": "UDP"}, {"port": "dns", "protocol": "UDP"}],
)


def exact(*policies: Manifest, pod_networks: tuple[str, ...] = (), lossy: bool = False) -> frozenset[int]:
    """Check that a translation decides as Kubernetes does; which connections those are."""
    cluster = Cluster(NAMESPACES, list(PODS), list(policies), blocks_mean_pods=bool(pod_networks))
    result = translated(cluster, pod_networks)
    assert lossy or not [note for note in result.notes if note.lost], result.notes
    assert disagreements(cluster, world_of(result.document, PODS)) == [], policies
    asked = itertools.product(connections(cluster), FLOWS)
    return frozenset(number for number, (pair, flow) in enumerate(asked) if allowed(cluster, *pair, *flow[:2]))


def rule(peers: list[Manifest] | None, ports: list[Manifest] | None, word: str) -> Manifest:
    return {name: value for name, value in ((word, peers), ("ports", ports)) if value is not None}


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_every_peer_and_every_port(direction: str) -> None:
    word = "from" if direction == "ingress" else "to"
    seen = set()
    for selector, peers, ports in itertools.product((WEB, SELECTORS[3]), PEERS, PORTS):
        spec = {"podSelector": selector, "policyTypes": [direction.capitalize()], direction: [rule(peers, ports, word)]}
        seen.add(exact(manifest("shop", "p", spec)))
    assert len(seen) > 100, "the policies hardly differ"


def test_every_selector_in_every_combination_of_directions() -> None:
    shapes: list[Manifest] = [
        {"policyTypes": ["Ingress"]},
        {"policyTypes": ["Egress"]},
        {"policyTypes": ["Ingress", "Egress"], "ingress": [{"from": [{"podSelector": WEB}]}]},
        {"egress": [{"to": [{"podSelector": {}}], "ports": [{"port": 80}]}]},
    ]
    for selectors in itertools.combinations_with_replacement(SELECTORS, 2):
        for first, second in itertools.combinations_with_replacement(shapes, 2):
            policies = [
                manifest("shop", f"p{number}", {"podSelector": selector, **shape})
                for number, (selector, shape) in enumerate(zip(selectors, (first, second), strict=True))
            ]
            exact(*policies)


@pytest.mark.parametrize(
    "spec",
    [
        {"podSelector": {}},
        {},
        {"podSelector": {}, "ingress": []},
        {"podSelector": {}, "ingress": [{}]},
        {"podSelector": {}, "egress": []},
        {"podSelector": {}, "egress": [{}]},
        {"podSelector": {}, "egress": None, "ingress": None, "policyTypes": None},
        {"podSelector": {}, "policyTypes": []},
        {"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}]},
        {"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{}]},
        {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}]},
        {"podSelector": {}, "policyTypes": ["Egress"]},
        {"podSelector": {}, "ingress": [{"from": None, "ports": None}]},
        {"podSelector": {}, "ingress": [{"from": [{"podSelector": None, "namespaceSelector": {}}]}]},
    ],
    ids=str,
)
def test_what_is_left_out_and_what_is_empty(spec: Manifest) -> None:
    exact(manifest("shop", "p", spec))


RECIPES: dict[str, list[Manifest]] = {
    "deny all to an application": [manifest("shop", "p", {"podSelector": WEB, "ingress": []})],
    "deny everything": [manifest("shop", "p", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})],
    "deny from other namespaces": [
        manifest("shop", "p", {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]})
    ],
    "allow from one namespace": [
        manifest(
            "shop",
            "p",
            {
                "podSelector": WEB,
                "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "b"}}}]}],
            },
        )
    ],
    "some pods of another namespace": [
        manifest(
            "shop",
            "p",
            {
                "podSelector": WEB,
                "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "b"}}, "podSelector": BACK}]}],
            },
        )
    ],
    "pods or namespaces": [
        manifest(
            "shop",
            "p",
            {
                "podSelector": WEB,
                "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "b"}}}, {"podSelector": BACK}]}],
            },
        )
    ],
    "only DNS out": [
        manifest("shop", "deny", {"podSelector": {}, "policyTypes": ["Egress"]}),
        manifest(
            "shop",
            "dns",
            {
                "podSelector": {},
                "policyTypes": ["Egress"],
                "egress": [
                    {"to": [{"namespaceSelector": {}}], "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]}
                ],
            },
        ),
    ],
    "external but private": [
        manifest(
            "shop",
            "p",
            {
                "podSelector": WEB,
                "policyTypes": ["Egress"],
                "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "172.16.0.0/12"]}}]}],
            },
        )
    ],
    "a range of ports": [
        manifest(
            "shop",
            "p",
            {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 80, "endPort": 81}]}]},
        )
    ],
    "by the name of a port": [
        manifest("shop", "p", {"podSelector": {}, "ingress": [{"ports": [{"port": "http"}]}]}),
        manifest("other", "p", {"policyTypes": ["Egress"], "egress": [{"ports": [{"port": "http"}]}]}),
    ],
    "isolated here, open there": [
        manifest("shop", "p", {"podSelector": BACK}),
        manifest(
            "shop",
            "q",
            {"podSelector": WEB, "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": BACK}]}]},
        ),
    ],
}  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_well_known_recipes(recipe: str) -> None:
    everything = len(list(connections(Cluster(NAMESPACES, list(PODS), [])))) * len(FLOWS)
    assert 0 < len(exact(*RECIPES[recipe])) < everything


def test_a_cluster_without_policies_is_open() -> None:
    exact()


def test_blocks_that_hold_all_pods_or_none() -> None:
    for block in (
        {"cidr": "10.0.0.0/8"},
        {"cidr": "10.0.0.0/8", "except": ["10.244.0.0/16"]},
        {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/9"]},
        {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]},
        {"cidr": "192.0.2.0/24"},
        {"cidr": "::/0"},
    ):
        for spec in (
            {"policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": block}]}]},
            {"ingress": [{"from": [{"ipBlock": block}], "ports": [{"port": 80}]}]},
        ):
            exact(manifest("shop", "p", spec), pod_networks=("10.244.0.0/16",))


def test_a_block_that_holds_some_pods_is_listed_and_allows_none_of_them() -> None:
    policy = manifest("shop", "p", {"ingress": [{"from": [{"ipBlock": {"cidr": "10.244.0.0/24"}}]}]})
    cluster = Cluster(NAMESPACES, list(PODS), [policy], blocks_mean_pods=True)
    result = translated(cluster, ("10.244.0.0/16",))
    assert next(note.message for note in result.notes if note.lost).startswith("ipBlock 10.244.0.0/24 contains some")
    assert_narrower(cluster, result.document)


def assert_narrower(cluster: Cluster, document: dict[str, Any]) -> int:
    """Where a translation says that something is lost, it refuses more than Kubernetes, never less."""
    found = disagreements(cluster, world_of(document, cluster.pods))
    assert [each for each in found if not each[-1]] == []
    return len(found)


@settings(max_examples=250, deadline=None)
@given(clusters())
def test_any_policies_decide_the_same_or_say_what_they_lose(cluster: Cluster) -> None:
    result = translated(cluster)
    if [note for note in result.notes if note.lost]:
        event("something is lost")
        assert_narrower(cluster, result.document)
    else:
        event("exact")
        assert disagreements(cluster, world_of(result.document, cluster.pods)) == []


@settings(max_examples=25, deadline=None)
@given(clusters())
def test_the_engine_decides_what_the_oracle_says(cluster: Cluster) -> None:
    """The translated world through the engine itself, not only through the oracle of worlds."""
    result = translated(cluster)
    lost = any(note.lost for note in result.notes)
    world = world_of(result.document, cluster.pods)
    for source, destination in connections(cluster):
        ends = [party(world, each.id if not isinstance(each, str) else each, "p")
                for each in (end(world, source), end(world, destination))]  # fmt: skip
        for name, kube_port, protocol, port in FLOWS:
            says = decide_flow(world, ends[0], ends[1], protocol, port).action == "Allow"
            kube = allowed(cluster, source, destination, name, kube_port)
            assert says == kube or (lost and kube)


def test_a_pod_that_changes_its_labels_is_decided_anew_without_another_translation() -> None:
    """The translation speaks of labels, never of the pods that happened to exist."""
    policies = RECIPES["isolated here, open there"]
    result = translated(Cluster(NAMESPACES, list(PODS), policies))
    later = [
        Pod("shop", "new", {"app": "web", "tier": "back"}),
        Pod("shop", "web", {}),
        Pod("third", "y", {"tier": "back"}),
    ]
    cluster = Cluster(NAMESPACES, later, policies)
    assert disagreements(cluster, world_of(result.document, later)) == []
