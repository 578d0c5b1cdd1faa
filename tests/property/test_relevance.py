"""A test that a change is said not to concern has the result it had."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest

from tests.property.test_assertions import Dice
from watchword.policy import assertions
from watchword.policy.assertions import Test
from watchword.policy.entries import Placed
from watchword.policy.relevance import concerned
from watchword.policy.sides import Situation
from watchword.policy.world import World

PARTS = ("namespaces", "units", "networks", "rulesets")


def changed(dice: Dice, other: World) -> tuple[World, list[Placed]]:
    """The world with one entry gone, new or replaced by another world's; and both sides of that."""
    part = dice.one(*PARTS)
    before: dict[str, Any] = dict(getattr(dice.world, part))
    after = dict(before)
    theirs = getattr(other, part)
    key = dice.one(*sorted({*before, *theirs} - ({"/"} if part == "namespaces" else set())) or ["none"])
    if key in theirs and dice.one(True, True, False):
        after[key] = theirs[key]
    else:
        after.pop(key, None)
    sides = [Placed(part, key, side[key]) for side in (before, after) if key in side]
    unchanged: dict[str, Any] = {part: after}
    return dataclasses.replace(dice.world, **unchanged), sides if before != after else []


@pytest.mark.parametrize("hundred", range(20))
def test_what_is_left_out_stays_as_it_was(hundred: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(hundred * 100, hundred * 100 + 100):
        dice = Dice(seed)
        after, altered = changed(dice, Dice(seed + 100_000).world)
        test = Test("t", "t", dice.namespace, True, (dice.claim,))
        if concerned([test], altered, Situation.of(after)):
            seen["concerned"] += 1
            continue
        seen["left out"] += 1
        before_, after_ = (assertions.run(test, Situation.of(world))[0] for world in (dice.world, after))
        assert (before_.passed, before_.pairs) == (after_.passed, after_.pairs), seed
    assert min(seen["concerned"], seen["left out"]) >= 10, seen
