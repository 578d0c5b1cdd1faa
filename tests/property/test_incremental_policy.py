"""Over any sequence of changes, keeping state gives what starting anew gives, and numbers keep their meaning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.chain import Meanings, meaning
from tests.property.worlds import (
    ENFORCERS,
    enforcers,
    namespaces,
    networks,
    rulesets,
    units,
    worlds,
)
from watchword.policy.compile import Compiler, compile
from watchword.policy.render import render
from watchword.policy.world import World
from watchword.wire.policy import PolicyDelta, PolicyDocument, difference, digest, patched

Change = Callable[[World], World]


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """One operator's or workload's action, as a function from world to world."""
    number = draw(st.integers(0, 4))
    part, prefix, strategy = draw(
        st.sampled_from((("units", "u", units), ("networks", "n", networks), ("rulesets", "s", rulesets)))
    )
    what = draw(st.sampled_from(("put", "put", "put", "drop", "namespaces", "evict", "nothing")))
    entry = draw(strategy(number))
    paths = draw(namespaces())
    victim = draw(st.sampled_from(ENFORCERS[1:]))

    def change(world: World) -> World:
        revision = world.revision + 1
        if what == "nothing":
            return dataclasses.replace(world, revision=revision)
        if what == "namespaces":
            return dataclasses.replace(world, revision=revision, namespaces=paths)
        if what == "evict":
            kept = {key: value for key, value in enforcers().items() if key != victim}
            return dataclasses.replace(world, revision=revision, enforcers=kept)
        table = dict(getattr(world, part))
        if what == "put":
            table[f"{prefix}{number}"] = entry
        else:
            table.pop(f"{prefix}{number}", None)
        replaced = {part: table}
        return dataclasses.replace(world, revision=revision, enforcers=enforcers(), **replaced)

    return change


def over_the_wire(delta: PolicyDelta) -> PolicyDelta:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(delta), type=PolicyDelta)


@settings(max_examples=80, deadline=None)
@given(worlds(), st.lists(changes(), min_size=1, max_size=6))
def test_keeping_state_gives_what_starting_anew_gives(world: World, sequence: list[Change]) -> None:
    compiler, meanings = Compiler(), Meanings()
    held: PolicyDocument | None = None
    for change in [lambda same: same, *sequence]:
        world = change(world)
        document = render(world, "e1")
        if held is not None:
            held = patched(held, over_the_wire(difference(held, document)))
            assert held == document
            assert digest(held) == digest(document)
        held = document
        tables = compiler.compile(document)
        meanings.learn(document, tables)
        assert meaning(document, tables) == meaning(document, compile(document))


@settings(max_examples=60, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_documents_do_not_depend_on_the_order_of_records(world: World, random: Random) -> None:
    def shuffled(part: str) -> Any:
        items = list(getattr(world, part).items())
        random.shuffle(items)
        return dict(items)

    parts = ("units", "networks", "rulesets", "namespaces", "enforcers")
    other = dataclasses.replace(world, **{part: shuffled(part) for part in parts})
    for enforcer in ENFORCERS:
        one, two = render(world, enforcer), render(other, enforcer)
        assert digest(one) == digest(two)
        assert list(one.peers) == list(two.peers)
        assert list(one.rules) == list(two.rules)
        assert compile(one) == compile(two)


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_documents_hold_what_they_refer_to(world: World) -> None:
    for enforcer in ENFORCERS:
        document = render(world, enforcer)
        named = {key for unit in document.units.values() for key in (*unit.incoming, *unit.outgoing)}
        assert named == set(document.rules)
        used = {rule.selector for rule in document.rules.values()}
        assert used == set(document.selectors)
        assert {key for peer in document.peers.values() for key in peer.selectors} <= used
        assert {key for network in document.networks.values() for key in network.selectors} <= used
        assert all(network.selectors for network in document.networks.values())
        assert {peer.enforcer for peer in document.peers.values()} | {enforcer} == set(document.enforcers)
        local = {unit.badge for unit in document.units.values() if unit.badge}
        assert local <= set(document.peers)
