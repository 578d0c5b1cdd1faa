"""Reading what happened: the job's own log, and flow reports."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

from demo.operator import await_that
from demo.stage import Stage


def job_uses(stage: Stage, *, since: float = 0.0, at_least: int = 0, within: float = 30) -> list[dict[str, Any]]:
    """What the job has tried after ``since`` (``time.monotonic()``); waits for so many, but not for ever."""
    uses: list[dict[str, Any]] = []

    def enough() -> bool:
        lines = stage.programs["job"].output().splitlines(keepends=True)
        whole = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}\n")]
        uses[:] = [each for each in whole if each["at"] > since]
        return len(uses) >= at_least

    await_that(enough, within)
    return uses


def failures(uses: list[dict[str, Any]]) -> list[str]:
    """How uses failed, if any did."""
    return [f"{each['use']}: {each['failed']}" for each in uses if each["failed"]]


def job_loses_database(stage: Stage, *, since: float, within: float = 30) -> str:
    """How the job's use of the database first failed after ``since``; nothing if it never did."""

    def lost() -> list[str]:
        return [each["failed"] for each in job_uses(stage, since=since) if each["use"] == "database" and each["failed"]]

    await_that(lambda: bool(lost()), within)
    return next(iter(lost()), "")


def job_recovers(stage: Stage, within: float = 40) -> str:
    """Wait until the job uses API and database without failure again; how it failed last if it does not."""
    began = time.monotonic()

    def healthy() -> bool:
        last = job_uses(stage, since=began)[-2:]
        return len(last) == 2 and not failures(last)

    if await_that(healthy, within):
        return ""
    return "; ".join(failures(job_uses(stage, since=began))[-2:]) or "it is silent"


def is_flow(record: dict[str, Any], source: str, destination: str) -> bool:
    """Whether a flow report is about these two workloads."""
    return bool(record["sourceName"] == source and record["destinationName"] == destination)


def because(record: dict[str, Any]) -> str:
    """What decided: ``ruleset/rule``, ``default``, or why the packet was dropped."""
    if record["reason"] != "policy":
        return str(record["reason"])
    if record["policyID"] in ("", "default"):
        return "default"
    return f"{record['policyName']}/{record['ruleName']}"


def summary(flows: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """One row for each kind of flow as its destination saw it, with the connections added up."""
    totals: Counter[tuple[str, ...]] = Counter()
    for each in flows:
        if each["reportedBy"] == "Destination":
            source = each["sourceName"] or each["sourceIP"]
            if each["sourceType"] == "ExternalNetwork":
                source = f"{each['sourceName']} ({each['sourceIP']})"
            key = (source, each["destinationName"], f"tcp/{each['destinationPort']}", each["action"], because(each))
            totals[*key, "proved" if each["proved"] else ""] += each["value"]
    return [(*key, number) for key, number in sorted(totals.items())]
