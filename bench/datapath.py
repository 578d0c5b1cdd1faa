"""Every bar of the datapath in one run of some six minutes: one table, one line of JSON.

    python -m bench.datapath [--only PART ...] [--quick]

Parts can be run alone; what is not measured is ``null`` in the JSON. A part that fails, or takes too long, is named and
does not keep the others from being measured; the exit code is then 1. A bar that is missed is a result, not an error.
``--quick`` shows that everything works; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bench import connrate, datagrams, loaded, outage, revocation, throughput
from bench.bars import Bar, Finding, last_line, table
from bench.burden import Burden
from bench.fenced import FencedPair
from bench.pairs import Pairs
from tests.e2e.outpost import outposts

BARS = (
    Bar("connection_ratio", "new TCP connections/s, of bare", 0.95, least=True, digits=3),
    Bar(
        "loaded_ratio", "same, with 1,000 units, 10,000 badges, 5,000 rules, of nearly none", 0.98, least=True, digits=3
    ),
    Bar("added_latency_us", "added median connect latency", 15, unit="µs"),
    Bar("throughput_ratio", "bulk TCP throughput, of bare, the worse MTU", 0.98, least=True, digits=3),
    Bar("throughput_ratio_1500", "  MTU 1500", None, digits=3),
    Bar("throughput_ratio_9000", "  MTU 9000", None, digits=3),
    Bar("udp_ratio", "new UDP flows/s, the session standing, of bare", 0.90, least=True, digits=3),
    Bar("udp_first_contact_us", "added to the first datagram of all", None, unit="µs"),
    Bar("revoke_p99_ms", "deny → connection cut, p99, from the API call", 1000, unit="ms", digits=0),
    Bar("revoke_heard_p99_ms", "same, from the host's hearing of it", 100, unit="ms", digits=0),
    Bar("restart_failures", "agents killed -9 under load: connections failed", 0, digits=0),
    Bar("restart_unpoliced", "same: attempts in, or connections unproved", 0, digits=0),
    Bar("rss_mb", "agent's memory at that size", 80, unit="MB"),
    Bar("start_s", "agent's start to enforcing at that size", 3, unit="s", digits=2),
    Bar("idle_percent", "idle agent at that size, of a core", 0.5, unit="%", digits=2),
)

Found = dict[str, Finding]
#: part -> (measurement, given whether it is to be quick; seconds after which it has failed)
Part = tuple[Callable[[bool], Found], float]


def _connections(quick: bool) -> Found:
    with FencedPair() as pair:
        connrate.serve(pair)
        rate = connrate.rate(pair, 4, *((1, 0.3) if quick else (9, 1.2)))
        latency = connrate.added_latency(pair, *((1, 0.3) if quick else (5, 1.0)))
    _told(rate.table("new connections, IPv4", "per second"), latency.table("connect(), median", "µs", 1))
    added = latency.differences
    return {
        "connection_ratio": Finding(rate.ratio, rate.span),
        "added_latency_us": Finding(latency.difference, f"{min(added):.1f} to {max(added):.1f}"),
    }


def _throughput(quick: bool) -> Found:
    measured: dict[int, Pairs] = {}
    for mtu in (1500, 9000):
        measured[mtu] = throughput.throughput(mtu, *((1, 0.3) if quick else (5, 2.5)))
        _told(measured[mtu].table(f"one stream, MTU {mtu}", "Gbit/s", 2))
    found = {f"throughput_ratio_{mtu}": Finding(pairs.ratio, pairs.span) for mtu, pairs in measured.items()}
    return {"throughput_ratio": min(found.values(), key=lambda finding: finding.value), **found}


def _udp(quick: bool) -> Found:
    with FencedPair(ports=datagrams.PORTS) as pair:
        datagrams.serve(pair)
        flows = datagrams.new_flows(pair, 4, *((1, 0.3) if quick else (5, 2.0)))
        first = datagrams.first_contact(pair, *((1,) if quick else (7,)))
    _told(flows.table("questions, each from a new port, IPv4", "per second"), first.table("first contact", "µs", 1))
    added = first.differences
    return {
        "udp_ratio": Finding(flows.ratio, flows.span),
        "udp_first_contact_us": Finding(first.difference, f"{min(added):.1f} to {max(added):.1f}"),
    }


def _loaded(quick: bool) -> Found:
    if quick:
        return loaded.measure(Burden(units=20, peers=100, rules=100, colleagues=4), pairs=1, idle=1.0)
    return loaded.measure(Burden())


def _changes(quick: bool) -> Found:
    """Revocation and outage, on the same hosts."""
    with outposts("bars") as outpost:
        found = revocation.measure(outpost, *((3,) if quick else ()))
        return {**found, **outage.measure(outpost, *((200, 6) if quick else ()))}


PARTS: dict[str, Part] = {
    "connections": (_connections, 150),
    "throughput": (_throughput, 150),
    "udp": (_udp, 150),
    "loaded": (_loaded, 240),
    "changes": (_changes, 150),
}


def _told(*tables: str) -> None:
    for each in tables:
        print(each, end="\n\n", flush=True)


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise :class:`TimeoutError` in the block when it takes longer; what it has made is removed on the way out."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"not done after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(names: Sequence[str], quick: bool) -> tuple[Found, dict[str, str]]:
    """What these parts measured, and why those failed that did."""
    found: Found = {}
    failures: dict[str, str] = {}
    for name in names:
        part, limit = PARTS[name]
        print(f"— {name}", flush=True)
        try:
            with bounded(limit):
                found |= part(quick)
        except Exception as error:  # the others are measured all the same
            failures[name] = f"{type(error).__name__}: {error}"
            print(f"{name} failed: {failures[name]}", flush=True)
    return found, failures


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="these parts")
    parser.add_argument("--quick", action="store_true", help="as short as possible; the figures mean nothing")
    options = parser.parse_args()
    began = time.monotonic()
    found, failures = run(options.only, options.quick)
    print(table(BARS, found, failures), end="\n\n")
    print(last_line("datapath", BARS, found, failures, time.monotonic() - began))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
