"""Engine and plain rendering agree after every step of any sequence of changes, for every Enforcer.

Three ways to a document have to meet: rendered from scratch, written out by the engine, and patched
with the engine's amendments over the wire; once for each revision, and with several revisions merged
into one delta. So do the digests: added up from sums that are kept, and taken of the document.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.worlds import ENFORCERS, enforcers, namespaces, networks, rulesets, units, worlds
from tests.unit.policy import shop
from watchword.policy.amendments import Amendment, merged
from watchword.policy.engine import Engine
from watchword.policy.render import render
from watchword.policy.versions import EMPTY, altered
from watchword.policy.versions import alterations as alterations_between
from watchword.policy.world import PARTS, Alteration, Namespace, World
from watchword.wire.policy import EnforcerEntry, PolicyDelta, PolicyDocument, difference, digest, patch, patched, total

PREFIXES = {"units": "u", "networks": "n", "rulesets": "s"}


@st.composite
def alterations(draw: st.DrawFn) -> Alteration:
    """One entry put or dropped. Numbers are few, so that most steps change something that is there."""
    part = draw(st.sampled_from(("units", "units", "rulesets", "rulesets", "networks", "namespaces", "enforcers")))
    drop = draw(st.integers(0, 3)) == 0
    if part == "namespaces":
        paths: dict[str, Namespace] = draw(namespaces())
        path = draw(st.sampled_from(sorted(paths)))
        return Alteration(part, path, None if drop else paths[path])
    if part == "enforcers":
        enforcer = draw(st.sampled_from(ENFORCERS))
        certificate = draw(st.sampled_from((b"old", b"new")))
        return Alteration(part, enforcer, None if drop else EnforcerEntry(certificate=certificate, keys=()))
    number = draw(st.integers(0, 4))
    strategy: Any = {"units": units, "networks": networks, "rulesets": rulesets}[part]
    entry = draw(strategy(number))
    if part == "units" and draw(st.integers(0, 9)) == 0:
        entry = dataclasses.replace(entry, badge=0)
    return Alteration(part, f"{PREFIXES[part]}{number}", None if drop else entry)


@dataclasses.dataclass(frozen=True)
class Tweak:
    """One field of an entry changes and all others stay."""

    alteration: Alteration
    field: int

    def of(self, world: World) -> Alteration:
        part, key, drawn = self.alteration
        known = getattr(world, part).get(key)
        if known is None or drawn is None or not dataclasses.is_dataclass(drawn):
            return self.alteration
        names = [each.name for each in dataclasses.fields(drawn) if each.name not in ("id", "path")]
        name = names[self.field % len(names)]
        return Alteration(part, key, dataclasses.replace(known, **{name: getattr(drawn, name)}))


def changes() -> st.SearchStrategy[Alteration | Tweak]:
    return st.one_of(alterations(), st.builds(Tweak, alterations(), st.integers(0, 20)))


def steps() -> st.SearchStrategy[list[Any]]:
    """Revisions of one alteration or a few, and badges that an Enforcer asks for."""
    asking = st.tuples(st.sampled_from(ENFORCERS), st.frozensets(st.integers(100, 106), max_size=3))
    return st.lists(st.one_of(st.lists(changes(), min_size=1, max_size=4), asking), min_size=1, max_size=8)


def effective(world: World, step: list[Any]) -> list[Alteration]:
    """Without dropping what is not there, which nobody does."""
    found: list[Alteration] = []
    for each in step:
        alteration = each.of(world) if isinstance(each, Tweak) else each
        if alteration.entry is not None or alteration.key in getattr(world, alteration.part):
            found.append(alteration)
            world = altered(world, world.revision, [alteration])
    return found


def over_the_wire(delta: PolicyDelta) -> PolicyDelta:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(delta), type=PolicyDelta)


class Readers:
    """Enforcers that apply every amendment, and such that apply several at once later."""

    def __init__(self, engine: Engine) -> None:
        self.prompt = {each: engine.document(each) for each in ENFORCERS if each in engine}
        self.slow = dict(self.prompt)
        self.pending: dict[str, list[Amendment]] = {each: [] for each in ENFORCERS}

    def end(self, evicted: Iterable[str]) -> None:
        """These Enforcers' sessions are over; what they had is of no use to who comes in their place."""
        for each in evicted:
            self.prompt.pop(each, None)
            self.slow.pop(each, None)
            self.pending[each] = []

    def take(self, engine: Engine, changed: dict[str, Amendment], *, catch_up: bool) -> None:
        revision = engine.revision
        for each in ENFORCERS:
            if each not in engine:
                continue
            blank = PolicyDocument(revision=0, enforcer=each)
            before = self.prompt.get(each, blank)
            amendment = changed.get(each, Amendment())
            delta = over_the_wire(amendment.delta(before.revision, revision))
            after, touched = patch(before, delta)
            for table, keys in touched.items():
                was, now = getattr(before, table), getattr(after, table)
                assert {key for key in {*was, *now} if was.get(key) is not now.get(key)} <= keys
            self.prompt[each] = after
            self.pending[each].append(amendment)
            if catch_up:
                slow = self.slow.get(each, blank)
                self.slow[each] = patched(
                    slow, over_the_wire(merged(self.pending[each]).delta(slow.revision, revision))
                )
                self.pending[each] = []


def hold(engine: Engine, world: World, asked: dict[str, frozenset[int]], readers: Readers, *, caught_up: bool) -> None:
    for enforcer in ENFORCERS:
        assert (enforcer in engine) == (enforcer in world.enforcers)
        if enforcer not in engine:
            with pytest.raises(LookupError):
                engine.document(enforcer)
            continue
        plain = render(world, enforcer, asked.get(enforcer, frozenset()))
        written = engine.document(enforcer)
        assert written == plain
        assert list(written.peers) == sorted(written.peers)
        assert readers.prompt[enforcer] == plain
        if caught_up:
            assert readers.slow[enforcer] == plain
        assert engine.digest(enforcer) == digest(plain)


@settings(max_examples=400, deadline=None)
@given(worlds(), steps(), st.randoms(use_true_random=False), st.booleans())
def test_following_changes_gives_what_starting_anew_gives(
    world: World, sequence: list[Any], random: Any, from_nothing: bool
) -> None:
    if from_nothing:
        world = dataclasses.replace(EMPTY, revision=1)
    engine = Engine.of(world)
    asked: dict[str, frozenset[int]] = {}
    readers = Readers(engine)
    hold(engine, world, asked, readers, caught_up=True)
    for step in sequence:
        catch_up = random.random() < 0.4
        if isinstance(step, tuple):
            enforcer, badges = step
            if enforcer not in engine:
                continue
            asked[enforcer] = badges
            amendment = engine.ask(enforcer, badges)
            readers.take(engine, {enforcer: amendment}, catch_up=catch_up)
        else:
            step = effective(world, step)
            world = altered(world, world.revision + 1, step)
            evicted = {change.key for change in step if change.part == "enforcers" and change.entry is None}
            asked = {each: badges for each, badges in asked.items() if each not in evicted}
            readers.end(evicted)  # also of one that enrols again in the same step
            publication = engine.apply(world.revision, step)
            assert publication.revision == engine.revision == world.revision
            readers.take(engine, dict(publication.amendments), catch_up=catch_up)
        hold(engine, world, asked, readers, caught_up=catch_up)


@settings(max_examples=200, deadline=None)
@given(st.lists(worlds(), min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_one_world_after_another(sequence: list[World], random: Any) -> None:
    """Everything changes in one step, in any order: what opens, closes and opens again in it too."""
    engine, before = Engine.of(sequence[0]), sequence[0]
    readers = Readers(engine)
    for revision, world in enumerate(sequence[1:], before.revision + 1):
        world = dataclasses.replace(world, revision=revision)
        changes = list(alterations_between(before, world))
        random.shuffle(changes)
        readers.end(before.enforcers.keys() - set(world.enforcers))
        catch_up = random.random() < 0.6
        readers.take(engine, dict(engine.apply(revision, changes).amendments), catch_up=catch_up)
        hold(engine, world, {}, readers, caught_up=catch_up)
        before = world


def test_two_badges_of_one_enforcer_asked_for_at_once() -> None:
    both = shop.world(rulesets={})
    engine = Engine.of(both)
    document = engine.document("e3")
    after = patched(document, over_the_wire(engine.ask("e3", (11, 12)).delta(7, 7)))
    assert after == render(both, "e3", (11, 12))
    assert "e1" in after.enforcers


@settings(max_examples=150, deadline=None)
@given(worlds(), st.lists(alterations(), min_size=1, max_size=4))
def test_unaffected_documents_are_not_spoken_of(world: World, step: list[Alteration]) -> None:
    """An amendment goes to whom it changes something for; others only ever get what says nothing new."""
    engine = Engine.of(world)
    before = {each: engine.document(each) for each in ENFORCERS if each in engine}
    step = effective(world, step)
    publication = engine.apply(world.revision, step)
    for each in publication.amendments.keys() | before.keys():
        if each in engine and each in before:
            changed = before[each] != engine.document(each)
            assert not changed or each in publication.amendments


@settings(max_examples=150, deadline=None)
@given(worlds(), worlds())
def test_digests_tell_documents_apart(one: World, other: World) -> None:
    """Whatever differs shows; and what the engine adds up is the sum over the document."""
    documents = [render(world, enforcer) for world in (one, other) for enforcer in ENFORCERS]
    for left in documents:
        for right in documents:
            assert (total(left) == total(right)) == (
                msgspec.structs.replace(left, revision=1) == msgspec.structs.replace(right, revision=1)
            )


@settings(max_examples=200, deadline=None)
@given(worlds(), worlds())
def test_differences_over_the_wire(one: World, other: World) -> None:
    for enforcer in ENFORCERS:
        left, right = render(one, enforcer), render(other, enforcer)
        after = patched(left, over_the_wire(difference(left, right)))
        assert after == right
        assert digest(after) == digest(right)


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_worlds_made_by_alterations(world: World) -> None:
    """A version shares with the one before, and neither changes the other."""
    grown = EMPTY
    for part in PARTS:
        for key, entry in getattr(world, part).items():
            before = {name: dict(getattr(grown, name)) for name in PARTS}
            after = altered(grown, 5, [Alteration(part, key, entry)])
            assert {name: dict(getattr(grown, name)) for name in PARTS} == before
            grown = after
    assert all(dict(getattr(grown, part)) == dict(getattr(world, part)) for part in PARTS)
    assert enforcers() == dict(grown.enforcers)
    for part in PARTS:
        grown = altered(grown, 6, [Alteration(part, key, None) for key in getattr(world, part)])
    assert all(not getattr(grown, part) for part in PARTS)
