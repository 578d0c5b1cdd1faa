"""What of each resource a verdict depends on."""

from __future__ import annotations

from typing import Any

import pytest

from watchword.model import ports
from watchword.model.resources import (
    Enforcer,
    ExternalNetwork,
    Intent,
    Namespace,
    NetworkRule,
    NetworkRuleSetPolicy,
    PolicyTest,
    ProcessingUnit,
)
from watchword.policy import world
from watchword.policy.entries import Placed, entries

UNIT: dict[str, Any] = {"id": "u1", "name": "web-1", "namespace": "/shop", "associated_tags": ["app=web"]}


def test_a_namespace_stands_at_its_path() -> None:
    resource = Namespace(
        id="x",
        name="/shop",
        namespace="/",
        default_pu_incoming_traffic_action="Allow",
        default_pu_outgoing_traffic_action="Reject",
        tag_prefixes=["app="],
    )
    assert entries(resource) == (Placed("namespaces", "/shop", world.Namespace("/shop", "Allow", "Reject", ("app=",))),)


def test_a_unit_has_a_part_while_it_runs() -> None:
    resource = ProcessingUnit(
        **UNIT,
        enforcer_id="e1",
        native_context_id="native",
        badge=7,
        normalized_tags=["app=web", "$id=u1"],
        operational_status="Running",
    )
    made = world.Unit("u1", "native", "web-1", "/shop", "e1", 7, frozenset({"app=web", "$id=u1"}))
    assert entries(resource) == (Placed("units", "u1", made),)
    assert entries(ProcessingUnit(**UNIT, operational_status="Terminated")) == ()


def test_a_networks_host_names_are_kept_apart() -> None:
    resource = ExternalNetwork(
        id="n1",
        name="n",
        namespace="/shop",
        propagate=True,
        entries=["192.0.2.0/24", "example.com", "!192.0.2.7/32", "www.example.com"],
        associated_tags=["net=n"],
        normalized_tags=["net=n", "$name=n"],
        identity_required=True,
    )
    made = world.Network(
        id="n1",
        name="n",
        namespace="/shop",
        propagate=True,
        entries=("192.0.2.0/24", "!192.0.2.7/32"),
        tags=frozenset({"net=n", "$name=n"}),
        identity_required=True,
        names=("example.com", "www.example.com"),
    )
    assert entries(resource) == (Placed("networks", "n1", made),)


def test_a_ruleset_has_its_rules_in_both_directions() -> None:
    incoming = NetworkRule(name="in", object=[["app=web"]], protocol_ports=["tcp/1"], logs_disabled=True)
    outgoing = NetworkRule(action="Reject", object=[["app=db"]], protocol_ports=["any"], observation_enabled=True)
    resource = NetworkRuleSetPolicy(
        id="s1",
        name="s",
        namespace="/shop",
        subject=[["app=x", "a=1"]],
        incoming_rules=[incoming],
        outgoing_rules=[outgoing],
        propagate=True,
        fallback=True,
        disabled=True,
    )
    made = world.Ruleset(
        "s1",
        "s",
        "/shop",
        (("app=x", "a=1"),),
        (world.Rule("in", "Allow", (("app=web",),), ports.parse(["tcp/1"]), observed=False, log=False),),
        (world.Rule("", "Reject", (("app=db",),), ports.parse(["any"]), observed=True, log=True),),
        propagate=True,
        fallback=True,
        disabled=True,
    )
    assert entries(resource) == (Placed("rulesets", "s1", made),)


def test_an_intent_is_a_ruleset_at_each_end() -> None:
    resource = Intent(
        id="i1", name="i", namespace="/", source=[["a=1"]], destination=[["b=1"]], protocol_ports=["tcp/1"]
    )
    outgoing, incoming = entries(resource)
    assert [(each.part, each.key, each.entry.id) for each in (outgoing, incoming)] == [  # type: ignore[union-attr]
        ("rulesets", "i1:out", "i1:out"), ("rulesets", "i1:in", "i1:in"),
    ]  # fmt: skip


@pytest.mark.parametrize("resource", [PolicyTest(name="t", assertions=[]), Enforcer(name="e"), None])
def test_other_resources_have_no_part(resource: object) -> None:
    assert entries(resource) == ()
