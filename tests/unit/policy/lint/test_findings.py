"""Findings as records: their order, and where a rule stands."""

from __future__ import annotations

import dataclasses

import msgspec

from tests.unit.policy.shop import rule, ruleset, unit, world
from watchword.policy import portsets
from watchword.policy.landscape import Survey
from watchword.policy.lint.findings import Finding, Witness, of_rule, of_ruleset, order, standing, witness
from watchword.policy.selection import rules_of

RULES = [rule("Allow", [["app=db"]], "tcp/1"), rule("Allow", [["app=db"]], "tcp/2", name="r")]
RULESET = dataclasses.replace(ruleset("s", "/shop", [["app=web"]], inc=RULES, out=RULES), origin="i")


def test_a_ruleset_as_a_whole() -> None:
    finding = of_ruleset("long-disabled", RULESET, "rests", "wake it")
    assert finding == Finding("long-disabled", "info", "i", "the s", "/shop", "'the s' in /shop rests", "wake it")
    assert (finding.direction, finding.index, finding.rule, finding.rule_name) == ("", -1, "", "")
    assert (finding.others, finding.pairs, finding.witness) == ((), 0, None)


def test_one_rule() -> None:
    placed = rules_of([RULESET], "out")[1]
    others = tuple(f"o/in/{number}" for number in range(7))
    finding = of_rule(
        "shadowed-rule", placed, "rests", "wake it", others=others, pairs=3, witness=Witness("a", "b", "c")
    )
    text = "outgoing rule 'r' of 'the s' in /shop rests"
    assert finding == Finding(
        "shadowed-rule", "warning", "i", "the s", "/shop", text, "wake it", "outgoing", 1, "i/out/1", "r",
        others[:5], 3, Witness("a", "b", "c"),
    )  # fmt: skip
    plain = of_rule("shadowed-rule", rules_of([RULESET], "in")[0], "rests", "wake it")
    assert (plain.text, plain.direction, plain.index) == ("incoming rule 0 of 'the s' in /shop rests", "incoming", 0)
    assert (plain.others, plain.pairs, plain.witness) == ((), 0, None)


def test_where_a_rule_stands_whatever_the_ruleset_is_called() -> None:
    odd = ruleset("a/b/in/7", "/shop", [["app=web"]], inc=RULES, out=RULES)
    assert [standing(placed) for placed in rules_of([odd], "in")] == [("incoming", 0), ("incoming", 1)]
    assert [standing(placed) for placed in rules_of([odd], "out")] == [("outgoing", 0), ("outgoing", 1)]


def test_errors_come_first_then_the_code_then_the_place() -> None:
    def at(code: str, severity: str, place: str, direction: str = "", index: int = -1, *others: str) -> Finding:
        namespace, name, key = place.split(" ")
        return Finding(code, severity, key, name, namespace, "", "", direction, index, others=others)  # type: ignore[arg-type]

    ordered = [
        at("z", "error", "/z z z"),
        at("a", "warning", "/a b c"),
        at("b", "warning", "/a z z"),
        at("b", "warning", "/b a z"),
        at("b", "warning", "/b b a"),
        at("b", "warning", "/b b b", "incoming", 1),
        at("b", "warning", "/b b b", "incoming", 2),
        at("b", "warning", "/b b b", "outgoing", 0),
        at("b", "warning", "/b b b", "outgoing", 0, "x"),
        at("a", "info", "/a a a"),
    ]
    assert sorted(ordered[1::2] + ordered[::2], key=order) == ordered


def test_a_witness_is_told_from_source_to_destination() -> None:
    twins = {key: unit(key, 1, "e1", "app=web") for key in ("u1", "u2")}
    (landscape,) = Survey().landscapes(world(units=twins))
    flow = portsets.of(RULES[0].ports)
    assert witness(landscape, 0, 0, flow, "out") == Witness("u1", "u2", "tcp/1")
    assert witness(landscape, 0, 0, flow, "in") == Witness("u2", "u1", "tcp/1")


def test_findings_are_ready_for_json() -> None:
    placed = rules_of([RULESET], "out")[1]
    told = msgspec.to_builtins(of_rule("shadowed-rule", placed, "", ""))
    assert (told["rulesetName"], told["ruleName"]) == ("the s", "r")
