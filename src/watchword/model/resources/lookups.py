"""DNS look-up reports: which names units asked resolvers for, and what they were told."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from watchword.model.declarations import Resource, trait

_Time = datetime.datetime


class DNSLookupReport(Resource, frozen=True, kw_only=True):
    """Look-ups of one name and type by one unit that came to the same, since the report before."""

    timestamp: Annotated[_Time | None, trait("When the Console stored it (UTC).", read_only=True, indexed=True)] = None
    enforcer_id: Annotated[str, trait("The Enforcer that saw it.", read_only=True)] = ""
    enforcer_name: Annotated[str, trait("That Enforcer's name.", read_only=True)] = ""
    processing_unit_id: Annotated[str, trait("The unit that asked.", read_only=True, indexed=True)] = ""
    processing_unit_name: Annotated[str, trait("Its name at the time.", read_only=True, indexed=True)] = ""
    processing_unit_tags: Annotated[list[str], trait("Its tags at the time.", read_only=True)] = []
    resolved_name: Annotated[str, trait("The name it asked for, in small letters.", read_only=True, indexed=True)] = ""
    record_type: Annotated[int, trait("Type of record asked for, IANA number: 1 is A, 28 AAAA.", read_only=True)] = 0
    action: Annotated[
        Literal["Resolve", "Fail"], trait("Whether the answer had addresses.", read_only=True, indexed=True)
    ] = "Fail"
    reason: Annotated[
        str,
        trait(
            "What came of it: resolved, empty, no-such-name, server-failure, refused, …, truncated, unread, withheld.",
            read_only=True,
        ),
    ] = ""
    resolver: Annotated[str, trait("The resolver that was asked last.", read_only=True)] = ""
    address_count: Annotated[int, trait("Addresses in the last answer.", read_only=True)] = 0
    resolved_ips: Annotated[
        list[str],
        trait(
            "Addresses learned under this name, if a network lists it; the first 32.",
            read_only=True,
        ),
    ] = []
    value: Annotated[int, trait("Look-ups.", read_only=True)] = 0
    first_seen: Annotated[_Time | None, trait("First answer of that kind (UTC).", read_only=True)] = None
    last_seen: Annotated[_Time | None, trait("Last one (UTC).", read_only=True, indexed=True)] = None
