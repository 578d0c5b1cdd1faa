"""Differences in words and counts: what people read of a change of policy."""

from __future__ import annotations

import dataclasses

import msgspec

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.policy.difference import ChangedFlows, Difference, difference
from watchword.policy.world import Namespace, Ruleset, World

WEB_OUT = ruleset("web-out", "/shop", [["app=web"]], out=[rule("Allow", [["app=db"]], "tcp/5432", name="query")])
DB_IN = ruleset("db-in", "/shop", [["app=db"]], inc=[rule("Allow", [["app=web"]], "tcp/5432")])


def with_rulesets(*rulesets: Ruleset) -> World:
    return world(rulesets=keyed(*rulesets))


def only(found: Difference) -> ChangedFlows:
    assert found.flows_total == 1
    return found.flows[0]


def test_a_flow_that_becomes_allowed_at_both_ends() -> None:
    told = difference(with_rulesets(), with_rulesets(WEB_OUT, DB_IN))
    flows = only(told)
    assert (flows.effect, flows.presence, flows.pairs) == ("allowed", "both", 1)
    assert (told.pairs_allowed, told.pairs_denied, told.same) == (1, 0, False)
    assert flows.text == (
        "web in /shop → db in /shop: tcp/5432 outgoing was refused by default, is allowed by rule 'query' of "
        "'the web-out' in /shop; incoming was refused by default, is allowed by rule 0 of 'the db-in' in /shop"
    )
    assert msgspec.json.decode(msgspec.json.encode(told))["flows"][0]["ranges"] == [[6, 5432, 5432]]


def test_one_end_alone_changes_no_flow_and_says_what_still_refuses() -> None:
    flows = only(difference(with_rulesets(DB_IN), with_rulesets(WEB_OUT, DB_IN)))
    assert flows.effect == "allowed"
    flows = only(difference(with_rulesets(), with_rulesets(WEB_OUT)))
    assert flows.effect == "oneEnd"
    assert flows.text.endswith("; incoming is still refused by default")
    assert flows.before is not None
    assert flows.before.incoming is not None
    assert flows.before.incoming.action == "Reject"


def test_what_is_denied_comes_first_and_ports_are_exact() -> None:
    wide = dataclasses.replace(DB_IN, incoming=(rule("Allow", [["app=web"]], "tcp/1:65535"),))
    out = dataclasses.replace(WEB_OUT, outgoing=(rule("Allow", [["app=db"]], "any"),))
    narrow = dataclasses.replace(DB_IN, incoming=(rule("Allow", [["app=web"]], "tcp/5432", "udp/53"),))
    told = difference(with_rulesets(out, wide), with_rulesets(out, narrow))
    assert [(flows.effect, flows.protocol_ports) for flows in told.flows] == [
        ("denied", ("tcp/1:5431", "tcp/5433:65535")),
        ("allowed", ("udp/53",)),
    ]


def test_sets_of_units_are_told_by_their_tags_where_these_say_it_exactly() -> None:
    units = keyed(
        *(unit(f"w{n}", n + 1, "e1", "app=web", f"zone={n % 2}") for n in range(4)), unit("db", 9, "e2", "app=db")
    )
    before = world(units=units, rulesets=keyed(DB_IN))
    told = difference(before, dataclasses.replace(before, rulesets=keyed(WEB_OUT, DB_IN)))
    assert (only(told).sources.words, only(told).pairs) == ("4 units app=web in /shop", 4)
    zone = ruleset("zone", "/shop", [["app=web", "zone=1"]], out=[rule("Allow", [["app=db"]], "tcp/5432")])
    told = difference(before, dataclasses.replace(before, rulesets=keyed(zone, DB_IN)))
    assert only(told).sources.words == "2 units zone=1 in /shop"
    assert only(told).destinations.words == "db in /shop"


def test_addresses_are_told_by_their_networks() -> None:
    networks = keyed(
        network("office", "/shop", "192.0.2.0/24", tags=("net=office",)),
        network("lab", "/shop", "192.0.2.0/25", tags=("net=lab",)),
    )
    allow = ruleset("s", "/shop", [["app=db"]], inc=[rule("Allow", [["net=office"]], "tcp/22")])
    told = difference(world(networks=networks, rulesets={}), world(networks=networks, rulesets=keyed(allow)))
    flows = only(told)
    assert (flows.sources.kind, flows.sources.networks) == ("addresses", ("the lab", "the office"))
    assert flows.pairs == 2  # two groups of addresses: in both networks, in one
    assert flows.before is not None
    assert flows.before.outgoing is None
    opened = {"/": Namespace("/", "Allow", "Reject"), "/shop": Namespace("/shop")}
    told = difference(world(rulesets={}), world(rulesets={}, namespaces=opened))
    assert any("addresses in no external network" in flows.text for flows in told.flows)
    assert {flows.protocol_ports for flows in told.flows} == {("any",)}


def test_units_that_come_and_go_are_said_and_their_flows_too() -> None:
    before = with_rulesets(WEB_OUT, DB_IN)
    units = {key: each for key, each in before.units.items() if key != "web"}
    moved = dataclasses.replace(before.units["job"], tags=frozenset({"app=web"}))
    after = dataclasses.replace(before, units={**units, "job": moved, "w2": unit("w2", 77, "e1", "app=web")})
    told = difference(before, after)
    assert [each.id for each in told.units_new.units] == ["w2"]
    assert [each.id for each in told.units_gone.units] == ["web"]
    assert [each.id for each in told.units_changed.units] == ["job"]
    assert {(flows.effect, flows.presence, flows.example.source) for flows in told.flows} == {
        ("denied", "gone", "web"), ("allowed", "new", "w2"), ("allowed", "both", "job"),
    }  # fmt: skip
    gone = next(flows for flows in told.flows if flows.presence == "gone")
    assert gone.after is None
    assert gone.text.endswith(
        "was allowed by rule 'query' of 'the web-out' in /shop and rule 0 of 'the db-in' in /shop (gone units)"
    )


def test_long_differences_are_cut_and_counted() -> None:
    out = [rule("Allow", [["app=db"]], f"tcp/{port}", name=f"r{port}") for port in range(1, 12, 2)]
    told = difference(with_rulesets(), with_rulesets(ruleset("s", "/shop", [["app=web"]], out=out)), limit=2)
    assert (told.flows_total, len(told.flows)) == (6, 2)


def test_the_same_policy_in_other_words_is_no_difference() -> None:
    other = ruleset("other", "/shop", [["app=web"], ["app=web", "$x=*"]], out=[rule("Allow", [["app=db"]], "tcp/5432")])
    assert difference(with_rulesets(WEB_OUT, DB_IN), with_rulesets(other, DB_IN)).same


def test_denied_then_allowed_then_one_end_and_of_each_the_most_pairs_first() -> None:
    units = keyed(
        *(unit(f"w{n}", n + 1, "e1", "app=web") for n in range(3)),
        *(unit(f"j{n}", n + 10, "e1", "app=job") for n in range(2)),
        unit("db", 9, "e2", "app=db"),
    )

    def allowing(*ports: str, ends: str = "both") -> World:
        out = [rule("Allow", [["app=db"]], *ports), rule("Allow", [["app=db"]], "tcp/9", name=ends)]
        inc = [rule("Allow", [["app=*"]], *ports)]
        subjects = [["app=web"], ["app=job"]]
        rulesets = [ruleset(f"s{n}", "/shop", [subjects[n]], out=out) for n in range(2)]
        return world(units=units, rulesets=keyed(*rulesets, ruleset("in", "/shop", [["app=db"]], inc=inc)))

    told = difference(allowing("tcp/1", "tcp/7"), allowing("tcp/3", "tcp/7"))
    assert [(flows.effect, flows.protocol_ports, flows.pairs) for flows in told.flows] == [
        ("denied", ("tcp/1",), 3), ("denied", ("tcp/1",), 2), ("allowed", ("tcp/3",), 3), ("allowed", ("tcp/3",), 2),
    ]  # fmt: skip
    assert (told.pairs_allowed, told.pairs_denied) == (5, 5)
    before = world(units=units, rulesets={})
    told = difference(before, dataclasses.replace(before, rulesets={"s0": allowing("tcp/3").rulesets["s0"]}))
    assert {flows.effect for flows in told.flows} == {"oneEnd"}
    assert (told.pairs_allowed, told.pairs_denied, told.same) == (0, 0, False)


def test_as_many_pairs_on_the_same_ports_are_told_in_the_order_of_their_sources() -> None:
    subjects = ([["app=web"]], [["app=api"]], [["app=job"]])
    rulesets = [ruleset(f"s{n}", "/shop", subjects[n], out=[rule("Allow", [["app=db"]], "tcp/5")]) for n in range(3)]
    told = difference(with_rulesets(), with_rulesets(*rulesets))
    assert [flows.example.source for flows in told.flows] == ["web", "api", "job"]
    first = ruleset("b", "/shop", [["app=web"], ["app=job"]], out=[rule("Allow", [["app=db"]], "tcp/5")])
    second = ruleset("a", "/shop", [["app=api"]], out=[rule("Allow", [["app=db"], ["app=job"]], "tcp/5")])
    told = difference(with_rulesets(), with_rulesets(first, second))
    assert [(flows.example.source, flows.pairs) for flows in told.flows] == [("web", 2), ("api", 2)]


def test_a_unit_with_itself_is_no_pair_and_no_example() -> None:
    units = keyed(*(unit(f"w{n}", n + 1, "e1", "app=web") for n in range(4)))
    everybody = [rule("Allow", [["app=web"]], "tcp/80")]
    mesh = ruleset("mesh", "/shop", [["app=web"]], inc=everybody, out=everybody)
    flows = only(difference(world(units=units, rulesets={}), world(units=units, rulesets=keyed(mesh))))
    assert flows.pairs == 12
    assert (flows.example.source, flows.example.destination) == ("w0", "w1")
    tagged = keyed(unit("a", 1, "e1", "x=1", "y=1"), unit("b", 2, "e1", "x=1"))
    allow = ruleset("s", "/shop", [["x=1"]], inc=[rule("Allow", [["y=1"]], "tcp/80")])
    flows = only(difference(world(units=tagged, rulesets={}), world(units=tagged, rulesets=keyed(allow))))
    assert (flows.pairs, flows.example.source, flows.example.destination) == (1, "a", "b")
    turned = ruleset("s", "/shop", [["y=1"]], inc=[rule("Allow", [["x=1"]], "tcp/80")])
    flows = only(difference(world(units=tagged, rulesets={}), world(units=tagged, rulesets=keyed(turned))))
    assert (flows.pairs, flows.example.source, flows.example.destination) == (1, "b", "a")


def test_a_network_that_begins_to_require_identity_is_named() -> None:
    lab = network("lab", "/shop", "192.0.2.0/24", tags=("net=lab",))
    rulesets = keyed(ruleset("s", "/shop", [["app=db"]], inc=[rule("Allow", [["net=lab"]], "tcp/22", name="ssh")]))
    before = world(networks=keyed(lab), rulesets=rulesets)
    strict = dataclasses.replace(lab, identity_required=True)
    flows = only(difference(before, dataclasses.replace(before, networks=keyed(strict))))
    assert flows.effect == "denied"
    assert flows.text == (
        "addresses in the lab → db in /shop: tcp/22 incoming was allowed by rule 'ssh' of 'the s' in /shop, "
        "is refused by identity required of external network 'the lab' in /shop"
    )


def test_a_new_unit_and_addresses() -> None:
    lab = network("lab", "/shop", "192.0.2.0/24", tags=("net=lab",))
    rulesets = keyed(ruleset("s", "/shop", [["app=new"]], inc=[rule("Allow", [["net=lab"]], "tcp/22", name="ssh")]))
    before = world(networks=keyed(lab), rulesets=rulesets)
    after = dataclasses.replace(before, units={**before.units, "n": unit("n", 41, "e1", "app=new")})
    flows = only(difference(before, after))
    assert (flows.presence, flows.before) == ("new", None)
    assert flows.text == (
        "addresses in the lab → n in /shop: tcp/22 is allowed by rule 'ssh' of 'the s' in /shop (new units)"
    )
    assert (flows.example.source, flows.example.destination) == ("192.0.2.1", "n")


def test_units_are_listed_by_namespace_and_name_and_no_more_than_can_be_read() -> None:
    before = world()
    many = [unit(f"n{n:02}", 100 + n, "e1", "app=new") for n in range(20, -1, -1)]
    first = unit("zzz", 200, "e1", "app=new", namespace="/")
    told = difference(before, dataclasses.replace(before, units={**before.units, **keyed(*many, first)}))
    assert told.units_new.count == 22
    assert [each.id for each in told.units_new.units] == ["zzz", *(f"n{n:02}" for n in range(19))]


def test_two_hundred_entries_are_listed_unless_more_are_asked_for() -> None:
    out = [rule("Allow", [["app=db"]], f"tcp/{port}", name=f"r{port}") for port in range(1, 403, 2)]
    told = difference(with_rulesets(), with_rulesets(ruleset("s", "/shop", [["app=web"]], out=out)))
    assert (told.flows_total, len(told.flows)) == (201, 200)
