"""Which kinds of resource are imported and exported, and what of a resource a file says."""

from __future__ import annotations

from typing import Any

import msgspec

from watchword.model import registry
from watchword.model.declarations import Resource
from watchword.model.registry import KINDS, Kind

#: The annotation that says which label, imported into which namespace, a resource belongs to.
OWNER = "import-label"

#: A change set that is not in force is work in progress, not policy.
_LEFT_OUT = {"draft"}


def _is_exchanged(kind: Kind) -> bool:
    """People make it and change it, and nothing about it is secret or gives access."""
    return (
        {"create", "update", "delete"} <= set(kind.verbs)
        and kind.category != "access"
        and kind.singular not in _LEFT_OUT
        and not any(field.secret for field in kind.fields.values())
    )


def exchanged() -> tuple[Kind, ...]:
    """The kinds in files, in an order in which each finds what it needs: namespaces come first."""
    found = [kind for kind in KINDS if _is_exchanged(kind)]
    return tuple(sorted(found, key=lambda kind: kind.singular != "namespace"))


def exchanged_kind(name: str) -> Kind | None:
    """The kind that files call ``name`` (its plural, or singular), if it is in files."""
    try:
        kind = registry.kind(name)
    except KeyError:
        return None
    return kind if _is_exchanged(kind) and name in (kind.plural, kind.singular) else None


def written(kind: Kind, resource: Resource) -> dict[str, Any]:
    """What a file says of ``resource``: the fields that people set, as far as they differ from their defaults.

    Where it lives is not among them, and neither is the label it belongs to.
    """
    values = msgspec.to_builtins(resource)
    shown: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind.type):
        traits = kind.fields[field.encode_name]
        if traits.read_only or field.encode_name not in values:
            continue
        default = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
        if field.required or values[field.encode_name] != msgspec.to_builtins(default):
            shown[field.encode_name] = values[field.encode_name]
    notes = {name: value for name, value in shown.pop("annotations", {}).items() if name != OWNER}
    if notes:
        shown["annotations"] = notes
    return shown
