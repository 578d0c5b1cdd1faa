"""Remedies turn verdicts round, readers learn nothing that is not theirs to know, and an index changes no answer."""

from __future__ import annotations

import dataclasses
import itertools

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property import oracle
from tests.property.worlds import ADDRESSES, FLOWS, PATHS, TAGS, worlds
from watchword.policy.explain import explain, hypothetical
from watchword.policy.namespaces import reaches
from watchword.policy.remedies import applied
from watchword.policy.rulebook import Rulebook
from watchword.policy.world import Unit, World

STRANGERS = (ADDRESSES[3], ADDRESSES[6])


def flows_of(world: World) -> list[tuple[str, str, int, int]]:
    ends = [*world.units, *STRANGERS]
    pairs = [
        (source, destination)
        for source, destination in itertools.product(ends, ends)
        if {source, destination} & world.units.keys()
    ]
    return [(source, destination, *flow) for source, destination in pairs for flow in FLOWS[::4]]


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_every_remedy_turns_the_verdict_round(world: World) -> None:
    for source, destination, protocol, port in flows_of(world):
        explained = explain(world, source, destination, protocol, port)
        for end, peer in ((explained.outgoing, destination), (explained.incoming, source)):
            if end is None:
                continue
            itself = end.unit == peer
            assert not (itself and end.remedies)
            direction = "in" if end.direction == "incoming" else "out"
            for remedy in end.remedies:
                after = applied(world, remedy.changes)
                told = oracle.judge(
                    after, after.units[end.unit], after.units.get(peer, peer), direction, protocol, port
                )
                assert told.action != end.action, remedy


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_there_is_always_a_remedy_where_both_sides_can_be_named(world: World) -> None:
    for source, destination, protocol, port in flows_of(world):
        explained = explain(world, source, destination, protocol, port)
        for end, peer in ((explained.outgoing, destination), (explained.incoming, source)):
            if end is None or end.unit == peer or protocol == 0:
                continue
            named = peer not in world.units or world.units[peer].tags
            if named and world.units[end.unit].tags:
                assert end.remedies


@settings(max_examples=40, deadline=None)
@given(worlds(), worlds())
def test_a_rulebook_that_followed_other_worlds_changes_no_answer(before: World, world: World) -> None:
    book = Rulebook()
    for each in (before, world, before, world):
        book.follow(each)
    for source, destination, protocol, port in flows_of(world)[::3]:
        asked = (world, source, destination, protocol, port)
        assert explain(*asked, book=book) == explain(*asked)


@settings(max_examples=40, deadline=None)
@given(worlds(), st.sampled_from(PATHS), st.frozensets(st.sampled_from(TAGS), max_size=3))
def test_hypothetical_units_fare_as_if_they_were_there(world: World, path: str, tags: frozenset[str]) -> None:
    guest = hypothetical("source", path, tags)
    there = dataclasses.replace(world, units={**world.units, guest.id: guest})
    for unit, (protocol, port) in itertools.product(world.units, FLOWS[::3]):
        explained = explain(world, guest, unit, protocol, port)
        assert explained == msgspec.structs.replace(
            explain(there, guest.id, unit, protocol, port),
            source=explained.source,
        )
        assert (explained.action == "Allow") == oracle.passes(there, guest, world.units[unit], protocol, port)


@settings(max_examples=60, deadline=None)
@given(worlds(), worlds(), st.sampled_from(PATHS))
def test_an_explanation_depends_on_nothing_that_its_reader_may_not_know(
    world: World, other: World, reader: str
) -> None:
    """Everything beside and above the reader is swapped for something else; between units nothing may change."""
    changed = mixed(world, other, reader)
    mine = [unit.id for unit in world.units.values() if reaches(reader, True, unit.namespace)]
    for source, destination in itertools.product(mine, mine):
        for protocol, port in FLOWS[::4]:
            asked = (source, destination, protocol, port)
            assert explain(world, *asked, reader=reader) == explain(changed, *asked, reader=reader)


def mixed(world: World, other: World, reader: str) -> World:
    """``world`` as ``reader`` knows it, with everything else taken from ``other``."""

    def known(entry: object) -> bool:
        place = entry.namespace  # type: ignore[attr-defined]
        handed_down = getattr(entry, "propagate", False) and reader in _below(place)
        return reader == place or place in _below(reader) or handed_down

    def part(name: str, letter: str) -> dict[str, object]:
        ours, theirs = getattr(world, name), getattr(other, name)
        mine = {key: entry for key, entry in ours.items() if known(entry)}
        strange = {}
        for key, entry in theirs.items():
            if not known(entry):
                changes = {"origin": f"z{entry.origin}"} if getattr(entry, "origin", "") else {}
                strange[f"{letter}{key}"] = dataclasses.replace(
                    entry, id=f"{letter}{key}", name=f"strange {key}", **changes
                )
        return {**mine, **strange}

    units: dict[str, Unit] = part("units", "z")  # type: ignore[assignment]
    networks, rulesets = part("networks", "z"), part("rulesets", "z")
    return dataclasses.replace(world, units=units, networks=networks, rulesets=rulesets)  # type: ignore[arg-type]


def _below(path: str) -> list[str]:
    return [each for each in PATHS if path == "/" or each.startswith(path + "/") or each == path]
