"""Reports: what the kernel counted, told to the Console exactly once, whatever it is that was counted.

The kernel counts cumulatively; a batch holds increments since what was last reported. At most one
batch of a kind is under way, and it is on disk before it is sent, under a sequence number that only grows. So:

1. memory is bounded by one batch, however long the Console is away: the kernel goes on counting;
2. a batch is sent again, unchanged, until accepted: over reconnects and restarts of the agent alike,
   and the Console knows it by its number;
3. an observation that found no room, or that cannot be told of, is counted and the count reported.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from watchword.enforcer import files
from watchword.enforcer.addressbook import AddressBook
from watchword.enforcer.datapath.base import Datapath, FlowSample, Lookup
from watchword.enforcer.errors import UNDECODABLE, CredentialError, StorageError
from watchword.enforcer.moment import boot_id
from watchword.wire.messages import FlowRecord, FlowReports, LookupRecord, LookupReports

_log = logging.getLogger(__name__)

#: Added to the last known sequence at a start: more than could have been lost with an unwritten file.
_SKIP = 1_000_000

#: A number that is further ahead (in milliseconds, as numbers are made at first) is none of ours: a century.
_LEAP = 100 * 366 * 86400 * 1000

S = TypeVar("S", FlowSample, Lookup)
R = TypeVar("R", FlowRecord, LookupRecord)
B = TypeVar("B", FlowReports, LookupReports)


class Pending(msgspec.Struct, Generic[S, B], frozen=True, forbid_unknown_fields=True):
    """A batch under way, and the samples it tells of."""

    batch: B
    samples: tuple[S, ...]


class State(msgspec.Struct, Generic[S, B], forbid_unknown_fields=True):
    """What is kept on disk."""

    boot: str  # counts in the kernel begin anew with each boot
    sequence: int  # of the last batch made
    lost: int  # the kernel's count of lost observations, as last reported
    pending: Pending[S, B] | None = None
    told: tuple[S, ...] = ()  # accepted, but the datapath could not be told so


class Batches(ABC, Generic[S, R, B]):
    """Makes batches of one kind and remembers the one under way."""

    _file: str
    _limit: int  # records in a batch; the rest waits in the kernel for the next one
    _type: type[State[S, B]]

    def __init__(self, directory: Path, now: float, boot: str | None = None) -> None:
        self._path = directory / self._file
        self._boot = boot_id() if boot is None else boot
        known = self._read()
        if known is None:
            known = State[S, B](boot=self._boot, sequence=int(now * 1000), lost=0)
        elif known.pending is None:
            known.sequence = max(known.sequence + _SKIP, int(now * 1000))
        self._state: State[S, B] = known
        self._inherited = known.pending is not None

    # --- what a kind of report says of itself ---------------------------------------------------

    @abstractmethod
    def _grown(self, datapath: Datapath) -> Sequence[tuple[S, S | None]]:
        """What has grown, each with what was reported last."""

    @abstractmethod
    def _mark(self, datapath: Datapath, samples: Sequence[S]) -> None:
        """These have been reported."""

    @abstractmethod
    def _lost(self, counters: Mapping[str, int]) -> int:
        """How many observations found no room in the kernel, from a datapath's counters."""

    @abstractmethod
    def _identity(self, sample: S) -> Hashable:
        """What tells one aggregate from another."""

    @abstractmethod
    def _record(self, sample: S, before: S | None, unit: str, book: AddressBook) -> R | None:
        """The record of what is new in ``sample``; None when nothing is."""

    @abstractmethod
    def _batch(self, sequence: int, records: tuple[R, ...], lost: int) -> B:
        """The message."""

    # --------------------------------------------------------------------------------------------

    @property
    def sequence(self) -> int:
        """The number of the last batch made."""
        return int(self._state.sequence)

    def pending(self) -> B | None:
        """The batch under way, to be sent (again)."""
        return self._state.pending.batch if self._state.pending else None

    def next(self, datapath: Datapath, book: AddressBook) -> B | None:
        """A new batch, on disk and ready to be sent; None when one is under way or there is nothing to say.

        Raises :class:`StorageError` when the disk takes none: the kernel goes on counting then, and nothing is lost.
        """
        if self._state.pending is not None:
            return None
        grown = self._grown(datapath)[: self._limit]
        lost_total = self._lost(datapath.counters())
        records, unsayable = self._records(grown, book)
        before = self._state.lost if self._state.boot == self._boot else 0
        lost = grown_by(lost_total, before) + unsayable
        if not grown and not lost:
            return None
        batch = self._batch(self._state.sequence + 1, tuple(records), lost)
        pending = Pending[S, B](batch, tuple(sample for sample, _before in grown))
        self._adopt(State[S, B](self._boot, batch.sequence, lost_total, pending, self._told()))
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
            self._mark(datapath, pending.samples)
            settled = {self._identity(sample) for sample in pending.samples}
            told = tuple(sample for sample in told if self._identity(sample) not in settled)
        lost = self._state.lost if self._state.boot == self._boot else 0
        after = State[S, B](self._boot, self._state.sequence, lost, None, told)
        try:
            self._adopt(after)
        except StorageError as error:
            # On disk the batch stays under way. The next agent sends it again, the Console knows it by its number, and
            # the next batch is not made before the disk takes it: nothing is told twice.
            _log.warning("%s", error)
            self._state = after
        return True

    def _renumber(self, pending: Pending[S, B], sequence: int) -> None:
        batch = msgspec.structs.replace(pending.batch, sequence=sequence)
        again = Pending[S, B](batch, pending.samples)
        state = State[S, B](self._state.boot, sequence, self._state.lost, again, self._state.told)
        try:
            self._adopt(state)
        except StorageError as error:  # the Console will say so again
            _log.warning("%s", error)

    def _told(self) -> tuple[S, ...]:
        return self._state.told if self._state.boot == self._boot else ()

    def _records(self, grown: Sequence[tuple[S, S | None]], book: AddressBook) -> tuple[list[R], int]:
        """What to say of these, and of how many there is nothing to say."""
        told = {self._identity(sample): sample for sample in self._told()}
        records, unsayable = [], 0
        for sample, before in grown:
            unit = book.unit(sample.unit_badge)
            if unit is None:  # its record would belong to nobody
                unsayable += 1
                continue
            record = self._record(sample, told.get(self._identity(sample), before), unit, book)
            if record is not None:
                records.append(record)
        return records, unsayable

    def _adopt(self, state: State[S, B]) -> None:
        files.replace(self._path, msgspec.msgpack.encode(state), durable=False)
        self._state = state

    def _read(self) -> State[S, B] | None:
        try:
            content = files.read_private(self._path)
            return msgspec.msgpack.decode(content, type=self._type) if content is not None else None
        except (*UNDECODABLE, CredentialError) as error:
            _log.warning("the record of reports is unusable, some may be told twice: %s", error)
            return None


def grown_by(now: int, before: int) -> int:
    """The increment of a counter that starts from 0 when the datapath is installed anew."""
    return now - before if now >= before else now
