"""Filter trees (:mod:`watchword.model.filters`) and orders compiled to SQL over one resource's table.

Only declared fields can be named, every value becomes a bound parameter, and a value of the wrong
type is an error that names the field; nothing is evaluated in Python over rows.
"""

from __future__ import annotations

import datetime
import operator
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Table, and_, func, literal, not_, or_

from watchword.console.store.columns import ListHas, TextHas, TextMatches
from watchword.model.filters import And, Comparison, Filter, Not, Scalar
from watchword.model.problems import Invalid
from watchword.model.registry import Field, Kind


def condition(tree: Filter, kind: Kind, table: Table) -> ColumnElement[bool]:
    """The WHERE clause of ``tree``. Raises :class:`Invalid`."""
    if isinstance(tree, Comparison):
        return _comparison(tree, searchable(kind, tree.field, "filter"), table)
    if isinstance(tree, Not):
        return not_(condition(tree.term, kind, table))
    terms = [condition(term, kind, table) for term in tree.terms]
    return and_(*terms) if isinstance(tree, And) else or_(*terms)


def searchable(kind: Kind, name: str, path: str) -> Field:
    """The field of ``kind`` called ``name``, if it may be searched or ordered by. Raises :class:`Invalid`."""
    field = kind.fields.get(name)
    if field is None or field.secret:
        known = ", ".join(each.name for each in kind.fields.values() if not each.secret)
        raise Invalid(path, f"{kind.singular} has no field {name!r}", f"use one of {known}")
    return field


def shape(field: Field) -> str:
    """``text``, ``number``, ``truth``, ``time``, ``list`` or ``map``: what can be asked of the field."""
    kind = field.type
    if isinstance(kind, msgspec.inspect.UnionType):
        kind = next(each for each in kind.types if not isinstance(each, msgspec.inspect.NoneType))
    shapes: list[tuple[type[msgspec.inspect.Type], str]] = [
        (msgspec.inspect.DateTimeType, "time"),
        (msgspec.inspect.BoolType, "truth"),
        (msgspec.inspect.IntType, "number"),
        (msgspec.inspect.ListType, "list"),
        (msgspec.inspect.DictType, "map"),
    ]
    return next((name for each, name in shapes if isinstance(kind, each)), "text")


_OPERATORS = {
    "text": {"==", "!=", "<", "<=", ">", ">=", "contains", "in", "matches", "exists"},
    "number": {"==", "!=", "<", "<=", ">", ">=", "in", "exists"},
    "truth": {"==", "!=", "exists"},
    "time": {"==", "!=", "<", "<=", ">", ">=", "exists"},
    "list": {"contains", "exists"},
    "map": {"exists"},
}


def _comparison(term: Comparison, field: Field, table: Table) -> ColumnElement[bool]:
    form, column = shape(field), table.c[field.attribute]
    if term.operator not in _OPERATORS[form]:
        allowed = ", ".join(sorted(_OPERATORS[form]))
        raise Invalid("filter", f"{field.name} cannot be asked with {term.operator}", f"use one of {allowed}")
    if term.operator == "exists":
        return _exists(form, column)
    if isinstance(term.value, tuple):
        return column.in_([_value(value, form, field) for value in term.value])
    if form == "list":
        return ListHas(column, literal(_value(term.value, "text", field)))
    value = _value(term.value, form, field)
    if term.operator == "contains":
        return TextHas(column, literal(value))
    if term.operator == "matches":
        # [ begins a set in GLOB and nothing in our language: quote it.
        return TextMatches(column, literal(str(value).replace("[", "[[]")))
    if term.operator == "!=":
        return not_(_set(column, column == value))
    compare = {"==": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
    return _set(column, compare[term.operator](column, value))


def _set(column: ColumnElement[Any], compared: ColumnElement[bool]) -> ColumnElement[bool]:
    """True or false, never null: a field that was never set compares with nothing, and ``not`` stays simple."""
    return and_(column.is_not(None), compared)


def _exists(form: str, column: ColumnElement[Any]) -> ColumnElement[bool]:
    if form == "list":
        return func.json_array_length(column) > 0
    if form == "map":
        return and_(column.is_not(None), column != literal({}, column.type))
    if form == "text":
        return and_(column.is_not(None), column != "")
    return column.is_not(None)


def fits(value: object, form: str) -> bool:
    """Whether ``value`` can be compared with a field of this shape."""
    match form:
        case "text":
            return isinstance(value, str)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "truth":
            return isinstance(value, bool)
        case "time":
            return isinstance(value, datetime.datetime) and value.tzinfo is not None
    return False


def _value(value: Scalar, form: str, field: Field) -> Any:
    if not fits(value, form):
        remedy = {
            "text": f'quote the value: "{value}"',
            "number": "write a number",
            "truth": "write true or false",
            "time": 'write date("2026-01-31T12:00:00Z") or now("-24h")',
        }[form]
        raise Invalid("filter", f"{value!r} does not fit {field.name}", remedy)
    return value
