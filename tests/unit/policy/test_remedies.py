"""Each change of a world, as it is carried out. tests/property shows that remedies turn verdicts round."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.policy.shop import keyed, network, rule, ruleset, world
from watchword.model.ports import parse
from watchword.policy.remedies import (
    AddNetwork,
    AddRule,
    AddRuleset,
    Change,
    CountRuleset,
    EnableRuleset,
    EnforceRule,
    PropagateNetwork,
    PropagateRuleset,
    RemoveRule,
    SetDefault,
    TrustNetwork,
    Way,
    WidenObject,
    WidenPorts,
    applied,
)
from watchword.policy.world import Namespace, Network, Rule, Ruleset, World

WIDER_B = rule("Allow", [["app=b"]], "tcp/2", "udp/9")
A, B, C = (rule("Allow", [[f"app={name}"]], f"tcp/{port}") for port, name in enumerate("abc", 1))
SET = ruleset("s", "/shop", [["app=web"]], inc=[A, B, C], out=[C, B, A], disabled=True, fallback=True)
NET = network("n", "/shop", "192.0.2.0/24", tags=("net=n",), identity_required=True)


def made() -> World:
    intent = ruleset("i:in", "/shop", [["app=db"]], inc=[A], origin="i")
    other = ruleset("i:out", "/shop", [["app=web"]], out=[B], origin="i")
    return world(rulesets=keyed(intent, other, SET), networks=keyed(NET))


def after(*changes: Change) -> World:
    """The world that changes make; those that it was made of stay as they were."""
    before = made()
    result = applied(before, changes)
    assert before == made()
    assert (result.units, result.enforcers, result.revision) == (before.units, before.enforcers, before.revision)
    return result


def with_set(**traits: Any) -> dict[str, Ruleset]:
    return {**made().rulesets, "s": dataclasses.replace(SET, **traits)}


@pytest.mark.parametrize(
    ("change", "traits"),
    [
        (RemoveRule("s/in/1"), {"incoming": (A, C)}),
        (RemoveRule("s/out/0"), {"outgoing": (B, A)}),
        (WidenPorts("s/in/1", ("udp/9",)), {"incoming": (A, WIDER_B, C)}),
        (
            WidenObject("s/out/2", (("x=1", "y=1"), ("z=1",))),
            {"outgoing": (C, B, dataclasses.replace(A, object=(("app=a",), ("x=1", "y=1"), ("z=1",))))},
        ),
        (EnableRuleset("s"), {"disabled": False}),
        (PropagateRuleset("s"), {"propagate": True}),
        (CountRuleset("s"), {"fallback": False}),
        (
            AddRule("s", "outgoing", "Reject", (("x=1",),), ("tcp/7",)),
            {"outgoing": (C, B, A, Rule("", "Reject", (("x=1",),), parse(["tcp/7"])))},
        ),
        (
            AddRule("s", "incoming", "Allow", (("x=1",),), ("any",)),
            {"incoming": (A, B, C, Rule("", "Allow", (("x=1",),), parse(["any"])))},
        ),
    ],
)  # fmt: skip
def test_changes_of_a_ruleset(change: Change, traits: dict[str, Any]) -> None:
    result = after(change)
    assert result.rulesets == with_set(**traits)
    assert (result.networks, dict(result.namespaces)) == (made().networks, made().namespaces)


def test_an_observed_rule_is_enforced() -> None:
    observed = rule("Reject", [["app=b"]], "tcp/2", observed=True)
    before = world(rulesets=keyed(dataclasses.replace(SET, incoming=(A, observed))))
    (enforced,) = applied(before, [EnforceRule("s/in/1")]).rulesets.values()
    assert enforced.incoming == (A, dataclasses.replace(observed, observed=False))


def test_rules_of_an_intent_are_known_by_the_intent() -> None:
    assert after(RemoveRule("i/in/0")).rulesets["i:in"].incoming == ()
    result = after(RemoveRule("i/out/0"))
    assert (result.rulesets["i:out"].outgoing, result.rulesets["i:in"].incoming) == ((), (A,))


def test_ids_are_anything() -> None:
    """Also with a slash: direction and index are the last two parts of a key."""
    odd = ruleset("a/in/0", "/shop", [["app=web"]], inc=[A], out=[B, C])
    (changed,) = applied(world(rulesets=keyed(odd)), [RemoveRule("a/in/0/out/1")]).rulesets.values()
    assert (changed.incoming, changed.outgoing) == ((A,), (B,))


def test_changes_of_networks() -> None:
    assert after(PropagateNetwork("n")).networks == {"n": dataclasses.replace(NET, propagate=True)}
    assert after(TrustNetwork("n")).networks == {"n": dataclasses.replace(NET, identity_required=False)}
    (_, added) = after(AddNetwork("/shop", ("10.0.0.0/8",), ("net=x", "net=y"))).networks.values()
    tags = frozenset({"net=x", "net=y"})
    assert added == Network(added.id, added.id, "/shop", False, ("10.0.0.0/8",), tags)


def test_a_new_ruleset_has_one_rule() -> None:
    directions: tuple[Way, Way] = ("incoming", "outgoing")
    for direction in directions:
        change = AddRuleset("/shop", (("app=x",),), direction, "Allow", (("app=y",),), ("tcp/1",))
        *_, added = after(change, change).rulesets.values()
        rules = {direction: (Rule("", "Allow", (("app=y",),), parse(["tcp/1"])),)}
        assert added == Ruleset(added.id, added.id, "/shop", (("app=x",),), **rules)  # type: ignore[arg-type]
        assert len(after(change, change).rulesets) == len(made().rulesets) + 2


def test_defaults_are_set_one_direction_at_a_time() -> None:
    root = Namespace("/", "Reject", "Reject")
    assert after(SetDefault("/", "incoming", "Allow")).namespaces["/"] == Namespace("/", "Allow", "Reject")
    assert after(SetDefault("/", "outgoing", "Allow")).namespaces["/"] == Namespace("/", "Reject", "Allow")
    assert dict(after(SetDefault("/new", "incoming", "Allow")).namespaces) == {
        "/": root, "/shop": Namespace("/shop"), "/new": Namespace("/new", "Allow"),
    }  # fmt: skip


def test_keys_are_those_before_any_of_the_changes() -> None:
    added = AddRule("s", "incoming", "Allow", (("x=1",),), ("tcp/7",))
    changes: list[Change] = [
        RemoveRule("s/in/0"),
        added,
        RemoveRule("s/in/2"),
        WidenPorts("s/in/1", ("tcp/9",)),
        RemoveRule("s/out/1"),
    ]
    for order in (changes, changes[::-1]):
        result = after(*order).rulesets["s"]
        wider = dataclasses.replace(B, ports=parse(["tcp/2", "tcp/9"]))
        assert result.incoming == (wider, Rule("", "Allow", (("x=1",),), parse(["tcp/7"])))
        assert result.outgoing == (C, A)


@pytest.mark.parametrize(
    "changes",
    [
        [RemoveRule("s/in/3")],
        [RemoveRule("s/in/-1")],
        [WidenPorts("s/in/3", ("any",))],
        [WidenPorts("s/in/-1", ("any",))],
        [RemoveRule("none/in/0")],
        [RemoveRule("s/in/0"), RemoveRule("s/in/0")],
        [AddRule("s", "incoming", "Allow", (("x=1",),), ("any",)), RemoveRule("s/in/3")],
        [EnableRuleset("none")],
        [PropagateNetwork("none")],
        [AddRule("none", "incoming", "Allow", (("x=1",),), ("any",))],
    ],
)
def test_what_is_not_there_cannot_be_changed(changes: list[Change]) -> None:
    with pytest.raises(LookupError):
        after(*changes)
