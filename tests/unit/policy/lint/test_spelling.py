"""What is said of each ruleset and rule alone."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.policy.lint.told import keys, only, told, with_rulesets
from tests.unit.policy.shop import keyed, network, rule, ruleset, unit
from watchword.policy.lint import Finding
from watchword.policy.world import Namespace, World

WEB = [["app=web"]]
TO_DB = rule("Allow", [["app=db"]], "tcp/1", name="r")
CROWD = keyed(*(unit(f"w{number}", number, "e1", "app=web") for number in (1, 2)))
INTERNET = network("net", "/", "10.0.0.0/8", "0.0.0.0/0", tags=("net=internet",), propagate=True)


def spaces(*prefixes: str) -> dict[str, Namespace]:
    return {"/": Namespace("/"), "/shop": Namespace("/shop", tag_prefixes=prefixes), "/far": Namespace("/far")}


def test_clauses_outside_the_prefixes_are_listed() -> None:
    subject = [["app=web", "!app=y", "zone=b"], ["!zone=a", "app=x"], ["zone=b", "k=1"]]
    out = [TO_DB, rule("Allow", [["tier=1"], ["app=db"]], "tcp/1", name="other")]
    made = with_rulesets(ruleset("s", "/shop", subject, out=out), namespaces=spaces("app=", "net="))
    of_subject, of_rule = told(made)["tag-outside-prefixes"]
    remedy = "use tags beginning with app=, net=, or extend tagPrefixes"
    assert of_subject == Finding(
        "tag-outside-prefixes",
        "error",
        "s",
        "the s",
        "/shop",
        "'the s' in /shop names !zone=a, k=1, zone=b in its subject, outside tagPrefixes",
        remedy,
    )
    assert of_rule == Finding(
        "tag-outside-prefixes",
        "error",
        "s",
        "the s",
        "/shop",
        "outgoing rule 'other' of 'the s' in /shop names tier=1 in its object, outside tagPrefixes",
        remedy,
        "outgoing",
        1,
        "s/out/1",
        "other",
    )


def test_subjects_that_nothing_is() -> None:
    made = with_rulesets(ruleset("s", "/shop", [["app=x", "a=1"], ["b=1"]], out=[TO_DB]))
    finding = only(made, "subject-matches-nothing")
    assert (finding.severity, finding.rule, finding.index) == ("warning", "", -1)
    assert finding.text == "'the s' in /shop is about nothing: no unit is app=x and a=1 or b=1"
    assert finding.remedy == "correct the subject, or delete the ruleset"


def test_subjects_that_are_out_of_reach() -> None:
    units = CROWD | keyed(unit("away", 9, "e1", "app=web", namespace="/far"))
    above = only(with_rulesets(ruleset("s", "/", WEB, out=[TO_DB]), units=units), "unreachable-ruleset")
    assert above.text == "'the s' in / reaches none of the 3 units that are app=web: they are below it"
    assert above.remedy == "set propagate"
    beside = only(with_rulesets(ruleset("s", "/x", WEB, out=[TO_DB]), units=units), "unreachable-ruleset")
    assert beside.text == "'the s' in /x reaches none of the 3 units that are app=web: they are elsewhere"
    assert beside.remedy == "move it to their namespace, or above with propagate"
    below = CROWD | keyed(unit("deep", 9, "e1", "app=web", namespace="/far/deep"))
    some = only(with_rulesets(ruleset("s", "/far", WEB, out=[TO_DB]), units=below), "unreachable-ruleset")
    assert some.text == "'the s' in /far reaches none of the 1 units that are app=web: they are below it"


def test_subjects_that_all_are() -> None:
    finding = only(with_rulesets(ruleset("s", "/shop", WEB, out=[TO_DB]), units=CROWD), "subject-matches-everything")
    assert (finding.severity, finding.text) == ("info", "'the s' in /shop is about all 2 units in its reach")
    assert finding.remedy == "see whether that is meant"
    one = keyed(CROWD["w1"])
    assert "subject-matches-everything" not in told(with_rulesets(ruleset("s", "/shop", WEB, out=[TO_DB]), units=one))


def test_objects_that_name_nothing() -> None:
    """Of networks only those count that the ruleset sees."""
    below = network("below", "/shop/deep", "192.0.2.0/24", tags=("net=n",))
    above = network("above", "/", "192.0.2.0/24", tags=("net=n",))
    out = [rule("Reject", [["net=n"], ["a=1", "b=1"]], "tcp/1")]
    made = with_rulesets(ruleset("s", "/shop", WEB, out=out), networks=keyed(below, above))
    finding = only(made, "object-matches-nothing")
    assert finding.text == (
        "outgoing rule 0 of 'the s' in /shop names nothing: no unit, and no network visible from /shop, is "
        "net=n or a=1 and b=1"
    )
    assert finding.remedy == "correct the object"
    seen = dataclasses.replace(made, networks=keyed(below, dataclasses.replace(above, propagate=True)))
    assert "object-matches-nothing" not in told(seen)


def test_objects_that_name_every_unit() -> None:
    def broad(action: str, ports: str, **units: object) -> World:
        return with_rulesets(ruleset("s", "/shop", WEB, out=[rule(action, WEB, ports)]), **units)

    made = broad("Allow", "tcp/1:65535", units=CROWD)
    finding = only(made, "object-matches-everything")
    assert finding.text == "outgoing rule 0 of 'the s' in /shop names every unit there is"
    assert finding.remedy == "name only those that need it"
    over = only(made, "over-broad-rule")
    assert over.text == "outgoing rule 0 of 'the s' in /shop allows every unit on every TCP port"
    assert over.remedy == "name the ports that are needed"
    assert "over-broad-rule" in told(broad("Allow", "any", units=CROWD))
    for ports in ("tcp/2:65535", "tcp/1:65534", "udp/1:65535"):
        assert "over-broad-rule" not in told(broad("Allow", ports, units=CROWD))
    for few in (
        broad("Allow", "any", units=keyed(CROWD["w1"])),
        broad("Reject", "any", units=CROWD),
        broad("Allow", "any"),
    ):
        assert not {"object-matches-everything", "over-broad-rule"} & set(told(few))


def test_objects_that_name_the_internet() -> None:
    small = network("a-small", "/shop", "192.0.2.0/24", tags=("net=internet",))
    rules = [rule("Allow", [["net=internet"]], "any")]
    both = ruleset("s", "/shop", WEB, inc=rules, out=rules)
    made = with_rulesets(both, networks=keyed(small, INTERNET))
    incoming, outgoing = told(made)["over-broad-rule"]
    assert incoming.text == "incoming rule 0 of 'the s' in /shop allows the whole internet (the net) on every TCP port"
    assert outgoing.direction == "outgoing"
    opened = only(made, "open-to-internet")
    assert (opened.rule, opened.text) == (
        "s/in/0", "incoming rule 0 of 'the s' in /shop lets the whole internet in (the net)"
    )  # fmt: skip
    assert opened.remedy == "see whether that is meant"
    carved = network("carved", "/shop", "10.0.0.0/8", "!0.0.0.0/0", tags=("net=internet",))
    for narrow in (small, carved):
        assert not {"over-broad-rule", "open-to-internet"} & set(told(with_rulesets(both, networks=keyed(narrow))))


def test_every_unit_says_more_than_the_internet() -> None:
    rules = [rule("Allow", [["net=internet"], ["app=web"]], "any")]
    made = with_rulesets(ruleset("s", "/shop", WEB, out=rules), units=CROWD, networks=keyed(INTERNET))
    assert only(made, "over-broad-rule").text.endswith("allows every unit on every TCP port")


def test_the_later_of_two_rules_that_say_the_same_is_told() -> None:
    one = rule("Allow", [["app=db"], ["k=1", "l=1"]], "tcp/1", "tcp/2", name="r")
    same = rule("Allow", [["l=1", "k=1"], ["app=db"]], "tcp/1:2", name="again")
    first = ruleset("b", "/shop", WEB, out=[rule("Allow", [["app=job"]], "tcp/9"), one])
    second = ruleset("a", "/shop", WEB, out=[rule("Allow", [["app=api"]], "tcp/9"), same])
    finding = only(with_rulesets(first, second), "duplicate-rule")
    assert (finding.rule, finding.others) == ("b/out/1", ("a/out/1",))
    assert finding.text == "outgoing rule 'r' of 'the b' in /shop says what rule 'again' of 'the a' in /shop says"
    assert finding.remedy == "remove it"
    assert "shadowed-rule" not in told(with_rulesets(first, second))


@pytest.mark.parametrize(
    "other",
    [
        ruleset("t", "/", WEB, out=[TO_DB]),
        ruleset("t", "/shop", [["app=api"]], out=[TO_DB]),
        ruleset("t", "/shop", WEB, out=[TO_DB], propagate=True),
        ruleset("t", "/shop", WEB, out=[TO_DB], fallback=True),
        ruleset("t", "/shop", WEB, out=[TO_DB], disabled=True),
        ruleset("t", "/shop", WEB, inc=[TO_DB]),
        ruleset("t", "/shop", WEB, out=[rule("Reject", [["app=db"]], "tcp/1")]),
        ruleset("t", "/shop", WEB, out=[rule("Allow", [["app=db"]], "tcp/1", observed=True)]),
        ruleset("t", "/shop", WEB, out=[rule("Allow", [["app=api"]], "tcp/1")]),
        ruleset("t", "/shop", WEB, out=[rule("Allow", [["app=db"]], "tcp/2")]),
    ],
)
def test_what_differs_in_one_thing_is_no_duplicate(other: object) -> None:
    assert "duplicate-rule" not in told(with_rulesets(ruleset("s", "/shop", WEB, out=[TO_DB]), other))  # type: ignore[arg-type]


def test_ids_are_anything() -> None:
    """Also with a slash: direction and index are the last two parts of a key."""
    internet = rule("Allow", [["net=internet"]], "tcp/1")
    made = with_rulesets(ruleset("a/b", "/shop", WEB, inc=[internet], out=[internet]), networks=keyed(INTERNET))
    (finding,) = told(made)["open-to-internet"]
    assert (finding.ruleset, finding.direction, finding.index) == ("a/b", "incoming", 0)
    assert keys(made, "duplicate-rule") == []
