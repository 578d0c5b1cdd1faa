"""Rules that lose, and rules that add nothing. tests/property tries the definitions on every flow."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.unit.policy.lint.told import keys, only, told, with_rulesets
from tests.unit.policy.shop import keyed, network, rule, ruleset, unit
from watchword.policy.lint import Witness
from watchword.policy.world import Ruleset

WEB, DB, ALL = [["app=web"]], [["app=db"]], [["app=web"], ["app=db"]]
UNITS = keyed(
    unit("w1", 1, "e1", "app=web"),
    unit("w2", 2, "e1", "app=web"),
    unit("d1", 3, "e1", "app=db", "n=1"),
    unit("d2", 4, "e1", "app=db", "n=2"),
)


def web(*out: object, key: str = "s", **traits: bool) -> Ruleset:
    return ruleset(key, "/shop", WEB, out=out, **traits)


def test_an_allow_that_is_rejected_in_part() -> None:
    rules = [
        rule("Allow", DB, "tcp/1:10", name="a"),
        rule("Reject", [["n=1"]], "tcp/5", name="r"),
        rule("Reject", [["n=1"]], "tcp/7", name="q"),
    ]
    finding = only(with_rulesets(web(*rules), units=UNITS), "partly-rejected-allow")
    assert (finding.rule, finding.pairs, finding.others) == ("s/out/0", 2, ("s/out/1", "s/out/2"))
    assert finding.text == (
        "outgoing rule 'a' of 'the s' in /shop is rejected for 2 pairs of units by rule 'r' of 'the s' in /shop, "
        "rule 'q' of 'the s' in /shop"
    )
    assert finding.remedy == "see whether that is meant"
    assert finding.witness in (Witness("w1", "d1", "tcp/5"), Witness("w1", "d1", "tcp/7"))


def test_pairs_are_counted_over_all_ends() -> None:
    """Those of two rulesets' units are added up; addresses are no units."""
    units = UNITS | keyed(unit("other", 9, "e1", "app=web", "n=3"))
    rules = [rule("Allow", [["app=db"], ["net=n"]], "tcp/1"), rule("Reject", [["n=1"], ["net=n"]], "tcp/1")]
    only_third = ruleset("t", "/shop", [["n=3"]], out=[rule("Allow", [["app=x"]], "tcp/1")])
    made = with_rulesets(
        web(*rules), only_third, units=units, networks=keyed(network("n", "/shop", "192.0.2.0/24", tags=("net=n",)))
    )
    assert only(made, "partly-rejected-allow").pairs == 3


def test_an_allow_that_is_rejected_everywhere() -> None:
    rejects = [rule("Reject", [["n=1"]], "tcp/1", name=f"r{number}") for number in range(6)]
    rules = [rule("Allow", [["n=1"]], "tcp/1", name="a"), *rejects]
    finding = only(with_rulesets(web(*rules), units=UNITS), "rejected-allow")
    assert finding.text == (
        "outgoing rule 'a' of 'the s' in /shop allows nothing: every flow that it meets is rejected by rule 'r0' of "
        "'the s' in /shop, rule 'r1' of 'the s' in /shop and others"
    )
    assert (finding.pairs, finding.others) == (2, tuple(f"s/out/{number}" for number in range(1, 6)))
    assert finding.witness == Witness("w1", "d1", "tcp/1")
    two = only(with_rulesets(web(*rules[:3]), units=UNITS), "rejected-allow")
    assert two.text.endswith("rule 'r0' of 'the s' in /shop, rule 'r1' of 'the s' in /shop")


def test_an_allow_that_is_rejected_everywhere_makes_nothing_else_superfluous() -> None:
    """It counts as gone: neither does it shadow others, nor is it told of twice."""
    rules = [rule("Allow", [["n=1"]], "tcp/1"), rule("Allow", [["n=1"]], "tcp/1:9"), rule("Reject", DB, "tcp/1")]
    found = told(with_rulesets(web(*rules), units=UNITS))
    assert [finding.rule for finding in found["rejected-allow"]] == ["s/out/0"]
    assert "shadowed-rule" not in found


def test_nobody_is_shown_meeting_itself() -> None:
    units = keyed(unit("w1", 1, "e1", "app=web", "n=1"), unit("w2", 2, "e1", "app=web", "n=2"))
    rules = [rule("Allow", WEB, "tcp/1"), rule("Reject", [["n=1"]], "tcp/1")]
    finding = only(with_rulesets(web(*rules), units=units), "partly-rejected-allow")
    assert (finding.witness, finding.pairs) == (Witness("w2", "w1", "tcp/1"), 1)
    twins = keyed(unit("w1", 1, "e1", "app=web"), unit("w2", 2, "e1", "app=web"))
    rules = [rule("Allow", WEB, "tcp/1"), rule("Reject", WEB, "tcp/1:9")]
    finding = only(with_rulesets(web(*rules), units=twins), "rejected-allow")
    assert (finding.witness, finding.pairs) == (Witness("w1", "w2", "tcp/1"), 2)


def test_a_rule_about_oneself_alone_stands_in_nobodys_way() -> None:
    units = keyed(unit("w1", 1, "e1", "app=web"), unit("d1", 2, "e1", "app=db"))
    rules = [rule("Allow", WEB, "tcp/1"), rule("Allow", DB, "tcp/1"), rule("Reject", WEB, "tcp/1")]
    found = told(with_rulesets(web(*rules), units=units))
    assert [finding.rule for finding in found["unused-rule"]] == ["s/out/0", "s/out/2"]
    assert not {"shadowed-rule", "rejected-allow", "partly-rejected-allow"} & set(found)


def test_what_others_do_is_told_of_the_later_rule() -> None:
    """Two rules that cover each other: one of them stays."""
    units = keyed(unit("w1", 1, "e1", "app=web"), unit("d1", 2, "e1", "app=db", "tier=db"))
    rules = [rule("Allow", DB, "tcp/1", name="a"), rule("Allow", [["tier=db"]], "tcp/1", name="b")]
    finding = only(with_rulesets(web(*rules), units=units), "shadowed-rule")
    assert (finding.rule, finding.others, finding.pairs, finding.witness) == ("s/out/1", ("s/out/0",), 0, None)
    assert finding.text == (
        "outgoing rule 'b' of 'the s' in /shop changes nothing: rule 'a' of 'the s' in /shop decide what it would"
    )
    assert finding.remedy == "remove it"


def test_several_rules_shadow_one_together() -> None:
    parts = [rule("Allow", DB, ports, name=ports) for ports in ("tcp/1:3", "tcp/4:6", "tcp/7:9")]
    whole = rule("Allow", DB, "tcp/1:9", name="whole")
    beyond = rule("Allow", DB, "tcp/1:10", name="beyond")
    found = with_rulesets(web(*parts, whole), units=UNITS)
    assert keys(found, "shadowed-rule") == ["s/out/3"]
    finding = only(found, "shadowed-rule")
    assert set(finding.others) == {"s/out/0", "s/out/1", "s/out/2"}
    assert finding.text.endswith(" and others decide what it would")
    assert finding.text.count(" of 'the s'") == 3
    assert (
        keys(with_rulesets(web(*parts, beyond), units=UNITS), "shadowed-rule")
        == ["s/out/2", "s/out/1", "s/out/0"][::-1]
    )
    people = [rule("Allow", [[f"n={number}"]], "tcp/1:9") for number in (1, 2)]
    assert keys(with_rulesets(web(*people, whole), units=UNITS), "shadowed-rule") == ["s/out/2"]
    assert keys(with_rulesets(web(people[0], whole), units=UNITS), "shadowed-rule") == ["s/out/0"]


def test_only_what_rejects_shadows_what_rejects() -> None:
    inner, outer = rule("Reject", DB, "tcp/1"), rule("Reject", DB, "tcp/1:9")
    assert keys(with_rulesets(web(inner, outer), units=UNITS), "shadowed-rule") == ["s/out/0"]
    allowing = rule("Allow", DB, "tcp/1:99")
    assert "shadowed-rule" not in told(with_rulesets(web(inner, allowing), units=UNITS))
    # an Allow that adds to nothing but what is rejected anyway, beside another Allow
    rules = [rule("Allow", DB, "tcp/1:2"), rule("Allow", DB, "tcp/2"), rule("Reject", DB, "tcp/1")]
    assert keys(with_rulesets(web(*rules), units=UNITS), "shadowed-rule") == ["s/out/1"]


def test_an_allow_is_shadowed_by_rejects_and_allows_together() -> None:
    rules = [rule("Allow", DB, "tcp/1:2"), rule("Allow", DB, "tcp/2:9"), rule("Reject", DB, "tcp/1")]
    assert keys(with_rulesets(web(*rules), units=UNITS), "shadowed-rule") == ["s/out/0"]


def test_a_rule_has_to_be_shadowed_at_every_end() -> None:
    """One that counts for more units is shadowed only where the other counts too."""
    units = UNITS | keyed(unit("job", 9, "e1", "app=job"))
    narrow = web(rule("Allow", [["app=job"]], "tcp/1"))
    wide = ruleset("w", "/shop", ALL, out=[rule("Allow", [["app=job"]], "tcp/1")])
    assert keys(with_rulesets(narrow, wide, units=units), "shadowed-rule") == ["s/out/0"]
    assert keys(with_rulesets(dataclasses.replace(narrow, id="z"), wide, units=units), "shadowed-rule") == ["z/out/0"]


def test_what_is_gone_shadows_nothing() -> None:
    """The last rule is gone, as the second takes all it takes; so the second stays, and the first goes."""
    units = UNITS | keyed(unit("job", 9, "e1", "app=job"))
    out = [rule("Allow", [["app=job"]], "tcp/1")]
    first, second, last = (ruleset(key, "/shop", of, out=out) for key, of in (("a", WEB), ("b", ALL), ("z", DB)))
    assert keys(with_rulesets(first, second, last, units=units), "shadowed-rule") == ["a/out/0", "z/out/0"]


def test_a_networks_own_rule_is_nobodys_to_remove() -> None:
    demanding: dict[str, Any] = {"tags": ("net=n",), "identity_required": True}
    networks = keyed(
        network("n1", "/shop", "192.0.2.0/24", **demanding), network("n2", "/shop", "192.0.2.0/25", **demanding)
    )
    inc = [rule("Allow", DB, "tcp/1"), rule("Allow", ALL, "tcp/2")]
    made = with_rulesets(ruleset("s", "/shop", WEB, inc=inc), units=UNITS, networks=networks)
    assert "shadowed-rule" not in told(made)
    narrow = ruleset(
        "a",
        "/shop",
        WEB,
        inc=[rule("Reject", [["net=n"]], "tcp/1"), rule("Allow", DB, "tcp/2"), rule("Allow", ALL, "tcp/2")],
    )
    assert keys(with_rulesets(narrow, units=UNITS, networks=networks), "shadowed-rule") == ["a/in/0", "a/in/1"]
