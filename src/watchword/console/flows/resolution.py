"""From what an Enforcer saw to a report a person can read: names and tags of both ends.

Identities are the Console's word: a peer is looked up by its badge, a local end has to be a unit of
the reporting Enforcer. A record about anybody else's unit is refused, whatever it says.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from watchword.console.roster import Roster
from watchword.model.resources import FlowReport
from watchword.policy import selection
from watchword.policy.world import Unit, World
from watchword.wire.messages import FlowRecord

_NUMBER_LIMIT = 1 << 62
_TEXT_LIMIT = 512


@dataclass(frozen=True, slots=True)
class Reporter:
    """The Enforcer whose session a record came by."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class _End:
    type: str
    id: str = ""
    name: str = ""
    namespace: str = ""
    tags: tuple[str, ...] = ()
    ip: str = ""


def resolve(record: FlowRecord, reporter: Reporter, roster: Roster, now: datetime.datetime) -> FlowReport | None:
    """The report of ``record``; ``None`` when it is about a unit that is not the reporter's, or absurd."""
    unit = roster.unit(record.unit)
    if unit is None or unit.enforcer != reporter.id or not _plausible(record):
        return None
    local, peer = _unit_end(unit), _peer_end(record, roster)
    outgoing = record.direction == "outgoing"
    ends = {**_named("source", local if outgoing else peer), **_named("destination", peer if outgoing else local)}
    # A network that requires identity rejects by a rule of its own, named after the network.
    ruleset = selection.known_as(roster.world, record.ruleset) or roster.world.networks.get(record.ruleset)
    return FlowReport(
        namespace=unit.namespace,
        create_time=now,
        timestamp=now,
        reported_by="Source" if outgoing else "Destination",
        enforcer_id=reporter.id,
        enforcer_name=reporter.name,
        action=record.action,
        reason=record.reason,
        protocol=record.protocol,
        destination_port=record.port,
        policy_id=record.ruleset or "default",
        policy_name=ruleset.name if ruleset else "",
        policy_namespace=ruleset.namespace if ruleset else "",
        rule_name=rule_name(record.rule, roster.world),
        rule_key=record.rule,
        observed=bool(record.observed_action),
        observed_action=record.observed_action or "NotApplicable",
        observed_policy_id=record.observed_rule.partition("/")[0],
        observed_rule_name=rule_name(record.observed_rule, roster.world),
        proved=record.proved,
        revision=record.revision,
        value=record.connections,
        packets_in=record.packets_in,
        packets_out=record.packets_out,
        bytes_in=record.bytes_in,
        bytes_out=record.bytes_out,
        latency_us=record.latency_us_total // record.connections if record.connections else 0,
        first_seen=time_of(record.first_seen, now),
        last_seen=time_of(record.last_seen, now),
        **ends,
    )


def plausible(numbers: Iterable[int], texts: Iterable[str]) -> bool:
    """Whether every number can be stored and no text is longer than any that we would have made."""
    return all(0 <= number <= _NUMBER_LIMIT for number in numbers) and all(len(t) <= _TEXT_LIMIT for t in texts)


def _plausible(record: FlowRecord) -> bool:
    values = [getattr(record, name) for name in record.__struct_fields__]
    return plausible(
        (value for value in values if isinstance(value, int)), (value for value in values if isinstance(value, str))
    )


def _unit_end(unit: Unit) -> _End:
    return _End("ProcessingUnit", unit.id, unit.name, unit.namespace, tuple(sorted(unit.tags)))


def _peer_end(record: FlowRecord, roster: Roster) -> _End:
    if record.peer_badge:
        unit = roster.unit_by_badge(record.peer_badge) or roster.unit(record.peer_unit)
        if unit is not None:
            return _unit_end(unit)
        return _End("ProcessingUnit", record.peer_unit, ip=record.peer_address)
    network = roster.world.networks.get(record.network)
    if network is not None:
        tags = tuple(sorted(network.tags))
        return _End("ExternalNetwork", network.id, network.name, network.namespace, tags, record.peer_address)
    return _End("ExternalNetwork" if record.network else "Somewhere", record.network, ip=record.peer_address)


def _named(side: str, end: _End) -> dict[str, Any]:
    return {
        f"{side}_type": end.type,
        f"{side}_id": end.id,
        f"{side}_name": end.name,
        f"{side}_namespace": end.namespace,
        f"{side}_tags": list(end.tags),
        f"{side}_ip": end.ip,
    }


def rule_name(key: str, world: World) -> str:
    """The name of the rule with this key (``<ruleset>/<in|out>/<index>``); "" if it has none or is gone."""
    ruleset_id, _, rest = key.partition("/")
    direction, _, index = rest.partition("/")
    ruleset = selection.known_as(world, ruleset_id, "in" if direction == "in" else "out")
    if ruleset is None or not index.isdecimal():
        return ""
    rules = ruleset.incoming if direction == "in" else ruleset.outgoing
    return rules[int(index)].name if int(index) < len(rules) else ""


def time_of(seconds: float, now: datetime.datetime) -> datetime.datetime:
    """A host's time; one that is no time at all becomes ours."""
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return now
