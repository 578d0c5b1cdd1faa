"""The stores of reports that need no other program: one SQLite file for all kinds.

IDs are 16 hexadecimal digits counting up, so that their order as text is the order of arrival and a
cursor is simply the last ID seen.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, cast

import msgspec
from sqlalchemy import BigInteger, Column, MetaData, String, Table, and_, delete, func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from watchword.console.flows.store import BEGINNING, R, ReportQuery
from watchword.console.store import filtering, migrations, records
from watchword.console.store.database import Database, create_private
from watchword.console.store.records import Record
from watchword.console.store.schema import NAMING, table_of
from watchword.model import registry
from watchword.model.registry import Kind
from watchword.model.resources import DNSLookupReport, FlowReport

FLOWS, LOOKUPS = registry.kind("flowreport"), registry.kind("dnslookupreport")

metadata = MetaData(naming_convention=NAMING)


def _sequences(name: str) -> Table:
    """The newest sequence number stored of each Enforcer."""
    return Table(
        name,
        metadata,
        Column("enforcer_id", String, primary_key=True),
        Column("sequence", BigInteger, nullable=False),
    )


#: Reports, and the numbers of the batches they came in, of each kind.
_TABLES = {
    FLOWS.singular: (table_of(FLOWS, metadata), _sequences("sequences")),
    LOOKUPS.singular: (table_of(LOOKUPS, metadata), _sequences("lookup_sequences")),
}


def table(kind: Kind) -> Table:
    """Where reports of a kind are."""
    return _TABLES[kind.singular][0]


#: Rows deleted in one transaction, so that reports can be stored in between.
_DELETE_BATCH = 5_000


class SqliteReports(Generic[R]):
    """Reports of one kind. See :class:`watchword.console.flows.store.ReportStore`."""

    def __init__(self, database: Database, kind: Kind, newest: int) -> None:
        self._database = database
        self._kind = kind
        self._table, self._sequences = _TABLES[kind.singular]
        self._newest = newest
        self._news = asyncio.Event()
        self._appending = asyncio.Lock()

    async def append(self, enforcer: str, sequence: int, reports: Sequence[R]) -> int | None:
        """Store a batch once; the newest number stored, if that was before."""
        async with self._appending:
            return await self._append(enforcer, sequence, reports)

    async def _append(self, enforcer: str, sequence: int, reports: Sequence[R]) -> int | None:
        sequences = self._sequences
        async with self._database.writing() as connection:
            known = await connection.scalar(select(sequences.c.sequence).where(sequences.c.enforcer_id == enforcer))
            if known is not None and known >= sequence:
                return int(known)
            rows = [
                records.row_values(Record(self._kind, msgspec.structs.replace(report, id=_identifier(number))))
                for number, report in enumerate(reports, self._newest + 1)
            ]
            if rows:
                await connection.execute(insert(self._table), rows)
            mark = upsert(sequences).values(enforcer_id=enforcer, sequence=sequence)
            await connection.execute(
                mark.on_conflict_do_update(index_elements=["enforcer_id"], set_={"sequence": sequence})
            )
        self._newest += len(rows)  # only a committed number counts as taken
        self._news.set()
        self._news = asyncio.Event()
        return None

    async def query(self, query: ReportQuery) -> list[R]:
        """Reports in order of arrival, or against it."""
        table = self._table
        where = (
            []
            if query.namespace == "/" and query.recursive
            else [records.in_namespace(table, query.namespace, recursive=query.recursive)]
        )
        if query.where is not None:
            where.append(filtering.condition(query.where, self._kind, table))
        if query.after != BEGINNING:
            where.append(table.c.id < query.after if query.newest_first else table.c.id > query.after)
        order = table.c.id.desc() if query.newest_first else table.c.id.asc()
        statement = select(table).where(and_(True, *where)).order_by(order).limit(query.limit)
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return [cast(R, records.record_of(self._kind, row).resource) for row in rows]

    def newest(self) -> str:
        """The ID of the newest report."""
        return _identifier(self._newest) if self._newest else BEGINNING

    async def arrived(self, seen: str, seconds: float) -> bool:
        """Wait for a report newer than ``seen``."""
        if self.newest() > seen:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def forget_before(self, time: datetime.datetime) -> int:
        """Drop old reports, some at a time; the newest stays, because its ID is where counting goes on."""
        table, total = self._table, 0
        while True:
            old = select(table.c.id).where(table.c.timestamp < time, table.c.id < self.newest()).limit(_DELETE_BATCH)
            async with self._database.writing() as connection:
                count = (await connection.execute(delete(table).where(table.c.id.in_(old)))).rowcount
            total += count
            if count < _DELETE_BATCH:
                return total


class SqliteStores:
    """The stores of all kinds, in one file."""

    def __init__(self, database: Database, newest: dict[str, int]) -> None:
        self._database = database
        self.flows: SqliteReports[FlowReport] = SqliteReports(database, FLOWS, newest[FLOWS.singular])
        self.lookups: SqliteReports[DNSLookupReport] = SqliteReports(database, LOOKUPS, newest[LOOKUPS.singular])

    @classmethod
    async def open(cls, path: Path) -> SqliteStores:
        """The stores in file ``path``, made if it is not there."""
        create_private(path)
        database = Database(f"sqlite+aiosqlite:///{path}")
        newest = {}
        async with database.writing() as connection:
            await migrations.upgrade(connection, "flows")
            for kind, (table, _) in _TABLES.items():
                last = await connection.scalar(select(func.max(table.c.id)))
                newest[kind] = int(last, 16) if last else 0
        return cls(database, newest)

    async def forget_before(self, time: datetime.datetime) -> int:
        """Drop reports of all kinds stored before ``time``; returns how many."""
        return await self.flows.forget_before(time) + await self.lookups.forget_before(time)

    async def close(self) -> None:
        """Close the file."""
        await self._database.close()


def _identifier(number: int) -> str:
    return f"{number:016x}"
