"""The Console's tables. Those of resources derive from their declaration, column by column.

A migration under ``migrations/`` goes with every change here; a test compares the two.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, MetaData, String, Table, UniqueConstraint
from sqlalchemy.types import TypeEngine

from watchword.console.store.columns import Document, UtcTime
from watchword.model.registry import KINDS, Field, Kind

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)

#: Kinds that have stores of their own.
REPORTED = ("flowreport", "dnslookupreport")

#: Kinds that are stored here.
STORED: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind.singular not in REPORTED)


def _private_columns(kind: Kind) -> tuple[Column[Any], ...]:
    """What the Console keeps of a resource and never shows."""
    match kind.singular:
        case "processingunit":
            return (
                Column("registered_tags", Document, nullable=False),
                Column("retired_time", UtcTime, nullable=True),
            )
        case "enforcer":
            return (
                Column("public_key", LargeBinary, nullable=False, unique=True),
                Column("datapath_keys", LargeBinary, nullable=False),
            )
        case "token" | "appcredential":
            return (Column("secret_hash", LargeBinary, nullable=False),)
    return ()


def column_type(field: Field) -> TypeEngine[Any]:
    """The column type of a field."""
    kind = field.type
    if isinstance(kind, msgspec.inspect.UnionType):
        kind = next(each for each in kind.types if not isinstance(each, msgspec.inspect.NoneType))
    if isinstance(kind, msgspec.inspect.DateTimeType):
        return UtcTime()
    if isinstance(kind, msgspec.inspect.BoolType):
        return Boolean()
    if isinstance(kind, msgspec.inspect.IntType):
        return BigInteger()
    if isinstance(kind, msgspec.inspect.StrType | msgspec.inspect.LiteralType):
        return String()
    if isinstance(kind, msgspec.inspect.ListType | msgspec.inspect.DictType):
        return Document
    raise TypeError(f"field {field.name} has a type that cannot be stored: {kind}")


def _nullable(field: Field) -> bool:
    return isinstance(field.type, msgspec.inspect.UnionType)


def table_of(kind: Kind, metadata: MetaData) -> Table:
    """The table in which resources of ``kind`` are stored."""
    columns = [
        Column(field.attribute, column_type(field), primary_key=field.name == "ID", nullable=_nullable(field))
        for field in kind.fields.values()
        if not field.secret
    ]
    table = Table(
        kind.plural,
        metadata,
        *columns,
        *_private_columns(kind),
        Column("version", BigInteger, nullable=False),
        *(UniqueConstraint(*names) for names in kind.unique),
    )
    unique_first = {names[0] for names in kind.unique}
    for field in kind.fields.values():
        scalar = not isinstance(field.type, msgspec.inspect.ListType | msgspec.inspect.DictType)
        if field.indexed and scalar and field.name != "ID" and field.attribute not in unique_first:
            Index(None, table.c[field.attribute])
    return table


TABLES: dict[str, Table] = {kind.singular: table_of(kind, metadata) for kind in STORED}

#: Numbers that only grow: the newest revision, and whether the first start has happened.
counters = Table(
    "counters", metadata, Column("name", String, primary_key=True), Column("value", BigInteger, nullable=False)
)

#: Which key was enrolled with which token, so that enrolling again is not another use.
enrolments = Table(
    "enrolments",
    metadata,
    Column("token_id", String, primary_key=True),
    Column("public_key", LargeBinary, primary_key=True),
    Column("enforcer_id", String, nullable=False),
)

#: Signing keys that may never come back.
evicted_keys = Table(
    "evicted_keys",
    metadata,
    Column("public_key", LargeBinary, primary_key=True),
    Column("enforcer_id", String, nullable=False, index=True),
    Column("time", UtcTime, nullable=False),
)

#: Answers to POST requests that carried an Idempotency-Key.
answers = Table(
    "answers",
    metadata,
    Column("credential_id", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("status", BigInteger, nullable=False),
    Column("headers", Document, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("time", UtcTime, nullable=False, index=True),
)

#: What each revision changed: objects of policy, units and Enforcers, before and after. Old ones are forgotten.
revision_changes = Table(
    "revisionchanges",
    metadata,
    Column("revision", BigInteger, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("workload", Boolean, nullable=False),
    Column("operation", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("object_id", String, nullable=False),
    Column("namespace", String, nullable=False),
    Column("name", String, nullable=False),
    Column("before", Document, nullable=True),
    Column("after", Document, nullable=True),
    Column("version", BigInteger, nullable=False),
    Index("ix_revisionchanges_workload", "workload", "revision"),
    Index("ix_revisionchanges_object_id", "object_id", "revision"),
)
