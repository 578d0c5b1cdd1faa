"""Worlds that follow one another."""

from __future__ import annotations

import dataclasses

from rpds import HashTrieMap

from tests.unit.policy import shop
from watchword.policy.versions import EMPTY, alterations, altered, persistent
from watchword.policy.world import PARTS, Alteration, Namespace, World


def parts(world: World) -> dict[str, object]:
    return {part: dict(getattr(world, part)) for part in PARTS}


def test_the_first_world_is_empty() -> None:
    assert EMPTY.revision == 0
    assert all(value == {} for value in parts(EMPTY).values())


def test_the_next_world_differs_where_it_was_altered_and_shares_the_rest() -> None:
    before = altered(EMPTY, 3, [Alteration("namespaces", path, Namespace(path)) for path in ("/", "/a")])
    unit = shop.unit("u", 1, "e")
    after = altered(before, 4, [Alteration("units", "u", unit), Alteration("namespaces", "/a", None)])
    assert (before.revision, after.revision) == (3, 4)
    assert dict(before.namespaces) == {"/": Namespace("/"), "/a": Namespace("/a")}
    assert dict(before.units) == {}
    assert dict(after.namespaces) == {"/": Namespace("/")}
    assert dict(after.units) == {"u": unit}
    assert after.rulesets is before.rulesets
    assert isinstance(after.units, HashTrieMap)


def test_what_is_gone_may_go_again_and_the_last_word_counts() -> None:
    there, gone = Alteration("namespaces", "/a", Namespace("/a", "Allow")), Alteration("namespaces", "/a", None)
    assert dict(altered(EMPTY, 1, [gone, gone]).namespaces) == {}
    assert dict(altered(EMPTY, 1, [there, gone]).namespaces) == {}
    assert dict(altered(EMPTY, 1, [gone, there]).namespaces) == {"/a": Namespace("/a", "Allow")}


def test_a_world_of_plain_dictionaries_is_left_alone_too() -> None:
    before = shop.world()
    known = parts(before)
    after = altered(before, 8, [Alteration("units", "web", None)])
    assert parts(before) == known
    assert set(after.units) == {"api", "db", "job"}
    assert persistent(after.units) is after.units
    assert dict(persistent(before.units)) == before.units


def test_what_leads_from_one_world_to_another() -> None:
    before = shop.world()
    job, web = before.units["job"], dataclasses.replace(before.units["web"], name="other")
    new = shop.unit("new", 99, "e1")
    units = {**before.units, "web": web, "new": new}
    del units["job"]
    after = dataclasses.replace(before, units=units, rulesets={})
    found = alterations(before, after)
    assert {(each.part, each.key): each.entry for each in found} == {
        ("units", "job"): None,
        ("units", "web"): web,
        ("units", "new"): new,
        ("rulesets", "web-out"): None,
        ("rulesets", "db-in"): None,
    }
    assert len(found) == 5
    assert parts(altered(before, 8, found)) == parts(after)
    assert alterations(after, before)[-1].part == "rulesets"
    assert Alteration("units", "job", job) in alterations(after, before)
    assert alterations(before, shop.world()) == []


def test_a_part_that_is_the_same_object_is_not_looked_at() -> None:
    class Unread(dict[str, object]):
        def __iter__(self) -> object:  # type: ignore[override]
            raise AssertionError("was looked at")

        items = __iter__  # type: ignore[assignment]

    units = Unread(web=1)
    one = dataclasses.replace(EMPTY, units=units)  # type: ignore[arg-type]
    assert alterations(one, dataclasses.replace(one, revision=5)) == []
