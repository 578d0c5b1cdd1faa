"""Findings in words, and the page that defines them."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.policy.lint import CODES, Finding, Witness, findings
from watchword.policy.world import Namespace, Ruleset, World

PAGE = Path(__file__).resolve().parents[3] / "docs" / "policy.md"
NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)


def with_rulesets(*rulesets: Ruleset, **changes: Any) -> World:
    return world(rulesets=keyed(*rulesets), **changes)


def only(made: World, code: str) -> Finding:
    (finding,) = (each for each in findings(made) if each.code == code)
    return finding


def test_the_page_defines_every_code_as_the_program_does() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    defined = [f"| `{name}` | {code.severity} | {code.given} |" for name, code in CODES.items()]
    assert [row for row in rows if row.split("`")[1] in CODES] == defined


def test_a_sound_policy_has_no_finding() -> None:
    assert findings(world()) == ()


def test_a_flow_that_only_one_end_allows() -> None:
    units = keyed(unit("w1", 1, "e1", "app=web"), unit("w2", 2, "e1", "app=web"), unit("db", 3, "e2", "app=db"))
    allow = ruleset("db-in", "/shop", [["app=db"]], inc=[rule("Allow", [["app=web"]], "tcp/5432", name="sql")])
    finding = only(with_rulesets(allow, units=units), "one-sided-rule")
    assert (finding.rule, finding.direction, finding.index, finding.pairs) == ("db-in/in/0", "incoming", 0, 2)
    assert finding.text == (
        "incoming rule 'sql' of 'the db-in' in /shop lets no unit's flow through: the other end refuses all of them "
        "(2 pairs of units)"
    )
    assert finding.witness is not None
    assert (finding.witness.source, finding.witness.destination, finding.witness.flow) == ("w1", "db", "tcp/5432")
    partly = ruleset("web-out", "/shop", [["app=web"]], out=[rule("Allow", [["app=db"]], "tcp/5432")])
    wide = dataclasses.replace(allow, incoming=(rule("Allow", [["app=web"]], "tcp/5432:5433"),))
    assert only(with_rulesets(wide, partly, units=units), "partly-one-sided-rule").witness == shown("tcp/5433")


def shown(flow: str) -> Witness:
    return Witness("w1", "db", flow)


def test_rules_that_lose_say_to_which() -> None:
    out = [
        rule("Allow", [["app=db"]], "tcp/5432", name="a"),
        rule("Reject", [["app=db"]], "tcp/1:6000", name="r"),
        rule("Allow", [["app=job"]], "tcp/80", name="narrow"),
        rule("Allow", [["app=job"]], "tcp/1:100", name="wide"),
    ]
    told = findings(with_rulesets(ruleset("s", "/shop", [["app=web"]], out=out)))
    by_code = {finding.code: finding for finding in told}
    assert by_code["rejected-allow"].others == ("s/out/1",)
    assert "rejected by rule 'r' of 'the s'" in by_code["rejected-allow"].text
    assert (by_code["shadowed-rule"].rule_name, by_code["shadowed-rule"].others) == ("narrow", ("s/out/3",))
    assert by_code["rejected-allow"].remedy == "remove it, or narrow the rules that reject"


def test_rulesets_that_reach_nobody_say_why() -> None:
    allow = [rule("Allow", [["app=db"]], "tcp/1")]
    below = only(with_rulesets(ruleset("up", "/", [["app=web"]], out=allow)), "unreachable-ruleset")
    assert (below.remedy, below.index, below.direction) == ("set propagate", -1, "")
    spaces = {path: Namespace(path) for path in ("/", "/shop", "/far")}
    made = with_rulesets(ruleset("far", "/far", [["app=web"]], out=allow), namespaces=spaces)
    assert "elsewhere" in only(made, "unreachable-ruleset").text


def test_what_opens_too_much() -> None:
    internet = network("net", "/", "0.0.0.0/0", "::/0", tags=("net=internet",), propagate=True)
    inc = [rule("Allow", [["net=internet"]], "tcp/1:65535"), rule("Allow", [["$type=*"]], "any")]
    made = with_rulesets(ruleset("s", "/shop", [["app=web"]], inc=inc), networks=keyed(internet))
    codes = {(finding.code, finding.index) for finding in findings(made)}
    assert {("over-broad-rule", 0), ("open-to-internet", 0), ("object-matches-nothing", 1)} <= codes


def test_long_disabled_needs_to_know_since_when() -> None:
    disabled = with_rulesets(ruleset("off", "/shop", [["app=web"]], disabled=True))
    assert findings(disabled) == ()
    for days, found in ((29, 0), (30, 1)):
        since = {"off": NOW - datetime.timedelta(days=days)}
        assert len(findings(disabled, changed=since, now=NOW)) == found
    (finding,) = findings(disabled, changed={"off": NOW - datetime.timedelta(days=40)}, now=NOW)
    assert (finding.severity, "2026-04-22" in finding.text) == ("info", True)


def test_overlapping_networks_name_both() -> None:
    networks = keyed(
        network("a", "/shop", "192.0.2.0/24", tags=("net=a",)), network("b", "/shop", "192.0.2.0/25", tags=("net=b",))
    )
    inc = [rule("Allow", [["net=a"]], "tcp/443"), rule("Reject", [["net=b"]], "tcp/443")]
    finding = only(
        with_rulesets(ruleset("s", "/shop", [["app=web"]], inc=inc), networks=networks), "overlapping-networks"
    )
    assert (finding.ruleset, finding.others) == ("a", ("b", "s/in/0", "s/in/1"))
    assert finding.witness is not None
    assert finding.witness.source.startswith("192.0.2.")
