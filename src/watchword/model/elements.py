"""The types of which fields are made: texts and lists with the limits that every use of them shares.

A limit stands here or at the field that has it, and nowhere else: decoding enforces what is declared
(:mod:`watchword.model.limits`) and the API's description is generated from the same declaration.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec


def whole(pattern: str) -> str:
    """``pattern`` for a whole text. Python's ``$`` alone would also accept a line feed after it."""
    return f"^(?:{pattern})$(?!\\n)"


def element(
    remedy: str = "",
    *,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
    max_bytes: int | None = None,
    unique: bool = False,
) -> msgspec.Meta:
    """The limits of one element; ``remedy`` says what to write where ``pattern`` or a minimum refuses it."""
    extra: dict[str, Any] = {}
    if remedy:
        extra["x-remedy"] = remedy
    if max_bytes is not None:
        extra["x-max-bytes"] = max_bytes
    if unique:
        extra["uniqueItems"] = True
    return msgspec.Meta(min_length=min_length, max_length=max_length, pattern=pattern, extra_json_schema=extra or None)


#: No control characters, and no white space around it.
NAME = whole(r"(?!\s)[^\x00-\x1f\x7f-\x9f]+(?<!\s)")

#: Any text but NUL, at which databases and C programs end it.
TEXT = whole(r"[^\x00]*")

#: A tag has fewer than 1024 bytes in UTF-8.
TAG_BYTES = 1023

#: Tags of one object that one source sets.
TAGS = 256

_KEY = r"[^\x00-\x20\x7f-\x9f=]+"
_VALUE = r"[^\x00-\x1f\x7f-\x9f]+"

UserTag = Annotated[
    str,
    element(
        "write key=value: a key without spaces that does not begin with @ $ + or !, and a value that does not end in *",
        max_length=TAG_BYTES,
        max_bytes=TAG_BYTES,
        pattern=whole(rf"(?![@$+!]){_KEY}={_VALUE}(?<!\*)"),
    ),
]

SourceTag = Annotated[
    str,
    element(
        "write @source:key=value; @auth: and @org: are not yours to set",
        max_length=TAG_BYTES,
        max_bytes=TAG_BYTES,
        pattern=whole(rf"(?!@auth:|@org:)@{_KEY}={_VALUE}"),
    ),
]

OrganizationTag = Annotated[
    str,
    element(
        "write @org:key=value",
        max_length=TAG_BYTES,
        max_bytes=TAG_BYTES,
        pattern=whole(rf"@org:{_KEY}={_VALUE}"),
    ),
]

TagPrefix = Annotated[
    str,
    element(
        "write how tags begin, such as app= or @org:",
        max_length=TAG_BYTES,
        max_bytes=TAG_BYTES,
        pattern=whole(rf"(?!!){_KEY}(?:={_VALUE}|=)?"),
    ),
]

Clause = Annotated[
    str,
    element(
        "write key=value, key=prefix*, key=* or one of them with ! before it",
        max_length=TAG_BYTES + 1,
        max_bytes=TAG_BYTES + 1,
        pattern=whole(rf"!?{_KEY}={_VALUE}"),
    ),
]

Alternative = Annotated[
    list[Clause],
    element(
        "name at least one tag, or leave the alternative out; name each once", min_length=1, max_length=64, unique=True
    ),
]

#: OR of ANDs of clauses. Needs its own minimum at the field, which says what it selects.
Expression = list[Alternative]

#: Alternatives of one expression.
ALTERNATIVES = 1024

PortText = Annotated[str, element("such as tcp/80, udp/1:65535, icmp/8 or any", min_length=1, max_length=1024)]

Notes = dict[
    Annotated[str, element("write a word", min_length=1, max_length=256, pattern=TEXT)],
    Annotated[list[Annotated[str, element("leave NUL out", max_length=4096, pattern=TEXT)]], element(max_length=64)],
]

CidrText = Annotated[str, element("such as 10.0.0.0/8, 2001:db8::/32 or !10.1.0.0/16", min_length=1, max_length=64)]

NetworkText = Annotated[
    str, element("a CIDR, an address, a host name or *.domain; ! before a CIDR", min_length=1, max_length=255)
]

CertificateText = Annotated[
    str,
    element(
        "paste one certificate in PEM",
        max_length=16384,
        pattern=whole(r"\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*"),
    ),
]
