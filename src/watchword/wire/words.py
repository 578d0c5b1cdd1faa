"""A document says the same words over and over; here each is kept once.

A decoder makes a new string wherever a name is written: of 12,000 peers each says which of 100 Enforcers it belongs
to, and which of a few thousand selectors match it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from watchword.wire.policy import PolicyDocument

#: Those whose entries are made of words.
_TABLES = ("selectors", "rules", "units", "peers", "networks")


def keep_once(document: PolicyDocument) -> None:
    """Put equal entries in place of a document's own: whatever is equal in them is the same object afterwards."""
    known: dict[Any, Any] = {key: key for table in (*_TABLES, "enforcers") for key in getattr(document, table)}
    for name in _TABLES:
        table = getattr(document, name)
        for key, entry in table.items():  # no key comes or goes
            table[key] = _once(entry, known)


def _once(value: Any, known: dict[Any, Any]) -> Any:
    if isinstance(value, str):
        return known.setdefault(value, value)
    if type(value) is tuple:
        found = known.get(value)
        if found is None:
            found = tuple([_once(each, known) for each in value])
            known[found] = found
        return found
    if isinstance(value, msgspec.Struct):
        return type(value)(*[_once(each, known) for each in msgspec.structs.astuple(value)])
    return value
