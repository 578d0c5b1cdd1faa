"""The limits that declarations carry: read back, listed, and held against a value.

This is the one place where a client's value is held against the type and the limits of its field.
Every violation is found, at its own path, with what to write instead; msgspec alone would stop at the
first and not say which element of a list it was in. What no single field can say (grammars, fields that
depend on each other) is in :mod:`watchword.model.validation`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from watchword.model.problems import Invalid

#: Characters of a wrong value that a message repeats.
_SHOWN = 60

_NAMES = ((str, "a text"), (bool, "true or false"), (int, "a number"), (list, "a list"), (dict, "an object"))


class Limit(NamedTuple):
    """One limit of one field. In ``path``, ``[]`` is any element, ``{}`` any value and ``{key}`` any key."""

    path: str
    keyword: str  # as in JSON Schema
    bound: Any


class Node(NamedTuple):
    """One declared type, its wrappings taken off."""

    type: inspect.Type
    extra: dict[str, Any]


def node(declared: inspect.Type) -> Node:
    """``declared`` without its wrappings; what was written beside the type is ``extra``."""
    extra: dict[str, Any] = {}
    while isinstance(declared, inspect.Metadata):
        extra = {**(declared.extra_json_schema or {}), **extra}
        declared = declared.type
    if isinstance(declared, inspect.UnionType):
        rest = [each for each in declared.types if not isinstance(each, inspect.NoneType)]
        if len(rest) == 1:
            inner = node(rest[0])
            nullable = {"nullable": True} if len(declared.types) > 1 else {}
            return Node(inner.type, {**inner.extra, **extra, **nullable})
    return Node(declared, extra)


@functools.cache
def declared(into: Any) -> inspect.Type:
    """msgspec's description of a type, made once."""
    return inspect.type_info(into)


def listed(declaration: inspect.Type, path: str = "") -> Iterator[Limit]:
    """Every limit of a type and of all that is inside it. Types themselves are no limits here."""
    kind, extra = node(declaration)
    for keyword, bound in _own_limits(kind, extra):
        yield Limit(path, keyword, bound)
    match kind:
        case inspect.StructType():
            for field in kind.fields:
                yield from listed(field.type, f"{path}.{field.encode_name}" if path else field.encode_name)
        case inspect.ListType():
            yield from listed(kind.item_type, f"{path}[]")
        case inspect.DictType():
            yield from listed(kind.key_type, f"{path}{{key}}")
            yield from listed(kind.value_type, f"{path}{{}}")


def _own_limits(kind: inspect.Type, extra: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    found: dict[str, Any] = {}
    match kind:
        case inspect.StrType():
            found = {"minLength": kind.min_length, "maxLength": kind.max_length, "pattern": kind.pattern}
            found["x-max-bytes"] = extra.get("x-max-bytes")
        case inspect.IntType():
            found = {"minimum": kind.ge, "maximum": kind.le}
        case inspect.ListType():
            found = {"minItems": kind.min_length, "maxItems": kind.max_length, "uniqueItems": extra.get("uniqueItems")}
        case inspect.DictType():
            found = {"minProperties": kind.min_length, "maxProperties": kind.max_length}
        case inspect.LiteralType():
            found = {"enum": list(kind.values)}
    yield from ((keyword, bound) for keyword, bound in found.items() if bound is not None)


def violations(value: Any, declaration: inspect.Type, path: str = "") -> Iterator[Invalid]:
    """Everything in which ``value`` (of decoded JSON) is not as declared, in the order of declaration."""
    kind, extra = node(declaration)
    if value is None and "nullable" in extra:
        return
    match kind:
        case inspect.StructType():
            yield from _struct(value, kind, path)
        case inspect.ListType():
            yield from _list(value, kind, extra, path)
        case inspect.DictType():
            yield from _dict(value, kind, path)
        case inspect.StrType():
            yield from _text(value, kind, extra, path)
        case inspect.IntType():
            yield from _integer(value, kind, path)
        case inspect.LiteralType():
            if value not in kind.values or not isinstance(value, str):
                remedy = f"write one of {', '.join(map(str, kind.values))}"
                yield Invalid(path or "body", f"{shown(value)} is not possible", remedy)
        case _:
            yield from _converted(value, kind, path)


def shown(value: Any) -> str:
    """A value as a message repeats it: its beginning."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _wrong_type(value: Any, wanted: str, path: str) -> Invalid:
    given = next((name for type_, name in _NAMES if type(value) is type_), "null" if value is None else "a number")
    return Invalid(path or "body", f"is {given}", f"write {wanted}")


def _struct(value: Any, kind: inspect.StructType, path: str) -> Iterator[Invalid]:
    if not isinstance(value, dict):
        yield _wrong_type(value, "an object", path)
        return
    fields = {field.encode_name: field for field in kind.fields}
    dot = f"{path}." if path else ""
    for name in value:
        if name not in fields:
            yield Invalid(
                f"{dot}{name[:_SHOWN] or repr(name)}", "is not a field", f"remove it, or use one of {', '.join(fields)}"
            )
    for name, field in fields.items():
        if name in value:
            yield from violations(value[name], field.type, dot + name)
        elif field.required:
            yield Invalid(dot + name, "is missing", "add it")


def _list(value: Any, kind: inspect.ListType, extra: dict[str, Any], path: str) -> Iterator[Invalid]:
    if not isinstance(value, list):
        yield _wrong_type(value, "a list", path)
        return
    if kind.max_length is not None and len(value) > kind.max_length:
        yield Invalid(path, f"has {len(value)} elements", f"stay within {kind.max_length}")
        return
    if kind.min_length is not None and len(value) < kind.min_length:
        problem = "is empty" if not value else f"has {len(value)} elements"
        yield Invalid(path, problem, extra.get("x-remedy", f"name at least {kind.min_length}"))
    for index, item in enumerate(value):
        yield from violations(item, kind.item_type, f"{path}[{index}]")
    if extra.get("uniqueItems"):
        yield from _repetitions(value, path)


def _repetitions(value: list[Any], path: str) -> Iterator[Invalid]:
    seen: set[bytes] = set()
    for index, item in enumerate(value):
        key = msgspec.json.encode(item)
        if key in seen:
            yield Invalid(f"{path}[{index}]", f"{shown(item)} is there twice", "leave one of them out")
        seen.add(key)


def _dict(value: Any, kind: inspect.DictType, path: str) -> Iterator[Invalid]:
    if not isinstance(value, dict):
        yield _wrong_type(value, "an object", path)
        return
    if kind.max_length is not None and len(value) > kind.max_length:
        yield Invalid(path, f"has {len(value)} entries", f"stay within {kind.max_length}")
        return
    for name, item in value.items():
        where = f"{path}.{name[:_SHOWN]}" if path else name[:_SHOWN] or repr(name)
        yield from violations(name, kind.key_type, where)
        yield from violations(item, kind.value_type, where)


def _text(value: Any, kind: inspect.StrType, extra: dict[str, Any], path: str) -> Iterator[Invalid]:
    path = path or "body"
    if not isinstance(value, str):
        yield _wrong_type(value, "a text", path)
        return
    remedy = extra.get("x-remedy")
    max_bytes = extra.get("x-max-bytes")
    if kind.max_length is not None and len(value) > kind.max_length:
        yield Invalid(path, f"has {len(value)} characters", f"stay within {kind.max_length}")
    elif max_bytes is not None and len(value.encode()) > max_bytes:
        yield Invalid(path, f"has {len(value.encode())} bytes in UTF-8", f"stay within {max_bytes}")
    elif kind.min_length is not None and len(value) < kind.min_length:
        yield Invalid(path, "is too short" if value else "is empty", remedy or f"write at least {kind.min_length}")
    elif kind.pattern is not None and not _compiled(kind.pattern).search(value):
        problem = f"{shown(value)} is not possible" if value else "is empty"
        yield Invalid(path, problem, remedy or f"write something that matches {kind.pattern}")


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _integer(value: Any, kind: inspect.IntType, path: str) -> Iterator[Invalid]:
    whole = value == int(value) if isinstance(value, float) and abs(value) < 1 << 53 else isinstance(value, int)
    if not whole or isinstance(value, bool):
        yield _wrong_type(value, "a whole number", path)
    elif (kind.ge is not None and value < kind.ge) or (kind.le is not None and value > kind.le):
        yield Invalid(path, f"{shown(value)} is out of range", f"write a number from {kind.ge} to {kind.le}")


def _converted(value: Any, kind: inspect.Type, path: str) -> Iterator[Invalid]:
    into = {inspect.BoolType: bool, inspect.FloatType: float}.get(type(kind))
    if into is bool and not isinstance(value, bool):
        yield _wrong_type(value, "true or false", path)
    elif into is float and (isinstance(value, bool) or not isinstance(value, int | float)):
        yield _wrong_type(value, "a number", path)
