"""Flows that one end allows and the other refuses. tests/property tries the definition on every flow."""

from __future__ import annotations

from tests.unit.policy.lint.told import only, told, with_rulesets
from tests.unit.policy.shop import Pairs, keyed, network, rule, ruleset, unit
from watchword.policy.lint import Witness
from watchword.policy.world import Namespace, Rule, Ruleset

WEB, DB = [["app=web"]], [["app=db"]]
UNITS = keyed(
    unit("w1", 1, "e1", "app=web"),
    unit("w2", 2, "e1", "app=web"),
    unit("d1", 3, "e1", "app=db", "n=1"),
    unit("d2", 4, "e1", "app=db", "n=2"),
)


def out(*rules: Rule) -> Ruleset:
    return ruleset("w", "/shop", WEB, out=rules)


def inc(*rules: Rule, subject: Pairs = DB) -> Ruleset:
    return ruleset("d", "/shop", subject, inc=rules)


def test_a_rule_that_the_other_end_does_not_meet() -> None:
    for given, direction, other in (
        (out(rule("Allow", DB, "tcp/1", name="r")), "outgoing", "incoming rule for the destinations"),
        (inc(rule("Allow", WEB, "tcp/1", name="r")), "incoming", "outgoing rule for the sources"),
    ):
        finding = only(with_rulesets(given, units=UNITS), "one-sided-rule")
        assert (finding.direction, finding.pairs) == (direction, 4)
        assert finding.text.endswith(
            "lets no unit's flow through: the other end refuses all of them (4 pairs of units)"
        )
        assert finding.remedy == f"add the {other}, or remove this one"
        assert finding.witness == Witness("w1", "d1", "tcp/1")


def test_a_rule_whose_other_end_is_about_others() -> None:
    made = with_rulesets(out(rule("Allow", DB, "tcp/1")), inc(rule("Allow", [["n=1"]], "tcp/1")), units=UNITS)
    (one,) = (each for each in told(made)["one-sided-rule"] if each.direction == "outgoing")
    assert one.pairs == 4


def test_a_rule_that_the_other_end_meets_for_some() -> None:
    """For two of four pairs of units, or on one of two ports."""
    some = with_rulesets(
        out(rule("Allow", DB, "tcp/1")), inc(rule("Allow", WEB, "tcp/1"), subject=[["n=2"]]), units=UNITS
    )
    finding = only(some, "partly-one-sided-rule")
    assert (finding.pairs, finding.witness) == (2, Witness("w1", "d1", "tcp/1"))
    assert finding.text.endswith("is not enough for 2 pairs of units: the other end refuses")
    ports = with_rulesets(out(rule("Allow", DB, "tcp/1:2")), inc(rule("Allow", WEB, "tcp/1")), units=UNITS)
    finding = only(ports, "partly-one-sided-rule")
    assert (finding.pairs, finding.witness) == (4, Witness("w1", "d1", "tcp/2"))


def test_pairs_are_counted_once_whatever_the_ports() -> None:
    """Of refusals on two ports, and by another Reject than the rule's own end's."""
    made = with_rulesets(
        out(rule("Allow", DB, "tcp/1:9")),
        inc(
            rule("Allow", WEB, "tcp/1:9"), rule("Reject", WEB, "tcp/2"), rule("Reject", WEB, "tcp/4"), subject=[["n=1"]]
        ),
        units=UNITS,
    )
    finding = only(made, "partly-one-sided-rule")
    assert finding.pairs == 4  # of w1 and w2 with d1, and with d2, which nothing accepts
    some = with_rulesets(out(rule("Allow", DB, "tcp/1:2"), rule("Reject", [["n=1"]], "tcp/2")), units=UNITS)
    assert only(some, "one-sided-rule").pairs == 4  # with d1 and d2 on tcp/1, with d2 on tcp/2
    own = with_rulesets(out(rule("Allow", DB, "tcp/1:9"), rule("Reject", DB, "tcp/2:9")), units=UNITS)
    assert only(own, "one-sided-rule").witness == Witness("w1", "d1", "tcp/1")


def test_the_other_ends_reject_wins_over_its_allow() -> None:
    made = with_rulesets(
        out(rule("Allow", DB, "tcp/1")),
        inc(rule("Allow", WEB, "tcp/1"), rule("Reject", WEB, "tcp/1")),
        units=UNITS,
    )
    assert only(made, "one-sided-rule").pairs == 4


def test_a_default_that_allows_meets_what_nothing_rejects() -> None:
    spaces = {"/": Namespace("/", "Allow", "Reject"), "/shop": Namespace("/shop")}
    allow = out(rule("Allow", DB, "tcp/1"))
    assert not told(with_rulesets(allow, units=UNITS, namespaces=spaces))
    refusing = inc(rule("Reject", [["app=web"], ["net=n"]], "tcp/1"), subject=[["n=1"]])
    made = with_rulesets(allow, refusing, units=UNITS, namespaces=spaces)
    assert only(made, "partly-one-sided-rule").pairs == 2


def test_everything_from_the_first_flow_on() -> None:
    """The lowest flow that is refused is shown, the very first one too; TCP's, if it is among them."""
    made = with_rulesets(out(rule("Allow", DB, "any")), inc(rule("Allow", WEB, "tcp/80")), units=UNITS)
    assert only(made, "partly-one-sided-rule").witness == Witness("w1", "d1", "hopopt")


def test_a_unit_is_no_pair_with_itself() -> None:
    """A kind of one unit has none, a kind of two has two."""
    one = keyed(unit("w1", 1, "e1", "app=web"), unit("d1", 2, "e1", "app=db", "n=1"))
    allow = ruleset("s", "/shop", [["app=web"], ["app=db"]], out=[rule("Allow", [["app=web"], ["app=db"]], "tcp/1")])
    finding = only(with_rulesets(allow, units=one), "one-sided-rule")
    assert (finding.pairs, finding.witness) == (2, Witness("w1", "d1", "tcp/1"))
    assert only(with_rulesets(allow, units=UNITS), "one-sided-rule").pairs == 12
    assert "one-sided-rule" not in told(with_rulesets(allow, units=keyed(one["w1"])))


def test_addresses_have_no_other_end() -> None:
    networks = keyed(network("n", "/shop", "192.0.2.0/24", tags=("net=n",)))
    made = with_rulesets(out(rule("Allow", [["net=n"]], "tcp/1")), units=UNITS, networks=networks)
    assert not told(made)
    both = with_rulesets(out(rule("Allow", [["net=n"], ["n=1"]], "tcp/1")), units=UNITS, networks=networks)
    assert only(both, "one-sided-rule").pairs == 2
