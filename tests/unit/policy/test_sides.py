"""One end of many connections: units that decide alike, the peers they tell apart, and what they allow."""

from __future__ import annotations

from typing import Any

import pytest
from pyroaring import AbstractBitMap, BitMap

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.model import ports
from watchword.policy.decide import decide, stranger
from watchword.policy.portpieces import Pieces, cut
from watchword.policy.selection import PlacedRule
from watchword.policy.sides import Local, Side, Situation, allowed, locals_
from watchword.policy.tables import Direction
from watchword.policy.world import Namespace, World

PORTS = ("tcp/10", "tcp/11", "tcp/12")


def pieces() -> Pieces:
    """Three pieces: bits 1, 2 and 4."""
    return cut(ports.parse(PORTS), ports.parse(["tcp/11"]))


def placed(*rules: Any) -> list[PlacedRule]:
    standing = ruleset("s", "/shop", [["app=web"]], out=rules)
    return [PlacedRule(f"s/out/{index}", standing, each) for index, each in enumerate(rules)]


def on(*texts: str, action: str = "Allow", selected: str = "app=db", observed: bool = False) -> Any:
    return rule(action, [[selected]], *texts, observed=observed)


@pytest.mark.parametrize(
    ("rules", "default", "bits"),
    [
        ((), "Reject", 0b000),
        ((), "Allow", 0b111),
        ((on("tcp/11"),), "Reject", 0b010),
        ((on("tcp/10:11"), on("tcp/11", action="Reject")), "Reject", 0b001),
        ((on("tcp/11", action="Reject"), on("tcp/10:12")), "Reject", 0b101),
        ((on("tcp/12", action="Reject"),), "Allow", 0b011),
        ((on("tcp/10"), on("tcp/12")), "Reject", 0b101),
        ((on("tcp/10", observed=True),), "Reject", 0b000),
    ],
)
def test_the_pieces_that_rules_allow(rules: tuple[Any, ...], default: Any, bits: int) -> None:
    assert allowed(placed(*rules), default, pieces()) == bits


def names(situation: Situation, units: AbstractBitMap) -> list[str]:
    return sorted(situation.index.thing(number).id for number in units)


def alike(made: World, direction: Direction = "out", ids: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    """The parts in words: units, rules, default, networks that require identity."""
    situation = Situation.of(made)
    units = BitMap(situation.index.number(key) for key in ids or made.units)
    return [
        (names(situation, part.units), [each.key for each in part.rules], part.default, set(part.demanding))
        for part in locals_(situation, units, direction)
    ]


def test_units_with_the_same_rules_and_default_are_one_part() -> None:
    assert alike(world()) == [
        (["web"], ["web-out/out/0"], "Reject", set()), (["api", "job"], [], "Reject", set()),
        (["db"], [], "Reject", set()),
    ]  # fmt: skip
    assert alike(world(), "in") == [
        (["web"], [], "Reject", set()), (["api", "job"], [], "Reject", set()),
        (["db"], ["db-in/in/0"], "Reject", set()),
    ]  # fmt: skip
    assert alike(world(), "in", ("db", "job")) == [
        (["db"], ["db-in/in/0"], "Reject", set()), (["job"], [], "Reject", set()),
    ]  # fmt: skip


def test_which_rulesets_count() -> None:
    allow = [on("tcp/10")]
    rulesets = [
        ruleset("off", "/shop", [["app=web"]], out=allow, disabled=True),
        ruleset("below", "/shop/eu", [["app=web"]], out=allow, propagate=True),
        ruleset("above", "/", [["app=web"]], out=allow),
        ruleset("spare", "/", [["app=*"]], out=allow, propagate=True, fallback=True),
        ruleset("here", "/shop", [["app=web"]], out=allow),
    ]
    made = world(rulesets=keyed(*rulesets))
    assert alike(made, ids=("web", "api")) == [
        (["web"], ["here/out/0"], "Reject", set()), (["api"], ["spare/out/0"], "Reject", set()),
    ]  # fmt: skip


def test_rules_stand_by_ruleset_whatever_the_order_of_the_world() -> None:
    rulesets = [ruleset(key, "/shop", [["app=web"]], out=[on("tcp/10")]) for key in "bca"]
    for order in (rulesets, rulesets[::-1]):
        ((_, rules, _, _),) = alike(world(rulesets=keyed(*order)), ids=("web",))
        assert rules == ["a/out/0", "b/out/0", "c/out/0"]


def test_defaults_and_networks_that_require_identity_part_units() -> None:
    units = keyed(*(unit(key, 1, "e1", "app=x", namespace=where) for key, where in (("a", "/"), ("b", "/shop"))))
    networks = keyed(
        network("strict", "/shop", "10.0.0.0/8", tags=(), identity_required=True),
        network("lax", "/shop", "10.0.0.0/8", tags=()),
    )
    namespaces = {"/": Namespace("/", "Allow", "Reject"), "/shop": Namespace("/shop")}
    made = world(units=units, networks=networks, rulesets={}, namespaces=namespaces)
    assert alike(made) == [(["a"], [], "Reject", set()), (["b"], [], "Reject", {"strict"})]
    assert alike(made, "in") == [(["a"], [], "Allow", set()), (["b"], [], "Allow", {"strict"})]


def met(*rules: Any, peers: tuple[str, ...] = ("db", "job", "api"), default: Any = "Reject") -> dict[Any, int]:
    """What web is allowed with each set of peers."""
    situation = Situation.of(world())
    web = BitMap([situation.index.number("web")])
    side = Side(situation, "out", [Local(web, tuple(placed(*rules)), default, frozenset())])
    assert list(side.ports()) == [piece for each in rules for piece in each.ports]
    numbers = BitMap(situation.index.number(key) for key in peers)
    meetings = list(side.meetings(numbers, pieces()))
    assert all(meeting.units == web for meeting in meetings)
    found = {tuple(names(situation, meeting.peers)): meeting.allowed for meeting in meetings}
    assert len(found) == len(meetings)
    return found


def test_peers_are_parted_by_the_rules_that_name_them() -> None:
    assert met() == {("api", "db", "job"): 0}
    assert met(default="Allow") == {("api", "db", "job"): 0b111}
    assert met(on("tcp/10")) == {("db",): 0b001, ("api", "job"): 0}
    both = met(on("tcp/10:11", selected="app=*"), on("tcp/11", action="Reject"), on("tcp/12", selected="app=job"))
    assert both == {("db",): 0b001, ("job",): 0b111, ("api",): 0b011}
    assert met(on("tcp/10", selected="app=none")) == {("api", "db", "job"): 0}
    assert met(on("tcp/10"), peers=()) == {}


def test_rules_about_other_ports_and_observed_ones_part_nobody() -> None:
    assert met(on("tcp/9"), on("udp/10"), on("tcp/10", observed=True)) == {("api", "db", "job"): 0}


@pytest.mark.parametrize("direction", ["in", "out"])
def test_strangers_meet_what_deciding_one_by_one_gives(direction: Direction) -> None:
    networks = keyed(
        network("wide", "/shop", "10.0.0.0/8", tags=("net=wide",)),
        network("narrow", "/shop", "10.1.0.0/16", tags=("net=narrow",)),
        network("strict", "/other", "10.1.0.0/16", tags=("net=strict",), identity_required=True),
        network("above", "/", "10.9.0.0/16", tags=("net=wide",)),
    )
    rules = [on("tcp/10:11", selected="net=wide"), on("tcp/11", action="Reject", selected="net=narrow"), on("tcp/12")]
    rulesets = keyed(
        ruleset("a", "/shop", [["app=web"]], inc=rules, out=rules),
        ruleset("b", "/", [["app=*"]], inc=rules, out=rules, propagate=True),
        ruleset("c", "/shop", [["app=job"]], inc=[on("tcp/12")], out=[on("tcp/12")]),
    )
    units = {**world().units, "far": unit("far", 41, "e3", "x=1", namespace="/other")}
    namespaces = {"/": Namespace("/"), "/shop": Namespace("/shop"), "/other": Namespace("/other", "Allow", "Allow")}
    made = world(networks=networks, rulesets=rulesets, units=units, namespaces=namespaces)
    situation = Situation.of(made)
    side = Side(situation, direction, locals_(situation, BitMap(range(len(units))), direction))
    for address in ("10.2.0.1", "10.1.0.1", "10.9.0.1", "192.0.2.1"):
        peer = stranger(made, address)
        found: dict[str, int] = {}
        for some, bits in side.with_stranger(peer, pieces()):
            for key in names(situation, some):
                assert key not in found
                found[key] = bits
        expected = {
            key: sum(
                (decide(made, each, peer, direction, 6, 10 + bit).verdict.action == "Allow") << bit for bit in range(3)
            )
            for key, each in units.items()
        }
        assert found == expected
        assert len(set(expected.values())) > 1


def test_units_whose_rules_name_no_network_are_asked_once_for_each_default() -> None:
    made = world(networks=keyed(network("n", "/shop", "10.0.0.0/8", tags=("net=n",))))
    situation = Situation.of(made)
    side = Side(situation, "out", locals_(situation, BitMap(range(4)), "out"))
    ((units, bits),) = side.with_stranger(stranger(made, "10.0.0.1"), pieces())
    assert (len(units), bits) == (4, 0)
