"""Every policy up to a stated size in small worlds, next to the oracle. Nothing here is sampled.

``WATCHWORD_EXHAUSTIVE`` (rules per policy, 2 unless set) makes the first enumeration bigger: with 3 it has
302,621 worlds and takes about a quarter of an hour.

What stands for what, so that few peers and flows are all there are:

* An object selects by ``x=1``, ``x=2`` or both; a peer is therefore one of four kinds with identity (no tag,
  either, both) and one of four without (in no network, in either, in both). More peers of a kind would ask the
  same question again: verdicts depend on a peer only through what objects select it.
* Ports are taken by ``any``, ``tcp/80`` and ``tcp/80:81``; tcp/80, tcp/81, any other TCP port and any other
  protocol are all cases there are.
* Rulesets of one rule each; which of two equal places stands first changes only IDs, so that policies are
  multisets of placed rules, not sequences.
* Incoming rules meet a default of Reject and outgoing ones the same rules and a default of Allow.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest

from tests.property.agreement import DIRECTIONS, check_tables
from tests.property.worlds import enforcers
from watchword.model.ports import ANYTHING, PortRange
from watchword.policy.compile import compile
from watchword.policy.lookup import lookup
from watchword.policy.render import render
from watchword.policy.world import Inherited, Namespace, Network, Rule, Ruleset, Unit, World
from watchword.wire.policy import Action

RULES = int(os.environ.get("WATCHWORD_EXHAUSTIVE", "2"))

ACTIONS: tuple[Action, Action] = ("Allow", "Reject")
X1, X2 = (("x=1",),), (("x=2",),)
PORTS = (ANYTHING, PortRange(6, 80, 80), PortRange(6, 80, 81))
FLOWS = ((6, 79), (6, 80), (6, 81), (17, 80))
ADDRESSES = ("9.9.9.9", "10.0.0.1", "10.1.0.1", "10.1.2.1")  # in no network, wide, both, narrow alone

#: Where a ruleset stands and how, and whether it is in force for the unit in /a.
PLACES: tuple[dict[str, Any], ...] = (
    {"namespace": "/a"},
    {"namespace": "/", "propagate": True},
    {"namespace": "/a", "fallback": True},
    {"namespace": "/"},
    {"namespace": "/a", "disabled": True},
)

UNIT = Unit("u", "1", "the unit", "/a", "e1", 101, frozenset({"me=1"}))
PEERS = {
    "none": Unit("none", "2", "", "/", "e2", 110, frozenset()),
    "one": Unit("one", "3", "", "/", "e2", 111, frozenset({"x=1"})),
    "two": Unit("two", "4", "", "/a", "e2", 112, frozenset({"x=2"})),
    "both": Unit("both", "5", "", "/a", "e3", 113, frozenset({"x=1", "x=2"})),
}
NETWORKS = {
    "n1": Network("n1", "wide", "/", True, ("10.0.0.0/8", "!10.1.2.0/24"), frozenset({"x=1"})),
    "n2": Network("n2", "narrow", "/a", False, ("10.1.0.0/16",), frozenset({"x=2"})),
}


def world(rulesets: dict[str, Ruleset], **changes: Any) -> World:
    parts: dict[str, Any] = {
        "namespaces": {"/": Namespace("/", "Reject", "Allow"), "/a": Namespace("/a")},
        "units": {"u": UNIT, **PEERS},
        "networks": NETWORKS,
    }
    return World(revision=1, rulesets=rulesets, enforcers=enforcers(), **(parts | changes))


def check(made: World, flows: tuple[tuple[int, int], ...] = FLOWS, addresses: tuple[str, ...] = ADDRESSES) -> int:
    document = render(made, "e1")
    return check_tables(made, "e1", document, compile(document), flows, addresses)


RULE_KINDS = [
    Rule(f"{action} {ports}", action, selected, (ports,), observed)
    for action, selected, ports, observed in itertools.product(ACTIONS, (X1, X2), PORTS, (False, True))
]
PLACED = list(itertools.product(RULE_KINDS, PLACES))


@pytest.mark.timeout(0 if RULES > 2 else 300)
def test_every_policy_of_few_rules() -> None:
    """24 rules in 5 places are 120 placed rules: 7,381 policies of at most two."""
    asked = policies = 0
    for size in range(RULES + 1):
        for chosen in itertools.combinations_with_replacement(PLACED, size):
            rulesets = {
                f"s{n}": Ruleset(f"s{n}", "", subject=(("me=1",),), incoming=(rule,), outgoing=(rule,), **place)
                for n, (rule, place) in enumerate(chosen)
            }
            asked += check(world(rulesets))
            policies += 1
    assert policies == {0: 1, 1: 121, 2: 7381, 3: 302_621}[RULES]
    assert asked == policies * 72


def test_every_ruleset_of_three_rules() -> None:
    """All 2,600 multisets of three of the 24 rules, in one ruleset; one flow of each kind, both directions."""
    policies = 0
    for chosen in itertools.combinations_with_replacement(RULE_KINDS, 3):
        made = {"s": Ruleset("s", "", "/a", (("me=1",),), chosen, chosen)}
        check(world(made), FLOWS[:3], ADDRESSES[2:])
        policies += 1
    assert policies == 2600


NAMESPACES = ("/", "/a", "/a/b", "/ab")
INHERITED: tuple[Inherited, ...] = ("Allow", "Reject", "Inherit")


def test_every_place_in_the_tree_under_every_default() -> None:
    """27 defaults of /, /a and /a/b, 4 places of the unit, no ruleset or one of 16 (8 places, 2 actions)."""
    policies = 0
    for defaults in itertools.product(INHERITED, repeat=3):
        namespaces = {
            path: Namespace(path, default, INHERITED[INHERITED.index(default) - 1])
            for path, default in zip(NAMESPACES, (*defaults, "Inherit"), strict=True)
        }
        for path, chosen in itertools.product(NAMESPACES, [None, *itertools.product(NAMESPACES, (0, 1), ACTIONS)]):
            rulesets = {}
            if chosen is not None:
                rules = (Rule("", chosen[2], X1, (ANYTHING,)),)
                rulesets["s"] = Ruleset("s", "", chosen[0], (("me=1",),), rules, rules, bool(chosen[1]))
            units = {"u": Unit("u", "1", "", path, "e1", 101, frozenset({"me=1"})), "one": PEERS["one"]}
            check(world(rulesets, namespaces=namespaces, units=units, networks={}), FLOWS[1:2], ADDRESSES[:1])
            policies += 1
    assert policies == 27 * 4 * 17


def test_every_place_of_network_ruleset_and_unit() -> None:
    """4 places of the unit, 8 of the ruleset, 2 actions, 8 places of the network, identity required or not."""
    policies = 0
    namespaces = {path: Namespace(path) for path in NAMESPACES} | {"/": Namespace("/", "Reject", "Allow")}
    spots = list(itertools.product(NAMESPACES, (False, True)))
    for path, (at, down), action, (net_at, net_down), required in itertools.product(
        NAMESPACES, spots, ACTIONS, spots, (False, True)
    ):
        rules = (Rule("", action, X1, (ANYTHING,)),)
        made = world(
            {"s": Ruleset("s", "", at, (("me=1",),), rules, rules, down)},
            namespaces=namespaces,
            units={"u": Unit("u", "1", "", path, "e1", 101, frozenset({"me=1"})), "one": PEERS["one"]},
            networks={"n": Network("n", "", net_at, net_down, ("10.0.0.0/8",), frozenset({"x=1"}), required)},
        )
        check(made, FLOWS[1:2], ADDRESSES[:2])
        policies += 1
    assert policies == 4 * 8 * 2 * 8 * 2


#: The tree below 10.0.0.0/30, and one address for each of its leaves and outside.
TREE = ("10.0.0.0/30", "10.0.0.0/31", "10.0.0.2/31", *(f"10.0.0.{last}/32" for last in range(4)))
LEAVES = (*(f"10.0.0.{last}" for last in range(4)), "10.0.0.4")


def test_every_network_over_a_tree_of_prefixes() -> None:
    """Each of seven prefixes left out, covered or carved out: 3^7 networks, each in front of a fixed second one."""
    rules = (Rule("one", "Allow", X1, (ANYTHING,)), Rule("two", "Reject", X2, (PORTS[1],)))
    rulesets = {"s": Ruleset("s", "", "/a", (("me=1",),), rules, ())}
    other = Network("n2", "", "/a", False, ("10.0.0.0/31", "!10.0.0.1/32"), frozenset({"x=2"}))
    policies = 0
    for signs in itertools.product(("", "+", "!"), repeat=7):
        pairs = [(sign, prefix) for sign, prefix in zip(signs, TREE, strict=True) if sign]
        entries = tuple(prefix if sign == "+" else sign + prefix for sign, prefix in pairs)
        networks = {"n1": Network("n1", "", "/a", False, entries, frozenset({"x=1"})), "n2": other}
        made = world(rulesets, networks=networks, units={"u": UNIT})
        document = render(made, "e1")
        check_tables(made, "e1", document, compile(document), ((6, 80), (6, 81)), LEAVES, DIRECTIONS[:1])
        policies += 1
    assert policies == 3**7


def test_every_pair_of_networks_over_a_smaller_tree() -> None:
    """Three prefixes each left out, covered or carved out in two networks, one of which may demand identity."""
    rules = (Rule("one", "Allow", X1, (ANYTHING,)), Rule("two", "Reject", X2, (PORTS[1],)))
    rulesets = {"s": Ruleset("s", "", "/a", (("me=1",),), rules, ())}
    shapes = [
        tuple(prefix if sign == "+" else sign + prefix for sign, prefix in zip(signs, TREE[:3], strict=True) if sign)
        for signs in itertools.product(("", "+", "!"), repeat=3)
    ]
    policies = 0
    for one, two, required in itertools.product(shapes, shapes, (False, True)):
        networks = {
            "n1": Network("n1", "", "/a", False, one, frozenset({"x=1"})),
            "n2": Network("n2", "", "/", True, two, frozenset({"x=2"}), required),
        }
        made = world(rulesets, networks=networks, units={"u": UNIT})
        document = render(made, "e1")
        check_tables(made, "e1", document, compile(document), ((6, 80), (6, 81)), LEAVES[1:], DIRECTIONS[:1])
        policies += 1
    assert policies == 27 * 27 * 2


#: Cuts of the port space that ranges may begin and end at: all ten ranges over four pieces.
CUTS = (0, 1, 256, 65535, 65536)


@pytest.mark.parametrize("protocol", [6, 1, 47])
def test_every_three_ranges_over_the_cuts_of_a_port_space(protocol: int) -> None:
    """Up to three rules of ten ranges or ``any``, Allow or Reject: 2,300 policies for each protocol.

    Asked at both edges of every piece, and of a protocol that no rule names. For ICMP the pieces are types
    and codes. A protocol without ports is named as a whole or not at all, and only port 0 is asked.
    """
    ranges = [PortRange(protocol, first, last - 1) for first, last in itertools.combinations(CUTS, 2)]
    ports = (0,) if protocol == 47 else (0, 1, 255, 256, 65534, 65535)
    if protocol == 47:
        ranges = [PortRange(protocol, 0, 65535)]
    kinds = [Rule("", action, X1, (piece,)) for action, piece in itertools.product(ACTIONS, [*ranges, ANYTHING])]
    flows = (*((protocol, port) for port in ports), (99, 0))
    peers = {"u": UNIT, "one": PEERS["one"]}
    policies = 0
    for size in range(4):
        for chosen in itertools.combinations_with_replacement(kinds, size):
            made = world({"s": Ruleset("s", "", "/a", (("me=1",),), chosen, chosen)}, units=peers, networks={})
            check(made, flows, ())
            policies += 1
    assert policies == (35 if protocol == 47 else 2300)


def test_a_badge_nobody_has_meets_the_default() -> None:
    tables = compile(render(world({}), "e1"))
    assert lookup(tables, "u", 4711, "in", 6, 80).action == "Reject"
    assert lookup(tables, "u", 4711, "out", 6, 80).action == "Allow"
