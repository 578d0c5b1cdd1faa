"""Flow reports: what the kernel counted, told to the Console exactly once.

The kernel counts cumulatively; a batch holds increments since what was last reported. At most one
batch is under way, and it is on disk before it is sent, under a sequence number that only grows. So:

1. memory is bounded by one batch, however long the Console is away: the kernel goes on counting;
2. a batch is sent again, unchanged, until accepted: over reconnects and restarts of the agent alike,
   and the Console knows it by its number;
3. an observation that found no room, or that cannot be told of, is counted and the count reported.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from watchword.enforcer import files
from watchword.enforcer.addressbook import AddressBook
from watchword.enforcer.datapath.base import Datapath, FlowSample
from watchword.enforcer.errors import UNDECODABLE, CredentialError, StorageError
from watchword.enforcer.moment import boot_id
from watchword.wire.messages import FlowRecord, FlowReports

_log = logging.getLogger(__name__)

#: The most records in one batch; the rest waits in the kernel for the next one.
BATCH_LIMIT = 4000

#: Added to the last known sequence at a start: more than could have been lost with an unwritten file.
_SKIP = 1_000_000

#: A number that is further ahead (in milliseconds, as numbers are made at first) is none of ours: a century.
_LEAP = 100 * 366 * 86400 * 1000

_FILE = "reports"

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


class _Pending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    batch: FlowReports
    samples: tuple[FlowSample, ...]


class _State(msgspec.Struct, forbid_unknown_fields=True):
    boot: str  # counts in the kernel begin anew with each boot
    sequence: int  # of the last batch made
    lost: int  # the kernel's count of lost observations, as last reported
    pending: _Pending | None = None
    told: tuple[FlowSample, ...] = ()  # accepted, but the datapath could not be told so


class Reports:
    """Makes batches and remembers the one under way."""

    def __init__(self, directory: Path, now: float, boot: str | None = None) -> None:
        self._path = directory / _FILE
        self._boot = boot_id() if boot is None else boot
        known = self._read()
        if known is None:
            known = _State(boot=self._boot, sequence=int(now * 1000), lost=0)
        elif known.pending is None:
            known.sequence = max(known.sequence + _SKIP, int(now * 1000))
        self._state = known
        self._inherited = known.pending is not None

    @property
    def sequence(self) -> int:
        """The number of the last batch made."""
        return self._state.sequence

    def pending(self) -> FlowReports | None:
        """The batch under way, to be sent (again)."""
        return self._state.pending.batch if self._state.pending else None

    def next(self, datapath: Datapath, book: AddressBook) -> FlowReports | None:
        """A new batch, on disk and ready to be sent; None when one is under way or there is nothing to say.

        Raises :class:`StorageError` when the disk takes none: the kernel goes on counting then, and nothing is lost.
        """
        if self._state.pending is not None:
            return None
        grown = datapath.unreported()[:BATCH_LIMIT]
        lost_total = lost_observations(datapath.counters())
        records, unsayable = self._records(grown, book)
        before = self._state.lost if self._state.boot == self._boot else 0
        lost = grown_by(lost_total, before) + unsayable
        if not grown and not lost:
            return None
        batch = FlowReports(sequence=self._state.sequence + 1, records=tuple(records), lost=lost)
        pending = _Pending(batch, tuple(sample for sample, _before in grown))
        self._adopt(_State(self._boot, batch.sequence, lost_total, pending, self._told()))
        self._inherited = False
        return batch

    def stored(self, sequence: int, datapath: Datapath) -> bool:
        """The Console has everything up to ``sequence``; True when that was the batch under way.

        A datapath marks as reported only what this process has read from it. What an earlier process
        had read is kept here instead, until it has been read again. A number beyond that of a batch made
        here was given before what is known here: the batch gets a later one, and is still to be sent.
        """
        pending, told = self._state.pending, self._told()
        if pending is None or sequence < pending.batch.sequence:
            return False
        if not self._inherited and 0 < sequence - pending.batch.sequence < _LEAP:
            self._renumber(pending, sequence + 1)
            return False
        if self._inherited:
            told = pending.samples if self._state.boot == self._boot else ()
        else:
            datapath.reported(pending.samples)
            settled = {_identity(sample) for sample in pending.samples}
            told = tuple(sample for sample in told if _identity(sample) not in settled)
        lost = self._state.lost if self._state.boot == self._boot else 0
        after = _State(self._boot, self._state.sequence, lost, None, told)
        try:
            self._adopt(after)
        except StorageError as error:
            # On disk the batch stays under way. The next agent sends it again, the Console knows it by its number, and
            # the next batch is not made before the disk takes it: nothing is told twice.
            _log.warning("%s", error)
            self._state = after
        return True

    def _renumber(self, pending: _Pending, sequence: int) -> None:
        batch = msgspec.structs.replace(pending.batch, sequence=sequence)
        state = _State(self._state.boot, sequence, self._state.lost, _Pending(batch, pending.samples), self._state.told)
        try:
            self._adopt(state)
        except StorageError as error:  # the Console will say so again
            _log.warning("%s", error)

    def _told(self) -> tuple[FlowSample, ...]:
        return self._state.told if self._state.boot == self._boot else ()

    def _records(
        self, grown: list[tuple[FlowSample, FlowSample | None]], book: AddressBook
    ) -> tuple[list[FlowRecord], int]:
        """What to say of these, and of how many there is nothing to say."""
        told = {_identity(sample): sample for sample in self._told()}
        records, unsayable = [], 0
        for sample, before in grown:
            unit = book.unit(sample.unit_badge)
            if unit is None:  # its record would belong to nobody
                unsayable += 1
                continue
            record = _record(sample, told.get(_identity(sample), before), unit, book)
            if record is not None:
                records.append(record)
        return records, unsayable

    def _adopt(self, state: _State) -> None:
        files.replace(self._path, msgspec.msgpack.encode(state), durable=False)
        self._state = state

    def _read(self) -> _State | None:
        try:
            content = files.read_private(self._path)
            return msgspec.msgpack.decode(content, type=_State) if content is not None else None
        except (*UNDECODABLE, CredentialError) as error:
            _log.warning("the record of reports is unusable, flows may be reported twice: %s", error)
            return None


def lost_observations(counters: Mapping[str, int]) -> int:
    """How many flow observations found no room in the kernel, from a datapath's counters."""
    return counters.get("flow-lost", 0)


def grown_by(now: int, before: int) -> int:
    """The increment of a counter that starts from 0 when the datapath is installed anew."""
    return now - before if now >= before else now


def _identity(sample: FlowSample) -> tuple[object, ...]:
    """What tells one aggregated flow from another."""
    return tuple(getattr(sample, name) for name in _IDENTITY)


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
