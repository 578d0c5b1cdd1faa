"""What shadowed drafts cost the Console: reports stored with none, one and eight drafts that judge them.

A company of 10,000 units (:mod:`bench.company`), whose Enforcers report flows: mostly ones that policy allows, some
that it refuses, some of addresses. Each report is resolved, judged and stored in the flow store as in a session. Hosts
are not measured: they are told nothing and do nothing. Times are CPU time of the whole process.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import msgspec

from bench.company import Company
from bench.pairs import closing_line, run_pairs
from watchword.console.flows.resolution import Reporter, resolve
from watchword.console.flows.sqlite import SqliteReports, SqliteStores
from watchword.console.roster import Roster
from watchword.console.shadows import DRAFT, Shadows
from watchword.console.store.records import Record
from watchword.model import ports, registry
from watchword.model.resources import Draft, DraftChange, FlowReport, NetworkRule, NetworkRuleSetPolicy, ProcessingUnit
from watchword.policy.decide import decide
from watchword.policy.rulebook import Rulebook
from watchword.policy.selectors import SelectorIndex
from watchword.policy.versions import altered
from watchword.policy.world import Alteration, Rule, Ruleset, Unit, World
from watchword.wire.messages import FlowRecord

UNITS = 10_000
DRAFTS = 8
#: Rulesets that a draft changes, and flows in one batch of reports.
EDITED = 20
BATCH = 1000

_NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Console:
    """The parts of a Console that reports go through."""

    def __init__(self, world: World, flows: SqliteReports[FlowReport]) -> None:
        self.roster = Roster()
        self.roster.follow(1, [(None, _stored(unit)) for unit in world.units.values()])
        self.roster.world = world
        self.shadows = Shadows(self.roster, SelectorIndex.of(world.units.values()))
        self._flows = flows
        self._sequence = 0

    async def take(self, batch: list[FlowRecord]) -> float:
        """Resolve, judge and store reports; seconds for each."""
        self._sequence += 1
        started = time.process_time()
        for enforcer, records in _by_enforcer(batch, self.roster.world).items():
            reporter = Reporter(enforcer, enforcer)
            reports = [
                self.shadows.judged(record, report, None)
                for record in records
                if (report := resolve(record, reporter, self.roster, _NOW)) is not None
            ]
            await self._flows.append(enforcer, self._sequence, reports)
        return (time.process_time() - started) / len(batch)

    def shadow(self, drafts: list[Draft]) -> None:
        """Let these drafts judge, and no others."""
        known = [record for record in self._records if record.resource.id not in {each.id for each in drafts}]
        self.shadows.watch([(record, None) for record in known])
        self._records = [Record(DRAFT, each) for each in drafts]
        self.shadows.watch([(None, record) for record in self._records])

    _records: list[Record] = []


def _stored(unit: Unit) -> Record:
    resource = ProcessingUnit(
        id=unit.id,
        name=unit.name,
        namespace=unit.namespace,
        enforcer_id=unit.enforcer,
        native_context_id=unit.native_id,
        badge=unit.badge,
        normalized_tags=sorted(unit.tags),
        operational_status="Running",
    )
    return Record(registry.kind("processingunit"), resource)


def _by_enforcer(batch: list[FlowRecord], world: World) -> dict[str, list[FlowRecord]]:
    """Some five Enforcers report at a time: the rest of the batch is theirs as well."""
    found: dict[str, list[FlowRecord]] = {}
    for record in batch:
        found.setdefault(world.units[record.unit].enforcer, []).append(record)
    return found


def flows(world: World, count: int, random: Random) -> list[FlowRecord]:
    """Flows of the units of a few Enforcers: as many as there are rules that allow some, and others."""
    book, hosts = Rulebook(), sorted({unit.enforcer for unit in world.units.values()})
    book.follow(world)
    busy = set(random.sample(hosts, 5))
    units = sorted((unit for unit in world.units.values() if unit.enforcer in busy), key=lambda unit: unit.id)
    everybody = sorted(world.units.values(), key=lambda unit: unit.id)
    found = []
    for number in range(count):
        unit, port = random.choice(units), random.choice((22, 443, 5432, 6379, 8080, 9100))
        for _ in range(40):
            peer = random.choice(everybody)
            excerpt = book.excerpt(world, (unit, peer), ())
            verdict = decide(excerpt, unit, peer, "in", 6, port).verdict
            if verdict.action == "Allow" or number % 4 == 0:
                break
        address = f"203.0.{number % 256}.9" if number % 10 == 0 else ""
        found.append(_record(unit, peer, address, port, verdict.action, verdict.rule))
    return found


def _record(unit: Unit, peer: Unit, address: str, port: int, action: Any, rule: str) -> FlowRecord:
    return FlowRecord(
        unit=unit.id,
        direction="incoming",
        peer_badge=0 if address else peer.badge,
        peer_unit="" if address else peer.id,
        peer_address=address,
        network="",
        protocol=6,
        port=port,
        action=action,
        reason="policy",
        rule=rule,
        ruleset=rule.partition("/")[0],
        observed_action="",
        observed_rule="",
        proved=not address,
        revision=1,
        connections=1,
        packets_in=9,
        packets_out=9,
        bytes_in=900,
        bytes_out=900,
        latency_us_total=100,
        first_seen=1_767_225_600.0,
        last_seen=1_767_225_601.0,
    )


def draft(world: World, number: int, random: Random) -> Draft:
    """A draft at the top that opens and closes something in some rulesets."""
    changes = []
    for key in random.sample(sorted(world.rulesets), EDITED):
        before = _resource(world.rulesets[key])
        more = NetworkRule(object=[["team=team01"]], protocol_ports=["tcp/8080"], action="Reject")
        after = msgspec.structs.replace(before, incoming_rules=[*before.incoming_rules[1:], more])
        told = {"before": msgspec.to_builtins(before), "after": msgspec.to_builtins(after)}
        changes.append(
            DraftChange(
                operation="update",
                kind="networkrulesetpolicy",
                id=before.id,
                namespace=before.namespace,
                name=before.name,
                **told,
            )
        )
    name = f"draft{number}"
    return Draft(id=name, name=name, namespace="/", edition=1, shadowed=True, changes=changes)


def _resource(ruleset: Ruleset) -> NetworkRuleSetPolicy:
    return NetworkRuleSetPolicy(
        id=ruleset.id,
        name=ruleset.name,
        namespace=ruleset.namespace,
        subject=[list(each) for each in ruleset.subject],
        incoming_rules=[_rule(each) for each in ruleset.incoming],
        outgoing_rules=[_rule(each) for each in ruleset.outgoing],
        propagate=ruleset.propagate,
        fallback=ruleset.fallback,
    )


def _rule(rule: Rule) -> NetworkRule:
    return NetworkRule(
        object=[list(each) for each in rule.object],
        protocol_ports=list(ports.format_ports(rule.ports)),
        action=rule.action,
        observation_enabled=rule.observed,
    )


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def after_an_edit(console: Console, batch: list[FlowRecord]) -> float:
    """Seconds that the next report takes in which a live ruleset has changed."""
    world = console.roster.world
    key = sorted(world.rulesets)[0]
    changed = world.revision + 1
    edited = Alteration("rulesets", key, _renamed(world.rulesets[key], changed))
    console.roster.world = altered(world, changed, [edited])
    reporter = Reporter(world.units[batch[0].unit].enforcer, "")
    report = resolve(batch[0], reporter, console.roster, _NOW)
    assert report is not None
    started = time.process_time()
    console.shadows.judged(batch[0], report, None)
    return time.process_time() - started


def _renamed(ruleset: Ruleset, number: int) -> Ruleset:
    return Ruleset(
        ruleset.id, f"edit {number}", ruleset.namespace, ruleset.subject, ruleset.incoming, ruleset.outgoing, True
    )


def measure(console: Console, batch: list[FlowRecord], drafts: list[Draft], pairs: int, runner: asyncio.Runner) -> Any:
    """Pairs of nobody judging and ``drafts`` doing so; microseconds for each report."""

    def taking(judging: list[Draft]) -> Callable[[], float]:
        def run() -> float:
            console.shadow(judging)
            runner.run(console.take(batch))  # once so that what is found once is found
            return median(runner.run(console.take(batch)) for _ in range(3)) * 1e6

        return run

    return run_pairs(pairs, ("no draft", taking([])), (f"{len(drafts)} draft(s)", taking(drafts)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="paired repetitions")
    parser.add_argument("--seed", type=int, default=1, help="of the company, its flows and the drafts")
    arguments = parser.parse_args()
    random = Random(arguments.seed)
    world = Company(UNITS, arguments.seed).world()
    drafts = [draft(world, number, random) for number in range(DRAFTS)]
    batch = flows(world, BATCH, random)
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        stores = runner.run(SqliteStores.open(Path(folder) / "flows.db"))
        console = Console(world, stores.flows)
        one = measure(console, batch, drafts[:1], arguments.pairs, runner)
        console.shadow([])
        runner.run(console.take(batch))
        before = resident()
        eight = measure(console, batch, drafts, arguments.pairs, runner)
        console.shadow(drafts)
        runner.run(console.take(batch))
        memory = max(0, resident() - before) / DRAFTS / 1e6
        edits = [after_an_edit(console, batch) * 1000 for _ in range(5)]
        runner.run(stores.close())
    print(one.table(f"Reports stored, {BATCH} at a time", "µs each", 1))
    print(eight.table(f"Reports stored, {BATCH} at a time", "µs each", 1))
    figures = {
        "none_us": median(one.a),
        "one_extra_us": one.difference,
        "eight_extra_us": eight.difference,
        "one_ratio": one.ratio,
        "eight_ratio": eight.ratio,
        "mb_per_draft": memory,
        "edit_ms": median(edits),
    }
    print(closing_line("shadow", figures))


if __name__ == "__main__":
    main()
