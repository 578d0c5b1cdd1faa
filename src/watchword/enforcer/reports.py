"""Flow reports: what the kernel counted of connections and datagrams. How they are told once: :mod:`.batches`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from watchword.enforcer.addressbook import AddressBook
from watchword.enforcer.batches import Batches, State, grown_by
from watchword.enforcer.datapath.base import Datapath, FlowSample
from watchword.wire.messages import FlowRecord, FlowReports

#: The most records in one batch.
BATCH_LIMIT = 4000

#: The fields of a sample that count.
_COUNTS = ("connections", "packets_in", "packets_out", "bytes_in", "bytes_out", "latency_us_total")

#: The fields that say what is counted.
_IDENTITY = (
    "unit_badge",
    "direction",
    "peer_badge",
    "peer_address",
    "protocol",
    "port",
    "action",
    "reason",
    "rule",
    "observed_action",
    "observed_rule",
    "proved",
)


class Reports(Batches[FlowSample, FlowRecord, FlowReports]):
    """Makes batches of flows and remembers the one under way."""

    _file = "reports"
    _limit = BATCH_LIMIT
    _type = State[FlowSample, FlowReports]

    def _grown(self, datapath: Datapath) -> Sequence[tuple[FlowSample, FlowSample | None]]:
        return datapath.unreported()

    def _mark(self, datapath: Datapath, samples: Sequence[FlowSample]) -> None:
        datapath.reported(samples)

    def _lost(self, counters: Mapping[str, int]) -> int:
        return lost_observations(counters)

    def _identity(self, sample: FlowSample) -> Hashable:
        return tuple(getattr(sample, name) for name in _IDENTITY)

    def _record(self, sample: FlowSample, before: FlowSample | None, unit: str, book: AddressBook) -> FlowRecord | None:
        return _record(sample, before, unit, book)

    def _batch(self, sequence: int, records: tuple[FlowRecord, ...], lost: int) -> FlowReports:
        return FlowReports(sequence=sequence, records=records, lost=lost)


def lost_observations(counters: Mapping[str, int]) -> int:
    """How many flow observations found no room in the kernel, from a datapath's counters."""
    return counters.get("flow-lost", 0)


def _record(sample: FlowSample, before: FlowSample | None, unit: str, book: AddressBook) -> FlowRecord | None:
    """The record of what is new in ``sample``; None when nothing is."""
    increments = {name: grown_by(getattr(sample, name), getattr(before, name) if before else 0) for name in _COUNTS}
    if not any(increments.values()):
        return None
    return FlowRecord(
        unit=unit,
        direction=sample.direction,
        peer_badge=sample.peer_badge,
        peer_unit=book.peer(sample.peer_badge),
        peer_address=sample.peer_address,
        network=book.network(sample.peer_address),
        protocol=sample.protocol,
        port=sample.port,
        action=sample.action,
        reason=sample.reason,
        rule=sample.rule,
        ruleset=sample.rule.partition("/")[0],
        observed_action=sample.observed_action,
        observed_rule=sample.observed_rule,
        proved=sample.proved,
        revision=sample.revision,
        first_seen=sample.first_seen,
        last_seen=sample.last_seen,
        **increments,
    )
