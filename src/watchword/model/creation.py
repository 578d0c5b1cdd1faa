"""From what somebody wrote to a new resource: the Console's API and files go the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchword.model import validation
from watchword.model.decoding import Undecodable, convert
from watchword.model.problems import Invalid
from watchword.model.registry import Kind


def created(kind: Kind, body: Mapping[str, Any]) -> Any:
    """A new resource. Raises :class:`Undecodable` for fields that do not exist or are not the writer's to set."""
    wrong = [
        Invalid(name, "is set by the Console", "leave it out")
        for name in body
        if name in kind.fields and kind.fields[name].read_only
    ]
    if wrong:
        raise Undecodable(wrong)
    return canonical(convert(dict(body), kind.type))


def canonical(resource: Any) -> Any:
    """``resource`` with all that has one form in that form. Raises :class:`Undecodable`."""
    try:
        return validation.canonical(resource)
    except Invalid as error:
        raise Undecodable([error]) from None
