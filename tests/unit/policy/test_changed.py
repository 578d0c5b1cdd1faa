"""What two worlds decide differently, written out; and that nothing else is looked at."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from pyroaring import FrozenBitMap

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.policy import portsets
from watchword.policy.changed import Box, Ends, _Comparison, boxes, merged
from watchword.policy.landscape import Landscape, Survey
from watchword.policy.shares import Decided
from watchword.policy.tables import Direction
from watchword.policy.world import Namespace, World

ALLOW, REJECT = Decided("Allow", "a"), Decided("Reject", "r")
OPEN = {"/": Namespace("/", "Allow", "Allow"), "/shop": Namespace("/shop")}


def changing(made: World, **parts: Any) -> World:
    return dataclasses.replace(made, revision=made.revision + 1, **parts)


def names(landscape: Landscape, parties: FrozenBitMap) -> str:
    """Units, and an address of each block."""
    blocks, kinds = landscape.blocks, landscape.kinds
    return " ".join(
        name for party in parties for name in ((blocks[party].example,) if party in blocks else kinds[party].units)
    )


def said(ends: Ends | None) -> str:
    """The rule of each end with a sign: + allows, - rejects; * for a default."""
    if ends is None:
        return "nothing"
    return " ".join(f"{'+' if end.action == 'Allow' else '-'}{end.rule or '*'}" if end else "nobody" for end in ends)


def told(old: World, new: World) -> set[tuple[str, str, str, str, str]]:
    """Sources, destinations, ports, and what both ends said before and say after."""
    before, after = Survey().landscapes(old, new)
    apart(boxes(before, after))
    found = [
        (
            names(before, box.sources),
            names(before, box.destinations),
            " ".join(portsets.words(box.ports)),
            said(box.before),
            said(box.after),
        )
        for box in boxes(before, after)
    ]
    assert len(set(found)) == len(found)
    return set(found)


def apart(found: list[Box]) -> None:
    """No flow is in two boxes."""
    for one, other in itertools.combinations(found, 2):
        parties = one.sources & other.sources and one.destinations & other.destinations
        assert not (parties and portsets.common(one.ports, other.ports)), (one, other)


def both_ways(old: World, new: World) -> set[tuple[str, str, str, str, str]]:
    """What is told; and the way back is the same with before and after exchanged."""
    there = told(old, new)
    assert told(new, old) == {(*flow, after, before) for *flow, before, after in there}
    return there


@pytest.mark.parametrize(
    ("outgoing", "incoming", "passes"),
    [
        (ALLOW, ALLOW, True), (ALLOW, REJECT, False), (REJECT, ALLOW, False),
        (None, ALLOW, True), (ALLOW, None, True), (None, REJECT, False), (REJECT, None, False),
    ],
)  # fmt: skip
def test_a_flow_passes_where_no_end_refuses(outgoing: Any, incoming: Any, passes: bool) -> None:
    assert Ends(outgoing, incoming).passes is passes


def test_the_effect_of_a_box() -> None:
    passing, refused = Ends(ALLOW, ALLOW), Ends(ALLOW, REJECT)
    states = {"passing": passing, "refused": refused, "gone": None}
    effects = {
        (one, other): Box(FrozenBitMap(), FrozenBitMap(), (), states[one], states[other]).effect
        for one in states
        for other in states
    }
    assert {pair for pair, effect in effects.items() if effect == 1} == {("refused", "passing"), ("gone", "passing")}
    assert {pair for pair, effect in effects.items() if effect == -1} == {("passing", "refused"), ("passing", "gone")}
    assert set(effects.values()) == {1, -1, 0}


def test_rules_that_come_go_and_change() -> None:
    before = world()
    only_in = {"db-in": before.rulesets["db-in"]}
    assert both_ways(changing(before, rulesets=only_in), before) == {
        ("web", "db", "tcp/5432", "-* +db-in/in/0", "+web-out/out/0 +db-in/in/0"),
    }
    only_out = {"web-out": before.rulesets["web-out"]}
    assert both_ways(changing(before, rulesets=only_out), before) == {
        ("web", "db", "tcp/5432", "+web-out/out/0 -*", "+web-out/out/0 +db-in/in/0"),
    }
    assert both_ways(changing(before, rulesets={}), before) == {
        ("web", "db", "tcp/5432", "-* -*", "+web-out/out/0 +db-in/in/0"),
    }
    out = [rule("Allow", [["app=db"]], "tcp/5432", "tcp/80")]
    wider = {**before.rulesets, "web-out": ruleset("web-out", "/shop", [["app=web"]], out=out)}
    assert both_ways(before, changing(before, rulesets=wider)) == {
        ("web", "db", "tcp/80", "-* -*", "+web-out/out/0 -*"),
    }
    refusing = ruleset("web-out", "/shop", [["app=web"]], out=[rule("Reject", [["app=db"]], "tcp/5432")])
    assert both_ways(before, changing(before, rulesets={**before.rulesets, "web-out": refusing})) == {
        ("web", "db", "tcp/5432", "+web-out/out/0 +db-in/in/0", "-web-out/out/0 +db-in/in/0"),
    }
    other = ruleset("web-out", "/shop", [["app=web"]], out=[rule("Allow", [["app=db"], ["app=job"]], "tcp/5432")])
    assert both_ways(before, changing(before, rulesets={**before.rulesets, "web-out": other})) == {
        ("web", "job", "tcp/5432", "-* -*", "+web-out/out/0 -*"),
    }
    subject = ruleset("db-in", "/shop", [["app=job"]], inc=before.rulesets["db-in"].incoming)
    assert both_ways(before, changing(before, rulesets={**before.rulesets, "db-in": subject})) == {
        ("web", "db", "tcp/5432", "+web-out/out/0 +db-in/in/0", "+web-out/out/0 -*"),
        ("web", "job", "tcp/5432", "-* -*", "-* +db-in/in/0"),
    }


def test_defaults_that_change_do_where_they_hold() -> None:
    units = {**world().units, "far": unit("far", 41, "e3", "app=far", namespace="/far")}
    before = world(units=units, rulesets={}, namespaces={"/": Namespace("/"), "/shop": Namespace("/shop")})
    after = changing(before, namespaces={"/": Namespace("/"), "/shop": Namespace("/shop", "Allow", "Inherit")})
    assert both_ways(before, after) == {
        ("web api db job far", "web api db job", "any", "-* -*", "-* +*"),
        ("0.0.0.1", "web api db job", "any", "nobody -*", "nobody +*"),
    }
    after = changing(before, namespaces={"/": Namespace("/"), "/shop": Namespace("/shop", "Inherit", "Allow")})
    assert both_ways(before, after) == {
        ("web api db job", "web api db job far", "any", "-* -*", "+* -*"),
        ("web api db job", "0.0.0.1", "any", "-* nobody", "+* nobody"),
    }


def test_tags_that_change_are_selected_by_other_objects_and_subjects() -> None:
    before = world()
    moved = {**before.units, "job": unit("job", 31, "e3", "app=db")}
    assert both_ways(before, changing(before, units=moved)) == {
        ("web", "job", "tcp/5432", "-* -*", "+web-out/out/0 +db-in/in/0"),
    }
    moved = {**before.units, "job": unit("job", 31, "e3", "app=web")}
    assert both_ways(before, changing(before, units=moved)) == {
        ("job", "db", "tcp/5432", "-* -*", "+web-out/out/0 +db-in/in/0"),
    }
    here = {**before.units, "job": unit("job", 31, "e3", "app=db", namespace="/far")}
    there = {**before.units, "job": unit("job", 31, "e3", "app=db")}
    assert both_ways(changing(before, units=here), changing(before, units=there)) == {
        ("web", "job", "tcp/5432", "+web-out/out/0 -*", "+web-out/out/0 +db-in/in/0"),
    }
    assert both_ways(before, changing(before, units={**before.units, "job": unit("job", 31, "e3", "app=x")})) == set()


def test_a_tag_that_is_negated_or_asked_for_by_the_second_rule_only() -> None:
    out = [rule("Allow", [["app=db"]], "tcp/1"), rule("Allow", [["app=job", "!env=prod"]], "tcp/2")]
    before = world(rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=out)))
    moved = {**before.units, "job": unit("job", 31, "e3", "app=job", "env=prod")}
    assert both_ways(before, changing(before, units=moved)) == {("web", "job", "tcp/2", "+s/out/1 -*", "-* -*")}
    gone = {key: each for key, each in before.rulesets.items() if key != "s"}
    assert both_ways(before, changing(before, units=moved, rulesets=gone)) == {
        ("web", "job", "tcp/2", "+s/out/1 -*", "-* -*"), ("web", "db", "tcp/1", "+s/out/0 -*", "-* -*"),
    }  # fmt: skip


LAB = network("lab", "/shop", "10.0.0.0/8", tags=("net=lab",))
LAB_RULES = keyed(
    ruleset("in", "/shop", [["app=web"]], inc=[rule("Allow", [["net=lab"]], "tcp/22")]),
    ruleset("out", "/shop", [["app=db"]], out=[rule("Allow", [["net=lab"]], "udp/53")]),
)


def test_networks_that_come_go_and_change() -> None:
    without = world(rulesets=LAB_RULES)
    before = changing(without, networks=keyed(LAB))
    assert both_ways(without, before) == {
        ("10.0.0.1", "web", "tcp/22", "nobody -*", "nobody +in/in/0"),
        ("db", "10.0.0.1", "udp/53", "-* nobody", "+out/out/0 nobody"),
    }
    assert both_ways(before, changing(before, networks=keyed(dataclasses.replace(LAB, entries=("10.0.0.0/9",))))) == {
        ("10.128.0.1", "web", "tcp/22", "nobody +in/in/0", "nobody -*"),
        ("db", "10.128.0.1", "udp/53", "+out/out/0 nobody", "-* nobody"),
    }
    untagged = dataclasses.replace(LAB, tags=frozenset({"net=x"}))
    assert both_ways(before, changing(before, networks=keyed(untagged))) == {
        ("10.0.0.1", "web", "tcp/22", "nobody +in/in/0", "nobody -*"),
        ("db", "10.0.0.1", "udp/53", "+out/out/0 nobody", "-* nobody"),
    }
    strict = dataclasses.replace(LAB, identity_required=True)
    assert both_ways(before, changing(before, networks=keyed(strict))) == {
        ("10.0.0.1", "web", "tcp/22", "nobody +in/in/0", "nobody -lab/in/0"),
        ("db", "10.0.0.1", "udp/53", "+out/out/0 nobody", "-lab/out/0 nobody"),
    }
    unseen = dataclasses.replace(LAB, namespace="/far", identity_required=True)
    assert both_ways(without, changing(without, networks=keyed(unseen))) == set()


def test_a_network_that_requires_identity_under_a_default_that_allows() -> None:
    before = world(rulesets={}, namespaces=OPEN)
    strict = network("lab", "/", "10.0.0.0/8", tags=(), identity_required=True, propagate=True)
    assert both_ways(before, changing(before, networks=keyed(strict))) == {
        ("10.0.0.1", "web api db job", "any", "nobody +*", "nobody -lab/in/0"),
        ("web api db job", "10.0.0.1", "any", "+* nobody", "-lab/out/0 nobody"),
    }


def test_units_that_come_and_go_with_what_is_allowed_to_and_from_them() -> None:
    before = world(networks=keyed(LAB), rulesets={**world().rulesets, **LAB_RULES})
    units = {**before.units, "w2": unit("w2", 41, "e1", "app=web"), "d2": unit("d2", 42, "e1", "app=db")}
    assert both_ways(before, changing(before, units=units)) == {
        ("w2", "db d2", "tcp/5432", "nothing", "+web-out/out/0 +db-in/in/0"),
        ("web", "d2", "tcp/5432", "nothing", "+web-out/out/0 +db-in/in/0"),
        ("10.0.0.1", "w2", "tcp/22", "nothing", "nobody +in/in/0"),
        ("d2", "10.0.0.1", "udp/53", "nothing", "+out/out/0 nobody"),
    }
    lonely = {**before.units, "x": unit("x", 41, "e1", "app=x")}
    assert both_ways(before, changing(before, units=lonely)) == set()
    itself = world(rulesets=keyed(ruleset("s", "/shop", [["app=x"]], inc=[rule("Allow", [["app=x"]], "any")])))
    assert both_ways(itself, changing(itself, units=lonely)) == set()


def test_a_unit_with_itself_is_nothing_and_two_with_each_other_are() -> None:
    everybody = [rule("Allow", [["app=x"]], "tcp/80")]
    mesh = keyed(ruleset("s", "/shop", [["app=x"]], inc=everybody, out=everybody))
    for count in (1, 2):
        units = keyed(*(unit(f"x{n}", n + 1, "e1", "app=x") for n in range(count)))
        before = world(units=units, rulesets={})
        expected = {("x0 x1", "x0 x1", "tcp/80", "-* -*", "+s/out/0 +s/in/0")} if count == 2 else set()
        assert both_ways(before, changing(before, rulesets=mesh)) == expected
    far = keyed(unit("x0", 1, "e1", "app=x"), unit("x1", 2, "e1", "app=x", "zone=1"))
    before = world(units=far, rulesets={})
    asking = ruleset("z", "/shop", [["zone=1"]])
    assert both_ways(before, changing(before, rulesets={**mesh, "z": asking})) == {
        ("x0 x1", "x0 x1", "tcp/80", "-* -*", "+s/out/0 +s/in/0"),
    }


def test_what_the_other_end_says_before_and_after_is_told_apart() -> None:
    inc = [rule("Allow", [["app=web"]], "tcp/5000:6000"), rule("Reject", [["app=web"]], "tcp/5500")]
    old = keyed(ruleset("db", "/shop", [["app=db"]], inc=inc))
    out = ruleset("web", "/shop", [["app=web"]], out=[rule("Allow", [["app=*"]], "tcp/5499:5501")])
    before = world(rulesets=old)
    new = {"db": ruleset("db", "/shop", [["app=db"]], inc=inc[:1]), "web": out}
    assert both_ways(before, changing(before, rulesets=new)) == {
        ("web", "web api job", "tcp/5499:5501", "-* -*", "+web/out/0 -*"),
        ("web", "db", "tcp/5499 tcp/5501", "-* +db/in/0", "+web/out/0 +db/in/0"),
        ("web", "db", "tcp/5500", "-* -db/in/1", "+web/out/0 +db/in/0"),
    }


def test_what_both_ends_decide_otherwise_is_told_once() -> None:
    refusing = ruleset("s", "/shop", [["app=db"]], inc=[rule("Reject", [["app=api"]], "any")])
    before = world(rulesets=keyed(refusing), namespaces={"/": Namespace("/"), "/shop": Namespace("/shop")})
    flows = {flow for flow in both_ways(before, changing(before, namespaces=OPEN)) if "nobody" not in flow[3]}
    assert flows == {
        ("web job api", "web job api", "any", "-* -*", "+* +*"),
        ("web job", "db", "any", "-* -*", "+* +*"),
        ("db", "web job api db", "any", "-* -*", "+* +*"),
        ("api", "db", "any", "-* -s/in/0", "+* -s/in/0"),
    }


def test_boxes_that_differ_in_one_respect_become_one() -> None:
    ends = Ends(ALLOW, None)

    def box(source: int, destination: int, port: int, after: Ends = ends) -> Box:
        return Box(FrozenBitMap([source]), FrozenBitMap([destination]), ((port, port),), None, after)

    square = [box(source, destination, port) for source in (1, 2) for destination in (3, 4) for port in (7, 8)]
    assert merged(square) == [Box(FrozenBitMap([1, 2]), FrozenBitMap([3, 4]), ((7, 8),), None, ends)]
    apart = [box(1, 3, 7), box(2, 4, 7), box(1, 3, 9, Ends(REJECT, None))]
    assert sorted(merged(apart), key=str) == sorted(apart, key=str)
    late = [box(1, 3, 7), box(1, 4, 7), box(2, 3, 8), box(2, 4, 8), box(1, 5, 8), box(2, 5, 7)]
    assert {(*sorted(each.sources), *sorted(each.destinations)) for each in merged(late)} == {
        (1, 3, 4),
        (2, 3, 4),
        (1, 5),
        (2, 5),
    }
    assert merged([]) == []


class Looking:
    """What a comparison would look at."""

    def __init__(self, old: World, new: World) -> None:
        self.before, self.after = Survey().landscapes(old, new)
        self.comparison = _Comparison(self.before, self.after)

    def ends(self, direction: Direction = "out") -> set[str]:
        """The units whose ends are looked at."""
        return set(names(self.before, self.comparison._affected(direction)).split())

    def flows(self, name: str, direction: Direction = "out") -> list[tuple[str, str]]:
        """The peers and ports that are looked at for a unit's end."""
        kind = next(found.number for found in self.before.kinds if name in found.units)
        one, other = self.before.end(kind, direction), self.after.end(kind, direction)
        found = self.comparison._interest(one, other)
        return sorted((names(self.before, parties), " ".join(portsets.words(ports))) for parties, ports in found)


def copied(made: World) -> World:
    """The same world, nothing of which is the same object."""
    parts: dict[str, Any] = {
        part: {key: dataclasses.replace(entry) for key, entry in getattr(made, part).items()}
        for part in ("namespaces", "units", "networks", "rulesets")
    }
    return changing(made, **parts)


STRICT = network("lab", "/shop", "10.0.0.0/8", tags=("net=lab",), identity_required=True)
FULL = world(
    networks=keyed(STRICT),
    rulesets={**world().rulesets, **LAB_RULES},
    units={
        **world().units,
        "far": unit("far", 41, "e3", "app=far", namespace="/far"),
        "below": unit("below", 42, "e3", "app=far", namespace="/shop/eu"),
    },
    namespaces={**world().namespaces, "/shop/eu": Namespace("/shop/eu", "Reject", "Reject")},
)


def test_nothing_is_looked_at_where_nothing_differs() -> None:
    looking = Looking(FULL, copied(FULL))
    assert looking.ends("out") == looking.ends("in") == set()
    assert looking.flows("web") == []


def test_only_ends_that_a_change_is_about_are_looked_at() -> None:
    other = copied(FULL)
    out = ruleset("web-out", "/shop", [["app=web"]], out=[rule("Allow", [["app=job"]], "tcp/5432")])
    assert Looking(FULL, changing(other, rulesets={**other.rulesets, "web-out": out})).ends() == {"web"}
    shop = {**other.namespaces, "/shop": Namespace("/shop", "Allow", "Inherit")}
    assert Looking(FULL, changing(other, namespaces=shop)).ends("in") == {"web", "api", "db", "job"}
    assert Looking(FULL, changing(other, namespaces=shop)).ends("out") == set()
    root = {**other.namespaces, "/": Namespace("/", "Allow", "Reject"), "/shop": Namespace("/shop", "Reject")}
    assert Looking(FULL, changing(other, namespaces=root)).ends("in") == {"far"}
    units = {**other.units, "job": unit("job", 31, "e3", "app=db")}
    assert Looking(FULL, changing(other, units=units)).ends("out") == {"web", "job"}
    assert Looking(FULL, changing(other, units=units)).ends("in") == {"job"}
    lax = {"lab": dataclasses.replace(STRICT, identity_required=False)}
    assert Looking(FULL, changing(other, networks=lax)).ends("in") == {"web", "api", "db", "job"}
    more = {**other.units, "new": unit("new", 51, "e3", "app=db")}
    assert Looking(FULL, changing(other, units=more)).ends("out") == set()


def test_only_peers_and_ports_that_a_change_takes_are_looked_at() -> None:
    other = copied(FULL)
    objects = [["app=db"], ["app=job"]]
    out = ruleset("web-out", "/shop", [["app=web"]], out=[rule("Allow", objects, "tcp/5432", name="query")])
    assert Looking(FULL, changing(other, rulesets={**other.rulesets, "web-out": out})).flows("web") == [
        ("job", "tcp/5432"),
    ]
    out = ruleset("web-out", "/shop", [["app=web"]], out=[rule("Allow", [["app=db"]], "tcp/5432:5433", name="query")])
    assert Looking(FULL, changing(other, rulesets={**other.rulesets, "web-out": out})).flows("web") == [
        ("db", "tcp/5432"),
        ("db", "tcp/5433"),
    ]
    none = {key: each for key, each in other.rulesets.items() if key != "web-out"}
    assert Looking(FULL, changing(other, rulesets=none)).flows("web") == [("db", "tcp/5432")]
