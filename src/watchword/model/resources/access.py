"""Access: how hosts enrol, and how people and programs call the API."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from watchword.model.declarations import Named, trait
from watchword.model.elements import whole

_Time = datetime.datetime


class Token(Named, frozen=True, kw_only=True):
    """An install token: what a new host shows to enrol into this namespace."""

    uses: Annotated[int, trait("How many Enforcers it may enrol.", creation_only=True, ge=1, le=100_000)] = 1
    used: Annotated[int, trait("How many it has enrolled.", reported=True)] = 0
    validity: Annotated[
        str,
        trait(
            "How long it may be used: 30m, 12h, 7d.",
            creation_only=True,
            max_length=7,
            pattern=whole(r"[1-9][0-9]{0,5}[smhd]"),
            remedy="write a number and s, m, h or d: 30m, 12h, 7d",
        ),
    ] = "30m"
    expiration_time: Annotated[_Time | None, trait("When it ends (UTC).", read_only=True)] = None
    token: Annotated[str, trait("The token; shown once.", read_only=True, secret=True)] = ""


class AppCredential(Named, frozen=True, kw_only=True):
    """A credential of a person or program for this API, in its namespace and below."""

    roles: Annotated[
        list[Literal["namespace.administrator", "namespace.viewer"]],
        trait("What it may do.", creation_only=True, min_length=1, max_length=8, unique=True, remedy="name a role"),
    ]
    disabled: Annotated[bool, trait("Refused while set.")] = False
    credential: Annotated[str, trait("The bearer secret; shown once.", read_only=True, secret=True)] = ""
