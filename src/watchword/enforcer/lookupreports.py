"""Look-up reports: which names units asked for, and what came of it. How they are told once: :mod:`.batches`.

A unit's look-ups say what it does; they are told to the Console and written nowhere else (but for the batch under way,
in the agent's private directory). None is logged.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from watchword.enforcer.addressbook import AddressBook
from watchword.enforcer.batches import Batches, State, grown_by
from watchword.enforcer.datapath.base import Datapath, Lookup
from watchword.wire.messages import LookupRecord, LookupReports

#: The most records in one batch.
BATCH_LIMIT = 2000

#: The most addresses told of one name.
LEARNED_LIMIT = 32


class LookupBatches(Batches[Lookup, LookupRecord, LookupReports]):
    """Makes batches of look-ups and remembers the one under way."""

    _file = "lookup-reports"
    _limit = BATCH_LIMIT
    _type = State[Lookup, LookupReports]

    def _grown(self, datapath: Datapath) -> Sequence[tuple[Lookup, Lookup | None]]:
        return datapath.unreported_lookups()

    def _mark(self, datapath: Datapath, samples: Sequence[Lookup]) -> None:
        datapath.reported_lookups(samples)

    def _lost(self, counters: Mapping[str, int]) -> int:
        return counters.get("lookup-lost", 0)

    def _identity(self, sample: Lookup) -> Hashable:
        return (sample.unit_badge, sample.number, sample.kind, sample.result_number)

    def _record(self, sample: Lookup, before: Lookup | None, unit: str, book: AddressBook) -> LookupRecord | None:
        count = grown_by(sample.count, before.count if before else 0)
        if not count:
            return None
        return LookupRecord(
            unit=unit,
            name=sample.name,
            type=sample.kind,
            result=sample.result,
            resolver=sample.resolver,
            count=count,
            addresses=sample.addresses,
            learned=sample.learned[:LEARNED_LIMIT],
            first_seen=sample.first_seen,
            last_seen=sample.last_seen,
        )

    def _batch(self, sequence: int, records: tuple[LookupRecord, ...], lost: int) -> LookupReports:
        return LookupReports(sequence=sequence, records=records, lost=lost)
