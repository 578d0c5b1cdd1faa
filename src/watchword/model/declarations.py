"""How a resource is declared: the base structs, field traits and naming that all resources share.

A resource is a msgspec struct; what the API needs to know of a field beyond its type (read-only,
creation-only, secret, indexed) is written at the field and read back by :mod:`watchword.model.registry`.
Nothing here knows of HTTP or of a database.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, ClassVar

import msgspec

from watchword.model import elements
from watchword.model.elements import Notes, SourceTag, UserTag

_ACRONYMS = {"id": "ID", "pu": "PU", "fqdn": "FQDN", "ip": "IP"}

#: Acronyms that stand in capitals only after another word.
_INNER = {**_ACRONYMS, "ips": "IPs", "udp": "UDP", "tls": "TLS", "ca": "CA", "cas": "CAs"}


def wire_name(attribute: str) -> str:
    """The API's camelCase name of a struct attribute: ``enforcer_id`` is ``enforcerID``."""
    words = attribute.split("_")
    head = _ACRONYMS.get(words[0], words[0])
    return head + "".join(_INNER.get(word, word.capitalize()) for word in words[1:])


def trait(
    description: str,
    *,
    read_only: bool = False,
    reported: bool = False,
    creation_only: bool = False,
    secret: bool = False,
    indexed: bool = False,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
    ge: int | None = None,
    le: int | None = None,
    unique: bool = False,
    remedy: str = "",
    no_effect: str = "",
) -> msgspec.Meta:
    """Describe one field.

    ``read_only`` is set by the Console alone. ``reported`` is that too, and changes by itself as things happen: a body
    may hold what was read some time ago. ``creation_only`` may be given when the resource is
    created and never again. ``secret`` is shown once, in the answer to the creation, and is never
    stored in readable form. ``indexed`` fields are searched often. A ``unique`` list has no element
    twice. ``remedy`` says what to write where a limit refuses the value. ``no_effect`` says of a field
    that is checked and stored, and nothing more yet, what will come of it; whoever sets it is told.
    """
    extra: dict[str, Any] = {"description": description}
    if read_only or reported:
        extra["readOnly"] = True
    if reported:
        extra["x-reported"] = True
    if creation_only:
        extra["x-creation-only"] = True
    if secret:
        extra["x-secret"] = True
    if indexed:
        extra["x-indexed"] = True
    if unique:
        extra["uniqueItems"] = True
    if remedy:
        extra["x-remedy"] = remedy
    if no_effect:
        extra["x-no-effect"] = no_effect
        extra["description"] = f"{description} Checked and stored; has no effect yet: {no_effect}"
    make: Any = msgspec.Meta  # its overloads keep numeric and length limits apart; either may be None here
    meta: msgspec.Meta = make(
        extra_json_schema=extra, min_length=min_length, max_length=max_length, pattern=pattern, ge=ge, le=le
    )
    return meta


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=wire_name):
    """Base of everything that appears in the API: named in camelCase, closed to unknown fields."""


class Resource(Part, frozen=True, kw_only=True, rename=wire_name):
    """Base of all resources."""

    id: Annotated[str, trait("Identifier, chosen by the Console.", read_only=True, indexed=True)] = ""
    namespace: Annotated[str, trait("Namespace the resource lives in.", read_only=True, indexed=True)] = ""
    create_time: Annotated[
        datetime.datetime | None, trait("When it was created (UTC).", read_only=True, indexed=True)
    ] = None


class Named(Resource, frozen=True, kw_only=True, rename=wire_name):
    """Base of the resources that people name, describe and change.

    ``protected`` keeps one from being deleted; where ``locks`` is set, from being changed too.
    """

    locks: ClassVar[bool] = False

    name: Annotated[
        str,
        trait(
            "Name; unique within its namespace.",
            max_length=256,
            pattern=elements.NAME,
            indexed=True,
            remedy="write a name without control characters and without white space around it",
        ),
    ]
    description: Annotated[str, trait("Free text.", max_length=1024, pattern=elements.TEXT, remedy="leave NUL out")] = (
        ""
    )
    update_time: Annotated[datetime.datetime | None, trait("When it last changed (UTC).", read_only=True)] = None
    annotations: Annotated[Notes, trait("Free notes of tools; they decide nothing.", max_length=512)] = {}
    protected: Annotated[bool, trait("Refuse deletion until this is cleared.")] = False


class Tagged(Named, frozen=True, kw_only=True, rename=wire_name):
    """Base of the resources that rulesets select by tags."""

    associated_tags: Annotated[
        list[UserTag], trait("Tags set by users, as key=value.", max_length=elements.TAGS, unique=True)
    ] = []
    normalized_tags: Annotated[
        list[str], trait("All tags that matching uses: user, source and generated.", read_only=True, indexed=True)
    ] = []


class Policy(Named, frozen=True, kw_only=True, rename=wire_name):
    """Base of the resources that say of others what is to happen to them."""

    locks: ClassVar[bool] = True

    protected: Annotated[bool, trait("Refuse changes and deletion until this is cleared.")] = False
    disabled: Annotated[bool, trait("As if it were absent.")] = False
    associated_tags: Annotated[
        list[UserTag], trait("Its own tags, for people; nothing matches them.", max_length=elements.TAGS, unique=True)
    ] = []
    metadata: Annotated[
        list[SourceTag],
        trait(
            "Its own @… tags, of the tool that made it; nothing matches them.",
            creation_only=True,
            max_length=elements.TAGS,
            unique=True,
        ),
    ] = []
