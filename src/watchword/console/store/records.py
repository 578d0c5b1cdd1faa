"""Resources in and out of their tables, whatever their kind.

A :class:`Record` is a resource and what the Console keeps of it privately. Callers decide what is
valid and who may; here it is only stored.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Row,
    Table,
    UnaryExpression,
    and_,
    delete,
    false,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.console.store import filtering
from watchword.console.store.columns import begins_with
from watchword.console.store.schema import TABLES
from watchword.model import limits
from watchword.model.problems import Invalid
from watchword.model.registry import Field, Kind


@dataclass(frozen=True, slots=True)
class Record:
    """One stored resource."""

    kind: Kind
    resource: Any  # a struct of ``kind.type``
    private: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1

    @property
    def id(self) -> str:
        """The resource's identifier."""
        return str(self.resource.id)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    records: list[Record]
    total: int
    after: str  # cursor of the next page, "" at the end


@dataclass(frozen=True, slots=True)
class Query:
    """What to list. ``scope`` decides visibility and is never empty by accident: see :func:`in_namespace`."""

    scope: ColumnElement[bool]
    where: ColumnElement[bool] | None = None
    order: tuple[str, ...] = ()
    limit: int = 100
    after: str = ""


def in_namespace(table: Table, namespace: str, *, recursive: bool = False) -> ColumnElement[bool]:
    """Rows of ``namespace`` (and below it)."""
    here = table.c.namespace == namespace
    if not recursive:
        return here
    below = namespace if namespace.endswith("/") else f"{namespace}/"
    return or_(here, begins_with(table.c.namespace, below))


def row_values(record: Record) -> dict[str, Any]:
    """A record as column values."""
    values: dict[str, Any] = dict(record.private)
    for each in record.kind.fields.values():
        if not each.secret:
            value = getattr(record.resource, each.attribute)
            keep = value is None or isinstance(value, str | int | float | datetime.datetime)
            values[each.attribute] = value if keep else msgspec.to_builtins(value)
    values["version"] = record.version
    return values


def record_of(kind: Kind, row: Row[Any]) -> Record:
    """The record in a row."""
    values = dict(row._mapping)
    version = values.pop("version")
    shown = {
        each.name: value
        for each in kind.fields.values()
        if not each.secret and (value := values.pop(each.attribute)) is not None
    }
    return Record(kind, stored(shown, kind.type), values, version)


def stored(shown: dict[str, Any], into: Any) -> Any:
    """A stored resource as its struct. Limits are for what clients send: one that was lowered since breaks nothing."""
    try:
        return msgspec.convert(shown, into)
    except msgspec.ValidationError:
        return _rebuilt(shown, limits.declared(into))


def _rebuilt(value: Any, declaration: msgspec.inspect.Type) -> Any:
    kind, _ = limits.node(declaration)
    match kind:
        case msgspec.inspect.StructType() if isinstance(value, dict):
            fields = {each.encode_name: each for each in kind.fields}
            return kind.cls(**{fields[name].name: _rebuilt(item, fields[name].type) for name, item in value.items()})
        case msgspec.inspect.ListType() if isinstance(value, list):
            return [_rebuilt(item, kind.item_type) for item in value]
    return value


async def add(connection: AsyncConnection, record: Record) -> None:
    """Store a new resource."""
    await connection.execute(insert(TABLES[record.kind.singular]).values(row_values(record)))


async def replace(connection: AsyncConnection, record: Record) -> None:
    """Store a resource in place of the one with the same ID."""
    table = TABLES[record.kind.singular]
    await connection.execute(update(table).where(table.c.id == record.id).values(row_values(record)))


async def set_fields(connection: AsyncConnection, kind: Kind, identifier: str, **values: Any) -> None:
    """Store single fields that are not part of what people edit; the version stays."""
    table = TABLES[kind.singular]
    await connection.execute(update(table).where(table.c.id == identifier).values(values))


async def remove(connection: AsyncConnection, kind: Kind, identifier: str) -> None:
    """Forget a resource."""
    table = TABLES[kind.singular]
    await connection.execute(delete(table).where(table.c.id == identifier))


async def find(connection: AsyncConnection, kind: Kind, *where: ColumnElement[bool]) -> list[Record]:
    """All resources that satisfy every condition; at least one is needed."""
    table = TABLES[kind.singular]
    rows = await connection.execute(select(table).where(and_(*where)).order_by(table.c.id))
    return [record_of(kind, row) for row in rows]


async def everything(connection: AsyncConnection, kind: Kind) -> list[Record]:
    """All resources of a kind, for building the state in memory at start."""
    rows = await connection.execute(select(TABLES[kind.singular]))
    return [record_of(kind, row) for row in rows]


async def by_id(connection: AsyncConnection, kind: Kind, identifier: str) -> Record | None:
    """The resource with this ID."""
    found = await find(connection, kind, TABLES[kind.singular].c.id == identifier)
    return found[0] if found else None


async def page(connection: AsyncConnection, kind: Kind, query: Query) -> Page:
    """One page of a list, in a stable order, by key and not by offset."""
    table = TABLES[kind.singular]
    matching = query.scope if query.where is None else and_(query.scope, query.where)
    total = await connection.scalar(select(func.count()).select_from(table).where(matching))
    keys = _order_keys(kind, table, query.order)
    position = _decode_cursor(query.after, query.order, keys) if query.after else None
    statement = select(table).where(matching if position is None else and_(matching, _beyond(keys, position)))
    statement = statement.order_by(*(key.ordering() for key in keys))
    rows = (await connection.execute(statement.limit(query.limit + 1))).all()
    records = [record_of(kind, row) for row in rows[: query.limit]]
    more = len(rows) > query.limit
    return Page(records, total or 0, _encode_cursor(keys, rows[query.limit - 1], query.order) if more else "")


@dataclass(frozen=True, slots=True)
class _Key:
    """One column of an order."""

    column: ColumnElement[Any]
    field: Field
    descending: bool

    def ordering(self) -> UnaryExpression[Any]:
        """Null comes first in ascending order, on every database."""
        return self.column.desc().nulls_last() if self.descending else self.column.asc().nulls_first()

    def beyond(self, value: Any) -> ColumnElement[bool]:
        """Rows whose column comes after ``value``."""
        if value is None:
            return false() if self.descending else self.column.is_not(None)
        return or_(self.column < value, self.column.is_(None)) if self.descending else self.column > value

    def same(self, value: Any) -> ColumnElement[bool]:
        """Rows whose column is ``value``."""
        return self.column.is_(None) if value is None else self.column == value


def _order_keys(kind: Kind, table: Table, order: Sequence[str]) -> list[_Key]:
    keys: list[_Key] = []
    for item in (*order, "ID"):
        field_ = filtering.searchable(kind, item.removeprefix("-"), "order")
        if filtering.shape(field_) in ("list", "map"):
            raise Invalid("order", f"{field_.name} has no order", "order by a field with a single value")
        keys.append(_Key(table.c[field_.attribute], field_, item.startswith("-")))
    return keys


def _beyond(keys: Sequence[_Key], position: Sequence[Any]) -> ColumnElement[bool]:
    """Rows after ``position``: (a > x) or (a = x and b > y) or …"""
    alternatives = []
    for index, key in enumerate(keys):
        equal = [keys[before].same(position[before]) for before in range(index)]
        alternatives.append(and_(*equal, key.beyond(position[index])))
    return or_(*alternatives)


def _encode_cursor(keys: Sequence[_Key], row: Row[Any], order: Sequence[str]) -> str:
    position = [row._mapping[key.field.attribute] for key in keys]
    return base64.urlsafe_b64encode(msgspec.msgpack.encode([list(order), position])).rstrip(b"=").decode()


def _decode_cursor(text: str, order: Sequence[str], keys: Sequence[_Key]) -> list[Any]:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        said, position = msgspec.msgpack.decode(raw, type=tuple[list[str], list[Any]])
    except (ValueError, msgspec.DecodeError):
        raise Invalid("after", "is not a cursor", "send what X-Next said") from None
    if said != list(order) or len(position) != len(keys):
        raise Invalid("after", "belongs to a list in another order", "send the same order with every page")
    for key, value in zip(keys, position, strict=True):
        if value is not None and not filtering.fits(value, filtering.shape(key.field)):
            raise Invalid("after", "is not a cursor", "send what X-Next said")
    return position
