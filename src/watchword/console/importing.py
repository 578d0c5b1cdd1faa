"""Carrying out imports: many resources at once, again and again with the same outcome.

1. One transaction, one revision: everything happens or nothing does, over all documents of a request.
2. A label, in the namespace it was imported into, owns what it imported (annotation :data:`OWNER`). Importing it
   again creates, updates and deletes exactly what it owns; without a label nothing is ever deleted.
3. The same import twice changes nothing the second time.
4. Nothing is deleted by leaving everything out: that has to be said (``mode: Remove``).
5. Nothing is written outside the namespace of the request, and nothing that another label owns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from watchword.console import lifecycle
from watchword.console.api import bodies
from watchword.console.api.context import Context
from watchword.console.changes import Change, difference
from watchword.console.problems import Problem, invalid
from watchword.console.spaces import Space, space
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES
from watchword.exchange.kinds import OWNER, exchanged, written
from watchword.model.declarations import Part
from watchword.model.problems import Invalid
from watchword.model.registry import Kind
from watchword.policy.namespaces import ROOT, reaches

#: From so many resources of a kind on, what is there is read at once and not one by one.
_MANY = 50

#: What can be imported, in an order in which each finds what it needs.
KINDS = exchanged()


class Import(Part, frozen=True, kw_only=True):
    """One document: what a label owns, or what is to be there."""

    label: Annotated[str, msgspec.Meta(max_length=256)] = ""
    mode: Literal["Import", "Remove"] = "Import"
    data: dict[str, list[dict[str, Any]]] = {}
    api_version: Annotated[int, msgspec.Meta(ge=0, le=1)] = msgspec.field(default=1, name="APIVersion")


class Item(Part, frozen=True, kw_only=True):
    """One resource in the answer. ``diff`` is field to [before, after], as JSON."""

    kind: str
    id: str
    namespace: str
    name: str
    diff: dict[str, list[str]] = {}


class Outcome(Part, frozen=True, kw_only=True):
    """What became of one document."""

    dry_run: bool
    label: str
    revision: int
    created: list[Item]
    updated: list[Item]
    deleted: list[Item]
    unchanged: list[Item]


class _Entry(NamedTuple):
    """One resource of one document."""

    document: int
    position: int
    kind: Kind
    body: dict[str, Any]


@dataclass
class _Told:
    created: list[Item] = field(default_factory=list)
    updated: list[Item] = field(default_factory=list)
    deleted: list[Item] = field(default_factory=list)
    unchanged: list[Item] = field(default_factory=list)


def check(given: Sequence[Import], prefix: Sequence[str]) -> None:
    """Raise :class:`Problem` for documents that cannot be meant; ``prefix`` is what each one's paths begin with."""
    plurals = {kind.plural for kind in KINDS}
    wrong: list[Invalid] = []
    modes: dict[str, str] = {}
    for document, path in zip(given, prefix, strict=True):
        wrong += [
            Invalid(f"{path}data.{name}", "cannot be imported", f"use {', '.join(sorted(plurals))}")
            for name in document.data
            if name not in plurals
        ]
        empty = not any(document.data.values())
        if document.mode == "Remove" and (not empty or not document.label):
            wrong.append(
                Invalid(f"{path}mode", "Remove takes a label and no data", "name the label whose resources go")
            )
        if document.mode == "Import" and empty:
            remedy = "add resources, or say mode: Remove to delete what the label owns"
            wrong.append(Invalid(f"{path}data", "is empty", remedy))
        if document.label and modes.setdefault(document.label, document.mode) != document.mode:
            message = f"label {document.label!r} is imported and removed at once"
            wrong.append(Invalid(f"{path}mode", message, "do one after the other"))
    if wrong:
        raise invalid(*wrong)


class Importer:
    """Carries out the documents of one request inside one change."""

    def __init__(self, change: Change, asked: Context, given: Sequence[Import], prefix: Sequence[str]) -> None:
        self._change = change
        self._asked = asked
        self._given = given
        self._prefix = prefix
        self._told = [_Told() for _ in given]
        self._touched: set[str] = set()
        self._spaces: dict[str, Space] = {}
        self._seen: dict[tuple[str, str, str], _Entry] = {}
        self._present_now: dict[tuple[str, str], Record] | None = None  # of the kind that is being imported

    async def carry_out(self) -> None:
        """Create, update and delete. Raises :class:`Problem` naming the resource."""
        for kind in KINDS:
            entries = list(self._entries(kind))
            if kind.singular == "namespace":  # parents before children
                entries.sort(key=lambda entry: self._path(entry.body))
            self._present_now = await self._read(kind) if len(entries) >= _MANY else None
            for entry in entries:
                try:
                    await self._import(entry)
                except Problem as problem:
                    raise self._located(problem, entry) from None
        labels = {document.label: number for number, document in reversed(list(enumerate(self._given)))}
        for label, number in labels.items():
            if label:
                await self._delete_rest(label, self._told[number])

    def outcomes(self, dry_run: bool, revision: int) -> list[Outcome]:
        """What happened, document by document."""
        return [
            Outcome(
                dry_run=dry_run,
                label=document.label,
                revision=revision,
                created=told.created,
                updated=told.updated,
                deleted=told.deleted,
                unchanged=told.unchanged,
            )
            for document, told in zip(self._given, self._told, strict=True)
        ]

    def _entries(self, kind: Kind) -> Iterator[_Entry]:
        for number, document in enumerate(self._given):
            for index, body in enumerate(document.data.get(kind.plural, [])):
                yield _Entry(number, index, kind, body)

    def _where(self, entry: _Entry) -> str:
        return f"{self._prefix[entry.document]}data.{entry.kind.plural}[{entry.position}]"

    def _located(self, problem: Problem, entry: _Entry) -> Problem:
        """The same problem, saying which of the imported resources has it."""
        path, name = self._where(entry), entry.body.get("name")
        where = f"{path} ({name})" if isinstance(name, str) else path
        errors = [Invalid(f"{path}.{error.path}", error.message, error.remedy) for error in problem.errors]
        return Problem(problem.kind, f"{where}: {problem.detail}", errors)

    def _path(self, body: dict[str, Any]) -> str:
        """The whole path of an imported namespace, as far as it makes sense."""
        name, namespace = str(body.get("name", "")), str(body.get("namespace", self._asked.namespace))
        return name if name.startswith("/") else f"{namespace.rstrip('/')}/{name}"

    async def _space(self, path: str) -> Space:
        if path not in self._spaces:
            self._spaces[path] = await space(self._change.connection, path)
        return self._spaces[path]

    async def _import(self, entry: _Entry) -> None:
        kind, label, told = entry.kind, self._given[entry.document].label, self._told[entry.document]
        body = dict(entry.body)
        namespace = body.pop("namespace", self._asked.namespace)
        if not isinstance(namespace, str) or not reaches(self._asked.namespace, True, namespace):
            message = f"{namespace!r} is not at or below {self._asked.namespace}"
            raise invalid(Invalid("namespace", message, "leave it out"))
        if OWNER in (body.get("annotations") or {}):
            raise invalid(Invalid(f"annotations.{OWNER}", "is set by imports", "leave it out"))
        if self._is_repeated(entry, namespace):
            return
        where = await self._space(namespace)
        present = await self._present(kind, namespace, body)
        if kind.singular == "namespace":
            self._spaces.clear()  # what it hands down may change
        if present is None:
            given = self._owned(bodies.for_creation(kind, body), label)
            created = await lifecycle.create(self._change, self._asked.console.mint, kind, where, given)
            self._touched.add(created.record.id)
            told.created.append(_item(created.record, _fields(created.record, 1)))
            return
        self._touched.add(present.id)
        self._check_owner(present, label)
        if kind.singular == "namespace":
            body["name"] = present.resource.name
        wanted = self._owned(bodies.for_replacement(kind, body, present.resource), label, present)
        if wanted == present.resource:
            told.unchanged.append(_item(present))
            return
        after = await lifecycle.update(self._change, present, wanted)
        told.updated.append(_item(after, difference((present, after))))

    def _is_repeated(self, entry: _Entry, namespace: str) -> bool:
        """Whether the same was said before. Raises :class:`Problem` if something else was."""
        name = entry.body.get("name")
        if not isinstance(name, str):
            return False
        name = self._path(entry.body) if entry.kind.singular == "namespace" else name
        earlier = self._seen.setdefault((entry.kind.singular, namespace, name), entry)
        if earlier is entry:
            return False
        same_label = self._given[earlier.document].label == self._given[entry.document].label
        if same_label and _canonical(earlier.body) == _canonical(entry.body):
            return True
        raise invalid(
            Invalid(
                "name", f"{name!r} is also at {self._where(earlier)}, differently or for another label", "leave one out"
            )
        )

    async def _read(self, kind: Kind) -> dict[tuple[str, str], Record] | None:
        """What there is of a kind, by namespace and name; not of namespaces, which change each other."""
        if kind.singular == "namespace":
            return None
        scope = records.in_namespace(TABLES[kind.singular], self._asked.namespace, recursive=True)
        found = await records.find(self._change.connection, kind, scope)
        return {(record.resource.namespace, record.resource.name): record for record in found}

    async def _present(self, kind: Kind, namespace: str, body: dict[str, Any]) -> Record | None:
        name = body.get("name")
        if not isinstance(name, str):
            return None  # creation will say that the name is missing
        if self._present_now is not None:
            return self._present_now.get((namespace, name))
        table = TABLES[kind.singular]
        where = [table.c.name == name, table.c.namespace == namespace]
        if kind.singular == "namespace":
            path = self._path({"name": name, "namespace": namespace})
            if name == namespace == ROOT:  # the one namespace without a parent
                path = ROOT
            elif path == namespace or not reaches(namespace, True, path):  # itself is its parent's to change
                raise invalid(Invalid("name", f"{path!r} is not below {namespace}", "import it into its parent"))
            where = [table.c.name == path]
        found = await records.find(self._change.connection, kind, *where)
        return found[0] if found else None

    def _owner(self, label: str) -> list[str]:
        return [label, self._asked.namespace]

    def _owned(self, resource: Any, label: str, present: Record | None = None) -> Any:
        notes = dict(resource.annotations)
        if label and resource.name != ROOT:  # nothing may delete the root
            notes[OWNER] = self._owner(label)
        elif present is not None and OWNER in present.resource.annotations:
            notes[OWNER] = present.resource.annotations[OWNER]
        return msgspec.structs.replace(resource, annotations=notes)

    def _check_owner(self, present: Record, label: str) -> None:
        owner = present.resource.annotations.get(OWNER, [])
        if owner and owner != self._owner(label):
            raise Problem(
                "conflict",
                f"belongs to label {owner[0]!r} of namespace {owner[-1]}; import it with that label there, "
                f"or remove the annotation {OWNER} first",
            )

    async def _delete_rest(self, label: str, told: _Told) -> None:
        """Delete what the label owns and no longer lists, children before parents."""
        for kind in reversed(KINDS):
            scope = records.in_namespace(TABLES[kind.singular], self._asked.namespace, recursive=True)
            found = await records.find(self._change.connection, kind, scope)
            owned = [record for record in found if record.resource.annotations.get(OWNER) == self._owner(label)]
            for record in sorted(owned, key=lambda record: str(record.resource.name), reverse=True):
                if record.id in self._touched:
                    continue
                try:
                    await lifecycle.delete(self._change, record)
                except Problem as problem:
                    detail = f"label {label!r} no longer names {kind.singular} {record.resource.name}: {problem.detail}"
                    raise Problem(problem.kind, detail, problem.errors) from None
                told.deleted.append(_item(record, _fields(record, 0)))


def _canonical(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True)


def _fields(record: Record, side: int) -> dict[str, list[str]]:
    """The fields of a new (side 1) or deleted (side 0) resource as a difference from nothing."""
    pairs = {}
    for name, value in written(record.kind, record.resource).items():
        pair = ["null", "null"]
        pair[side] = msgspec.json.encode(value).decode()
        pairs[name] = pair
    return pairs


def _item(record: Record, diff: dict[str, list[str]] | None = None) -> Item:
    resource = record.resource
    return Item(
        kind=record.kind.singular, id=record.id, namespace=resource.namespace, name=resource.name, diff=diff or {}
    )
