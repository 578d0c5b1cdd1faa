"""Column types and expressions that mean the same on SQLite and PostgreSQL.

SQLite's LIKE ignores case and its date-times lose their zone; neither may decide who sees what, so
text is compared with ``substr``, ``instr`` and GLOB, and times are stored as microseconds.
"""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ColumnElement, String, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

Document = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


class UtcTime(TypeDecorator[datetime.datetime]):
    """A point in time as microseconds since 1970, UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> int | None:
        """To the database; a time without a zone is a programming error."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime.datetime | None:
        """From the database."""
        return None if value is None else _EPOCH + value * _MICROSECOND


class ListHas(FunctionElement[bool]):
    """``ListHas(column, value)``: the JSON list in the column has the value as an element."""

    type = Boolean()
    inherit_cache = True


class TextHas(FunctionElement[bool]):
    """``TextHas(column, value)``: the text in the column has the value as a part, in the same case."""

    type = Boolean()
    inherit_cache = True


class TextMatches(FunctionElement[bool]):
    """``TextMatches(column, pattern)``: the text matches; ``*`` and ``?`` are wild, ``[[]`` is a bracket."""

    type = Boolean()
    inherit_cache = True


def _operands(element: FunctionElement[bool], compiler: SQLCompiler, **kw: Any) -> tuple[str, str]:
    column, value = (compiler.process(clause, **kw) for clause in element.clauses)
    return column, value


def begins_with(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """The text in ``column`` begins with ``prefix``, in the same case."""
    return func.substr(column, 1, len(prefix), type_=String) == prefix


@compiles(ListHas, "sqlite")
def _list_has_sqlite(element: ListHas, compiler: SQLCompiler, **kw: Any) -> str:
    column, value = _operands(element, compiler, **kw)
    return f"EXISTS (SELECT 1 FROM json_each({column}) AS item WHERE item.value = {value})"  # noqa: S608 - both are compiled SQL


@compiles(ListHas, "postgresql")
def _list_has_postgresql(element: ListHas, compiler: SQLCompiler, **kw: Any) -> str:
    column, value = _operands(element, compiler, **kw)
    return f"{column} @> to_jsonb(CAST({value} AS text))"


@compiles(TextHas, "sqlite")
def _text_has_sqlite(element: TextHas, compiler: SQLCompiler, **kw: Any) -> str:
    column, value = _operands(element, compiler, **kw)
    return f"instr({column}, {value}) > 0"


@compiles(TextHas, "postgresql")
def _text_has_postgresql(element: TextHas, compiler: SQLCompiler, **kw: Any) -> str:
    column, value = _operands(element, compiler, **kw)
    return f"strpos({column}, {value}) > 0"


@compiles(TextMatches, "sqlite")
def _text_matches_sqlite(element: TextMatches, compiler: SQLCompiler, **kw: Any) -> str:
    column, value = _operands(element, compiler, **kw)
    return f"{column} GLOB {value}"


@compiles(TextMatches, "postgresql")
def _text_matches_postgresql(element: TextMatches, compiler: SQLCompiler, **kw: Any) -> str:
    # GLOB's * and ? become LIKE's % and _, its quoted bracket a bracket.
    column, value = _operands(element, compiler, **kw)
    quoted = f"replace(replace(replace({value}, '\\', '\\\\'), '%', '\\%'), '_', '\\_')"
    wild = f"replace(replace(replace({quoted}, '*', '%'), '?', '_'), '[[]', '[')"
    return f"{column} LIKE {wild}"
