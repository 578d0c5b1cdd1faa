"""Selector keys, and the index against plain matching over random histories."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.policy.shop import unit
from watchword.model.expressions import Expression, matches
from watchword.policy.namespaces import reaches
from watchword.policy.selectors import SelectorIndex, selector_key
from watchword.policy.tagged import Membership
from watchword.policy.world import Unit

TAGS = ("a=1", "a=12", "b=1", "b=2", "c=1")
PATHS = ("/", "/s", "/s/t", "/st")
POOL: tuple[Expression, ...] = (
    (("a=1",),),
    (("a=1", "b=1"),),
    (("a=1",), ("b=2", "c=1")),
    (("a=*",),),
    (("a=1*", "!b=1"),),
    (("a=*", "!a=1*"),),
    (("!a=1", "c=1"), ("b=*", "a=12")),
    (("c=1", "!b=*", "!a=12"),),
    (("!a=1",),),
    (),
    ((),),
)

_ids = st.sampled_from("uvwxyz")
_units = st.builds(
    lambda name, tags, path, enforcer: dataclasses.replace(unit(name, 1, enforcer), tags=tags, namespace=path),
    _ids,
    st.frozensets(st.sampled_from(TAGS)),
    st.sampled_from(PATHS),
    st.sampled_from(("e", "f")),
)
_steps = st.one_of(
    _units, _ids.map(lambda name: ("drop", name)), st.sampled_from(POOL).map(lambda each: ("watch", each))
)


def hold_to_plain_matching(index: SelectorIndex, units: dict[str, Unit]) -> None:
    def named(numbers: object) -> set[str]:
        return {each.id for each in index.things(numbers)}  # type: ignore[arg-type]

    for expression in POOL:
        expected = {key for key, each in units.items() if matches(expression, each.tags)}
        assert named(index.matching(expression)) == expected
        assert named(index.postings.evaluate(expression)) == expected
    for path in PATHS:
        assert named(index.namespace(path)) == {key for key, each in units.items() if each.namespace == path}
        assert named(index.subtree(path)) == {key for key, each in units.items() if reaches(path, True, each.namespace)}
    for enforcer in ("e", "f"):
        assert named(index.enforcer(enforcer)) == {key for key, each in units.items() if each.enforcer == enforcer}
    assert named(index.everything) == units.keys()
    for key, each in units.items():
        assert index.thing(index.number(key)) is each
        assert {m.expression for m in index.memberships(each.tags)} <= {e for e in POOL if matches(e, each.tags)}


@settings(max_examples=300, deadline=None)
@given(st.lists(_steps, min_size=1, max_size=12))
def test_the_index_holds_what_matching_one_by_one_gives(steps: list[Unit | tuple[str, object]]) -> None:
    index = SelectorIndex()
    units: dict[str, Unit] = {}
    watched: dict[object, Membership] = {}
    for step in steps:
        if isinstance(step, Unit):
            before = {expression: step.id in units and matches(expression, units[step.id].tags) for expression in POOL}
            shift = index.put(step)
            units[step.id] = step
            for expression, was in before.items():
                now = matches(expression, step.tags)
                for kind, expected in (("joined", now and not was), ("stayed", now and was), ("left", was and not now)):
                    found = {membership.expression for membership in getattr(shift, kind)}
                    assert (expression in found) == (expected and expression in watched), kind
        elif step[0] == "drop":
            if step[1] in units:
                shift = index.drop(str(step[1]))
                gone = units.pop(str(step[1]))
                assert {m.expression for m in shift.left} == {e for e in POOL if e in watched and matches(e, gone.tags)}
            with pytest.raises(LookupError):
                index.drop(str(step[1]))
        elif step[1] in watched:
            assert index.unwatch(watched.pop(step[1]))
        else:
            membership: Membership = index.watch(step[1])  # type: ignore[arg-type]
            watched[step[1]] = membership
            assert index.watch(step[1]) is membership  # type: ignore[arg-type]
            assert not index.unwatch(membership)
        hold_to_plain_matching(index, units)


def test_numbers_stay_dense() -> None:
    index = SelectorIndex()
    for turn in range(50):
        index.put(unit(f"u{turn}", 1, "e"))
        if turn % 2:
            index.drop(f"u{turn - 1}")
    assert max(index.everything) < 30
    assert len(index) == len(index.everything) == 25


def test_results_are_not_the_index() -> None:
    index = SelectorIndex.of([unit("u", 1, "e", "a=1"), unit("v", 1, "e", "a=1", "b=1")])
    assert len(index.matching((("a=1", "!b=1"),))) == 1
    assert len(index.tagged("a=1")) == 2


def test_keys_depend_on_meaning_and_namespace_not_on_spelling() -> None:
    one, other = (("a=1", "b=1"), ("c=1",)), (("c=1",), ("b=1", "a=1"))
    assert selector_key("/a", one) == selector_key("/a", other)
    assert selector_key("/a", one) != selector_key("/b", one)
    assert selector_key("/a", (("a=1", "b=1"),)) != selector_key("/a", (("a=1",), ("b=1",)))
    assert selector_key("/a", (('a=1","b=1',),)) != selector_key("/a", (("a=1", "b=1"),))


def test_keys_do_not_change_from_version_to_version() -> None:
    assert selector_key("/shop", (("app=db",),)) == "o645laGw2MX7PmCTsYyI1g"


def test_units_are_found_by_namespace_subtree_and_enforcer_while_they_are_there() -> None:
    index = SelectorIndex.of(
        [unit("u", 1, "e", namespace="/s"), unit("v", 2, "f", namespace="/s/t"), unit("w", 3, "e", namespace="/st")]
    )

    def named(numbers: Iterable[int]) -> set[str]:
        return {each.id for each in index.things(numbers)}

    assert [named(index.namespace(path)) for path in PATHS] == [set(), {"u"}, {"v"}, {"w"}]
    assert [named(index.subtree(path)) for path in PATHS] == [{"u", "v", "w"}, {"u", "v"}, {"v"}, {"w"}]
    assert [named(index.reach("/s", propagate)) for propagate in (False, True)] == [{"u"}, {"u", "v"}]
    assert {key: named(numbers) for key, numbers in index.enforcers.items()} == {"e": {"u", "w"}, "f": {"v"}}
    index.put(unit("v", 2, "e", namespace="/st"))
    assert [named(index.subtree(path)) for path in PATHS] == [{"u", "v", "w"}, {"u"}, set(), {"v", "w"}]
    assert [named(index.enforcer(key)) for key in "efg"] == [{"u", "v", "w"}, set(), set()]
    assert set(index.enforcers) == {"e"}
    for key in "uvw":
        index.drop(key)
    assert (index._namespaces, index._subtrees, index._enforcers) == ({}, {}, {})
