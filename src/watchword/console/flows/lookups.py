"""From what an Enforcer saw of DNS look-ups to a report a person can read.

As with flows (:mod:`watchword.console.flows.resolution`), who asked has to be a unit of the reporting Enforcer. What
was asked for and what came of it are the Enforcer's word, and texts of other people's making: they are bounded here,
and shown as they are.
"""

from __future__ import annotations

import datetime
import ipaddress

from watchword.console.flows.resolution import Reporter, plausible, time_of
from watchword.console.roster import Roster
from watchword.model.resources import DNSLookupReport
from watchword.wire.messages import LookupRecord

#: A name of 253 bytes, each of them written as four characters at the most.
_NAME_LIMIT = 4 * 253
_LEARNED_LIMIT = 64


def resolve(record: LookupRecord, reporter: Reporter, roster: Roster, now: datetime.datetime) -> DNSLookupReport | None:
    """The report of ``record``; ``None`` when it is about a unit that is not the reporter's, or absurd."""
    unit = roster.unit(record.unit)
    if unit is None or unit.enforcer != reporter.id or not _plausible(record):
        return None
    return DNSLookupReport(
        namespace=unit.namespace,
        create_time=now,
        timestamp=now,
        enforcer_id=reporter.id,
        enforcer_name=reporter.name,
        processing_unit_id=unit.id,
        processing_unit_name=unit.name,
        processing_unit_tags=sorted(unit.tags),
        resolved_name=record.name,
        record_type=record.type,
        action="Resolve" if record.result == "resolved" else "Fail",
        reason=record.result,
        resolver=record.resolver,
        address_count=record.addresses,
        resolved_ips=list(record.learned),
        value=record.count,
        first_seen=time_of(record.first_seen, now),
        last_seen=time_of(record.last_seen, now),
    )


def _plausible(record: LookupRecord) -> bool:
    return (
        plausible((record.type, record.count, record.addresses), (record.unit, record.result))
        and len(record.name) <= _NAME_LIMIT
        and len(record.learned) <= _LEARNED_LIMIT
        and all(map(_is_address, (record.resolver, *record.learned)))
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
