"""Clusters for translations: manifests, and the same as a world with units tagged as pods are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

from tests.property import oracle
from tests.property.networkpolicy_oracle import Cluster, Manifest, Pod, allowed
from watchword.exchange.documents import Document, Mark
from watchword.exchange.family import Translated
from watchword.exchange.kubernetes import pods, translation
from watchword.model import decoding, registry, tagging, validation
from watchword.model.protocols import TCP, UDP
from watchword.model.resources import Namespace as NamespaceResource
from watchword.model.resources import ProcessingUnit
from watchword.policy.entries import entries
from watchword.policy.world import Namespace, Unit, World
from watchword.wire.policy import EnforcerEntry

BASE = "/cluster"
SCTP = 132

#: Protocol and port as Kubernetes says it, and as a flow is known here.
FLOWS = (
    ("TCP", 80, TCP, 80),
    ("TCP", 81, TCP, 81),
    ("TCP", 8080, TCP, 8080),
    ("TCP", 9090, TCP, 9090),
    ("UDP", 53, UDP, 53),
    ("UDP", 8080, UDP, 8080),
    ("SCTP", 7777, SCTP, 0),  # ports of SCTP are not looked at here
)

ADDRESSES = ("10.0.0.1", "10.1.0.1", "192.0.2.1", "2001:db8::1")

NAMESPACES = {"shop": {"team": "a"}, "other": {}, "third": {"team": "b", "env": ""}}
PODS = (
    Pod("shop", "web", {"app": "web"}, (("http", "TCP", 8080),), "10.244.0.1"),
    Pod("shop", "db", {"app": "db", "tier": "back"}, (("http", "TCP", 9090), ("dns", "UDP", 53)), "10.244.0.2"),
    Pod("shop", "odd", {}, (), "10.244.0.3"),
    Pod("other", "web", {"app": "web", "tier": ""}, (("http", "UDP", 8080),), "10.244.1.1"),
    Pod("third", "x", {"tier": "back"}, (("http", "TCP", 8080),), "10.244.2.1"),
)


def manifest(namespace: str, name: str, spec: Manifest) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def pod_manifest(pod: Pod) -> Manifest:
    ports = [{"name": name, "protocol": protocol, "containerPort": number} for name, protocol, number in pod.ports]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "labels": pod.labels},
        "spec": {"containers": [{"name": "c", "ports": ports}]},
    }


def documents(manifests: Sequence[Manifest]) -> list[Document]:
    return [Document("cluster.yaml", number, each, Mark(1)) for number, each in enumerate(manifests, 1)]


def translated(cluster: Cluster, pod_networks: Sequence[str] = ()) -> Translated:
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for name, labels in cluster.namespaces.items()
    ]
    workloads = [pod_manifest(pod) for pod in cluster.pods]
    return translation.translate(documents([*spaces, *workloads, *cluster.policies]), BASE, pod_networks)


def resources(document: Manifest) -> Iterator[Any]:
    """The resources of an import, checked as the Console checks them."""
    prefix = {"id": 0}
    for plural, items in document["data"].items():
        kind = registry.kind(plural)
        for item in items:
            body = dict(item)
            space = body.pop("namespace", BASE)
            prefix["id"] += 1
            resource = decoding.convert({**body, "ID": f"{kind.alias}{prefix['id']}", "namespace": space}, kind.type)
            validation.check(resource, ())
            yield tagging.normalised(kind, resource, [])


def world_of(document: Manifest, running: Sequence[Pod]) -> World:
    """The world that an import into an empty :data:`BASE` makes, with these pods."""
    parts: dict[str, dict[str, Any]] = {
        "namespaces": {"/": Namespace("/"), BASE: Namespace(BASE)},
        "networks": {},
        "rulesets": {},
    }
    organisation: dict[str, list[str]] = {}
    for resource in resources(document):
        if isinstance(resource, NamespaceResource):
            organisation[resource.name] = resource.organizational_metadata
        for placed in entries(resource):
            parts[placed.part][placed.key] = placed.entry
    units = {unit.id: unit for unit in (_unit(pod, number, organisation) for number, pod in enumerate(running))}
    return World(1, units=units, enforcers={"e": EnforcerEntry(b"e", ())}, **parts)


def _unit(pod: Pod, number: int, organisation: dict[str, list[str]]) -> Unit:
    namespace = f"{BASE}/{pod.namespace}"
    bare = ProcessingUnit(
        id=f"{pod.namespace}/{pod.name}",
        name=pod.name,
        namespace=namespace,
        type="Pod",
        enforcer_id="e",
        native_context_id=str(number),
        badge=100 + number,
        metadata=sorted(tag for tag in pods.pod_tags(pod_manifest(pod)) if tag.startswith("@")),
        associated_tags=sorted(tag for tag in pods.pod_tags(pod_manifest(pod)) if not tag.startswith("@")),
    )
    (placed,) = entries(tagging.normalised(registry.kind("pu"), bare, organisation.get(namespace, [])))
    assert isinstance(placed.entry, Unit)
    return placed.entry


def connections(cluster: Cluster) -> Iterator[tuple[Pod | str, Pod | str]]:
    """Every pair of pods, and every pod with every address, both ways."""
    yield from itertools.permutations(cluster.pods, 2)
    yield from itertools.product(cluster.pods, ADDRESSES)
    yield from itertools.product(ADDRESSES, cluster.pods)


def end(world: World, party: Pod | str) -> Unit | str:
    return world.units[f"{party.namespace}/{party.name}"] if isinstance(party, Pod) else party


def disagreements(cluster: Cluster, world: World) -> list[tuple[Any, ...]]:
    """Connections about which Kubernetes and the world's oracle differ: (…, what Kubernetes says)."""
    found: list[tuple[Any, ...]] = []
    for source, destination in connections(cluster):
        for name, kube_port, protocol, port in FLOWS:
            says = allowed(cluster, source, destination, name, kube_port)
            if oracle.passes(world, end(world, source), end(world, destination), protocol, port) != says:
                found.append((source, destination, name, kube_port, says))
    return found


KEYS = ("app", "tier", "team")
VALUES = ("web", "db", "back", "a", "")

requirements = st.one_of(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        st.sampled_from(KEYS),
        st.sampled_from(("In", "NotIn")),
        st.lists(st.sampled_from(VALUES), min_size=1, max_size=3, unique=True),
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator},
        st.sampled_from(KEYS),
        st.sampled_from(("Exists", "DoesNotExist")),
    ),
)
selectors = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {},
        optional={
            "matchLabels": st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=2),
            "matchExpressions": st.lists(requirements, max_size=3),
        },
    ),
)
namespace_selectors = (
    selectors
    | st.just({"matchLabels": {"kubernetes.io/metadata.name": "shop"}})
    | st.just(
        {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["shop", "third"]}]}
    )
)
blocks = st.sampled_from(
    (
        {"cidr": "10.0.0.0/8"},
        {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.244.0.0/16"]},
        {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]},
        {"cidr": "192.0.2.1/32"},
        {"cidr": "::/0"},
        {"cidr": "2001:db8::/32", "except": ["2001:db8::/64"]},
    )
)
peers = st.one_of(
    st.fixed_dictionaries({"podSelector": selectors}),
    st.fixed_dictionaries({"namespaceSelector": namespace_selectors}),
    st.fixed_dictionaries({"podSelector": selectors, "namespaceSelector": namespace_selectors}),
    st.fixed_dictionaries({"ipBlock": blocks}),
)
ports = st.sampled_from(
    (
        {"port": 80},
        {"port": 8080, "protocol": "UDP"},
        {"port": 80, "endPort": 8080},
        {"port": "http"},
        {"port": "http", "protocol": "UDP"},
        {"port": "dns", "protocol": "UDP"},
        {"port": "unknown"},
        {"protocol": "UDP"},
        {"protocol": "SCTP"},
        {"protocol": "SCTP", "port": 7777},
        {},
    )
)


def rules(word: str) -> st.SearchStrategy[Manifest]:
    return st.fixed_dictionaries(
        {}, optional={word: st.lists(peers, max_size=2), "ports": st.lists(ports, max_size=2) | st.none()}
    )


specifications = st.fixed_dictionaries(
    {"podSelector": selectors},
    optional={
        "policyTypes": st.sampled_from(([], ["Ingress"], ["Egress"], ["Egress", "Ingress"], None)),
        "ingress": st.lists(rules("from"), max_size=2) | st.none(),
        "egress": st.lists(rules("to"), max_size=2) | st.none(),
    },
)


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    namespaces = {
        name: draw(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=2))
        for name in ("shop", "other", "third")
    }
    running = [
        Pod(
            draw(st.sampled_from(("shop", "shop", "other", "third"))),
            f"pod-{number}",
            draw(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=3)),
            tuple(
                draw(
                    st.lists(
                        st.sampled_from((("http", "TCP", 8080), ("http", "TCP", 80), ("dns", "UDP", 53))),
                        max_size=2,
                        unique_by=lambda port: (port[0], port[1]),
                    )
                )
            ),
            f"10.244.0.{number + 1}",
        )
        for number in range(draw(st.integers(2, 4)))
    ]
    policies = [
        manifest(draw(st.sampled_from(("shop", "shop", "other"))), f"policy-{number}", draw(specifications))
        for number in range(draw(st.integers(1, 4)))
    ]
    return Cluster(namespaces, running, policies)
