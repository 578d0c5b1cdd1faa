"""Networks that overlap where rules about them differ. tests/property tries the definition on every flow."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.policy.lint.told import only, told, with_rulesets
from tests.unit.policy.shop import keyed, network, rule, ruleset
from watchword.policy.lint import Finding, Witness
from watchword.policy.world import World

A = network("a", "/shop", "192.0.2.0/24", tags=("net=a",))
B = network("b", "/shop", "192.0.2.128/25", tags=("net=b",))
ALLOW, REJECT = rule("Allow", [["net=a"]], "tcp/443", name="x"), rule("Reject", [["net=b"]], "tcp/443", name="y")


def made(*rules: object, networks: Any = (A, B), **traits: Any) -> World:
    return with_rulesets(ruleset("s", "/shop", [["app=web"]], **{"inc": rules, **traits}), networks=keyed(*networks))


def test_both_networks_and_both_rules_are_named() -> None:
    assert only(made(ALLOW, REJECT), "overlapping-networks") == Finding(
        code="overlapping-networks",
        severity="warning",
        ruleset="a",
        ruleset_name="the a",
        namespace="/shop",
        text=(
            "external networks 'the a' in /shop and 'the b' in /shop overlap: rule 'x' of 'the s' in /shop allows the "
            "one, rule 'y' of 'the s' in /shop rejects the other, and that wins"
        ),
        remedy="carve the one out of the other (!CIDR), such as 192.0.2.129",
        others=("b", "s/in/0", "s/in/1"),
        witness=Witness("192.0.2.129", "web", "tcp/443"),
    )
    outgoing = only(made(ALLOW, out=(ALLOW, REJECT)), "overlapping-networks")
    assert outgoing.witness == Witness("web", "192.0.2.129", "tcp/443")


def test_each_pair_is_told_once() -> None:
    """However many rules, ends, directions and ports show it; other pairs are told as well."""
    third = network("c", "/shop", "192.0.2.192/26", tags=("net=c",))
    rules = [ALLOW, rule("Allow", [["net=a"]], "tcp/1:500"), REJECT, rule("Reject", [["net=b"]], "tcp/400:500")]
    assert len(told(made(*rules, out=rules))["overlapping-networks"]) == 1
    both = made(*rules, rule("Reject", [["net=c"]], "tcp/443"), networks=(A, B, third))
    assert {(each.ruleset, each.others[0]) for each in told(both)["overlapping-networks"]} == {("a", "b"), ("a", "c")}


@pytest.mark.parametrize(
    "world",
    [
        made(ALLOW, dataclasses.replace(REJECT, action="Allow")),
        made(dataclasses.replace(ALLOW, action="Reject"), REJECT),
        made(ALLOW, rule("Reject", [["net=b"]], "tcp/80")),
        made(ALLOW, rule("Allow", [["net=b"]], "tcp/443"), rule("Reject", [["net=a"], ["net=b"]], "tcp/443")),
        made(ALLOW, rule("Reject", [["net=a"], ["net=b"]], "tcp/443")),
        made(rule("Allow", [["net=a"], ["net=b"]], "tcp/443"), REJECT),
        made(ALLOW, REJECT, networks=(A, dataclasses.replace(B, entries=("198.51.100.0/24",)))),
        made(ALLOW, REJECT, networks=(dataclasses.replace(A, entries=("192.0.2.0/24", "!192.0.2.128/25")), B)),
        made(ALLOW, REJECT, networks=(A, dataclasses.replace(B, namespace="/far"))),
        made(ALLOW, dataclasses.replace(REJECT, observed=True)),
        made(ALLOW, networks=(A, dataclasses.replace(B, identity_required=True))),
    ],
)
def test_overlaps_that_do_no_harm(world: World) -> None:
    assert "overlapping-networks" not in told(world)


def test_units_that_both_rules_name_are_no_addresses() -> None:
    objects = [["net=a"], ["app=db"]], [["net=b"], ["app=db"]]
    allow, reject = rule("Allow", objects[0], "tcp/443"), rule("Reject", objects[1], "tcp/443")
    assert only(made(allow, reject), "overlapping-networks").others == ("b", "s/in/0", "s/in/1")


def test_the_reject_may_be_about_the_smaller_or_the_larger() -> None:
    swapped = made(rule("Allow", [["net=b"]], "tcp/443"), rule("Reject", [["net=a"]], "tcp/443"))
    finding = only(swapped, "overlapping-networks")
    assert (finding.ruleset, finding.others[0]) == ("b", "a")
