"""Look-up reports: every count is told exactly once, whatever happens to the agent or the Console."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.datapath import Kernel, MemoryDatapath
from tests.unit.enforcer.signing_side import DB, document
from watchword.enforcer.addressbook import AddressBook
from watchword.enforcer.datapath.base import Lookup
from watchword.enforcer.lookupreports import BATCH_LIMIT, LEARNED_LIMIT, LookupBatches
from watchword.policy.compile import compile
from watchword.wire.messages import LookupReports


class Bench:
    def __init__(self, directory: Path) -> None:
        self.directory, self.kernel, self.book = directory, Kernel(), AddressBook()
        known = document(1, default="Allow")
        self.book.update(known, compile(known))
        self.datapath = MemoryDatapath(self.kernel)
        self.datapath.install()
        self.batches = LookupBatches(directory, 1000.0, "boot-1")
        self.counted: Counter[str] = Counter()
        self.last = self.lost = 0

    def look_up(self, number: int, count: int = 1, badge: int = DB, learned: tuple[str, ...] = ()) -> None:
        known = self.kernel.lookups.get((badge, number))
        fresh = Lookup(badge, f"n{number}.example", 1, "resolved", "192.0.2.53", 0, 1, 1.0, 2.0, number, 0, learned)
        known = known or fresh
        self.kernel.lookups[badge, number] = replace(known, count=known.count + count, learned=learned)

    def restart(self, boot: str = "boot-1") -> None:
        self.batches = LookupBatches(self.directory, 1000.0, boot)

    def make(self) -> LookupReports | None:
        return self.batches.next(self.datapath, self.book)

    def take(self, batch: LookupReports) -> int:
        """The Console's side: stores each sequence once."""
        if batch.sequence > self.last:
            self.last, self.lost = batch.sequence, self.lost + batch.lost
            for record in batch.records:
                self.counted[record.name] += record.count
        return self.last

    def report(self) -> None:
        if self.make() is not None or self.batches.pending() is not None:
            batch = self.batches.pending()
            assert batch is not None
            assert self.batches.stored(self.take(batch), self.datapath)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.datapath.close()


def test_a_record_says_who_asked_for_what_and_what_came_of_it(bench: Bench) -> None:
    bench.look_up(1, 3, learned=("198.51.100.1",))
    batch = bench.make()
    assert batch is not None
    (record,) = batch.records
    assert (record.unit, record.name, record.type, record.result) == ("unit-db", "n1.example", 1, "resolved")
    assert (record.count, record.addresses, record.learned) == (3, 1, ("198.51.100.1",))


def test_increments_add_up_over_batches_and_restarts(bench: Bench) -> None:
    bench.look_up(1, 3)
    bench.report()
    assert bench.make() is None
    bench.look_up(1, 2)
    bench.look_up(2)
    bench.report()
    bench.look_up(1)
    batch = bench.make()
    assert batch is not None
    bench.take(batch)
    bench.restart()  # stored, but the answer was lost with the agent
    bench.look_up(1, 10)
    assert bench.batches.pending() == batch
    bench.report()
    bench.report()
    bench.report()
    assert bench.counted == {"n1.example": 16, "n2.example": 1}


def test_an_agent_that_was_killed_before_it_was_answered_tells_once(bench: Bench) -> None:
    bench.look_up(1, 5)
    batch = bench.make()
    assert batch is not None
    for _ in range(3):
        bench.restart()
        assert bench.batches.pending() == batch
    bench.report()
    bench.report()
    assert bench.counted == {"n1.example": 5}


def test_batches_are_bounded_and_nothing_is_left_behind(bench: Bench) -> None:
    for number in range(BATCH_LIMIT + 10):
        bench.look_up(number)
    bench.report()
    assert len(bench.counted) == BATCH_LIMIT
    bench.report()
    assert sum(bench.counted.values()) == BATCH_LIMIT + 10
    bench.look_up(0, learned=tuple(f"192.0.2.{number}" for number in range(100)))
    batch = bench.make()
    assert batch is not None
    assert len(batch.records[0].learned) == LEARNED_LIMIT


def test_what_found_no_room_or_belongs_to_nobody_is_counted_once(bench: Bench) -> None:
    bench.kernel.lookups_lost = 4
    bench.look_up(1, badge=99_999)
    bench.report()
    assert bench.lost == 5
    bench.kernel.lookups_lost = 6
    bench.report()
    assert bench.lost == 7
    assert not bench.counted


def test_no_name_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bench.look_up(1)
    bench.report()
    (bench.directory / "lookup-reports").write_bytes(b"n1.example is no record")
    bench.restart()
    assert "n1.example" not in caplog.text
    assert (bench.directory / "lookup-reports").stat().st_mode & 0o777 == 0o600
