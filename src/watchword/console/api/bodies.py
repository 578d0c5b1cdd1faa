"""What a client may say about a resource: from the body of POST, PUT and PATCH to a struct.

Read-only fields are refused where the resource is new; where it exists they, and creation-only fields,
may be sent back as they were read.
"""

from __future__ import annotations

from typing import Any

import msgspec

from watchword.console.problems import invalid
from watchword.model import creation
from watchword.model.decoding import Undecodable, convert
from watchword.model.problems import Invalid
from watchword.model.registry import Kind


def for_creation(kind: Kind, body: dict[str, Any]) -> Any:
    """A new resource. Raises :class:`Problem`."""
    try:
        return creation.created(kind, body)
    except Undecodable as error:
        raise invalid(*error.errors) from None


def for_replacement(kind: Kind, body: dict[str, Any], present: Any) -> Any:
    """The resource that PUT makes of ``present``: fields left out return to their default."""
    kept = {name: value for name, value in msgspec.to_builtins(present).items() if _is_fixed(kind, name)}
    return _settled(kind, {**kept, **body}, present)


def for_update(kind: Kind, body: dict[str, Any], present: Any) -> Any:
    """The resource that PATCH makes of ``present``: null returns a field to its default."""
    merged = {**msgspec.to_builtins(present), **body}
    merged = {name: value for name, value in merged.items() if value is not None or name not in body}
    return _settled(kind, merged, present)


def _is_fixed(kind: Kind, name: str) -> bool:
    field = kind.fields[name]
    return field.read_only or field.creation_only


def _settled(kind: Kind, body: dict[str, Any], present: Any) -> Any:
    try:
        resource = creation.canonical(
            convert({name: value for name, value in body.items() if value is not None}, kind.type)
        )
    except Undecodable as error:
        raise invalid(*error.errors) from None
    now = {each.attribute: getattr(present, each.attribute) for each in kind.fields.values() if each.reported}
    resource = msgspec.structs.replace(resource, **now)
    wrong = []
    for field in kind.fields.values():
        if getattr(resource, field.attribute) == getattr(present, field.attribute):
            continue
        if field.read_only:
            wrong.append(Invalid(field.name, "is set by the Console", "leave it out, or send it back as it was read"))
        elif field.creation_only:
            wrong.append(Invalid(field.name, "cannot change once it is created", "delete it and create another"))
    if wrong:
        raise invalid(*wrong)
    return resource
