"""Tags: what a processing unit or external network is matched by.

A tag is ``key=value``; the first character of the key says where it comes from: ``$`` is derived from
the object's own attributes, ``@`` comes from a trusted source (namespace, cloud, orchestrator,
operating system), ``+`` is reserved, everything else is set by users. A user who could set ``$`` or
``@`` tags could name any identity, so :func:`check_user` stands before every user-set tag.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from watchword.model.problems import Invalid

#: A tag is shorter than this many bytes in UTF-8.
SIZE_LIMIT = 1024

GENERATED = "$"
TRUSTED = "@"
RESERVED = "+"

_GRAMMAR = re.compile(r"[^= ]+=.+", re.DOTALL)


def check(tag: str, path: str = "tag") -> str:
    """``tag`` itself when it follows the grammar, whoever set it. Raises :class:`Invalid`."""
    if not _GRAMMAR.fullmatch(tag):
        raise Invalid(path, f"{tag!r} is not key=value", "write a key without spaces, an equals sign and a value")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in tag):
        raise Invalid(path, f"{tag!r} has control characters", "leave them out")
    if len(tag.encode()) >= SIZE_LIMIT:
        raise Invalid(path, f"{tag[:40]!r}… has {len(tag.encode())} bytes", f"stay below {SIZE_LIMIT} bytes")
    return tag


def check_user(tag: str, path: str = "tag") -> str:
    """``tag`` itself when a user may set it. Raises :class:`Invalid`.

    Beyond the reserved keys this refuses the two spellings that an expression could not name exactly
    because they mean something else there: a key that begins with ``!``, a value that ends with ``*``.
    """
    check(tag, path)
    if tag[0] in GENERATED + TRUSTED + RESERVED:
        raise Invalid(
            path, f"{tag!r} has a key beginning with {tag[0]}", "choose a key without it: it is not yours to set"
        )
    if tag.startswith("!") or tag.endswith("*"):
        raise Invalid(path, f"{tag!r} would be an operator in an expression", "leave out a leading ! and a trailing *")
    return tag


def check_metadata(tag: str, path: str = "metadata") -> str:
    """``tag`` itself when a trusted source may set it: it begins with ``@``. Raises :class:`Invalid`."""
    check(tag, path)
    if not tag.startswith(TRUSTED):
        raise Invalid(path, f"{tag!r} does not begin with @", "write @source:key=value")
    return tag


def key(tag: str) -> str:
    """The part before the first equals sign."""
    return tag.partition("=")[0]


def generated(
    *,
    identity: str,
    name: str,
    namespace: str,
    id: str,
    type: str = "",
    images: Iterable[str] = (),
    controller: str = "",
) -> frozenset[str]:
    """The ``$`` tags of an object, from its attributes; empty attributes make no tag.

    ``identity`` is the kind of resource (``processingunit``, ``externalnetwork``).
    """
    values = [
        ("$identity", identity),
        ("$name", name),
        ("$namespace", namespace),
        ("$id", id),
        ("$type", type),
        ("$controller", controller),
        *(("$image", image) for image in images),
    ]
    return frozenset(check(f"{attribute}={value}", attribute) for attribute, value in values if value)
