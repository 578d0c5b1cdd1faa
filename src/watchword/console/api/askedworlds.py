"""The world, the revision and the draft that a request is about, as far as its caller may know them."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.console.api.context import Context
from watchword.console.problems import Problem, invalid
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES
from watchword.console.worlds import Units, drafted, world_at
from watchword.model import registry
from watchword.model.problems import Invalid
from watchword.policy.world import World

DRAFT = registry.kind("draft")


async def asked_world(asked: Context) -> World:
    """The world that a request is about: ``?draft=``, ``?revision=`` or that of now. Raises :class:`Problem`."""
    parameters = asked.request.query_params
    draft, revision = parameters.get("draft", ""), parameters.get("revision", "")
    if draft and revision:
        raise invalid(Invalid("draft", "and revision are two worlds", "name one of them"))
    if draft:
        return await drafted_world(asked, draft)
    return await revised_world(asked, revision or "latest", "revision")


async def revised_world(asked: Context, text: str, path: str, units: Units = "now") -> World:
    """The world of the revision ``text``, a number or ``latest``, of the parameter ``path``."""
    if text == "latest":
        return asked.console.roster.world
    return await world_at(asked.console.database, asked.console.roster.world, numbered(text, path), units)


async def drafted_world(asked: Context, key: str) -> World:
    """The world of now with the draft ``key`` published."""
    async with asked.console.database.reading() as connection:
        record = await draft_record(connection, asked, key)
    return drafted(asked.console.roster.world, record)


def numbered(text: str, path: str) -> int:
    """The number of a revision. Raises :class:`Problem` for what is none, naming ``path``."""
    if not text.isdecimal():
        raise invalid(Invalid(path, f"{text[:40]!r} is no revision", "write its number, or latest"))
    return int(text[:18])


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
