"""How rules cut the port space, by example, and that cutting step by step is cutting at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchword.model.ports import ANYTHING, PortRange
from watchword.policy.ranges import PortSpace, Span
from watchword.wire.policy import RuleEntry

EVERYTHING = (0, 65535)


def rule(*ports: PortRange) -> RuleEntry:
    return RuleEntry("s", "", "/", "", "Allow", "selector", ports)


def space(*rules: RuleEntry) -> PortSpace:
    made = PortSpace()
    made.change({}, {str(number): found for number, found in enumerate(rules)})
    return made


def spans(*ports: PortRange) -> list[tuple[int, ...]]:
    return [tuple(span) for span in space(*(rule(piece) for piece in ports)).spans()]


def test_ranges_cut_where_they_begin_and_end_and_nothing_lies_between_them() -> None:
    assert spans(PortRange(6, 10, 20), PortRange(6, 15, 30), PortRange(6, 40, 40)) == [
        (6, 10, 14),
        (6, 15, 20),
        (6, 21, 30),
        (6, 40, 40),
    ]
    assert spans(PortRange(6, 1, 1), PortRange(6, 2, 2)) == [(6, 1, 1), (6, 2, 2)]
    assert spans(PortRange(17, 0, 65535), PortRange(6, 0, 0), ANYTHING) == [(6, 0, 0), (17, 0, 65535)]


def test_a_protocol_named_only_as_a_whole_has_no_spans() -> None:
    assert spans(PortRange(47, *EVERYTHING), PortRange(1, *EVERYTHING)) == []
    assert space(rule(PortRange(47, *EVERYTHING))).named() == {47}
    assert space(rule(ANYTHING)).named() == set()


@pytest.mark.parametrize("protocol", [1, 58])
def test_types_named_one_by_one_leave_no_type_without_a_span(protocol: int) -> None:
    assert spans(PortRange(protocol, 2048, 2303)) == [
        (protocol, 0, 2047),
        (protocol, 2048, 2303),
        (protocol, 2304, 65535),
    ]
    made = space(rule(PortRange(protocol, 2048, 2303)))
    assert made.by_type(protocol)
    assert not made.by_type(6)
    assert not space(rule(PortRange(protocol, *EVERYTHING))).by_type(protocol)


def test_other_protocols_are_cut_like_ports() -> None:
    assert spans(PortRange(47, 5, 6)) == [(47, 5, 6)]
    assert not space(rule(PortRange(47, 5, 6))).by_type(47)


def test_which_rules_take_a_span() -> None:
    one, two, whole = rule(PortRange(6, 10, 20)), rule(PortRange(6, 15, 30), PortRange(17, 5, 5)), rule(ANYTHING)
    made = space(one, two, whole)
    placed = [("one", one), ("two", two), ("whole", whole)]
    taking = made.taking(placed, 6)
    assert {span[1:]: [key for key, _ in found] for span, found in taking.items()} == {
        (10, 14): ["whole", "one"],
        (15, 20): ["whole", "one", "two"],
        (21, 30): ["whole", "two"],
    }
    assert made.taking(placed[:1], 17) == {}
    assert made.protocols(placed) == [6, 17]
    assert made.without_ports(placed) == placed[2:]


def test_beside_all_segments_are_rules_without_ports_and_of_whole_protocols() -> None:
    whole, gre, icmp, tcp = (
        rule(ANYTHING),
        rule(PortRange(47, *EVERYTHING)),
        rule(PortRange(1, *EVERYTHING)),
        rule(PortRange(6, *EVERYTHING)),
    )
    placed = [("whole", whole), ("gre", gre), ("icmp", icmp), ("tcp", tcp)]
    made = space(whole, gre, icmp, tcp)
    assert [key for key, _ in made.beside_segments(placed, 47)] == ["whole", "gre"]
    assert [key for key, _ in made.beside_segments(placed, 1)] == ["whole", "icmp"]
    assert [key for key, _ in made.beside_segments(placed, 6)] == ["whole"]
    assert [key for key, _ in made.beside_segments(placed, 17)] == ["whole"]
    cut = space(whole, gre, icmp, tcp, rule(PortRange(1, 8, 8)))
    assert [key for key, _ in cut.beside_segments(placed, 1)] == ["whole"]


def test_one_range_of_several_is_enough() -> None:
    mixed, gre = rule(PortRange(6, 80, 80), ANYTHING), rule(PortRange(6, 80, 80), PortRange(47, *EVERYTHING))
    made = space(mixed, gre)
    assert made.without_ports([("mixed", mixed), ("gre", gre)]) == [("mixed", mixed)]
    assert made.beside_segments([("mixed", mixed), ("gre", gre)], 47) == [("mixed", mixed), ("gre", gre)]


def test_a_change_says_what_it_cut_and_whom_that_concerns() -> None:
    made = PortSpace()
    wide, far, one = rule(PortRange(6, 1, 100)), rule(PortRange(6, 200, 200)), rule(PortRange(6, 50, 50))
    first = made.change({}, {"wide": wide, "far": far})
    assert (first.gone, first.fresh) == ([], [Span(6, 1, 100), Span(6, 200, 200)])
    assert first.named
    second = made.change({}, {"one": one})
    assert second.gone == [Span(6, 1, 100)]
    assert second.fresh == [Span(6, 1, 49), Span(6, 50, 50), Span(6, 51, 100)]
    assert second.disturbed == frozenset({"wide", "one"})
    assert not second.named
    assert made.change({}, {"again": one}) == ([], [], frozenset(), False)
    assert made.change({"again": one}, {}) == ([], [], frozenset(), False)
    last = made.change({"one": one}, {})
    assert (last.gone, last.fresh, last.disturbed) == (second.fresh, second.gone, frozenset({"wide"}))
    assert made.change({"wide": wide, "far": far}, {}) == (
        [Span(6, 1, 100), Span(6, 200, 200)],
        [],
        frozenset(),
        True,
    )


def test_what_is_cut_comes_in_order_and_what_is_not_is_not_touched() -> None:
    made = PortSpace()
    both = rule(PortRange(17, 5, 5), PortRange(6, 5, 5), ANYTHING)
    assert made.change({}, {"both": both}).fresh == [Span(6, 5, 5), Span(17, 5, 5)]
    tcp = made.spans_of(6)
    made.change({"both": both}, {"both": rule(PortRange(6, 5, 5), PortRange(17, 6, 6))})
    assert made.spans_of(6) is tcp


def test_a_range_that_moves_to_another_rule_changes_nothing() -> None:
    made = PortSpace()
    one = rule(PortRange(6, 50, 50), PortRange(6, 50, 50))
    made.change({}, {"one": one})
    assert made.change({"one": one}, {"other": one}) == ([], [], frozenset(), False)
    assert made.change({"other": one}, {}).gone == [Span(6, 50, 50)]


def test_a_protocol_that_loses_its_ports_is_still_named() -> None:
    made = PortSpace()
    whole, part = rule(PortRange(1, *EVERYTHING)), rule(PortRange(1, 0, 9))
    made.change({}, {"whole": whole, "part": part})
    change = made.change({"part": part}, {})
    assert (change.fresh, change.named, change.disturbed) == ([], False, frozenset({"whole"}))
    assert made.spans() == []
    assert made.named() == {1}
    assert made.change({"whole": whole}, {}).named


_pieces = st.sampled_from(
    [PortRange(p, first, last) for p in (6, 1, 47) for first, last in ((0, 65535), (5, 9), (7, 7), (8, 20), (10, 10))]
    + [ANYTHING]
)
_rules = st.dictionaries(st.sampled_from("abcd"), st.lists(_pieces, min_size=1, max_size=2).map(lambda p: rule(*p)))


@settings(max_examples=300, deadline=None)
@given(st.lists(_rules, max_size=6))
def test_step_by_step_is_at_once(steps: list[dict[str, RuleEntry]]) -> None:
    made, present, known = PortSpace(), dict[str, RuleEntry](), set[Span]()
    for wanted in steps:
        before = {key: found for key, found in present.items() if wanted.get(key) != found}
        after = {key: found for key, found in wanted.items() if present.get(key) != found}
        named = made.named()
        change = made.change(before, after)
        assert known >= {*change.gone}
        known = known - {*change.gone} | {*change.fresh}
        anew = space(*wanted.values())
        assert set(made.spans()) == known == set(anew.spans())
        assert made.spans() == anew.spans()
        assert made.named() == anew.named()
        assert change.named == (named != made.named())
        for key, found in wanted.items():
            touched = any(
                piece.protocol == span.protocol and piece.first <= span.last and span.first <= piece.last
                for piece in found.ports
                for span in (*change.gone, *change.fresh)
            )
            assert touched == (key in change.disturbed)
        present = wanted
