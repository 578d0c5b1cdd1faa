"""Findings in words, and the page that defines them."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

from tests.unit.policy.lint.told import keys, only, told, with_rulesets
from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.policy.landscape import Survey
from watchword.policy.lint import CODES, Witness, findings
from watchword.policy.world import Namespace, Network

PAGE = Path(__file__).resolve().parents[4] / "docs" / "policy.md"
NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)


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
    by_code = {
        code: each[0] for code, each in told(with_rulesets(ruleset("s", "/shop", [["app=web"]], out=out))).items()
    }
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


def test_rules_that_no_flow_meets_and_nothing_else_says_why() -> None:
    unseen = network("n", "/shop", tags=("net=n",), names=("example.com",))
    rules = [
        rule("Allow", [["net=n"]], "tcp/1"),
        rule("Allow", [["app=db"]], "tcp/1"),
        rule("Reject", [["net=n"]], "tcp/1"),
    ]
    observed = rule("Allow", [["net=n"]], "tcp/2", observed=True)
    nothing = rule("Allow", [["net=none"]], "tcp/1")
    owner = ruleset("s", "/shop", [["app=web"]], out=[*rules, observed, nothing])
    spare = ruleset("t", "/shop", [["app=web"]], out=[rule("Allow", [["app=db"]], "tcp/9")], fallback=True)
    empty = ruleset("u", "/shop", [["app=none"]], out=rules)
    off = ruleset("v", "/shop", [["app=web"]], out=rules[:1], disabled=True)
    made = with_rulesets(off, empty, owner, spare, networks=keyed(unseen))
    assert keys(made, "unused-rule") == ["s/out/0", "s/out/2", "t/out/0"]
    first, _, last = told(made)["unused-rule"]
    assert first.text == "outgoing rule 0 of 'the s' in /shop does nothing: no flow meets it"
    assert first.remedy == "remove it"
    assert last.text == (
        "outgoing rule 0 of 'the t' in /shop does nothing: the units that it is about have ordinary rulesets"
    )


def test_only_what_is_in_the_namespace_asked_about_is_told() -> None:
    """Everything counts, of every kind of finding, and only what stands there or below it is told."""
    spaces = {path: Namespace(path) for path in ("/", "/shop", "/shop/a", "/far")} | {
        "/b": Namespace("/b", tag_prefixes=("b=",))
    }
    rules = [
        rule("Allow", [["app=db"]], "tcp/5:9"), *[rule("Reject", [["app=db"]], "tcp/5")] * 2,
        rule("Allow", [["app=none"]], "any"), rule("Allow", [["net=n"]], "tcp/1"), rule("Allow", [["net=m"]], "tcp/1"),
        rule("Reject", [["net=o"]], "tcp/1"),
    ]  # fmt: skip

    def of(place: str) -> tuple[Network, ...]:
        made: tuple[tuple[str, Any], ...] = (
            ("n", {"names": ("example.com",)}),
            ("m", {"entries": ("192.0.2.0/24",)}),
            ("o", {"entries": ("192.0.2.0/25",)}),
        )
        return tuple(
            dataclasses.replace(network(f"{letter}{place}", place, tags=(f"net={letter}",)), **traits)
            for letter, traits in made
        )

    places = ("/", "/shop", "/shop/a", "/far", "/b")
    units = keyed(
        *(unit(f"w{place}", number, "e1", "app=web", namespace=place) for number, place in enumerate(places, 1)),
        unit("db", 99, "e1", "app=db"),
    )
    rulesets = [
        made
        for place in places
        for made in (
            ruleset(f"s{place}", place, [["app=web"]], out=rules),
            ruleset(f"e{place}", place, [["app=none"]], out=rules[:1]),
            ruleset(f"o{place}", place, [["app=web"]], disabled=True),
        )
    ]
    networks = keyed(*(each for place in places for each in of(place)))
    world_ = with_rulesets(*rulesets, units=units, networks=networks, namespaces=spaces)
    since = {each.id: NOW - datetime.timedelta(days=40) for each in rulesets}
    everything = findings(world_, changed=since, now=NOW)
    severities = [each.severity for each in everything]
    assert severities == sorted(severities, key=("error", "warning", "info").index)
    assert {each.namespace for each in everything} == set(places)
    assert len({each.code for each in everything}) == 9
    for place, inside in (("/shop", {"/shop", "/shop/a"}), ("/far", {"/far"}), ("/", set(places))):
        expected = tuple(each for each in everything if each.namespace in inside)
        assert findings(world_, within=place, changed=since, now=NOW) == expected


def test_an_intent_whose_ends_say_the_same_is_told_of_once() -> None:
    ends = [
        ruleset(f"i:{way}", "/shop", [["app=none"]], origin="i", **{way: [rule("Allow", [["app=none"]], "tcp/1")]})
        for way in ("inc", "out")
    ]
    ends = [dataclasses.replace(each, name="the i") for each in ends]
    assert keys(with_rulesets(*ends), "subject-matches-nothing") == ["i"]


def test_disabled_rulesets_are_told_of_as_such_alone() -> None:
    rules = [rule("Allow", [["app=none"]], "tcp/1"), rule("Allow", [["app=none"]], "tcp/1")]
    assert findings(with_rulesets(ruleset("s", "/shop", [["app=none"]], out=rules, disabled=True))) == ()
    enabled = with_rulesets(ruleset("s", "/shop", [["app=web"]]))
    assert findings(enabled, changed={"s": NOW - datetime.timedelta(days=99)}, now=NOW) == ()
    off = with_rulesets(ruleset("s", "/shop", [["app=web"]], disabled=True))
    assert findings(off, now=NOW) == ()
    assert findings(off, changed={"s": NOW - datetime.timedelta(days=99)}) == ()


def test_a_survey_may_be_kept() -> None:
    survey = Survey()
    made = with_rulesets(ruleset("s", "/shop", [["app=none"]], out=[rule("Allow", [["app=db"]], "tcp/1")]))
    assert findings(world(), survey=survey) == ()
    assert findings(made, survey=survey) == findings(made) != ()
    made_of: list[object] = []

    class Watched(Survey):
        def landscapes(self, *worlds: object) -> object:  # type: ignore[override]
            made_of.append(worlds)
            return super().landscapes(*worlds)  # type: ignore[arg-type]

    findings(made, survey=Watched())
    assert made_of == [(made,)]
