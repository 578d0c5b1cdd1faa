"""First start: what a Console needs before anybody can ask it for anything.

The root namespace in discovery (everything allowed, everything seen), and one administrator whose
secret is shown once and stored as a hash. Runs in one transaction: it has happened, or it has not.
"""

from __future__ import annotations

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.console import consequences, lifecycle
from watchword.console.actors import ADMINISTRATOR
from watchword.console.changes import Author, Change, Changes
from watchword.console.lifecycle import Mint
from watchword.console.spaces import NAMESPACE, space
from watchword.console.store.database import Database
from watchword.console.store.records import Record
from watchword.console.store.schema import counters
from watchword.model import registry
from watchword.model.resources import AppCredential, Namespace
from watchword.policy.namespaces import ROOT

CREDENTIAL = registry.kind("appcredential")
AUTHOR = Author("console")


async def is_first_start(connection: AsyncConnection) -> bool:
    """Whether this database has never been started on."""
    return await connection.scalar(select(counters.c.value).where(counters.c.name == "revision")) is None


#: Counts up whenever what the Console derives of stored resources (tags, places, warnings) changes its form.
DERIVATION = 1


async def derive_again(database: Database, changes: Changes) -> None:
    """After an upgrade: derive anew what an older version has stored. Nothing otherwise."""
    known = select(counters.c.value).where(counters.c.name == "derivation")
    async with database.reading() as connection:
        if await connection.scalar(known) == DERIVATION:
            return
    async with changes.begin(AUTHOR) as change:
        if await change.connection.scalar(known) is None:
            await change.connection.execute(insert(counters).values(name="derivation", value=0))
        await consequences.refresh(change, ROOT)
        await change.connection.execute(
            update(counters).where(counters.c.name == "derivation").values(value=DERIVATION)
        )


async def first_start(database: Database, changes: Changes, mint: Mint) -> str | None:
    """Fill an empty database; the administrator's credential, or ``None`` if it was filled before."""
    async with database.reading() as connection:
        if not await is_first_start(connection):
            return None
    async with changes.begin(AUTHOR) as change:
        for name, value in (("revision", 0), ("derivation", DERIVATION)):
            await change.connection.execute(insert(counters).values(name=name, value=value))
        root = Namespace(
            id=mint.identifiers.new(),
            name=ROOT,
            description="Everything. Starts in discovery: flows that no ruleset decides are allowed and reported.",
            default_pu_incoming_traffic_action="Allow",
            default_pu_outgoing_traffic_action="Allow",
            protected=True,
        )
        await change.create(Record(NAMESPACE, root))
        return await new_administrator(change, mint, "administrator")


async def new_administrator(change: Change, mint: Mint, name: str) -> str:
    """A credential for everything; its secret."""
    given = AppCredential(name=name, roles=[ADMINISTRATOR])
    where = await space(change.connection, ROOT)
    created = await lifecycle.create(change, mint, CREDENTIAL, where, given)
    return str(created.shown.credential)
