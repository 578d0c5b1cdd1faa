"""The declared type of a field, in words, as an example, and as the value of text typed by a person.

Derives from :mod:`watchword.model.registry`; knows no kind of resource by name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec import NODEFAULT, inspect, structs

from watchword.cli.failure import ExitCode, Failure
from watchword.model.registry import Field, Kind


def bare(kind: inspect.Type) -> inspect.Type:
    """``kind`` without annotations, and without the alternative of being absent."""
    if isinstance(kind, inspect.Metadata):
        return bare(kind.type)
    if isinstance(kind, inspect.UnionType):
        others = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        if len(others) == 1:
            return bare(others[0])
    return kind


def type_name(kind: inspect.Type) -> str:
    """A type as people read it: ``list of text``, ``Allow | Reject``."""
    kind = bare(kind)
    if isinstance(kind, inspect.LiteralType):
        return " | ".join(str(value) or '""' for value in kind.values)
    if isinstance(kind, (inspect.ListType, inspect.VarTupleType)):
        return f"list of {type_name(kind.item_type)}"
    if isinstance(kind, inspect.DictType):
        return f"map of {type_name(kind.value_type)}"
    if isinstance(kind, inspect.StructType):
        return kind.cls.__name__
    names = {
        inspect.StrType: "text",
        inspect.BoolType: "true | false",
        inspect.IntType: "number",
        inspect.FloatType: "number",
        inspect.DateTimeType: "time",
    }
    return names.get(type(kind), type(kind).__name__.removesuffix("Type").lower())


def structs_in(kind: inspect.Type) -> list[inspect.StructType]:
    """The structures that appear inside a type."""
    kind = bare(kind)
    if isinstance(kind, inspect.StructType):
        return [kind]
    if isinstance(kind, (inspect.ListType, inspect.VarTupleType)):
        return structs_in(kind.item_type)
    return []


def example(kind: inspect.Type) -> Any:
    """A small value of a type, to be filled in."""
    kind = bare(kind)
    if isinstance(kind, inspect.LiteralType):
        return kind.values[0]
    if isinstance(kind, (inspect.ListType, inspect.VarTupleType)):
        return [example(kind.item_type)]
    if isinstance(kind, inspect.StructType):
        return {field.encode_name: example(field.type) for field in kind.fields}
    if isinstance(kind, inspect.DictType):
        return {}
    if isinstance(kind, inspect.BoolType):
        return False
    if isinstance(kind, (inspect.IntType, inspect.FloatType)):
        return 0
    return ""


def writable(kind: Kind) -> list[Field]:
    """The fields that people may set."""
    return [field for field in kind.fields.values() if not field.read_only]


def stub(kind: Kind) -> dict[str, Any]:
    """A resource to be filled in: required fields first, then the others with their defaults.

    A list of structures shows one of them, so that its shape can be seen.
    """
    fields = sorted(writable(kind), key=lambda field: not field.required)
    defaults = {field.encode_name: field for field in structs.fields(kind.type)}
    skeleton = {}
    for field in fields:
        shown_by_example = field.required or structs_in(field.type)
        skeleton[field.name] = example(field.type) if shown_by_example else _default(defaults[field.name])
    return skeleton


def _default(field: structs.FieldInfo) -> Any:
    return field.default if field.default_factory is NODEFAULT else field.default_factory()


def body(kind: Kind, settings: Sequence[str], base: dict[str, Any]) -> dict[str, Any]:
    """``base`` with each ``field=value`` of the command line put in; a list field takes one element each time."""
    result, started = dict(base), set()
    for setting in settings:
        name, equals, text = setting.partition("=")
        field = kind.fields.get(name)
        if not equals or field is None or field.read_only:
            known = ", ".join(each.name for each in writable(kind))
            raise Failure(
                f"--set {name}: no field of {kind.singular} that can be set", f"there are: {known}", ExitCode.USAGE
            )
        value = parsed(field, text)
        if isinstance(value, list) and name in started:
            result[name] = [*result[name], *value]
        else:
            result[name] = value
        started.add(name)
    return result


def parsed(field: Field, text: str) -> Any:
    """The value of ``text`` for one field. A list of texts takes one element, or a JSON list."""
    kind = bare(field.type)
    if isinstance(kind, (inspect.StrType, inspect.LiteralType, inspect.DateTimeType)):
        return text
    is_text_list = isinstance(kind, inspect.ListType) and isinstance(
        bare(kind.item_type), (inspect.StrType, inspect.LiteralType)
    )
    if is_text_list and not text.startswith("["):
        return [text]
    try:
        return json.loads(text)
    except ValueError:
        raise Failure(
            f"--set {field.name}: {text!r} is no {type_name(field.type)}", "write the value as JSON", ExitCode.USAGE
        ) from None


def description(kind: inspect.Type) -> str:
    """What the declaration says a field means."""
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra_json_schema or {}).get("description", ""))
    return ""
