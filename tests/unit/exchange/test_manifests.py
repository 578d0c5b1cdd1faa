"""Manifests are taken exactly as Kubernetes would take them, and anything else is refused with its place."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchword.exchange.documents import Document, Mark
from watchword.exchange.documents import read as documents_in
from watchword.exchange.family import translate as from_family
from watchword.exchange.kubernetes.labels import Demand, both, clauses, outside
from watchword.exchange.kubernetes.manifests import read
from watchword.exchange.kubernetes.pods import label_key, pod_tags
from watchword.exchange.kubernetes.translation import translate
from watchword.exchange.notes import Unreadable

POLICY: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "p", "namespace": "shop", "labels": {"a": "b"}, "uid": "x"},
    "status": {},
    "spec": {
        "podSelector": {"matchLabels": {"app": "web"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80, "endPort": 90, "protocol": "TCP"}]}],
        "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}],
    },
}


def documents(*values: Any) -> list[Document]:
    return [Document("f.yaml", number, value, Mark(number)) for number, value in enumerate(values, 1)]


def changed(path: str, value: Any) -> dict[str, Any]:
    policy = copy.deepcopy(POLICY)
    at: Any = policy
    *steps, last = path.split("/")
    for step in steps:
        at = at[int(step)] if step.isdigit() else at[step]
    at[int(last) if last.isdigit() else last] = value
    return policy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec/ingres", []),
        ("spec/podSelector/matchLabel", {}),
        ("spec/podSelector/matchLabels", {"app": 1}),
        ("spec/podSelector/matchLabels", {"app": "a b"}),
        ("spec/podSelector/matchLabels", {"app": "-a"}),
        ("spec/podSelector/matchLabels", {"app": "x" * 64}),
        ("spec/podSelector/matchLabels", {"app=web,k8s:x": "a"}),
        ("spec/podSelector/matchLabels", {"": "a"}),
        ("spec/podSelector/matchExpressions", [{"key": "a", "operator": "In"}]),
        ("spec/podSelector/matchExpressions", [{"key": "a", "operator": "Exists", "values": ["b"]}]),
        ("spec/podSelector/matchExpressions", [{"key": "a", "operator": "Gt", "values": ["b"]}]),
        ("spec/policyTypes", ["ingress"]),
        ("spec/policyTypes", ["Ingress", "Ingress"]),
        ("spec/ingress/0/from", [{}]),
        ("spec/ingress/0/from", [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]),
        ("spec/ingress/0/to", []),
        ("spec/egress/0/to/0/ipBlock/cidr", "10.0.0.0"),
        ("spec/egress/0/to/0/ipBlock/cidr", "10.0.0.0/33"),
        ("spec/egress/0/to/0/ipBlock/except", ["10.0.0.0/8"]),
        ("spec/egress/0/to/0/ipBlock/except", ["11.0.0.0/16"]),
        ("spec/egress/0/to/0/ipBlock/except", ["::/0"]),
        ("spec/ingress/0/ports/0/port", 0),
        ("spec/ingress/0/ports/0/port", 65536),
        ("spec/ingress/0/ports/0/port", "Http"),
        ("spec/ingress/0/ports/0/port", True),
        ("spec/ingress/0/ports/0/endPort", 79),
        ("spec/ingress/0/ports/0", {"endPort": 90}),
        ("spec/ingress/0/ports/0", {"port": "http", "endPort": 90}),
        ("spec/ingress/0/ports/0/protocol", "tcp"),
        ("spec", []),
        ("metadata", None),
        ("metadata/name", "Not/A/Name"),
        ("metadata/namespace", "../other"),
        ("kind", 7),
    ],
)
def test_what_kubernetes_would_refuse_is_refused(path: str, value: Any) -> None:
    with pytest.raises(Unreadable) as caught:
        read(documents(changed(path, value)))
    assert caught.value.place.startswith("f.yaml, line 1")
    assert caught.value.remedy


def test_lists_and_other_kinds() -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [POLICY, {"kind": "Service", "metadata": {"name": "s"}}]}
    bare = {key: value for key, value in changed("metadata/name", "q").items() if key not in ("apiVersion", "kind")}
    typed = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": [bare]}
    calico = {"apiVersion": "crd.projectcalico.org/v1", "kind": "GlobalNetworkPolicy", "metadata": {"name": "g"}}
    kustomization = {"kind": "Kustomization", "resources": []}
    cluster = read(documents(listed, typed, calico, kustomization))
    assert [policy.name for policy in cluster.policies] == ["p", "q"]
    assert [note.lost for note in cluster.notes] == [False, True, False]
    with pytest.raises(Unreadable, match="there twice"):
        read(documents(POLICY, POLICY))
    with pytest.raises(Unreadable, match="there is none"):
        translate(documents(kustomization), "/")


def test_errors_know_the_line() -> None:
    item = "  - kind: NetworkPolicy\n    apiVersion: networking.k8s.io/v1\n    metadata: {name: p}\n    spec: {x: 1}\n"
    text = f"kind: List\nitems:\n{item}"
    with pytest.raises(Unreadable, match="f, line 3, spec: Object contains unknown field `x`"):
        read(documents_in(text, "f"))


def test_selectors_of_too_many_combinations_are_refused_and_not_cut() -> None:
    wide = [{"key": f"k{n}", "operator": "In", "values": [f"v{m}" for m in range(12)]} for n in range(4)]
    with pytest.raises(Unreadable, match="too many"):
        translate(documents(changed("spec/podSelector/matchExpressions", wide)), "/")
    many = [
        {**POLICY, "metadata": {"name": f"p{n}"}, "spec": {"podSelector": {"matchLabels": dict.fromkeys(keys, "x")}}}
        for n, keys in ((n, (f"a{n}", f"b{n}", f"c{n}")) for n in range(12))
    ]
    with pytest.raises(Unreadable, match="too many different labels"):
        translate(documents(*many), "/")


def test_tags_of_a_pod() -> None:
    manifest = {
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web", "empty": ""}},
        "spec": {
            "nodeName": "n1",
            "serviceAccountName": "s",
            "containers": [{"ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 9}]}],
            "initContainers": [{"ports": [{"name": "gone", "containerPort": 1}]}],
        },
    }
    assert pod_tags(manifest) == {
        "@app:k8s:name=web-1",
        "@app:k8s:namespace=shop",
        "@app:k8s:nodename=n1",
        "@app:k8s:serviceaccountname=s",
        "@app:k8s:port:http=tcp/8080",
        "k8s:app=web",
        "k8s:empty=<empty>",
    }


VALUES = (None, "a", "b", "c")
demands = st.builds(
    Demand, st.frozensets(st.sampled_from(VALUES), max_size=3), st.booleans()
).filter(lambda demand: not demand.nothing)  # fmt: skip
selections = st.dictionaries(st.sampled_from("xyz"), demands, max_size=3)
labels = st.dictionaries(st.sampled_from("xyz"), st.sampled_from(("a", "b", "c", "other")))


def takes(selection: Any, pod: dict[str, str]) -> bool:
    return all(demand.takes(pod.get(key)) for key, demand in selection.items())


@settings(max_examples=300, deadline=None)
@given(st.lists(selections, max_size=4), labels)
def test_what_lies_outside_is_the_complement(given_selections: list[Any], pod: dict[str, str]) -> None:
    rest = outside(given_selections, 1000)
    assert any(takes(part, pod) for part in rest) == (not any(takes(each, pod) for each in given_selections))


@settings(max_examples=300, deadline=None)
@given(selections, selections, labels)
def test_clauses_and_intersections_mean_the_selection(first: Any, second: Any, pod: dict[str, str]) -> None:
    joined = both(first, second)
    assert (joined is not None and takes(joined, pod)) == (takes(first, pod) and takes(second, pod))
    tags = {label_key(key) + value for key, value in pod.items()}

    def holds(clause: str) -> bool:
        text = clause.removeprefix("!")
        found = any(tag.startswith(text[:-1]) for tag in tags) if text.endswith("*") else text in tags
        return found != clause.startswith("!")

    alternatives = clauses(first, label_key, 1000)
    assert any(all(map(holds, each)) for each in alternatives) == takes(first, pod)


WORDS = st.sampled_from(
    [
        *("apiVersion", "kind", "metadata", "name", "namespace", "spec", "podSelector", "matchLabels", "key", "values"),
        *("matchExpressions", "operator", "ingress", "egress", "from", "to", "ports", "port", "endPort", "protocol"),
        *("ipBlock", "cidr", "except", "policyTypes", "items", "labels", "data", "label", "externalnetworks"),
        *("networkrulesetpolicies", "entries", "subject", "object", "incomingRules", "associatedTags", "containers"),
    ]
)
LEAVES = st.sampled_from(
    [
        *(None, True, 0, 80, -1, 1.5, "", "a", "NetworkPolicy", "networking.k8s.io/v1", "List", "In", "TCP", "x=*"),
        "10.0.0.0/8",
    ]
)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=20
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(WORDS, ANYTHING, max_size=5), st.dictionaries(WORDS, ANYTHING, max_size=4))
def test_nothing_else_comes_out_of_any_manifest(value: dict[str, Any], spec: dict[str, Any]) -> None:
    frame = {"kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "p"}, "spec": spec}
    for manifest in (value, {**frame, **value}, frame):
        try:
            translate(documents(manifest), "/")
        except Unreadable as error:
            refusal: Unreadable | None = error
        else:
            refusal = None
        assert refusal is None or (refusal.message and refusal.remedy)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(WORDS, ANYTHING, max_size=5))
def test_nothing_stops_a_translation_of_the_familys_files(value: dict[str, Any]) -> None:
    """What is no such file is the Console's to refuse; translating says what it leaves out and goes on."""
    from_family({"APIVersion": 1, **value})
    from_family({"APIVersion": 1, "data": {"networkrulesetpolicies": [value], "externalnetworks": [value]}})
