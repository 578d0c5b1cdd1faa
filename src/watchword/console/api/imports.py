"""``POST /v1/imports``: many resources at once, again and again with the same outcome.

1. One transaction, one revision: everything happens or nothing does.
2. A label owns what it imported (annotation :data:`OWNER`). Importing it again creates, updates and
   deletes exactly what it owns; without a label nothing is ever deleted.
3. The same import twice changes nothing the second time.
4. Nothing is deleted by leaving everything out: that has to be said (``mode: Remove``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from watchword.console import lifecycle
from watchword.console.api import bodies
from watchword.console.api.context import Context, check_parameters, context, decoded, flag, json_answer, raw_body
from watchword.console.api.resources import REVISION_HEADER
from watchword.console.changes import Change, difference
from watchword.console.decoding import convert
from watchword.console.problems import Problem, invalid
from watchword.console.spaces import space
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES
from watchword.model import registry
from watchword.model.declarations import Part
from watchword.model.problems import Invalid
from watchword.model.registry import Kind
from watchword.policy.namespaces import reaches

#: The annotation that says which label a resource belongs to.
OWNER = "import-label"

BODY_LIMIT = 16 << 20

#: What can be imported, in an order in which each finds what it needs.
KINDS: tuple[Kind, ...] = tuple(
    registry.kind(name) for name in ("namespace", "externalnetwork", "networkrulesetpolicy")
)


class Import(Part, frozen=True, kw_only=True):
    """The body of an import."""

    label: Annotated[str, msgspec.Meta(max_length=256)] = ""
    mode: Literal["Import", "Remove"] = "Import"
    data: dict[str, list[dict[str, Any]]] = {}
    api_version: Annotated[int, msgspec.Meta(ge=0, le=1)] = msgspec.field(default=1, name="APIVersion")


class Item(Part, frozen=True, kw_only=True):
    """One resource in the answer."""

    kind: str
    id: str
    namespace: str
    name: str
    diff: dict[str, list[str]] = {}


class Outcome(Part, frozen=True, kw_only=True):
    """The answer to an import."""

    dry_run: bool
    label: str
    revision: int
    created: list[Item]
    updated: list[Item]
    deleted: list[Item]
    unchanged: list[Item]


class _DryRun(Exception):  # noqa: N818 - it is no error: it takes the transaction back
    """Thrown to undo everything at the end of a dry run."""


@dataclass
class _Work:
    change: Change
    asked: Context
    given: Import
    created: list[Item] = field(default_factory=list)
    updated: list[Item] = field(default_factory=list)
    deleted: list[Item] = field(default_factory=list)
    unchanged: list[Item] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)

    def outcome(self, dry_run: bool) -> Outcome:
        """What happened."""
        return Outcome(
            dry_run=dry_run,
            label=self.given.label,
            revision=self.change.revision,
            created=self.created,
            updated=self.updated,
            deleted=self.deleted,
            unchanged=self.unchanged,
        )


async def endpoint(request: Request) -> Response:
    """``POST /v1/imports?dryRun=``."""
    asked = await context(request)
    check_parameters(request, {"dryRun"})
    dry_run = flag(request, "dryRun")
    asked.actor.demand_writing(asked.namespace)
    given = convert(decoded(await raw_body(request, BODY_LIMIT)), Import)
    _check(given)
    work: _Work | None = None
    try:
        async with asked.console.changes.begin(asked.actor.author(), "import") as change:
            work = _Work(change, asked, given)
            await _carry_out(work)
            if dry_run:
                change.revision = asked.console.roster.world.revision
                raise _DryRun
    except _DryRun:
        pass
    assert work is not None  # noqa: S101 - the block above ran, or an exception left this function
    return json_answer(work.outcome(dry_run), headers={REVISION_HEADER: str(work.change.revision)})


def _check(given: Import) -> None:
    plurals = {kind.plural for kind in KINDS}
    wrong = [
        Invalid(f"data.{name}", "cannot be imported", f"use {', '.join(sorted(plurals))}")
        for name in given.data
        if name not in plurals
    ]
    empty = not any(given.data.values())
    if given.mode == "Remove" and (not empty or not given.label):
        wrong.append(Invalid("mode", "Remove takes a label and no data", "name the label whose resources go"))
    if given.mode == "Import" and empty:
        wrong.append(Invalid("data", "is empty", "add resources, or say mode: Remove to delete what the label owns"))
    if wrong:
        raise invalid(*wrong)


async def _carry_out(work: _Work) -> None:
    for kind in KINDS:
        items = list(enumerate(work.given.data.get(kind.plural, [])))
        if kind.singular == "namespace":  # parents before children
            items.sort(key=lambda numbered: _path(work, numbered[1]))
        for index, item in items:
            try:
                await _import_one(work, kind, item)
            except Problem as problem:
                raise _located(problem, f"data.{kind.plural}[{index}]", item.get("name")) from None
    if work.given.label:
        await _delete_rest(work)


def _path(work: _Work, item: dict[str, Any]) -> str:
    """The whole path of an imported namespace, as far as it makes sense."""
    name, namespace = str(item.get("name", "")), str(item.get("namespace", work.asked.namespace))
    return name if name.startswith("/") else f"{namespace.rstrip('/')}/{name}"


def _located(problem: Problem, path: str, name: object) -> Problem:
    """The same problem, saying which of the imported resources has it."""
    where = f"{path} ({name})" if isinstance(name, str) else path
    errors = [Invalid(f"{path}.{error.path}", error.message, error.remedy) for error in problem.errors]
    return Problem(problem.kind, f"{where}: {problem.detail}", errors)


async def _import_one(work: _Work, kind: Kind, item: dict[str, Any]) -> None:
    body = dict(item)
    namespace = body.pop("namespace", work.asked.namespace)
    if not isinstance(namespace, str) or not reaches(work.asked.namespace, True, namespace):
        raise invalid(Invalid("namespace", f"{namespace!r} is not at or below {work.asked.namespace}", "leave it out"))
    where = await space(work.change.connection, namespace)
    present = await _present(work, kind, namespace, body.get("name"))
    if present is None:
        given = _owned(bodies.for_creation(kind, body), work.given.label)
        created = await lifecycle.create(work.change, work.asked.console.mint, kind, where, given)
        work.touched.add(created.record.id)
        work.created.append(_item(created.record))
        return
    work.touched.add(present.id)
    _check_owner(work, present)
    if kind.singular == "namespace":
        body["name"] = present.resource.name
    wanted = _owned(bodies.for_replacement(kind, body, present.resource), work.given.label)
    if wanted == present.resource:
        work.unchanged.append(_item(present))
        return
    after = await lifecycle.update(work.change, present, wanted)
    work.updated.append(_item(after, difference((present, after))))


async def _present(work: _Work, kind: Kind, namespace: str, name: object) -> Record | None:
    if not isinstance(name, str):
        return None  # creation will say that the name is missing
    table = TABLES[kind.singular]
    where = [table.c.name == name, table.c.namespace == namespace]
    if kind.singular == "namespace":
        path = _path(work, {"name": name, "namespace": namespace})
        if path == namespace or not reaches(namespace, True, path):  # itself is its parent's to change
            raise invalid(Invalid("name", f"{path!r} is not below {namespace}", "import it into its parent"))
        where = [table.c.name == path]
    found = await records.find(work.change.connection, kind, *where)
    return found[0] if found else None


def _owned(resource: Any, label: str) -> Any:
    if not label:
        return resource
    return msgspec.structs.replace(resource, annotations={**resource.annotations, OWNER: [label]})


def _check_owner(work: _Work, present: Record) -> None:
    owner = present.resource.annotations.get(OWNER, [])
    if owner and owner != [work.given.label]:
        raise Problem(
            "conflict",
            f"belongs to label {owner[0]!r}; import it with that label, or remove the annotation {OWNER} first",
        )


async def _delete_rest(work: _Work) -> None:
    """Delete what the label owns and no longer lists, children before parents."""
    for kind in reversed(KINDS):
        scope = records.in_namespace(TABLES[kind.singular], work.asked.namespace, recursive=True)
        found = await records.find(work.change.connection, kind, scope)
        owned = [record for record in found if record.resource.annotations.get(OWNER) == [work.given.label]]
        for record in sorted(owned, key=lambda record: str(record.resource.name), reverse=True):
            if record.id not in work.touched:
                await lifecycle.delete(work.change, record)
                work.deleted.append(_item(record))


def _item(record: Record, diff: dict[str, list[str]] | None = None) -> Item:
    resource = record.resource
    return Item(
        kind=record.kind.singular, id=record.id, namespace=resource.namespace, name=resource.name, diff=diff or {}
    )
