"""Reading what happened: the job's own log, and flow reports."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

from demo.stage import Stage


def job_rounds(stage: Stage, *, at_least: int = 0, since: float = 0.0, within: float = 20) -> list[dict[str, Any]]:
    """The rounds of the job that began after ``since`` (``time.monotonic()``); waits for so many."""
    deadline = time.monotonic() + within
    while True:
        lines = stage.programs["job"].output().splitlines()
        rounds = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        rounds = [each for each in rounds if each["at"] > since]
        if len(rounds) >= at_least or time.monotonic() > deadline:
            return rounds
        time.sleep(0.1)


def job_fails(stage: Stage, *, since: float, within: float = 20) -> str:
    """How the job's use of the database first failed after ``since``; nothing if it never did."""
    deadline = time.monotonic() + within
    while True:
        failures = [each["database"] for each in job_rounds(stage, since=since) if each["database"]]
        if failures or time.monotonic() > deadline:
            return failures[0] if failures else ""
        time.sleep(0.1)


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
