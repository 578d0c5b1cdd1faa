"""The oracle itself: it stands alone, and says what the policy semantics say, sentence by sentence."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from tests.property import oracle
from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.policy.world import Namespace, World


def test_the_oracle_shares_no_code_with_the_engine() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text())
    imported = {
        (node.module, name.name) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names
    }
    plain = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    records = {"Network", "Rule", "Ruleset", "Unit", "World"}
    assert {name for module, name in imported if str(module).startswith("watchword")} == records
    assert {module for module, _ in imported} == {"__future__", "typing", "watchword.policy.world"}
    assert plain == {"functools", "ipaddress"}


def test_it_reads_fields_only_and_calls_nothing_of_the_records() -> None:
    read = {
        node.attr for node in ast.walk(ast.parse(Path(oracle.__file__).read_text())) if isinstance(node, ast.Attribute)
    }
    records = ast.parse(Path(inspect.getfile(World)).read_text())
    assert read.isdisjoint(node.name for node in ast.walk(records) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(
    ("clause", "tags", "held"),
    [
        ("a=1", {"a=1"}, True),
        ("a=1", {"a=12"}, False),
        ("a=*", {"a=12"}, True),
        ("a=*", {"ab=1"}, False),
        ("a=1*", {"a=12"}, True),
        ("a=1*", {"a=21"}, False),
        ("!a=1", set(), True),
        ("!a=1*", {"a=12"}, False),
        ("!a=*", {"b=1"}, True),
        ("a=b=*", {"a=b=c"}, True),
    ],
)
def test_clauses(clause: str, tags: set[str], held: bool) -> None:
    assert oracle.has(frozenset(tags), clause) is held


def test_lineage_goes_up_by_components() -> None:
    assert oracle.lineage("/a/b") == ["/a/b", "/a", "/"]
    assert oracle.lineage("/") == ["/"]
    assert not oracle.applies("/a", True, "/ab")
    assert not oracle.applies("/a/b", True, "/a")
    assert oracle.applies("/", True, "/a/b")
    assert not oracle.applies("/", False, "/a")


def test_prefixes_bit_by_bit() -> None:
    assert oracle.lies_in("10.1.2.3", "10.0.0.0/8")
    assert not oracle.lies_in("11.1.2.3", "10.0.0.0/8")
    assert oracle.lies_in("::ffff:10.1.2.3", "10.0.0.0/8")
    assert oracle.lies_in("10.1.2.3", "::ffff:10.0.0.0/104")
    assert not oracle.lies_in("10.1.2.3", "::/0")
    assert not oracle.lies_in("::1", "0.0.0.0/0")


def asked(made: World, peer: str, port: int = 80, direction: str = "out") -> oracle.Opinion:
    party = made.units.get(peer, peer)
    return oracle.judge(made, made.units["web"], party, direction, 6, port)


def test_reject_wins_at_any_level_however_specific() -> None:
    made = world(
        rulesets=keyed(
            ruleset("top", "/", [["app=web"]], out=[rule("Reject", [["app=*"]], "any")], propagate=True),
            ruleset("here", "/shop", [["app=web"]], out=[rule("Allow", [["app=db"]], "tcp/80")]),
        )
    )
    assert asked(made, "db") == oracle.Opinion("Reject", "top/out/0", "top", "/")


def test_allow_then_default_then_reject() -> None:
    made = world(rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=[rule("Allow", [["app=db"]], "tcp/80")])))
    assert asked(made, "db") == oracle.Opinion("Allow", "s/out/0", "s", "/shop")
    assert asked(made, "db", 81) == oracle.Opinion("Reject")
    inherited = {"/": Namespace("/", "Reject", "Inherit"), "/shop": Namespace("/shop")}
    assert oracle.default_of(world(namespaces=inherited), "/shop", "out") == "Reject"
    nearest = {"/": Namespace("/", "Reject", "Reject"), "/shop": Namespace("/shop", "Inherit", "Allow")}
    assert oracle.default_of(world(namespaces=nearest), "/shop", "out") == "Allow"
    assert oracle.default_of(world(namespaces=nearest), "/shop", "in") == "Reject"


def test_fallback_disabled_and_observed() -> None:
    allow, reject = rule("Allow", [["app=db"]], "any"), rule("Reject", [["app=db"]], "any")
    spare = ruleset("spare", "/shop", [["app=web"]], out=[allow], fallback=True)
    assert asked(world(rulesets=keyed(spare)), "db").action == "Allow"
    assert asked(world(rulesets=keyed(spare, ruleset("mute", "/shop", [["app=web"]]))), "db").action == "Reject"
    off = ruleset("off", "/shop", [["app=web"]], out=[reject], disabled=True)
    assert asked(world(rulesets=keyed(spare, off)), "db").action == "Allow"
    seen = [rule("Allow", [["app=db"]], "any", observed=True), rule("Reject", [["app=db"]], "tcp/80", observed=True)]
    watching = asked(world(rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=[allow, *seen]))), "db")
    assert (watching.action, watching.observed_action, watching.observed_rule) == ("Allow", "Reject", "s/out/2")


def test_networks_carve_outs_somewhere_and_required_identity() -> None:
    networks = keyed(
        network("wide", "/shop", "10.0.0.0/8", "!10.1.0.0/16", tags=("net=wide",)),
        network("narrow", "/shop", "10.1.0.0/16", tags=("net=narrow",)),
        network("inside", "/", "10.1.2.0/24", tags=("net=in",), propagate=True, identity_required=True),
        network("far", "/far", "192.0.2.0/24", tags=("net=wide",), propagate=True),
    )
    out = [rule("Allow", [["net=*"]], "any"), rule("Reject", [["net=wide"]], "tcp/80")]
    made = world(networks=networks, rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=out)))
    assert asked(made, "10.2.0.1").rule == "s/out/1"
    assert asked(made, "10.1.0.1").action == "Allow"  # carved out of wide alone
    assert asked(made, "10.1.2.1") == oracle.Opinion("Reject", "inside/out/0", "inside", "/", "identity required")
    assert asked(made, "192.0.2.1") == oracle.Opinion("Reject")  # not visible from /shop
    assert asked(made, "9.9.9.9") == oracle.Opinion("Reject")  # somewhere


def test_both_ends_have_a_say_and_a_unit_may_talk_to_itself() -> None:
    made = world()
    web, db = made.units["web"], made.units["db"]
    assert oracle.passes(made, web, db, 6, 5432)
    assert not oracle.passes(made, db, web, 6, 5432)
    assert oracle.passes(made, web, web, 6, 1)
    one = world(rulesets={"web-out": made.rulesets["web-out"]})
    assert not oracle.passes(one, web, db, 6, 5432)
    assert not oracle.passes(made, "9.9.9.9", db, 6, 5432)


def test_units_elsewhere_are_peers_of_any_namespace() -> None:
    made = world()
    far = unit("far", 41, "e3", "app=db", namespace="/elsewhere")
    assert oracle.judge(made, made.units["web"], far, "out", 6, 5432).action == "Allow"


def test_hope_is_for_flows_that_some_object_alone_allows() -> None:
    out = [rule("Allow", [["app=db"]], "any"), rule("Reject", [["app=db"]], "tcp/22")]
    made = world(rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=out)))
    assert oracle.hopeful(made, made.units["web"], 6, 23)
    assert not oracle.hopeful(made, made.units["web"], 6, 22)
    assert not oracle.hopeful(made, made.units["api"], 6, 23)
