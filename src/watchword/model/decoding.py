"""Decoded JSON or YAML to structs, with every error at its own place.

msgspec stops at the first error and does not say which element of a list it was in. It is asked
first, because it is fast; only when it refuses is the value walked to say exactly what is wrong.
"""

from __future__ import annotations

import typing
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from watchword.model.problems import Invalid

T = TypeVar("T")

#: At most this many errors are reported at once.
ERROR_LIMIT = 20


class Undecodable(ValueError):  # noqa: N818 - read as that: the value cannot be decoded
    """A value that is no such struct; ``errors`` has at least one."""

    def __init__(self, errors: list[Invalid]) -> None:
        super().__init__(str(errors[0]))
        self.errors = errors


def convert(value: Any, into: type[T]) -> T:
    """``value`` as ``into``. Raises :class:`Undecodable` naming every wrong field."""
    try:
        return msgspec.convert(value, into)
    except msgspec.ValidationError as error:
        found = _errors(value, into, "")[:ERROR_LIMIT]
        raise Undecodable(found or [Invalid("body", str(error), "see the resource's description")]) from None


def _errors(value: Any, into: Any, path: str) -> list[Invalid]:
    plain = get_args(into)[0] if get_origin(into) is typing.Annotated else into
    found: list[Invalid] = []
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        found = _struct_errors(value, plain, path)
    elif get_origin(plain) is list and isinstance(value, list):
        item_type = get_args(plain)[0]
        for index, item in enumerate(value):
            found += _errors(item, item_type, f"{path}[{index}]")
    if found:
        return found
    try:
        msgspec.convert(value, into)
    except msgspec.ValidationError as error:
        message = str(error).partition(" - at ")[0]
        return [Invalid(path or "body", message[:1].lower() + message[1:], "correct it")]
    return []


def _struct_errors(value: Any, struct: type[msgspec.Struct], path: str) -> list[Invalid]:
    if not isinstance(value, dict):
        return [Invalid(path or "body", "is not an object", "write {…}")]
    hints = typing.get_type_hints(struct, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    known = ", ".join(fields)
    dot = f"{path}." if path else ""
    found = [
        Invalid(f"{dot}{name}", "is not a field", f"remove it, or use one of {known}")
        for name in value
        if name not in fields
    ]
    for name, field in fields.items():
        if name in value:
            found += _errors(value[name], hints[field.name], dot + name)
        elif field.required:
            found.append(Invalid(dot + name, "is missing", "add it"))
    return found
