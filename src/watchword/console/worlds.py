"""Worlds that are not in force: of an older revision, of a draft, of a change that is not committed yet.

They are for asking (explain, differences, policy tests). Nothing here reaches a publisher, so no Enforcer
can ever be sent any of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.console import history
from watchword.console.history import ObjectChange
from watchword.console.problems import Problem, invalid
from watchword.console.roster import entries
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES
from watchword.model import registry
from watchword.model.problems import Invalid
from watchword.policy import entries as policy_entries
from watchword.policy import versions
from watchword.policy.entries import Placed
from watchword.policy.world import Alteration, World

if TYPE_CHECKING:
    from watchword.console.api.context import Context
    from watchword.console.console import Console

DRAFT = registry.kind("draft")

Units = Literal["now", "then"]


async def world_at(console: Console, revision: int, units: Units = "now") -> World:
    """The policy of ``revision`` over the units of now, or of then. Raises :class:`Problem`.

    Enforcers are those of now. Units of then are known for less long than policy is.
    """
    async with console.database.reading() as connection:
        world = console.roster.world
        await history.demand(connection, revision, world.revision)
        if units == "then" and revision < await history.floor(connection, workloads=True):
            raise Problem("not-found", f"which units there were at revision {revision} is forgotten")
        since = await history.between(connection, revision, world.revision, workloads=units == "then")
    changes = history.summed(change for _, change in since if change.kind != "enforcer")
    taken_back = changed(world, map(history.reversed_, changes))
    return dataclasses.replace(taken_back, revision=revision)


async def world_of_draft(console: Console, draft: str) -> World:
    """What publishing the draft with this ID would make of the world of now. Raises :class:`Problem`."""
    async with console.database.reading() as connection:
        record = await records.by_id(connection, DRAFT, draft)
    if record is None:
        raise Problem("not-found", f"there is no draft with ID {draft!r}")
    return drafted(console.roster.world, record)


def drafted(world: World, draft: Record) -> World:
    """``world`` as it would be with a draft published."""
    changes = (
        ObjectChange(each.operation, each.kind, each.id, each.namespace, each.name, each.before, each.after, 0)
        for each in draft.resource.changes
    )
    return changed(world, changes)


def changed(world: World, changes: Iterable[ObjectChange]) -> World:
    """``world`` with changes made."""
    alterations: list[Alteration] = []
    for change in changes:
        before, after = change.resource("before"), change.resource("after")
        alterations += _gone(policy_entries.entries(before) if before is not None else ())
        alterations += _come(policy_entries.entries(after) if after is not None else ())
    return versions.altered(world, world.revision, alterations)


def committed(world: World, effects: Iterable[tuple[Record | None, Record | None]]) -> World:
    """``world`` as it will be once a change with these effects is committed."""
    alterations: list[Alteration] = []
    for before, after in effects:
        old, new = entries(before), entries(after)
        if old != new:
            alterations += [*_gone(old), *_come(new)]
    return versions.altered(world, world.revision, alterations)


def _gone(placed: Iterable[Placed]) -> list[Alteration]:
    return [Alteration(each.part, each.key, None) for each in placed]


def _come(placed: Iterable[Placed]) -> list[Alteration]:
    return [Alteration(each.part, each.key, each.entry) for each in placed]


async def asked_world(asked: Context) -> World:
    """The world that a request is about: ``?draft=``, ``?revision=`` or that of now. Raises :class:`Problem`."""
    parameters = asked.request.query_params
    draft, revision = parameters.get("draft", ""), parameters.get("revision", "")
    if draft and revision:
        raise invalid(Invalid("draft", "and revision are two worlds", "name one of them"))
    if draft:
        async with asked.console.database.reading() as connection:
            record = await draft_record(connection, asked, draft)
        return drafted(asked.console.roster.world, record)
    if revision and revision != "latest":
        if not revision.isdecimal():
            raise invalid(Invalid("revision", f"{revision[:40]!r} is no revision", "write its number, or latest"))
        return await world_at(asked.console, int(revision[:18]))
    return asked.console.roster.world


async def draft_record(connection: AsyncConnection, asked: Context, key: str) -> Record:
    """The draft of this ID, or of this name in the request's namespace. Raises :class:`Problem`."""
    record = await records.by_id(connection, DRAFT, key)
    if record is None:
        table = TABLES[DRAFT.singular]
        found = await records.find(connection, DRAFT, table.c.name == key, table.c.namespace == asked.namespace)
        record = found[0] if found else None
    if record is None or not asked.actor.sees(record.resource.namespace):
        raise Problem("not-found", f"there is no draft with ID or name {key!r} in namespace {asked.namespace}")
    asked.actor.demand_reading(record.resource.namespace)
    return record
