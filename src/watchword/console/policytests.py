"""Policy tests at work: run when something changes that they are about, kept with their last result.

1. A change of policy (rulesets, intents, networks, namespaces, mappings) is looked at before it is committed.
   Where an assertion of a test in mode ``enforce`` holds now and would not hold any more, the change is
   refused with the assertion and a witness. An assertion that does not hold anyway refuses nothing, so that
   nobody is locked out of mending what a workload's tags have broken.
2. Tags and units are never refused: they come from workloads, and taking a workload's tags away is how it
   is cut off in an emergency. What they break is reported: in the test's result, an activity, and the log.
3. Only tests are run that a change can concern. Evaluation is exact (:mod:`watchword.policy.assertions`).
4. Whoever is refused by a test that they may not read is told so, and nothing of what it is about.
5. A result that could not be found anew is marked as stale, with since when, until the test has been run again.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.console import worlds
from watchword.console.identifiers import Identifiers
from watchword.console.logs import plain
from watchword.console.problems import Problem
from watchword.console.roster import Roster, entries
from watchword.console.store import records
from watchword.console.store.database import Database
from watchword.console.store.records import Record
from watchword.model import registry
from watchword.model.problems import Invalid
from watchword.model.resources import Activity, AssertionResult
from watchword.policy import assertions
from watchword.policy.assertions import Outcome, Test, parsed
from watchword.policy.entries import Placed
from watchword.policy.namespaces import reaches
from watchword.policy.relevance import concerned
from watchword.policy.selectors import SelectorIndex
from watchword.policy.sides import Situation
from watchword.policy.world import Unit, World

if TYPE_CHECKING:
    from watchword.console.changes import Change, Effect

log = structlog.get_logger(__name__)

TEST = registry.kind("policytest")
ACTIVITY = registry.kind("activity")

#: Kinds whose change may be refused.
GUARDED = frozenset({"namespace", "externalnetwork", "networkrulesetpolicy", "intent", "namespacemappingpolicy"})

#: Seconds between a change and the run it causes; and how many times as long as it took a run is followed by rest.
PAUSE = 0.2
REST = 5.0


class PolicyTests:
    """All policy tests of one Console. Used on one event loop."""

    def __init__(
        self,
        roster: Roster,
        database: Database,
        clock: Callable[[], datetime.datetime],
        identifiers: Identifiers,
    ) -> None:
        self._identifiers = identifiers
        self._roster = roster
        self._database = database
        self._clock = clock
        self._tests: dict[str, Test] = {}
        self._index = SelectorIndex()
        self._waiting: set[str] = set()
        self._wake = asyncio.Event()
        self._busy = asyncio.Lock()  # held while a thread reads the index
        self._pending: list[Sequence[Effect]] = []
        self._task: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Start from everything that is stored; every test is run."""
        for unit in self._roster.world.units.values():
            self._index.put(unit)
        async with self._database.reading() as connection:
            for record in await records.everything(connection, TEST):
                self._take(record)

    def start(self) -> None:
        """Begin to run tests when they are concerned."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop doing so."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def follow(self, revision: int, effects: Sequence[Effect]) -> None:
        """Take over a committed revision."""
        self._pending.append(effects)
        if not self._busy.locked():
            self._settle()

    def watch(self, effects: Sequence[Effect]) -> None:
        """Take over committed changes of the tests themselves."""
        for before, after in effects:
            record = after or before
            if record is not None and record.kind is TEST:
                if after is None:
                    self._tests.pop(record.id, None)
                else:
                    self._take(after)

    def _take(self, record: Record) -> None:
        if record.resource.disabled:
            self._tests.pop(record.id, None)
            return
        self._tests[record.id] = parsed(record.resource)
        self._want({record.id})

    def _settle(self) -> None:
        """Bring the index up to date, and find out what has to be run."""
        pending, self._pending = self._pending, []
        for effects in pending:
            for before, after in effects:
                self._index_units(entries(before), entries(after))
            altered = [placed for effect in effects for placed in _altered(effect)]
            situation = Situation(self._roster.world, self._index)
            self._want({test.id for test in concerned(self._tests.values(), altered, situation)})

    def _index_units(self, old: Iterable[Placed], new: Iterable[Placed]) -> None:
        kept = {placed.key for placed in new}
        for placed in old:
            if placed.key not in kept and self._index.get(placed.key) is not None:
                self._index.drop(placed.key)
        for placed in new:
            if isinstance(placed.entry, Unit):
                self._index.put(placed.entry)

    def _want(self, tests: set[str]) -> None:
        self._waiting |= tests
        if self._waiting:
            self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(PAUSE)
            self._wake.clear()
            began = asyncio.get_running_loop().time()
            wanted, self._waiting = self._waiting, set()
            try:
                await self._run_and_keep(wanted)
            except Exception as error:  # the next change tries again; policy goes on without
                log.error("policy tests could not be run", exception=plain(error))
                self._waiting |= wanted
                await self._mark_stale(wanted, error)
            await asyncio.sleep((asyncio.get_running_loop().time() - began) * REST)

    async def _mark_stale(self, tests: set[str], error: Exception) -> None:
        """Say of the results that were to be found anew that they may not hold any more, and since when.

        Not why: what went wrong may speak of things that a test's readers may not read. The log has it.
        """
        revision = self._roster.world.revision
        reason = f"could not be found anew at revision {revision} ({type(error).__name__}); the Console's log says why"
        try:
            async with self._database.writing() as connection:
                for identifier in sorted(tests):
                    record = await records.by_id(connection, TEST, identifier)
                    if record is not None and not record.resource.stale:
                        await records.set_fields(connection, TEST, identifier, stale=reason)
        except Exception as again:  # whoever reads the log knows of both
            log.error("results of policy tests could not be marked as stale", exception=plain(again))

    async def _run_and_keep(self, wanted: set[str]) -> None:
        tests = [self._tests[each] for each in wanted if each in self._tests]
        if not tests:
            return
        world = self._roster.world
        found = await self.evaluate(world, tests)
        results = {test.id: assertions.results(test, outcomes) for test, outcomes in found}
        async with self._database.writing() as connection:
            for identifier, listed in results.items():
                record = await records.by_id(connection, TEST, identifier)
                if record is not None:
                    await self._keep(connection, record, listed, world.revision)

    async def _keep(
        self, connection: AsyncConnection, record: Record, results: list[AssertionResult], revision: int
    ) -> None:
        status = "Passed" if all(result.passed for result in results) else "Failed"
        before = record.resource.status
        values: dict[str, Any] = {"results": msgspec.to_builtins(results), "status_revision": revision, "stale": ""}
        if status != before:
            values |= {"status": status, "status_time": self._clock()}
        await records.set_fields(connection, TEST, record.id, **values)
        if status == before:
            return
        activity = _activity(record, status, self._identifiers.new(), self._clock(), revision)
        await records.add(connection, Record(ACTIVITY, activity))
        first = next((result.message for result in results if not result.passed), "")
        tell = log.warning if status == "Failed" else log.info
        tell("policy test", test=record.resource.name, namespace=record.resource.namespace, status=status, why=first)

    async def evaluate(self, world: World, tests: Sequence[Test]) -> list[tuple[Test, list[Outcome]]]:
        """Run tests against a world, in a thread: nothing else waits."""
        async with self._busy:
            live = world.units is self._roster.world.units and not self._pending
            try:
                return await asyncio.to_thread(_evaluate, world, self._index if live else None, tests)
            finally:
                self._settle()

    async def guard(self, change: Change) -> None:
        """Raise :class:`Problem` when a change would break a test that is enforced."""
        if not any(_kind(effect) in GUARDED for effect in change.effects):
            return
        tests = [test for test in self._with(change.effects).values() if test.enforced]
        before, after = self._roster.world, worlds.committed(self._roster.world, change.effects)
        if after.units is before.units and not self._pending and tests:
            altered = [placed for effect in change.effects for placed in _altered(effect)]
            tests = concerned(tests, altered, Situation(after, self._index))
        if not tests:
            return
        failing = {test.id: outcomes for test, outcomes in await self.evaluate(after, tests) if not _passed(outcomes)}
        if not failing:
            return
        held = dict(await self.evaluate(before, [test for test in tests if test.id in failing]))
        broken = [
            (test, index, now)
            for test, outcomes in held.items()
            for index, (was, now) in enumerate(zip(outcomes, failing[test.id], strict=True))
            if was.passed and not now.passed
        ]
        if broken:
            raise _refusal(broken, change.author.namespace)

    def _with(self, effects: Iterable[Effect]) -> dict[str, Test]:
        """The tests as they are, and as the change itself leaves them."""
        tests = dict(self._tests)
        for before, after in effects:
            record = after or before
            if record is not None and record.kind is TEST:
                tests.pop(record.id, None)
                if after is not None and not after.resource.disabled:
                    tests[after.id] = parsed(after.resource)
        return tests


def _evaluate(world: World, index: SelectorIndex | None, tests: Sequence[Test]) -> list[tuple[Test, list[Outcome]]]:
    situation = Situation.of(world) if index is None else Situation(world, index)
    return [(test, assertions.run(test, situation)) for test in tests]


def _activity(test: Record, status: str, identifier: str, now: datetime.datetime, revision: int) -> Activity:
    resource = test.resource
    return Activity(
        id=identifier,
        namespace=resource.namespace,
        create_time=now,
        operation="test",
        target_identity=TEST.singular,
        target_id=test.id,
        target_name=resource.name,
        author="console",
        message=f"policy test {resource.namespace} {resource.name} {status.lower()}",
        diff={"status": [f'"{resource.status}"', f'"{status}"']},
        revision=revision,
    )


def _passed(outcomes: Iterable[Outcome]) -> bool:
    return all(outcome.passed for outcome in outcomes)


def _kind(effect: Effect) -> str:
    record = effect[1] or effect[0]
    return record.kind.singular if record is not None else ""


def _altered(effect: Effect) -> list[Placed]:
    """Entries that an effect takes away, brings or changes: both sides of a change."""
    old, new = entries(effect[0]), entries(effect[1])
    return [placed for placed in (*old, *new) if (placed in old) != (placed in new)]


def _refusal(broken: Sequence[tuple[Test, int, Outcome]], reader: str) -> Problem:
    """Why a change is refused, for somebody whose rights begin at ``reader``."""
    known = [each for each in broken if reaches(reader, True, each[0].namespace)]
    if not known:
        return Problem(
            "breaks-test",
            f"{len(broken)} assertion(s) of policy tests that are not yours to read would no longer hold; "
            "ask the administrators of the namespace above",
        )
    errors = [
        Invalid(
            f"policytests/{test.name}.assertions[{index}]",
            f"{test.assertions[index].name or 'assertion'}: {outcome.message}",
            f"change the policy, or the test {test.name} in {test.namespace} first",
        )
        for test, index, outcome in known
    ]
    hidden = f" (and {len(broken) - len(known)} that are not yours to read)" if len(known) < len(broken) else ""
    return Problem("breaks-test", f"{errors[0]}{hidden}", errors)
