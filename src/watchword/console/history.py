"""What each revision changed, kept so that older states can be shown, compared and brought back.

1. Every revision keeps, for each object it changed, the object before and after: policy objects whole, units
   as far as verdicts depend on them, of Enforcers only that they came or went.
2. An older state is the present one with the changes since then taken back, so nothing has to be stored but
   the changes. How far back that goes is bounded: see :data:`POLICY_MEMORY` and :data:`WORKLOAD_MEMORY`.
3. A change that no verdict depends on makes no revision and is not here: a description may be newer than
   the state it is shown in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.console.problems import Problem
from watchword.console.store.columns import begins_with
from watchword.console.store.records import Record
from watchword.console.store.schema import counters, revision_changes
from watchword.model import registry
from watchword.model.registry import Kind
from watchword.model.resources import DraftChange

#: Changes of policy objects, and of units and Enforcers, that are kept; the oldest revisions go first.
POLICY_MEMORY = 100_000
WORKLOAD_MEMORY = 100_000

_FLOORS = {False: "policy_history", True: "workload_history"}

#: Kinds that come and go by themselves.
WORKLOADS = frozenset({"processingunit", "enforcer"})

#: What is kept of a unit: everything its entry in a world is made of, and a name for people.
_UNIT_FIELDS = (
    "ID",
    "name",
    "namespace",
    "type",
    "enforcerID",
    "nativeContextID",
    "badge",
    "normalizedTags",
    "operationalStatus",
)
_ENFORCER_FIELDS = ("ID", "name", "namespace")

Operation = Literal["create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """What happened to one object, in one revision or over several."""

    operation: Operation
    kind: str
    id: str
    namespace: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    version: int  # of the stored resource, after it (of the last one, where it was deleted)

    def document(self) -> dict[str, Any]:
        """As the API shows it and digests cover it."""
        return {
            "operation": self.operation,
            "kind": self.kind,
            "ID": self.id,
            "namespace": self.namespace,
            "name": self.name,
            "before": self.before,
            "after": self.after,
            "version": self.version,
        }

    def resource(self, side: Literal["before", "after"]) -> Any:
        """The object as it was on one side; ``None`` where it was not there."""
        body = self.before if side == "before" else self.after
        return None if body is None else msgspec.convert(body, registry.kind(self.kind).type)


def kept(kind: Kind) -> bool:
    """Whether changes of this kind belong to revisions."""
    return kind.shapes_policy


def net(effects: Iterable[tuple[Record | None, Record | None]]) -> list[ObjectChange]:
    """Effects of one transaction, one change for each object that is different in the end."""
    first: dict[tuple[str, str], Record | None] = {}
    last: dict[tuple[str, str], Record | None] = {}
    versions: dict[tuple[str, str], int] = {}
    for before, after in effects:
        record = after or before
        if record is None or not kept(record.kind):
            continue
        key = (record.kind.singular, record.id)
        first.setdefault(key, before)
        last[key] = after
        versions[key] = record.version
    changes = (_change(key, _body(first[key]), _body(last[key]), versions[key]) for key in first)
    return [change for change in changes if change is not None]


def _body(record: Record | None) -> dict[str, Any] | None:
    if record is None:
        return None
    body: dict[str, Any] = msgspec.to_builtins(record.resource)
    match record.kind.singular:
        case "processingunit":
            return {name: body[name] for name in _UNIT_FIELDS}
        case "enforcer":
            return {name: body[name] for name in _ENFORCER_FIELDS}
    return body


def _change(
    key: tuple[str, str], before: dict[str, Any] | None, after: dict[str, Any] | None, version: int
) -> ObjectChange | None:
    if _settled(before) == _settled(after):
        return None
    shown = after or before or {}
    operation: Operation = "create" if before is None else "delete" if after is None else "update"
    return ObjectChange(operation, key[0], key[1], shown["namespace"], shown["name"], before, after, version)


def _settled(body: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if body is None else {name: value for name, value in body.items() if name != "updateTime"}


def differences(change: ObjectChange) -> dict[str, list[str]]:
    """Fields that a change touched, before and after, as JSON; every field of what came or went."""
    old, new = change.before or {}, change.after or {}
    quiet = ("updateTime", "createTime", "normalizedTags")
    changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name) and name not in quiet)
    return {name: [msgspec.json.encode(side.get(name)).decode() for side in (old, new)] for name in changed}


async def keep(connection: AsyncConnection, revision: int, changes: Sequence[ObjectChange]) -> None:
    """Store what a revision changed."""
    rows = [
        {
            "revision": revision,
            "position": position,
            "workload": change.kind in WORKLOADS,
            "operation": change.operation,
            "kind": change.kind,
            "object_id": change.id,
            "namespace": change.namespace,
            "name": change.name,
            "before": change.before,
            "after": change.after,
            "version": change.version,
        }
        for position, change in enumerate(changes)
    ]
    if rows:
        await connection.execute(insert(revision_changes), rows)


def at_or_below(namespace: str) -> ColumnElement[bool]:
    """Changes of objects in ``namespace`` and below it."""
    column = revision_changes.c.namespace
    below = namespace if namespace.endswith("/") else f"{namespace}/"
    return or_(column == namespace, begins_with(column, below))


async def between(
    connection: AsyncConnection, after: int, upto: int, *where: ColumnElement[bool], workloads: bool = False
) -> list[tuple[int, ObjectChange]]:
    """Every change with its revision, from the one after ``after`` to ``upto``, oldest first."""
    table = revision_changes
    conditions = [table.c.revision > after, table.c.revision <= upto, *where]
    if not workloads:
        conditions.append(table.c.workload.is_(False))
    order = (table.c.revision, table.c.position)
    rows = await connection.execute(select(table).where(and_(*conditions)).order_by(*order))
    return [
        (
            row.revision,
            ObjectChange(
                row.operation, row.kind, row.object_id, row.namespace, row.name, row.before, row.after, row.version
            ),
        )
        for row in rows
    ]


def summed(changes: Iterable[ObjectChange]) -> list[ObjectChange]:
    """Changes of several revisions, oldest first, as one change for each object that is different in the end."""
    first: dict[tuple[str, str], ObjectChange] = {}
    last: dict[tuple[str, str], ObjectChange] = {}
    for change in changes:
        first.setdefault((change.kind, change.id), change)
        last[change.kind, change.id] = change
    found = (_change(key, first[key].before, last[key].after, last[key].version) for key in first)
    return [change for change in found if change is not None]


def reversed_(change: ObjectChange) -> ObjectChange:
    """The change that takes ``change`` back."""
    operation: Operation = "delete" if change.before is None else "create" if change.after is None else "update"
    shown = change.before or change.after or {}
    return ObjectChange(
        operation,
        change.kind,
        change.id,
        shown["namespace"],
        shown["name"],
        change.after,
        change.before,
        change.version,
    )


def drafted(changes: Iterable[DraftChange]) -> list[ObjectChange]:
    """What publishing a draft with these changes would change."""
    return [
        ObjectChange(each.operation, each.kind, each.id, each.namespace, each.name, each.before, each.after, 0)
        for each in changes
    ]


async def floor(connection: AsyncConnection, *, workloads: bool = False) -> int:
    """The oldest revision whose state can still be told."""
    name = _FLOORS[workloads]
    return await connection.scalar(select(counters.c.value).where(counters.c.name == name)) or 0


async def demand(connection: AsyncConnection, revision: int, newest: int) -> None:
    """Raise :class:`Problem` unless the policy of ``revision`` can be told."""
    if not 0 < revision <= newest:
        raise Problem("not-found", f"there is no revision {revision}; the newest is {newest}")
    oldest = await floor(connection)
    if revision < oldest:
        raise Problem(
            "not-found", f"what revision {revision} was like is forgotten; the oldest that is known is {oldest}"
        )


async def forget(connection: AsyncConnection, *, policy: int = POLICY_MEMORY, workload: int = WORKLOAD_MEMORY) -> None:
    """Forget the changes of the oldest revisions beyond so many changes of either sort."""
    table = revision_changes
    for workloads, limit in ((False, policy), (True, workload)):
        ours = table.c.workload.is_(workloads)
        beyond = select(table.c.revision).where(ours).order_by(table.c.revision.desc()).offset(limit).limit(1)
        oldest = await connection.scalar(beyond)
        if oldest is None:
            continue
        await connection.execute(delete(table).where(ours, table.c.revision <= oldest))
        await _raise_floor(connection, _FLOORS[workloads], oldest)


async def _raise_floor(connection: AsyncConnection, name: str, value: int) -> None:
    await connection.execute(delete(counters).where(counters.c.name == name))
    await connection.execute(insert(counters).values(name=name, value=value))


async def newest_change(connection: AsyncConnection, namespace: str) -> int:
    """The newest revision that changed a policy object at or below ``namespace``; 0 for none that is known."""
    table = revision_changes
    query = select(func.max(table.c.revision)).where(table.c.workload.is_(False), at_or_below(namespace))
    return await connection.scalar(query) or 0
