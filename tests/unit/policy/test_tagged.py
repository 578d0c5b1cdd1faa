"""Things with tags: what each alternative needs, postings, watched expressions, and numbers."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from watchword.model.expressions import Expression, matches
from watchword.policy.tagged import Alternative, Postings, Shift, TaggedIndex


@dataclass(frozen=True)
class Thing:
    id: str
    tags: frozenset[str]


def thing(key: str, *tags: str) -> Thing:
    return Thing(key, frozenset(tags))


def index_of(*things: Thing) -> TaggedIndex[Thing]:
    index: TaggedIndex[Thing] = TaggedIndex()
    for each in things:
        index.put(each)
    return index


def moved(shift: Shift) -> tuple[list[Expression], list[Expression], list[Expression]]:
    """Which expressions it joined, stayed in and left."""
    joined, stayed, left = ([each.expression for each in part] for part in (shift.joined, shift.stayed, shift.left))
    return joined, stayed, left


@pytest.mark.parametrize(
    "texts",
    [("a=1",), ("a=1", "b=1"), ("a=*",), ("a=1*", "b=1"), ("!a=1", "b=1"), ("!a=*", "b=*"), ("!a=1",), ("!a=1*",), ()],
)
def test_an_alternative_holds_where_its_expression_matches(texts: tuple[str, ...]) -> None:
    for tags in ((), ("a=1",), ("a=12",), ("b=1",), ("a=1", "b=1"), ("a=12", "b=1"), ("c=1", "b=12"), ("a=1", "a=12")):
        assert Alternative(texts).holds(frozenset(tags)) == matches((texts,), frozenset(tags))


def test_postings_are_by_tag_and_key_and_gone_when_empty() -> None:
    postings = Postings()
    postings.add(1, ["a=1", "a="])
    postings.add(2, ["a=12", "a="])
    assert [set(postings.term(term)) for term in ("a=1", "a=12", "a=", "b=1", "b=")] == [{1}, {2}, {1, 2}, set(), set()]
    assert [set(postings.clause(text)) for text in ("a=1", "a=1*", "a=*", "a=12*", "a=2*", "b=*", "b=1*")] == [
        {1},
        {1, 2},
        {1, 2},
        {2},
        set(),
        set(),
        set(),
    ]
    assert set(postings.clause("!a=1")) == {1}  # what it names
    postings.discard(1, ["a=1", "a="])
    assert [set(postings.term(term)) for term in ("a=1", "a=12", "a=")] == [set(), {2}, {2}]
    assert set(postings.beginning("a=1")) == {2}
    postings.discard(2, ["a=12", "a="])
    assert (postings._numbers, postings._tags) == ({}, {})


def test_the_anchor_is_the_rarest_term_that_is_needed() -> None:
    postings = Postings()
    for number in range(3):
        postings.add(number, ["common=1", "common="])
    postings.add(0, ["rare=1", "rare=", "b=1", "b="])
    assert postings.anchor(("common=1", "rare=1")) == "rare=1"
    assert postings.anchor(("rare=1", "common=1")) == "rare=1"
    assert postings.anchor(("common=1", "absent=*")) == "absent="
    assert postings.anchor(("rare=r*", "common=1")) == "rare="
    assert postings.anchor(("common=1", "!rare=1")) == "common=1"
    assert postings.anchor(("rare=1", "b=1")) == postings.anchor(("b=1", "rare=1")) == "b=1"  # whatever the order
    assert postings.anchor(("!rare=1",)) is None


def test_evaluation_is_the_callers_own_and_leaves_postings_alone() -> None:
    index = index_of(thing("t", "a=1"), thing("u", "a=1", "b=1"), thing("v", "b=1"))
    found = index.postings.evaluate((("a=1", "!b=1"), ("b=1", "!a=1")))
    assert set(found) == {index.number("t"), index.number("v")}
    found.clear()
    assert set(index.tagged("a=1")) == {index.number("t"), index.number("u")}
    assert set(index.postings.evaluate((("!a=1",), ()))) == set()
    assert set(index.postings.evaluate((("b=1", "a=1"),))) == {index.number("u")}


def test_things_are_found_by_id_and_number_while_they_are_here() -> None:
    index = index_of(thing("t", "a=1"), thing("u", "a=2"))
    number = index.number("u")
    assert index.thing(number) is index.get("u") is not None
    assert [each.id for each in index.things([number, index.number("t")])] == ["u", "t"]
    assert len(index) == 2
    index.drop("u")
    assert index.get("u") is None
    assert len(index) == 1
    for question in (lambda: index.number("u"), lambda: index.drop("u")):
        with pytest.raises(KeyError):
            question()
    with pytest.raises(LookupError, match=f"nothing has number {number}"):
        index.thing(number)


def test_numbers_of_what_is_gone_are_given_again() -> None:
    index = index_of(thing("t", "a=1"), thing("u", "a=1"))
    gone = index.number("t")
    index.drop("t")
    assert set(index.everything) == {index.number("u")}
    assert index.put(thing("v", "b=1")).number == gone
    assert index.put(thing("w", "b=1")).number == 2
    assert index.thing(gone).id == "v"
    assert set(index.everything) == {0, 1, 2}
    assert set(index.tagged("a=1")) == {index.number("u")}


def test_a_shift_says_which_watched_expressions_something_joined_stayed_in_or_left() -> None:
    one: Expression = (("a=1",),)
    two: Expression = (("a=2",),)
    any_: Expression = (("a=*",),)
    index = index_of()
    for expression in (one, two, any_):
        index.watch(expression)
    first = index.put(thing("t", "a=1"))
    assert {*moved(first)[0]} == {one, any_}
    assert moved(first)[1:] == ([], [])
    assert moved(index.put(thing("t", "a=2"))) == ([two], [any_], [one])
    assert {*moved(index.put(thing("t", "a=2")))[1]} == {two, any_}
    assert moved(index.put(thing("t", "b=1")))[:2] == ([], [])
    assert moved(index.drop("t")) == ([], [], [])
    index.put(thing("t", "a=1", "a=2"))
    assert {*moved(index.drop("t"))[2]} == {one, two, any_}
    assert all(not index.matching(expression) for expression in (one, two, any_))


def test_what_is_watched_is_kept_until_it_was_taken_back_as_often() -> None:
    expression: Expression = (("a=1", "!b=1"), ("a=1", "c=1"))
    index = index_of(thing("t", "a=1"))
    membership = index.watch(expression)
    assert index.watch(expression) is membership
    assert index.matching(expression) is membership.numbers
    assert set(membership.numbers) == {0}
    assert index.memberships(frozenset({"a=1"})) == [membership]
    assert index.memberships(frozenset({"a=1", "b=1"})) == []
    assert not index.unwatch(membership)
    index.put(thing("u", "a=1"))
    assert set(membership.numbers) == {0, 1}
    assert index.unwatch(membership)
    index.put(thing("v", "a=1"))
    assert set(membership.numbers) == {0, 1}  # nobody keeps it any more
    assert set(index.matching(expression)) == {0, 1, 2}
    assert (index._watched, index._anchored) == ({}, {})


def test_watching_one_does_not_end_with_another_under_the_same_anchor() -> None:
    index = index_of()
    one, other = index.watch((("a=1",),)), index.watch((("a=1", "b=1"),))
    assert one.anchors == other.anchors == {"a=1"}
    assert index.unwatch(one)
    index.put(thing("t", "a=1", "b=1"))
    assert set(other.numbers) == {0}
    assert index.watch((("!a=1",), ())).anchors == frozenset()
