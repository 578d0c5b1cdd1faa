"""Flow reports: every count is told exactly once, whatever happens to the agent or the Console."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.datapath import Kernel, MemoryDatapath
from tests.unit.enforcer.signing_side import DB, WEB, document
from watchword.enforcer.addressbook import AddressBook
from watchword.enforcer.datapath.base import Placement
from watchword.enforcer.errors import StorageError
from watchword.enforcer.reports import BATCH_LIMIT, Reports
from watchword.policy.compile import compile
from watchword.wire.messages import FlowReports
from watchword.wire.policy import NetworkEntry, PolicyDocument


class Ledger:
    """The Console's side: stores each sequence once."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.connections: Counter[int] = Counter()
        self.lost = 0

    def take(self, batch: FlowReports) -> int:
        if not self.sequences or batch.sequence > self.sequences[-1]:
            self.sequences.append(batch.sequence)
            self.lost += batch.lost
            for record in batch.records:
                self.connections[record.port] += record.connections
        return self.sequences[-1]


class Bench:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kernel = Kernel()
        self.document = with_network(document(1, default="Allow"))
        self.book = AddressBook()
        self.ledger = Ledger()
        self.datapath = self.fresh_datapath()
        tables = compile(self.document)
        self.book.update(self.document, tables)
        self.datapath.place((Placement("host", str(directory)),))
        self.datapath.apply(tables)
        self.kernel.keys["enforcer-2"] = {(1, 1): bytes(16)}
        self.reports = Reports(directory, now=1000.0, boot="boot-1")

    def fresh_datapath(self) -> MemoryDatapath:
        made = MemoryDatapath(self.kernel)
        made.install()
        return made

    def restart(self, boot: str = "boot-1", now: float = 1000.0) -> None:
        """The agent was killed; a new one comes."""
        self.datapath = self.fresh_datapath()
        self.reports = Reports(self.directory, now, boot)

    def flow(self, port: int, times: int = 1, peer: int | str = WEB) -> None:
        for _ in range(times):
            self.kernel.decide(str(self.directory), peer, "incoming", 6, port)

    def make(self) -> FlowReports | None:
        return self.reports.next(self.datapath, self.book)

    def deliver(self) -> None:
        batch = self.reports.pending()
        assert batch is not None
        assert self.reports.stored(self.ledger.take(batch), self.datapath)

    def report(self) -> None:
        if self.make() is not None:
            self.deliver()


def with_network(known: PolicyDocument) -> PolicyDocument:
    known.networks = {
        "n1": NetworkEntry("office", "/", ("192.0.2.0/24", "!192.0.2.64/26"), ()),
        "n2": NetworkEntry("printer", "/", ("192.0.2.128/25", "2001:db8::/32"), ()),
    }
    return known


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.datapath.close()


def test_a_record_names_both_ends_and_the_rule(bench: Bench) -> None:
    bench.flow(5432)
    batch = bench.make()
    assert batch is not None
    (record,) = batch.records
    assert (record.unit, record.peer_unit, record.peer_badge) == ("unit-db", "unit-web", WEB)
    assert (record.rule, record.ruleset, record.action, record.proved) == ("r1/in/0", "r1", "Allow", True)
    assert (record.connections, record.revision) == (1, 1)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "n1"),
        ("192.0.2.70", ""),
        ("192.0.2.200", "n2"),
        ("198.51.100.1", ""),
        ("2001:db8::1", "n2"),
        ("2001:db9::1", ""),
    ],
)
def test_an_address_is_named_by_the_longest_prefix(bench: Bench, address: str, network: str) -> None:
    bench.flow(80, peer=address)
    batch = bench.make()
    assert batch is not None
    assert (batch.records[0].network, batch.records[0].peer_address) == (network, address)


def test_counts_are_increments(bench: Bench) -> None:
    bench.flow(80, times=3)
    bench.report()
    bench.flow(80, times=2)
    batch = bench.make()
    assert batch is not None
    assert batch.records[0].connections == 2
    bench.deliver()
    assert bench.make() is None
    assert bench.ledger.connections == {80: 5}


def test_one_batch_is_under_way_and_the_kernel_keeps_the_rest(bench: Bench) -> None:
    bench.flow(80)
    first = bench.make()
    bench.flow(80, times=7)
    assert bench.make() is None
    assert bench.reports.pending() == first
    bench.deliver()
    bench.report()
    assert bench.ledger.connections == {80: 8}


def test_an_answer_for_an_earlier_batch_changes_nothing(bench: Bench) -> None:
    bench.flow(80)
    batch = bench.make()
    assert batch is not None
    assert not bench.reports.stored(batch.sequence - 1, bench.datapath)
    assert bench.reports.pending() == batch


def test_a_batch_survives_the_agent_unchanged(bench: Bench) -> None:
    bench.flow(80, times=3)
    batch = bench.make()
    bench.flow(80, times=4)
    bench.restart()
    assert bench.reports.pending() == batch
    bench.deliver()
    bench.report()
    assert bench.ledger.connections == {80: 7}


def test_killed_after_the_console_stored_and_before_the_kernel_was_told(bench: Bench) -> None:
    bench.flow(80, times=3)
    bench.flow(81, times=1)
    batch = bench.make()
    assert batch is not None
    bench.ledger.take(batch)
    bench.flow(80, times=4)
    bench.restart()  # the answer was lost with the agent
    bench.deliver()
    bench.restart()  # and the next agent too was killed before it made a batch
    bench.report()
    bench.flow(81, times=2)
    bench.report()
    assert bench.ledger.connections == {80: 7, 81: 3}


@pytest.mark.parametrize("kill_after", ["make", "deliver", "flow"])
def test_killed_at_any_moment_nothing_is_lost_or_doubled(bench: Bench, kill_after: str) -> None:
    for turn in range(6):
        bench.flow(80, times=turn + 1)
        if kill_after == "flow":
            bench.restart()
        bench.make()
        if kill_after == "make":
            bench.restart()
        bench.flow(80)
        bench.deliver()
        if kill_after == "deliver":
            bench.restart()
    while bench.make() is not None:
        bench.deliver()
    assert bench.ledger.connections == {80: 21 + 6}


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("full", ["make", "deliver", "both"])
def test_a_disk_that_takes_nothing_loses_and_doubles_nothing(
    bench: Bench, tmp_path: Path, full: str, killed: bool
) -> None:
    """At every step of a batch, with the agent killed before there is room again, and without; the losses too."""
    away = tmp_path.with_name("away")
    for turn in range(4):
        bench.flow(80, times=turn + 1)
        bench.kernel.lost += turn
        if full in ("make", "both"):
            tmp_path.rename(away)
            for _ in range(2):
                with pytest.raises(StorageError):
                    bench.make()
                assert bench.reports.pending() is None
            bench.flow(80)
            away.rename(tmp_path)
            if killed:
                bench.restart()
        bench.make()
        bench.flow(80)
        if full in ("deliver", "both"):
            tmp_path.rename(away)
            bench.deliver()
            bench.flow(80)
            with pytest.raises(StorageError):
                bench.make()
            away.rename(tmp_path)
            if killed:
                bench.restart()
        if bench.reports.pending() is not None:
            bench.deliver()
    while bench.make() is not None:
        bench.deliver()
    assert bench.ledger.connections == {80: sum(flow.connections for flow in bench.kernel.flows.values())}
    assert bench.ledger.lost == 0 + 1 + 2 + 3


def test_sequences_grow_over_restarts_and_reboots(bench: Bench) -> None:
    for boot, now in (("boot-1", 1000.0), ("boot-1", 5.0), ("boot-2", 0.0), ("boot-3", 99999.0)):
        bench.flow(80)
        bench.report()
        bench.restart(boot, now)
    bench.flow(80)
    bench.report()
    assert len(bench.ledger.sequences) == 5
    assert bench.ledger.sequences == sorted(set(bench.ledger.sequences))


def test_numbers_that_were_forgotten_are_taken_up_again(bench: Bench, tmp_path: Path) -> None:
    """The file is damaged and the clock has gone back a year: a batch that the Console takes for an old one gets in."""
    bench.flow(80, times=3)
    bench.report()
    (tmp_path / "reports").write_bytes(b"\xc1")
    bench.restart(now=1.0)
    bench.flow(80, times=2)
    batch = bench.make()
    assert batch is not None
    assert not bench.reports.stored(bench.ledger.take(batch), bench.datapath)
    assert bench.ledger.connections == {80: 3}
    bench.deliver()
    assert bench.ledger.connections == {80: 5}
    assert bench.ledger.sequences == sorted(set(bench.ledger.sequences))


def test_an_answer_from_nowhere_moves_no_number(bench: Bench) -> None:
    bench.flow(80)
    batch = bench.make()
    assert batch is not None
    assert bench.reports.stored(2**62, bench.datapath)
    assert bench.reports.sequence == batch.sequence


def test_after_a_reboot_the_kernel_counts_from_nothing(bench: Bench) -> None:
    bench.flow(80, times=3)
    bench.make()  # never delivered by the old boot
    bench.kernel.flows.clear()
    bench.kernel.reported.clear()
    bench.restart("boot-2")
    bench.deliver()
    bench.flow(80, times=2)
    bench.report()
    assert bench.ledger.connections == {80: 5}


def test_lost_observations_are_told_exactly_once(bench: Bench) -> None:
    bench.kernel.flow_limit = 2
    for port in range(80, 90):
        bench.flow(port)
    bench.report()
    bench.restart()
    bench.report()
    bench.flow(99, times=3)
    bench.report()
    assert bench.ledger.lost == 8 + 3
    assert sum(bench.ledger.connections.values()) == 2


def test_losses_are_told_when_there_is_nothing_else_to_tell(bench: Bench) -> None:
    bench.kernel.lost = 5
    bench.report()
    assert bench.ledger.lost == 5


def test_a_flow_of_a_unit_that_nobody_remembers_counts_as_lost(bench: Bench) -> None:
    bench.flow(80)
    batch = bench.reports.next(bench.datapath, AddressBook())
    assert batch is not None
    assert (batch.records, batch.lost) == ((), 1)


def test_a_unit_that_has_left_the_policy_is_still_named(bench: Bench) -> None:
    bench.flow(80)
    gone = document(2)
    gone.units = {}
    bench.book.update(gone, compile(gone))
    batch = bench.make()
    assert batch is not None
    assert batch.records[0].unit == "unit-db"
    assert bench.book.unit(DB) == "unit-db"


def test_a_batch_is_bounded_and_the_rest_follows(bench: Bench) -> None:
    for port in range(BATCH_LIMIT + 10):
        bench.flow(port)
    batch = bench.make()
    assert batch is not None
    assert len(batch.records) == BATCH_LIMIT
    bench.deliver()
    bench.report()
    assert sum(bench.ledger.connections.values()) == BATCH_LIMIT + 10


def test_a_damaged_record_of_reports_stops_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.flow(80)
    bench.report()
    last = bench.ledger.sequences[-1]
    (tmp_path / "reports").write_bytes(b"\xff\x00damaged")
    bench.restart(now=2000.0)
    bench.flow(80)
    bench.report()
    assert bench.ledger.sequences[-1] > last
