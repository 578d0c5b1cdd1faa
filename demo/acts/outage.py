"""Act 6: Enforcers are killed under load. Nothing is lost, and nothing opens."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

from demo.cast import PORTS
from demo.operator import await_that
from demo.puppet import Knocking
from demo.show import Show
from testbed import Capture, Segment

TITLE = "Outage: two Enforcers killed -9 under load"
WORDS = (
    "The agents of db and shop are killed while two workloads open more than 2,000 connections a second, and the "
    "intruder keeps knocking. The kernel goes on deciding by what it knows. Then the agents come back."
)

RATE = 2200
BAR = 2000
SECONDS = 9.0
RSS_BAR_MB = 70.0

_KILLED = ("db", "shop")


def perform(show: Show) -> None:
    """Load, kill, look, start, compare."""
    stage = show.stage
    show.weigh()
    began = time.monotonic()
    targets = [(stage.address(name), PORTS[name]) for name in ("postgres", "ledger", "api")]
    with ExitStack() as stack:
        knocks = [stack.enter_context(who.knock(targets)) for who in (stage.puppets["wiki"], stage.outside)]
        wires = [stack.enter_context(stage.hosts[name].capture(_is_welcome)) for name in ("intruder", "outside")]
        meter = stage.meter(SECONDS, RATE)
        missing, outage = _kill_and_start(show)
        with show.narrator.working("the load goes on"):
            meter.wait(60)
    load = json.loads(meter.output().splitlines()[-1])
    failed = sum(load["failures"].values())
    show.narrator.table(
        "What the clients saw", ("connections", "per second", "failed", "p50 µs", "p99 µs", "agents dead for"),
        [(load["connections"], f"{load['per_second']:.0f}", failed, f"{load['connect_us']['p50']:.0f}",
          f"{load['connect_us']['p99']:.0f}", f"{outage:.1f} s")],
    )  # fmt: skip
    show.expect(
        f"the load was above {BAR} new connections a second", load["per_second"] >= BAR, f"{load['per_second']:.0f}"
    )
    show.expect(
        "no connection failed",
        failed == 0 and load["connections"] == load["begun"],
        f"{load['connections']} of {load['begun']} good",
    )
    show.job_works("the job lost neither a request nor its database connection", since=began, at_least=8)
    _nobody_entered(show, knocks, wires)
    show.expect("the Console named those that were behind", set(missing) == set(_KILLED), ", ".join(missing))
    _back(show)
    _counted(show, load["connections"])
    _memory(show)


def _kill_and_start(show: Show) -> tuple[list[str], float]:
    """Kill the agents, change the policy meanwhile, start them again; who was behind, and for how long."""
    stage = show.stage
    time.sleep(2.0)
    for name in _KILLED:
        stage.enforcers[name].kill()
        show.narrator.command(f"kill -9 $(pgrep -f 'watchword enforcer')      # on {name}")
    killed = time.monotonic()
    unit = stage.operator.get("/v1/processingunits", filter='name == "wiki"', recursive="true")[0]
    revision = stage.operator.change(
        f"/v1/processingunits/{unit['ID']}", {"associatedTags": [*unit["associatedTags"], "seen=true"]}
    )
    with show.narrator.working("two hosts without an agent; policy changes meanwhile"):
        time.sleep(2.5)
        answer = stage.operator.get(f"/v1/revisions/{revision}/enforcement")
    for name in _KILLED:
        stage.enforcers[name].start()
    return answer["stragglers"], time.monotonic() - killed


def _is_welcome(segment: Segment) -> bool:
    """A SYN-ACK to somebody who knocked: the beginning of an open door.

    Lower ports were used for forging before; those handshakes may still be waited for.
    """
    return segment.flags == "SA" and segment.sport in PORTS.values() and segment.dport > 32767


def _nobody_entered(show: Show, knocks: list[Knocking], wires: list[Capture]) -> None:
    for who, knocking, wire in zip(("the intruder", "the host without identity"), knocks, wires, strict=True):
        show.expect(
            f"{who} knocked all the time and never got in", knocking.attempts >= 50 and knocking.entered == 0,
            f"{knocking.attempts} attempts, {knocking.entered} in",
        )  # fmt: skip
        show.expect(
            f"nor did any SYN-ACK come to {who}",
            not wire.segments() and not wire.lost,
            f"{len(wire.segments())} on its wire",
        )


def _back(show: Show) -> None:
    waited = json.loads(show.stage.operator.command("wait", "--timeout", "60s", "--json", check=False).stdout)
    show.narrator.command("watchword wait --revision latest")
    show.expect(
        "the agents are back and in step", not waited["stragglers"], f"revision {waited['revision']} everywhere"
    )
    states = {
        each["name"]: each["operationalStatus"] for each in show.stage.operator.get("/v1/enforcers", recursive="true")
    }
    show.expect("and connected", all(states[name] == "Connected" for name in _KILLED))
    show.weigh()


def _counted(show: Show, connections: int) -> None:
    """The reports of both ends against what the clients counted."""
    wanted = 'sourceName == "meter" and destinationName == "ledger" and proved == true and action == Allow'
    reported: dict[str, int] = {}

    def complete() -> bool:
        reported.update(Source=0, Destination=0)
        for each in show.stage.operator.flows(wanted):
            reported[each["reportedBy"]] += each["value"]
        return min(reported.values()) >= connections

    with show.narrator.working("the last reports come in"):
        await_that(complete, 20)
    show.expect(
        "both ends report each of these connections, none lost and none twice",
        reported == {"Source": connections, "Destination": connections},
        f"{reported['Source']} and {reported['Destination']} reported",
    )


def _memory(show: Show) -> None:
    most = max(show.rss_mb.values())
    show.checks.agent_rss_mb = most
    show.narrator.table(
        "Memory of the agents, at most so far",
        ("host", "resident"),
        [(name, f"{size:.1f} MB") for name, size in show.rss_mb.items()],
    )
    show.expect(
        f"every agent takes at most {RSS_BAR_MB:.0f} MB", len(show.rss_mb) == 5 and most <= RSS_BAR_MB, f"{most:.1f} MB"
    )
