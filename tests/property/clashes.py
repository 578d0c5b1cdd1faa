"""Worlds in which rules about overlapping networks are likely to clash."""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st

from tests.property.worlds import networks, rules, rulesets, worlds
from watchword.policy.world import World


@st.composite
def clashing(draw: st.DrawFn) -> World:
    """A world with networks that are likely to overlap, and rules likely to take one for an Allow, one for a Reject."""
    world = draw(worlds())
    named = [
        dataclasses.replace(draw(networks(number)), tags=frozenset({f"n={number}"}), namespace="/", propagate=True)
        for number in range(3)
    ]
    objects = st.sampled_from(((("n=0",),), (("n=1",),), (("n=0",), ("n=2",)), (("n=1",), ("n=2",))))
    made = [dataclasses.replace(draw(rules()), object=draw(objects), observed=False) for _ in range(4)]
    chosen = dataclasses.replace(
        draw(rulesets(9)),
        subject=(("x=*",),),
        incoming=tuple(made[:2]),
        outgoing=tuple(made[2:]),
        disabled=False,
        namespace="/",
        propagate=True,
    )
    return dataclasses.replace(
        world, networks={each.id: each for each in named}, rulesets={**world.rulesets, chosen.id: chosen}
    )
