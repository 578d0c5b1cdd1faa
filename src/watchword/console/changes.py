"""The one way in which resources change: a transaction that leaves activities and, if verdicts may
have changed, one signed revision.

1. Everything in a :class:`Change` is committed together with its activities and its revision, or not
   at all.
2. Changes are committed, and the followers of policy told, in one order.
3. A change that no verdict depends on (a description, an annotation) makes no revision.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.console import history
from watchword.console.identifiers import Identifiers
from watchword.console.roster import entries
from watchword.console.store import records
from watchword.console.store.database import Database
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES, counters
from watchword.identity.keys import SigningKey
from watchword.identity.signatures import sign_revision_record
from watchword.model import chain, registry, resources

ACTIVITY = registry.kind("activity")
REVISION = registry.kind("revision")

#: A revision's record names at most this many changes; activities have them all.
SUMMARY_LIMIT = 100

Effect = tuple[Record | None, Record | None]
Follower = Callable[[int, list[Effect]], None]
Watcher = Callable[[list[Effect]], None]
Guard = Callable[["Change"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, from where, and where what they may know begins."""

    name: str
    source: str = ""
    namespace: str = "/"


@dataclass
class Change:
    """One transaction in the making."""

    connection: AsyncConnection
    author: Author
    now: datetime.datetime
    operation: str = ""  # said of every activity instead of create, update or delete
    controller: str = ""  # this Console's ID, of which $controller tags are made
    effects: list[Effect] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    reason: str = ""  # what the revision's record says of why
    revision: int = 0  # the newest revision once the change is committed
    made_revision: bool = False

    async def create(self, record: Record) -> Record:
        """Add a resource; it gets its times here."""
        stamped = {"create_time": self.now, "update_time": self.now}
        record = _stamped(record, stamped)
        await records.add(self.connection, record)
        self.effects.append((None, record))
        return record

    async def update(self, before: Record, resource: Any, **private: Any) -> Record:
        """Store ``resource`` in place of ``before``."""
        after = Record(before.kind, resource, {**before.private, **private}, before.version + 1)
        after = _stamped(after, {"update_time": self.now})
        await records.replace(self.connection, after)
        self.effects.append((before, after))
        return after

    async def delete(self, record: Record) -> None:
        """Remove a resource."""
        await records.remove(self.connection, record.kind, record.id)
        self.effects.append((record, None))

    async def newest(self) -> int:
        """The newest revision, as of before this change."""
        return await newest_revision(self.connection)

    def shapes_policy(self) -> bool:
        """Whether a verdict may depend on what changed."""
        return any(
            (after or before).kind.shapes_policy and entries(before) != entries(after)  # type: ignore[union-attr]
            for before, after in self.effects
        )


def _stamped(record: Record, times: dict[str, datetime.datetime]) -> Record:
    fitting = {name: time for name, time in times.items() if name in record.resource.__struct_fields__}
    return Record(record.kind, msgspec.structs.replace(record.resource, **fitting), record.private, record.version)


def verb(effect: Effect) -> str:
    """What happened to a resource."""
    before, after = effect
    return "create" if before is None else "delete" if after is None else "update"


def difference(effect: Effect) -> dict[str, list[str]]:
    """Fields that an update changed, before and after, as JSON. Secrets are in no resource."""
    before, after = effect
    if before is None or after is None:
        return {}
    old, new = msgspec.to_builtins(before.resource), msgspec.to_builtins(after.resource)
    quiet = ("updateTime", "createTime")
    changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name) and name not in quiet)
    return {name: [msgspec.json.encode(side.get(name)).decode() for side in (old, new)] for name in changed}


def describe(effect: Effect) -> str:
    """One change in words: ``create networkrulesetpolicy /acme shop``."""
    record = effect[1] or effect[0]
    assert record is not None  # noqa: S101 - an effect has at least one side
    return f"{verb(effect)} {record.kind.singular} {record.resource.namespace} {record.resource.name}".rstrip()


class TakenBack(Exception):  # noqa: N818 - it is no error: it takes the transaction back
    """Ends a change of which nothing is to stay."""


class Changes:
    """Begins and commits changes of one Console."""

    def __init__(
        self,
        database: Database,
        signing_key: SigningKey,
        clock: Callable[[], datetime.datetime],
        identifiers: Identifiers,
        controller: str = "",
    ) -> None:
        self._database = database
        self._controller = controller
        self._signing_key = signing_key
        self._clock = clock
        self._identifiers = identifiers
        self._order = asyncio.Lock()
        self._followers: list[Follower] = []
        self._watchers: list[Watcher] = []
        self._guards: list[Guard] = []

    def follow(self, follower: Follower) -> None:
        """Call ``follower`` with every committed revision and the changes in it, in order."""
        self._followers.append(follower)

    def watch(self, watcher: Watcher) -> None:
        """Call ``watcher`` with every committed change, also those that make no revision, in order."""
        self._watchers.append(watcher)

    def guard(self, guard: Guard) -> None:
        """Ask ``guard`` before every commit; it refuses by raising :class:`Problem`."""
        self._guards.append(guard)

    @asynccontextmanager
    async def begin(self, author: Author, operation: str = "") -> AsyncIterator[Change]:
        """A change that is committed on a regular exit of the block and forgotten on any other."""
        async with self._order:
            async with self._database.writing() as connection:
                change = Change(connection, author, self._clock(), operation, self._controller)
                yield change
                await self._finish(change)
            if change.made_revision:
                for follower in self._followers:
                    follower(change.revision, change.effects)
            for watcher in self._watchers:
                watcher(change.effects)

    @asynccontextmanager
    async def attempt(self, author: Author, operation: str = "", *, dry_run: bool) -> AsyncIterator[Change]:
        """Like :meth:`begin`; a dry run is checked like any change, and taken back instead of committed."""
        with contextlib.suppress(TakenBack):
            async with self.begin(author, operation) as change:
                yield change
                if dry_run:
                    change.revision = await change.newest()
                    await self.check(change)
                    raise TakenBack

    async def check(self, change: Change) -> None:
        """Ask every guard; what a dry run does in place of committing. Raises :class:`Problem`."""
        for guard in self._guards:
            await guard(change)

    async def _finish(self, change: Change) -> None:
        await self.check(change)
        change.revision = await newest_revision(change.connection)
        if change.shapes_policy():
            change.revision += 1
            change.made_revision = True
            await self._add_revision(change)
        for effect in change.effects:
            await records.add(change.connection, self._activity(change, effect))

    async def _add_revision(self, change: Change) -> None:
        table = TABLES["revision"]
        previous = await change.connection.scalar(
            select(table.c.signature).where(table.c.number == change.revision - 1)
        )
        summary = [describe(effect) for effect in change.effects]
        if len(summary) > SUMMARY_LIMIT:
            summary = [*summary[:SUMMARY_LIMIT], f"and {len(summary) - SUMMARY_LIMIT} more"]
        changed = history.net(change.effects)
        await history.keep(change.connection, change.revision, changed)
        revision = resources.Revision(
            id=str(change.revision),
            namespace="/",
            create_time=change.now,
            number=change.revision,
            author=change.author.name,
            message=change.reason,
            changes=summary,
            policy_digest=_digest(changed, workloads=False),
            workload_digest=_digest(changed, workloads=True),
            previous=previous or "",
        )
        signature = sign_revision_record(
            self._signing_key, change.revision, chain.signed_text(revision), bytes.fromhex(revision.previous)
        )
        signed = msgspec.structs.replace(revision, signature=signature.hex())
        await records.add(change.connection, Record(REVISION, signed))
        await change.connection.execute(
            update(counters).where(counters.c.name == "revision").values(value=change.revision)
        )

    def _activity(self, change: Change, effect: Effect) -> Record:
        record = effect[1] or effect[0]
        assert record is not None  # noqa: S101 - an effect has at least one side
        activity = resources.Activity(
            id=self._identifiers.new(),
            namespace=record.resource.namespace or "/",
            create_time=change.now,
            operation=change.operation or verb(effect),
            target_identity=record.kind.singular,
            target_id=record.id,
            target_name=record.resource.name,
            author=change.author.name,
            source=change.author.source,
            message=describe(effect),
            diff=difference(effect),
            revision=change.revision if change.made_revision else 0,
        )
        return Record(ACTIVITY, activity)


def _digest(changes: list[history.ObjectChange], *, workloads: bool) -> str:
    return chain.digest([each.document() for each in changes if (each.kind in history.WORKLOADS) == workloads])


async def newest_revision(connection: AsyncConnection) -> int:
    """The number of the newest revision; 0 before the first."""
    return await connection.scalar(select(counters.c.value).where(counters.c.name == "revision")) or 0
