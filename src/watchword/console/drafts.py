"""Drafts: changes of policy collected without effect, and published as one revision.

1. A draft holds, for each object it touches, the object as it found it and as it will leave it. What is added
   is tried out in a transaction that is taken back, by the code that serves the same request live, so that
   a draft holds nothing that could not be published now.
2. Whatever somebody else has changed since in an object of the draft is a conflict, named object by object.
   Publishing refuses conflicts; dropping the object from the draft and adding it again resolves one.
3. Publishing is one transaction and one revision, and all of it or nothing.
4. A draft's objects are in its namespace or below it, and so are those it may touch; whoever publishes
   needs the right to write there.

Nothing here is part of the world that Enforcers' documents are made of. A draft that is *shadowed* judges reported
flows beside the live policy (:mod:`watchword.console.shadows`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.console import applying, history, lifecycle
from watchword.console.api.askedworlds import draft_record
from watchword.console.api.context import Context
from watchword.console.changes import Change
from watchword.console.history import ObjectChange
from watchword.console.importing import Import, Importer, check
from watchword.console.problems import Problem, invalid
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES
from watchword.model import registry
from watchword.model.declarations import Part
from watchword.model.problems import Invalid
from watchword.model.resources import Draft, DraftChange
from watchword.policy.namespaces import reaches

#: Kinds that drafts may touch.
KINDS = ("networkrulesetpolicy", "externalnetwork", "intent")

#: Objects that one draft may touch.
LIMIT = 1000

#: Drafts that may be shadowed at one time.
SHADOWS = 8

#: Fields in which a difference is no conflict: they say when, or are derived.
_QUIET = frozenset({"createTime", "updateTime", "normalizedTags", "warnings"})


class Named(Part, frozen=True, kw_only=True):
    """One object by its kind, name and namespace (the draft's if left out)."""

    kind: str
    name: str
    namespace: str = ""


class Additions(Part, frozen=True, kw_only=True):
    """What to do to a draft: forget changes, then create or update what ``imports`` say, then delete."""

    drop: Annotated[list[Named], msgspec.Meta(max_length=LIMIT)] = []
    imports: Annotated[list[Import], msgspec.Meta(max_length=LIMIT)] = []
    delete: Annotated[list[Named], msgspec.Meta(max_length=LIMIT)] = []


async def try_out(change: Change, asked: Context, draft: Record, given: Additions) -> list[DraftChange]:
    """The draft's changes after ``given``, found by making them in ``change``, which must not be committed."""
    kept = _without(draft.resource, given.drop)
    if not given.imports and not given.delete:
        return kept  # what is dropped needs no trial, and what is left may be dropped next
    await demand_no_conflicts(change, kept)
    await applying.apply(change, history.drafted(kept))
    inside = dataclasses.replace(asked, namespace=draft.resource.namespace)
    if given.imports:
        prefix = [f"imports[{index}]." for index in range(len(given.imports))]
        check(given.imports, prefix)
        await Importer(change, inside, given.imports, prefix).carry_out()
    for index, named in enumerate(given.delete):
        await lifecycle.delete(change, await _find(change, draft.resource, named, f"delete[{index}]"))
    found = [*map(_draft_change, history.net(change.effects))]
    for each in found:
        if each.kind not in KINDS or not reaches(draft.resource.namespace, True, each.namespace):
            raise invalid(
                Invalid("imports", f"{each.kind} {each.name} cannot be in a draft", f"use {', '.join(KINDS)} here")
            )
    if len(found) > LIMIT:
        raise invalid(Invalid("imports", f"make {len(found)} changes", f"stay within {LIMIT}, or use several drafts"))
    return found


def _without(draft: Draft, dropped: Sequence[Named]) -> list[DraftChange]:
    kept = list(draft.changes)
    for index, named in enumerate(dropped):
        left = [each for each in kept if not _is(each, named, draft)]
        if len(left) == len(kept):
            raise invalid(
                Invalid(f"drop[{index}]", f"{named.kind} {named.name} is not in the draft", "see its changes")
            )
        kept = left
    return kept


def _is(change: DraftChange, named: Named, draft: Draft) -> bool:
    return (
        change.kind == _kind(named, "drop")
        and change.name == named.name
        and change.namespace == (named.namespace or draft.namespace)
    )


def _kind(named: Named, path: str) -> str:
    try:
        singular = registry.kind(named.kind).singular
    except KeyError as error:
        raise invalid(Invalid(f"{path}.kind", str(error.args[0]), f"use {', '.join(KINDS)}")) from None
    if singular not in KINDS:
        raise invalid(Invalid(f"{path}.kind", f"{singular} cannot be in a draft", f"use {', '.join(KINDS)}"))
    return singular


async def _find(change: Change, draft: Draft, named: Named, path: str) -> Record:
    kind, namespace = registry.kind(_kind(named, path)), named.namespace or draft.namespace
    if not reaches(draft.namespace, True, namespace):
        raise invalid(Invalid(f"{path}.namespace", f"{namespace!r} is not at or below {draft.namespace}", "correct it"))
    table = TABLES[kind.singular]
    found = await records.find(change.connection, kind, table.c.name == named.name, table.c.namespace == namespace)
    if not found:
        raise invalid(Invalid(path, f"there is no {kind.singular} {named.name!r} in {namespace}", "correct the name"))
    return found[0]


def _draft_change(change: ObjectChange) -> DraftChange:
    after = change.after
    if after is not None and change.before is None:
        after = {name: value for name, value in after.items() if name not in ("createTime", "updateTime")}
    return DraftChange(
        operation=change.operation,
        kind=change.kind,
        id=change.id,
        namespace=change.namespace,
        name=change.name,
        before=change.before,
        after=after,
    )


async def conflicts(connection: AsyncConnection, changes: Sequence[DraftChange]) -> dict[str, str]:
    """What has become of objects since the draft found them, in words, by ID."""
    found = {}
    own = {each.id for each in changes}
    for each in changes:
        live = await records.by_id(connection, registry.kind(each.kind), each.id)
        body = None if live is None else msgspec.to_builtins(live.resource)
        if _settled(body) == _settled(each.before):
            if await _name_taken(connection, each, own):
                found[each.id] = "has a name that another has taken meanwhile"
        elif body is None:
            found[each.id] = "was deleted meanwhile"
        elif each.before is None:
            found[each.id] = "was created meanwhile"
        else:
            fields = [name for name in body if name not in _QUIET and body[name] != each.before.get(name)]
            found[each.id] = f"was changed meanwhile: {', '.join(fields)}"
    return found


async def _name_taken(connection: AsyncConnection, change: DraftChange, own: set[str]) -> bool:
    """Whether an object that the draft leaves alone has the name that one of its objects is to have."""
    if change.after is None:
        return False
    kind = registry.kind(change.kind)
    table = TABLES[kind.singular]
    where = (table.c.name == change.name, table.c.namespace == change.namespace)
    return any(record.id not in own for record in await records.find(connection, kind, *where))


def _settled(body: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if body is None else {name: value for name, value in body.items() if name not in _QUIET}


async def demand_no_conflicts(change: Change, changes: Sequence[DraftChange]) -> None:
    """Raise :class:`Problem` naming every object that somebody else has changed."""
    found = await conflicts(change.connection, changes)
    if found:
        errors = [
            Invalid(
                f"changes[{index}]",
                f"{each.kind} {each.namespace} {each.name} {found[each.id]}",
                "drop it from the draft, look at it, and add it again",
            )
            for index, each in enumerate(changes)
            if each.id in found
        ]
        raise Problem("conflict", f"the draft and the live policy have parted: {errors[0]}", errors)


async def publish(change: Change, asked: Context, key: str) -> Draft:
    """Put a draft in force. Raises :class:`Problem`."""
    record = await draft_record(change.connection, asked, key)
    draft: Draft = record.resource
    demand_open(draft)
    asked.actor.demand_writing(draft.namespace)
    if not draft.changes:
        raise Problem("conflict", f"draft {draft.name} changes nothing; add something to it, or delete it")
    for each in draft.changes:
        asked.actor.demand_writing(each.namespace)
    await demand_no_conflicts(change, draft.changes)
    await applying.apply(change, history.drafted(draft.changes))
    change.reason = f"publish {draft.namespace} {draft.name}"
    revision = await change.newest() + change.shapes_policy()
    published = msgspec.structs.replace(draft, status="Published", published_revision=revision, shadowed=False)
    await change.update(record, published)
    return published


async def shadow(change: Change, asked: Context, key: str, shadowed: bool) -> Record:
    """Let a draft judge flows beside the live policy from now on, or no longer. Raises :class:`Problem`."""
    record = await draft_record(change.connection, asked, key)
    draft: Draft = record.resource
    asked.actor.demand_writing(draft.namespace)
    if draft.shadowed == shadowed:
        return record
    if shadowed:
        demand_open(draft)
        table = TABLES["draft"]
        if len(await records.find(change.connection, record.kind, table.c.shadowed.is_(True))) >= SHADOWS:
            raise Problem(
                "conflict", f"{SHADOWS} drafts are shadowed on this Console, which is the limit; stop one first"
            )
    return await change.update(record, msgspec.structs.replace(draft, shadowed=shadowed))


def demand_open(draft: Draft) -> None:
    """Raise :class:`Problem` for a draft that is published already."""
    if draft.status != "Open":
        raise Problem(
            "conflict", f"draft {draft.name} was published as revision {draft.published_revision}; make another"
        )
