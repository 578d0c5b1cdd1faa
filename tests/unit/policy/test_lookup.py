"""The look-up, step by step, in tables written by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from watchword.model.problems import Invalid
from watchword.policy.lookup import lookup, name_class, prefix_class, prefix_of, reachable, segment_of, verdict
from watchword.policy.tables import NO_CLASS, SOMEWHERE, LocalUnit, Peer, Segment, Tables, Verdict, VerdictKey
from watchword.wire.policy import ANY_PROTOCOL

LOCAL, KNOWN, FRIEND, OFFICE, LAB = 16, 17, 18, 19, 20
HTTP = Segment(6, 80, 90, 1)
BROAD, NARROW, DEFAULT = Verdict("Allow", "broad"), Verdict("Reject", "narrow"), Verdict("Allow")


def tables(verdicts: Mapping[VerdictKey, Verdict] | None = None, **changes: object) -> Tables:
    return Tables(
        revision=1,
        units={"web": LocalUnit("web", "native", 11, LOCAL)},
        peers={11: Peer(11, "e1", KNOWN), 21: Peer(21, "e2", FRIEND)},
        prefixes={"10.0.0.0/8": OFFICE, "10.1.0.0/16": LAB, "10.2.0.0/16": SOMEWHERE, "2001:db8::/32": LAB},
        segments=(HTTP, Segment(17, 53, 53, 1), Segment(6, 443, 443, 2)),
        verdicts=verdicts or {},
        **changes,  # type: ignore[arg-type]
    )


def key(peer: int, protocol: int = ANY_PROTOCOL, segment: int = 0, local: int = LOCAL) -> VerdictKey:
    return VerdictKey(local, peer, "out", protocol, segment)


def test_the_first_of_four_steps_that_is_there_decides() -> None:
    steps = [(key(FRIEND, 6, 1), NARROW), (key(FRIEND), BROAD), (key(NO_CLASS), DEFAULT)]
    for count, expected in ((3, NARROW), (2, BROAD), (1, DEFAULT), (0, Verdict("Reject"))):
        made = tables(dict(steps[3 - count :]))
        assert verdict(made, LOCAL, FRIEND, "out", 6, 1) == expected
        assert lookup(made, "web", 21, "out", 6, 85) == expected
        assert lookup(made, "web", 21, "in", 6, 85) == Verdict("Reject")


def test_segment_0_is_looked_up_like_any_other() -> None:
    made = tables({key(FRIEND, 6, 0): NARROW, key(FRIEND): BROAD})
    assert lookup(made, "web", 21, "out", 6, 79) == NARROW
    assert lookup(made, "web", 21, "out", 6, 80) == BROAD
    assert lookup(made, "web", 21, "out", 17, 79) == BROAD


def test_a_unit_may_talk_to_itself_whatever_the_tables_say() -> None:
    made = tables({key(KNOWN): NARROW, key(FRIEND): NARROW})
    assert lookup(made, "web", 11, "out", 6, 80) == Verdict("Allow")
    assert lookup(made, "web", 21, "out", 6, 80) == NARROW


def test_a_badge_that_is_not_listed_meets_the_default() -> None:
    made = tables({key(NO_CLASS): DEFAULT, key(SOMEWHERE): NARROW, key(FRIEND): NARROW})
    assert lookup(made, "web", 99, "out", 6, 80) == DEFAULT


def test_an_address_is_of_the_longest_prefix_that_covers_it() -> None:
    made = tables({key(OFFICE): BROAD, key(LAB): NARROW, key(SOMEWHERE): DEFAULT})
    covering = {
        "10.9.0.1": ("10.0.0.0/8", OFFICE),
        "10.1.0.1": ("10.1.0.0/16", LAB),
        "::ffff:10.1.0.1": ("10.1.0.0/16", LAB),
        "10.2.0.1": ("10.2.0.0/16", SOMEWHERE),
        "11.0.0.1": ("", SOMEWHERE),
        "2001:db8::1": ("2001:db8::/32", LAB),
        "::1": ("", SOMEWHERE),
    }
    assert {address: (prefix_of(made, address), prefix_class(made, address)) for address in covering} == covering
    assert lookup(made, "web", "10.1.0.1", "out", 6, 80) == NARROW
    assert lookup(made, "web", "10.9.0.1", "out", 6, 80) == BROAD
    assert lookup(made, "web", "11.0.0.1", "out", 6, 80) == DEFAULT
    with pytest.raises(Invalid):
        prefix_of(made, "example.com")


def test_a_port_is_in_the_segment_of_its_own_protocol_that_holds_it() -> None:
    made = tables()
    held = {(6, 79): 0, (6, 80): 1, (6, 90): 1, (6, 91): 0, (6, 443): 2, (17, 53): 1, (17, 80): 0, (47, 0): 0}
    assert {flow: segment_of(made, *flow) for flow in held} == held


def test_reachable_is_what_is_so_by_segment_or_as_a_whole() -> None:
    one = tables(reachable={(LOCAL, 6, 1), (LOCAL, 17, 0)})
    flows = {(6, 80): True, (6, 79): False, (17, 80): True, (17, 53): False, (47, 0): False}
    assert {flow: reachable(one, "web", *flow) for flow in flows} == flows
    assert reachable(tables(reachable={(LOCAL, ANY_PROTOCOL, 0)}), "web", 47, 0)
    assert not reachable(tables(reachable={(LOCAL + 1, ANY_PROTOCOL, 0), (LOCAL, ANY_PROTOCOL, 1)}), "web", 6, 79)


NAMED = {"api.example": FRIEND, "*.example": OFFICE}


def test_what_goes_out_is_judged_by_the_names_an_address_was_learned_under_too() -> None:
    made = tables({key(FRIEND): BROAD, key(OFFICE): NARROW, key(NO_CLASS): Verdict("Reject", "none")}, names=NAMED)
    assert lookup(made, "web", "192.0.2.1", "out", 6, 80, ["api.example"]).rule == "none"  # SOMEWHERE's default, a rule
    made = tables({key(FRIEND): BROAD, key(OFFICE): NARROW}, names=NAMED)
    assert lookup(made, "web", "192.0.2.1", "out", 6, 80) == Verdict("Reject")
    assert lookup(made, "web", "192.0.2.1", "out", 6, 80, ["api.example"]) == BROAD
    assert lookup(made, "web", "192.0.2.1", "out", 6, 80, ["x.y.example"]) == NARROW
    assert lookup(made, "web", "192.0.2.1", "out", 6, 80, ["api.example", "x.example"]) == NARROW
    assert lookup(made, "web", "192.0.2.1", "out", 6, 80, ["example", "api.org"]) == Verdict("Reject")


def test_names_say_nothing_of_who_comes_and_of_who_has_an_identity() -> None:
    incoming = VerdictKey(LOCAL, FRIEND, "in", ANY_PROTOCOL, 0)
    made = tables({key(FRIEND): BROAD, incoming: BROAD}, names=NAMED)
    assert lookup(made, "web", "192.0.2.1", "in", 6, 80, ["api.example"]) == Verdict("Reject")
    assert lookup(made, "web", 99, "out", 6, 80, ["api.example"]) == Verdict("Reject")


def test_a_name_that_no_pattern_covers_adds_nothing_not_even_a_default() -> None:
    decided = {key(LAB): BROAD, key(NO_CLASS): NARROW}
    assert lookup(tables(decided, names=NAMED), "web", "10.1.0.1", "out", 6, 80, ["api.org"]) == BROAD
    assert name_class(tables(names=NAMED), "api.org") == NO_CLASS
    assert name_class(tables(names=NAMED), "api.example") == FRIEND
