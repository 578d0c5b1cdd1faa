"""Making the store hold what a list of changes says: how drafts are published and rollbacks carried out.

Everything is checked as it would be in single requests, against the namespaces of now: an older state, or a
draft, brings back nothing that would be refused today. Objects keep their IDs.

1. Everything that is to change is taken out first, and then put back changed, so that names can be swapped
   and namespaces' prefixes narrowed in one step.
2. Namespaces come first and go last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from watchword.console import consequences, lifecycle
from watchword.console.changes import Change
from watchword.console.history import ObjectChange
from watchword.console.problems import Problem
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.model import registry

_NAMESPACE = "namespace"

#: Names listed in one error.
_LISTED = 20


async def apply(change: Change, wanted: Sequence[ObjectChange], *, protected: bool = False) -> None:
    """Carry out ``wanted`` inside ``change``; protected objects only with ``protected``. Raises :class:`Problem`."""
    present = {each.id: await _present(change, each) for each in wanted}
    if not protected:
        _refuse_protected(wanted, present)
    objects = [each for each in wanted if each.kind != _NAMESPACE]
    namespaces = sorted((each for each in wanted if each.kind == _NAMESPACE), key=lambda each: each.name)
    for each in objects:
        live = present[each.id]
        if live is not None:
            await records.remove(change.connection, live.kind, live.id)
            if each.after is None:
                change.effects.append((live, None))
    for each in (*namespaces, *objects):
        if each.after is not None:
            await _put(change, each, present[each.id], each.kind != _NAMESPACE)
    for each in reversed(namespaces):
        live = present[each.id]
        if each.after is None and live is not None:
            await lifecycle.delete(change, _unprotected(live))


async def _present(change: Change, wanted: ObjectChange) -> Record | None:
    return await records.by_id(change.connection, registry.kind(wanted.kind), wanted.id)


def _refuse_protected(wanted: Sequence[ObjectChange], present: dict[str, Record | None]) -> None:
    found = [
        f"{each.kind} {each.namespace} {each.name}"
        for each in wanted
        if (live := present[each.id]) is not None
        and live.resource.protected
        and (each.after is None or getattr(live.resource, "locks", False))
    ]
    if found:
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise Problem("protected", f"protected, and would change or go: {', '.join(found[:_LISTED])}{more}")


def _unprotected(record: Record) -> Record:
    return Record(
        record.kind, msgspec.structs.replace(record.resource, protected=False), record.private, record.version
    )


async def _put(change: Change, wanted: ObjectChange, live: Record | None, taken_out: bool) -> None:
    """Store the object as it is to be, in place of ``live`` (which is ``taken_out`` of the store already)."""
    kind = registry.kind(wanted.kind)
    resource: Any = wanted.resource("after")
    resource = msgspec.structs.replace(resource, create_time=resource.create_time or change.now, update_time=change.now)
    before = live.resource if live is not None else None
    if live is not None and not taken_out:
        await records.remove(change.connection, kind, live.id)
    resource = await lifecycle.restored(change, kind, resource, before)
    version = max(wanted.version, live.version if live is not None else 0) + 1
    record = Record(kind, resource, live.private if live is not None else {}, version)
    await records.add(change.connection, record)
    change.effects.append((live, record))
    await consequences.follow(change, before, resource)
