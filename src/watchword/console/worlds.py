"""Worlds that are not in force: of an older revision, of a draft, of a change that is not committed yet.

They are for asking (explain, differences, policy tests). Nothing here reaches a publisher, so no Enforcer
can ever be sent any of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Literal

from watchword.console import history
from watchword.console.history import ObjectChange
from watchword.console.problems import Problem
from watchword.console.roster import entries
from watchword.console.store.database import Database
from watchword.console.store.records import Record
from watchword.policy import entries as policy_entries
from watchword.policy import versions
from watchword.policy.entries import Placed
from watchword.policy.world import Alteration, World

Units = Literal["now", "then"]


async def world_at(database: Database, world: World, revision: int, units: Units = "now") -> World:
    """The policy of ``revision`` over the units of ``world``, that of now, or of then. Raises :class:`Problem`.

    Enforcers are those of now. Units of then are known for less long than policy is.
    """
    async with database.reading() as connection:
        await history.demand(connection, revision, world.revision)
        if units == "then" and revision < await history.floor(connection, workloads=True):
            raise Problem("not-found", f"which units there were at revision {revision} is forgotten")
        since = await history.between(connection, revision, world.revision, workloads=units == "then")
    changes = history.summed(change for _, change in since if change.kind != "enforcer")
    taken_back = changed(world, map(history.reversed_, changes))
    return dataclasses.replace(taken_back, revision=revision)


def drafted(world: World, draft: Record) -> World:
    """``world`` as it would be with a draft published."""
    return changed(world, history.drafted(draft.resource.changes))


def changed(world: World, changes: Iterable[ObjectChange]) -> World:
    """``world`` with changes made."""
    return versions.altered(world, world.revision, alterations(changes))


def alterations(changes: Iterable[ObjectChange]) -> list[Alteration]:
    """What changes do to a world."""
    found: list[Alteration] = []
    for change in changes:
        before, after = change.resource("before"), change.resource("after")
        found += _gone(policy_entries.entries(before) if before is not None else ())
        found += _come(policy_entries.entries(after) if after is not None else ())
    return found


def committed(world: World, effects: Iterable[tuple[Record | None, Record | None]]) -> World:
    """``world`` as it will be once a change with these effects is committed."""
    found: list[Alteration] = []
    for before, after in effects:
        old, new = entries(before), entries(after)
        if old != new:
            found += [*_gone(old), *_come(new)]
    return versions.altered(world, world.revision, found)


def _gone(placed: Iterable[Placed]) -> list[Alteration]:
    return [Alteration(each.part, each.key, None) for each in placed]


def _come(placed: Iterable[Placed]) -> list[Alteration]:
    return [Alteration(each.part, each.key, each.entry) for each in placed]
