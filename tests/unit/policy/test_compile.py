"""Compiled tables, by example: attribution, logs, identity required, numbers, broken documents."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.model.problems import Invalid
from watchword.policy.compile import Compiler, compile
from watchword.policy.lookup import lookup, prefix_of, reachable, segment_of, verdict
from watchword.policy.render import render
from watchword.policy.tables import FIRST_CLASS, SOMEWHERE, Tables
from watchword.policy.world import Namespace, Network, World


def tables(enforcer: str = "e1", **changes: Any) -> Tables:
    return compile(render(world(**changes), enforcer))


def test_the_shop() -> None:
    made = tables()
    allowed = lookup(made, "web", 21, "out", 6, 5432)
    assert (allowed.action, allowed.rule, allowed.explicit) == ("Allow", "web-out/out/0", False)
    assert lookup(made, "web", 21, "out", 6, 5433).action == "Reject"
    assert lookup(made, "web", 21, "out", 17, 5432).action == "Reject"
    assert lookup(made, "web", 21, "in", 6, 5432).action == "Reject"
    assert lookup(made, "api", 21, "out", 6, 5432).action == "Reject"
    assert lookup(made, "web", 12, "out", 6, 5432).action == "Reject"
    assert lookup(made, "web", "10.0.0.1", "out", 6, 5432).action == "Reject"
    assert lookup(made, "web", 4711, "out", 6, 5432).action == "Reject"
    assert lookup(made, "web", 11, "out", 6, 1).action == "Allow"  # itself
    assert lookup(tables("e2"), "db", 11, "in", 6, 5432).rule == "db-in/in/0"


def test_only_a_rejecting_rule_is_explicit() -> None:
    rulesets = keyed(ruleset("no", "/shop", [["app=web"]], out=[rule("Reject", [["app=db"]], "tcp/22")]))
    made = tables(rulesets=rulesets)
    by_rule, by_default = lookup(made, "web", 21, "out", 6, 22), lookup(made, "web", 21, "out", 6, 23)
    assert (by_rule.action, by_rule.rule, by_rule.explicit) == ("Reject", "no/out/0", True)
    assert (by_default.action, by_default.rule, by_default.explicit) == ("Reject", "", False)


def test_an_observation_is_logged_even_where_the_deciding_rule_is_not() -> None:
    quiet = rule("Allow", [["app=db"]], "any", log=False)
    watching = rule("Reject", [["app=db"]], "tcp/22", observed=True)
    made = tables(rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=[quiet, watching])))
    plain, seen = lookup(made, "web", 21, "out", 6, 23), lookup(made, "web", 21, "out", 6, 22)
    assert (plain.action, plain.log, plain.observed_action) == ("Allow", False, "")
    assert (seen.action, seen.rule, seen.log) == ("Allow", "s/out/0", True)
    assert (seen.observed_action, seen.observed_rule) == ("Reject", "s/out/1")


def test_required_identity_rejects_addresses_whatever_allows_them_and_names_the_network() -> None:
    changes: dict[str, Any] = {
        "networks": keyed(
            network("inside", "/", "10.0.0.0/8", tags=("net=in",), propagate=True, identity_required=True),
            network("web", "/shop", "10.1.0.0/16", "192.0.2.0/24", tags=("net=web",)),
        ),
        "rulesets": keyed(ruleset("s", "/shop", [["app=web"]], inc=[rule("Allow", [["net=web"], ["app=db"]], "any")])),
    }
    made = tables(**changes)
    refused = lookup(made, "web", "10.1.0.1", "in", 6, 80)
    assert (refused.action, refused.rule, refused.explicit) == ("Reject", "inside/in/0", True)
    assert lookup(made, "web", "192.0.2.1", "in", 6, 80).action == "Allow"
    assert lookup(made, "web", 21, "in", 6, 80).action == "Allow"  # proved, so the address does not matter
    # also under a default that allows, and for a unit without any rule
    open_ = tables(**changes, namespaces={"/": Namespace("/", "Allow", "Allow")})
    assert lookup(open_, "api", "10.9.9.9", "in", 6, 80).action == "Reject"
    assert lookup(open_, "api", "9.9.9.9", "in", 6, 80).action == "Allow"


def test_overlapping_networks_all_count_and_a_carve_out_is_its_own_networks_only() -> None:
    networks = keyed(
        network("wide", "/shop", "10.0.0.0/8", "!10.1.2.0/24", tags=("net=wide",)),
        network("narrow", "/shop", "10.1.0.0/16", "!10.1.3.0/24", tags=("net=narrow",)),
    )
    out = [rule("Reject", [["net=wide"]], "any"), rule("Allow", [["net=narrow"]], "any")]
    made = tables(networks=networks, rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=out)))
    addresses = ("10.9.0.1", "10.1.0.1", "10.1.2.1", "10.1.3.1", "11.0.0.1")
    actions = {address: lookup(made, "web", address, "out", 6, 80).action for address in addresses}
    assert actions == {
        "10.9.0.1": "Reject",
        "10.1.0.1": "Reject",  # the narrow Allow does not beat the wide Reject
        "10.1.2.1": "Allow",
        "10.1.3.1": "Reject",
        "11.0.0.1": "Reject",
    }
    assert lookup(made, "web", "10.1.3.1", "out", 6, 80).rule == "s/out/0"
    assert lookup(made, "web", "11.0.0.1", "out", 6, 80).rule == ""
    assert made.prefix_networks["10.1.0.0/16"] == ("narrow", "wide")
    assert made.prefix_networks["10.1.2.0/24"] == ("narrow",)
    assert made.prefix_networks["10.1.3.0/24"] == ("wide",)
    assert prefix_of(made, "11.0.0.1") == ""


def test_a_hole_in_the_only_network_is_somewhere() -> None:
    networks = keyed(network("n", "/shop", "2001:db8::/32", "!2001:db8:1::/48", tags=("net=n",)))
    out = [rule("Allow", [["net=n"]], "any")]
    made = tables(networks=networks, rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=out)))
    assert made.prefixes["2001:db8:1::/48"] == SOMEWHERE
    assert lookup(made, "web", "2001:db8::1", "out", 6, 80).action == "Allow"
    assert lookup(made, "web", "2001:db8:1::1", "out", 6, 80).action == "Reject"


def test_an_identity_and_an_address_that_match_the_same_rules_are_two_classes() -> None:
    networks = keyed(network("n", "/shop", "10.0.0.0/8", tags=("app=db",)))
    made = tables(networks=networks)
    assert made.peers[21].peer_class != made.prefixes["10.0.0.0/8"]
    assert lookup(made, "web", "10.0.0.1", "out", 6, 5432).action == "Allow"


def test_what_is_reachable_does_not_wait_for_peers() -> None:
    nobody = {key: entry for key, entry in world().units.items() if key != "db"}
    made = tables(units=nobody)
    assert reachable(made, "web", 6, 5432)
    assert not reachable(made, "web", 6, 5433)
    assert not reachable(made, "web", 17, 5432)
    assert not reachable(made, "api", 6, 5432)
    assert reachable(tables(namespaces={"/": Namespace("/", "Reject", "Allow")}), "api", 6, 1)


def test_what_is_rejected_for_whoever_could_be_allowed_is_not_reachable() -> None:
    out = [rule("Allow", [["app=db"]], "any"), rule("Reject", [["app=db"]], "tcp/22", "gre")]
    made = tables(rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=out)))
    flows = {(6, 22): False, (6, 23): True, (17, 53): True, (47, 0): False, (50, 0): True}
    assert {flow: reachable(made, "web", *flow) for flow in flows} == flows
    one = tables(rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=out[:1])))
    assert len(one.reachable) == 1


def test_ports_between_the_rules_have_no_segment() -> None:
    made = tables()
    assert segment_of(made, 6, 5432) != 0
    assert segment_of(made, 6, 5431) == segment_of(made, 17, 5432) == 0


def test_icmp_types_are_told_apart_and_refused_where_they_are_not_looked_at() -> None:
    out = [rule("Allow", [["app=db"]], "any"), rule("Reject", [["app=db"]], "icmp/5")]
    made = tables(rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=out)))
    assert lookup(made, "web", 21, "out", 1, 8 << 8).action == "Allow"
    assert lookup(made, "web", 21, "out", 1, 5 << 8 | 1).action == "Reject"
    blind = [verdict for key, verdict in made.verdicts.items() if (key.protocol, key.segment) == (1, 0)]
    assert [verdict.action for verdict in blind] == ["Reject"]


def blind(made: Tables, peer: int) -> str:
    """What web is told about ICMP by a datapath that does not look at types."""
    local, known = made.units["web"].local_class, made.peers[peer].peer_class
    return verdict(made, local, known, "out", 1, 0).action


def test_icmp_is_not_refused_where_all_types_are_allowed_though_others_tell_them_apart() -> None:
    whole = ruleset("whole", "/shop", [["app=web"]], out=[rule("Allow", [["app=db"]], "icmp")])
    cutting = ruleset("cutting", "/shop", [["app=web"]], out=[rule("Allow", [["app=job"]], "icmp/8")])
    made = tables(rulesets=keyed(whole, cutting))
    assert blind(made, 21) == "Allow"
    assert blind(made, 31) == "Reject", "one type is allowed, the others are not"
    assert lookup(made, "web", 31, "out", 1, 8 << 8).action == "Allow"
    assert lookup(made, "web", 31, "out", 1, 9 << 8).action == "Reject"


def test_the_default_is_that_of_the_direction() -> None:
    made = tables(namespaces={"/": Namespace("/", "Allow", "Reject")})
    assert lookup(made, "api", 21, "in", 6, 1).action == "Allow"
    assert lookup(made, "api", 21, "out", 6, 1).action == "Reject"


def test_what_others_cut_is_reachable_where_all_but_one_port_is() -> None:
    out = [rule("Allow", [["app=db"]], "any"), rule("Reject", [["app=db"]], "tcp/22")]
    wide = ruleset("s", "/shop", [["app=web"]], out=out)
    other = ruleset("o", "/shop", [["app=api"]], out=[rule("Allow", [["app=job"]], "tcp/80", "gre")])
    made = tables(rulesets=keyed(wide, other))
    flows = {(6, 22): False, (6, 80): True, (6, 81): True, (47, 0): True, (50, 0): True}
    assert {flow: reachable(made, "web", *flow) for flow in flows} == flows
    assert {flow: reachable(made, "api", *flow) for flow in flows} == dict.fromkeys(flows, False) | {
        (6, 80): True,
        (47, 0): True,
    }


def test_numbers_stay_while_others_come_and_go() -> None:
    compiler = Compiler()
    before = world()
    first = compiler.compile(render(before, "e1"))
    more = {
        **before.rulesets,
        "a": ruleset("a", "/shop", [["app=api"]], out=[rule("Reject", [["app=job"]], "tcp/1:9000")]),
    }
    second = compiler.compile(render(dataclasses.replace(before, rulesets=more), "e1"))
    assert second.peers[21].peer_class == first.peers[21].peer_class
    assert second.units["web"].local_class == first.units["web"].local_class
    assert segment_of(second, 6, 5432) == segment_of(first, 6, 5432)
    used = {first.peers[21].peer_class, first.peers[11].peer_class}
    assert second.peers[31].peer_class not in used


def test_numbers_begin_with_the_first_and_none_is_given_to_what_no_rule_matches() -> None:
    compiler = Compiler()
    networks = keyed(network("n", "/shop", "10.0.0.0/8", "!10.1.0.0/16", tags=("app=db",)))
    first = compiler.compile(render(world(networks=networks), "e1"))
    assert [segment.number for segment in first.segments] == [1]
    assert first.prefixes["10.1.0.0/16"] == SOMEWHERE
    taken = {*first.prefixes.values(), *(peer.peer_class for peer in first.peers.values())} - {SOMEWHERE}
    assert taken == set(range(FIRST_CLASS, FIRST_CLASS + 3))
    job = ruleset("job", "/shop", [["app=api"]], out=[rule("Allow", [["app=job"]], "any")])
    second = compiler.compile(render(world(networks=networks, rulesets={**world().rulesets, "job": job}), "e1"))
    assert second.peers[31].peer_class == FIRST_CLASS + 3


def test_segments_stay_within_sixteen_bits_over_any_number_of_changes() -> None:
    compiler = Compiler()
    before = world()
    for start in range(0, 65536 + 8192, 4096):
        texts = [f"tcp/{(start + offset) % 65536}" for offset in range(4096)]
        out = [rule("Allow", [["app=db"]], *texts)]
        rulesets = keyed(ruleset("s", "/shop", [["app=web"]], out=out))
        made = compiler.compile(render(dataclasses.replace(before, rulesets=rulesets), "e1"))
        numbers = {segment.number for segment in made.segments}
        assert len(numbers) == len(made.segments) == 4096
        assert 0 < min(numbers) <= max(numbers) < 1 << 16


@pytest.mark.parametrize("entry", ["10.0.0.0/40", "exa mple.com"])
def test_a_broken_document_is_refused_whole_and_the_compiler_goes_on(entry: str) -> None:
    compiler = Compiler()
    good = render(world(), "e1")
    first = compiler.compile(good)
    networks = keyed(network("n", "/shop", entry, tags=("app=db",)))
    with pytest.raises(Invalid):
        compiler.compile(render(world(networks=networks), "e1"))
    dangling = msgspec.structs.replace(good, rules={})
    with pytest.raises(LookupError):
        compiler.compile(dangling)
    again = compiler.compile(good)
    assert lookup(again, "web", 21, "out", 6, 5432) == lookup(first, "web", 21, "out", 6, 5432)


def test_an_empty_world_for_an_enforcer_compiles_to_nothing() -> None:
    empty = World(1, {}, {}, {}, {}, world().enforcers)
    made = compile(render(empty, "e1"))
    assert (made.verdicts, made.peers, made.units, made.reachable) == ({}, {}, {}, frozenset())


def test_a_changed_rule_under_the_same_key_changes_the_verdict_of_kept_ends() -> None:
    compiler = Compiler()
    before = world()
    assert lookup(compiler.compile(render(before, "e1")), "web", 21, "out", 6, 5432).action == "Allow"
    out = [rule("Reject", [["app=db"]], "tcp/5432", name="query")]
    rulesets = {**before.rulesets, "web-out": ruleset("web-out", "/shop", [["app=web"]], out=out)}
    changed = compiler.compile(render(dataclasses.replace(before, rulesets=rulesets), "e1"))
    assert lookup(changed, "web", 21, "out", 6, 5432).action == "Reject"


def test_an_untagged_peer_loses_its_verdict() -> None:
    compiler = Compiler()
    before = world()
    compiler.compile(render(before, "e1"))
    units = {**before.units, "db": unit("db", 21, "e2", "app=other")}
    after = compiler.compile(render(dataclasses.replace(before, units=units), "e1"))
    assert lookup(after, "web", 21, "out", 6, 5432).action == "Reject"


def test_host_names_come_change_and_go_with_their_networks() -> None:
    def step(revision: int, *networks: Network) -> Tables:
        out = [rule("Allow", [["net=saas"]], "tcp/443")]
        rulesets = keyed(ruleset("s", "/shop", [["app=web"]], out=out))
        made = compiler.compile(render(world(revision=revision, networks=keyed(*networks), rulesets=rulesets), "e1"))
        assert {key: made.name_networks[key] for key in made.names} == made.name_networks
        return made

    def saas(*entries: str, names: tuple[str, ...]) -> Network:
        return network("saas", "/shop", *entries, tags=("net=saas",), names=names)

    compiler = Compiler()
    first = step(1, saas(names=("*.example", "api.example")))
    assert first.name_networks == {"*.example": ("saas",), "api.example": ("saas",)}
    assert first.names["*.example"] == first.names["api.example"] >= FIRST_CLASS
    assert lookup(first, "web", "192.0.2.1", "out", 6, 443, ["x.example"]).rule == "s/out/0"
    assert step(2, saas(names=("*.example", "api.example"))).names == first.names  # nothing was touched
    mixed = step(3, saas("10.0.0.0/8", names=("api.example",)))
    assert set(mixed.names) == {"api.example"}
    assert mixed.names["api.example"] == mixed.prefixes["10.0.0.0/8"]
    assert step(4, saas("10.0.0.0/8", names=())).names == {}
    assert set(step(5, saas(names=("b.example",))).names) == {"b.example"}
    last = step(6)
    assert last.name_networks == {}
    assert first.names["*.example"] not in {key.peer for key in last.verdicts}  # a class that nobody has is forgotten
