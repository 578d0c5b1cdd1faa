"""The boxes of two worlds' differences are, flow by flow, what the oracle finds by asking about every flow."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property import oracle
from tests.property.worlds import ADDRESSES, FLOWS, enforcers, namespaces, networks, rulesets, units, worlds
from watchword.model.ports import parse_flow
from watchword.policy import portsets
from watchword.policy.changed import Box, Ends, boxes
from watchword.policy.decide import stranger
from watchword.policy.difference import difference
from watchword.policy.landscape import Landscape, Survey
from watchword.policy.parties import LISTED
from watchword.policy.shares import Decided
from watchword.policy.world import Unit, World

Flow = tuple[str, str, int, int]


@st.composite
def successors(draw: st.DrawFn, world: World) -> World:
    """A world that differs from ``world`` in a few things of one or two parts, as worlds do."""

    def part(name: str, make: object, letter: str) -> dict[str, object]:
        now = dict(getattr(world, name))
        for _ in range(draw(st.integers(1, 2))):
            number = draw(st.integers(0, 3))
            key = f"{letter}{number}"
            if draw(st.booleans()):
                now.pop(key, None)
            else:
                now[key] = draw(make(number))  # type: ignore[operator]
        return now

    changes: dict[str, object] = {}
    for name in draw(
        st.lists(st.sampled_from(("units", "networks", "rulesets", "namespaces")), min_size=1, max_size=2)
    ):
        if name == "namespaces":
            changes[name] = draw(namespaces())
        else:
            make, letter = {"units": (units, "u"), "networks": (networks, "n"), "rulesets": (rulesets, "s")}[name]
            changes[name] = part(name, make, letter)
    return dataclasses.replace(world, revision=world.revision + 1, **changes)  # type: ignore[arg-type]


def parties_at(landscape: Landscape, name: str, worlds_: tuple[World, ...]) -> int:
    """The number of a unit's kind, or of an address's block."""
    for kind in landscape.kinds:
        if name in kind.units:
            return kind.number
    networks_ = tuple(frozenset(each.id for each in stranger(world, name).networks) for world in worlds_)
    return next(number for number, block in landscape.blocks.items() if block.networks == networks_)


def told(old: World, new: World, survey: Survey | None = None) -> dict[Flow, Box]:
    """What the boxes say of every flow worth asking about; no two boxes may speak of one."""
    before, after = (survey or Survey()).landscapes(old, new)
    everybody = [*dict.fromkeys([*old.units, *new.units]), *ADDRESSES]
    number = {name: parties_at(before, name, (old, new)) for name in everybody}
    found: dict[Flow, Box] = {}
    for box in boxes(before, after):
        for source, destination in itertools.product(everybody, everybody):
            if (
                source == destination
                or number[source] not in box.sources
                or number[destination] not in box.destinations
            ):
                continue
            for protocol, port in FLOWS:
                if portsets.covers(box.ports, protocol, port):
                    flow = (source, destination, protocol, port)
                    assert flow not in found
                    found[flow] = box
    return found


def asked(world: World, flow: Flow) -> Ends | None:
    """What the oracle says of a flow; None where the world does not have one of the units."""
    source, destination, protocol, port = flow
    sides: list[Unit | str] = []
    for name in (source, destination):
        if name.startswith("u") and name not in world.units:
            return None
        sides.append(world.units.get(name, name))
    ends = []
    for here, there, direction in ((sides[0], sides[1], "out"), (sides[1], sides[0], "in")):
        opinion = oracle.judge(world, here, there, direction, protocol, port) if isinstance(here, Unit) else None
        ends.append(Decided(opinion.action, opinion.rule) if opinion else None)  # type: ignore[arg-type]
    return Ends(*ends)


def expected(old: World, new: World) -> dict[Flow, tuple[Ends | None, Ends | None]]:
    """Every flow that differs, by asking about all."""
    everybody = [*dict.fromkeys([*old.units, *new.units]), *ADDRESSES]
    found = {}
    for source, destination, (protocol, port) in itertools.product(everybody, everybody, FLOWS):
        flow = (source, destination, protocol, port)
        if source == destination or {source, destination} <= set(ADDRESSES):
            continue
        before, after = asked(old, flow), asked(new, flow)
        if before is None or after is None:
            if (before is not None and before.passes) or (after is not None and after.passes):
                found[flow] = before, after
        elif [end and end.action for end in before] != [end and end.action for end in after]:
            found[flow] = before, after
    return found


def check(old: World, new: World, survey: Survey | None = None) -> int:
    said = {flow: (box.before, box.after) for flow, box in told(old, new, survey).items()}
    assert said == expected(old, new)
    return len(said)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_boxes_are_what_asking_about_every_flow_finds(data: st.DataObject) -> None:
    old = data.draw(worlds())
    check(old, data.draw(successors(old)))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_told_is_so(data: st.DataObject) -> None:
    """Every entry's example flow does what the entry says, and pairs are counted as one would."""
    old = data.draw(worlds())
    new = data.draw(successors(old))
    told = difference(old, new)
    for flows in told.flows:
        protocol, port = parse_flow(flows.example.flow) if "protocol " not in flows.example.flow else (200, 0)
        ends = (flows.example.source, flows.example.destination)
        passing = [asked(world, (*ends, protocol, port)) for world in (old, new)]
        effect = [ends is not None and ends.passes for ends in passing]
        assert effect[1] - effect[0] == {"allowed": 1, "denied": -1, "oneEnd": 0}[flows.effect]
        assert flows.pairs > 0
        if (
            flows.sources.kind == flows.destinations.kind == "units"
            and flows.sources.count <= LISTED >= flows.destinations.count
        ):
            pairs = itertools.product(flows.sources.units, flows.destinations.units)
            assert flows.pairs == sum(source != destination for source, destination in pairs)
    assert not (told.same and expected(old, new))


@settings(max_examples=30, deadline=None)
@given(worlds(), worlds())
def test_also_between_worlds_that_have_nothing_in_common(old: World, new: World) -> None:
    survey = Survey()
    check(old, new, survey)
    check(new, old, survey)
    check(old, old, survey)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_survey_that_saw_other_worlds_changes_no_answer(data: st.DataObject) -> None:
    world, survey = data.draw(worlds()), Survey()
    for _ in range(3):
        after = data.draw(successors(world))
        check(world, after, survey)
        world = after


def test_the_cases_are_there() -> None:
    """Worlds drawn like this differ in every way there is (otherwise the tests above could not fail)."""
    seen: Counter[str] = Counter()

    @settings(max_examples=400, deadline=None, database=None, derandomize=True)
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        old = data.draw(worlds())
        for before, after in expected(old, data.draw(successors(old))).values():
            seen["appeared" if before is None else "vanished" if after is None else "changed"] += 1
            if before is not None and after is not None:
                seen[f"effect {int(after.passes) - int(before.passes)}"] += 1

    draw()
    assert set(seen) == {"appeared", "vanished", "changed", "effect 1", "effect -1", "effect 0"}


def test_nothing_differs_between_a_world_and_itself() -> None:
    world = World(1, {}, {"u0": Unit("u0", "", "", "/", "e1", 1, frozenset({"x=1"}))}, {}, {}, enforcers())
    assert told(world, dataclasses.replace(world, revision=2)) == {}
