"""What units learn under host names: the tables decide about it as the naive oracle does."""

from __future__ import annotations

import dataclasses
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property import oracle
from tests.property.agreement import opinion
from tests.property.worlds import ADDRESSES, ASKED, ENFORCERS, FLOWS, NAMES, worlds
from watchword.policy.compile import Compiler, compile
from watchword.policy.lookup import lookup
from watchword.policy.render import render
from watchword.policy.suffixes import covering, is_name
from watchword.policy.tables import Direction
from watchword.policy.world import World

DIRECTIONS: tuple[Direction, Direction] = ("in", "out")

learned = st.lists(st.sampled_from(ASKED), min_size=1, max_size=3, unique=True).map(tuple)


@settings(max_examples=150, deadline=None)
@given(worlds(), st.lists(learned, min_size=1, max_size=3))
def test_learned_addresses_are_judged_by_all_their_networks(world: World, knowledge: list[tuple[str, ...]]) -> None:
    for enforcer in ENFORCERS:
        document = render(world, enforcer)
        tables = compile(document)
        asked = itertools.product(tables.units, knowledge, ADDRESSES[::3], DIRECTIONS, FLOWS[::2])
        for unit, names, address, direction, (protocol, port) in asked:
            expected = oracle.judge(world, world.units[unit], address, direction, protocol, port, names)
            found = lookup(tables, unit, address, direction, protocol, port, names)
            told = opinion(found, document)
            assert told._replace(log=expected.log) == expected
            assert told.log or not expected.log  # a flow that some rule reports is reported
            assert found.explicit == (expected.action == "Reject" and expected.rule != "")


@settings(max_examples=100, deadline=None)
@given(worlds(), learned)
def test_names_open_nothing_to_who_comes_and_nothing_to_identities(world: World, names: tuple[str, ...]) -> None:
    for enforcer in ENFORCERS:
        tables = compile(render(world, enforcer))
        for unit, (protocol, port) in itertools.product(tables.units, FLOWS[::3]):
            asked: list[tuple[int | str, Direction]] = [(address, "in") for address in ADDRESSES[::4]]
            asked += [(badge, "out") for badge in tables.peers]
            for peer, direction in asked:
                plain = lookup(tables, unit, peer, direction, protocol, port)
                assert lookup(tables, unit, peer, direction, protocol, port, names) == plain


@settings(max_examples=80, deadline=None)
@given(worlds(), worlds())
def test_step_by_step_the_names_are_those_compiled_from_nothing(first: World, second: World) -> None:
    compiler = Compiler()
    compiler.compile(render(first, "e1"))
    document = render(dataclasses.replace(second, revision=first.revision + 1), "e1")
    stepped, fresh = compiler.compile(document), compile(document)
    assert stepped.names.keys() == fresh.names.keys()
    assert stepped.name_networks == fresh.name_networks
    for unit, name, (protocol, port) in itertools.product(fresh.units, ASKED, FLOWS[::3]):
        found, expected = (lookup(each, unit, "9.9.9.9", "out", protocol, port, (name,)) for each in (stepped, fresh))
        assert found == expected


@given(st.sampled_from(ASKED), st.sets(st.sampled_from(NAMES)))
def test_patterns_of_a_name_are_those_the_oracle_finds(name: str, patterns: set[str]) -> None:
    assert set(covering(name, patterns)) == {pattern for pattern in patterns if oracle.called(name, pattern)}


def test_a_name_is_told_from_everything_else() -> None:
    for text in (*NAMES, "xn--bcher-kva.example", "_srv.a-b.example", "*.com"):
        assert is_name(text), text
    others = ("ten", "*", "*.", "10.0.0.0/8", "!10.0.0.0/8", "10.0.0.1", "fd00::/8", "a..b", "A.example", "-a.example")
    for text in (
        *others,
        "a.*.example",
        "*a.example",
        "a.example.",
        "a.10",
        "a" * 64 + ".example",
        ("a." * 126) + "bcd",
    ):
        assert not is_name(text), text
