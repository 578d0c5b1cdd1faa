"""Turns: what is measured of whoever stands between client and server, and who that can be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.fenced import PORT, PORTS, STREAM_PORT, FencedPair
from bench.peers.contender import Target
from bench.peers.figures import Turn

#: Connections at a time for the rate, by each of two processes.
_INFLIGHT = 16


@dataclass(frozen=True, slots=True)
class Length:
    """How long a turn's parts take, in seconds; ``warming`` is not counted."""

    warming: float
    rate: float
    latency: float
    stream: float


FULL = Length(0.3, 2.0, 0.8, 1.5)
QUICK = Length(0.05, 0.15, 0.1, 0.15)


@dataclass(frozen=True, slots=True)
class Seat:
    """Where the load goes, and what has to be in place while it does."""

    target: Target
    presence: Callable[[], AbstractContextManager[object]] = nullcontext


def serve(pair: FencedPair) -> None:
    """Start the servers, on all addresses."""
    pair.serve("serve", port=PORT, ports=PORTS)
    pair.serve("stream-serve", port=STREAM_PORT)


def take_turn(pair: FencedPair, seat: Seat, length: Length) -> Turn:
    """One turn: rate, latency, throughput. A single failed connection is an error."""
    with seat.presence():
        _connect(pair, seat.target, length.warming, _INFLIGHT, 2)
        before = _cpu_us(pair)
        many = _connect(pair, seat.target, length.rate, _INFLIGHT, 2)
        used = _cpu_us(pair) - before
        single = _connect(pair, seat.target, length.latency, 1, 1)
        goal = ["--address", seat.target.address, "--port", str(STREAM_PORT)]
        stream = pair.load("stream", *goal, "--seconds", str(length.stream))
    return Turn(
        per_second=float(many["per_second"]),
        exchange_us=float(single["transaction_us"]["p50"]),
        gbit_per_second=float(stream["gbit_per_second"]),
        cpu_us=used / many["connections"],
    )


def _connect(pair: FencedPair, target: Target, seconds: float, inflight: int, processes: int) -> dict[str, Any]:
    goal = ["--address", target.address, "--port", str(PORT), "--ports", str(target.ports)]
    load = ["--seconds", str(seconds), "--inflight", str(inflight), "--processes", str(processes)]
    return pair.load("connect", *goal, *load)


def _cpu_us(pair: FencedPair) -> int:
    """Processor time of everything on both hosts so far, in µs."""
    return sum(usage_us(Path(host.cgroup, "cpu.stat").read_text()) for host in (pair.client, pair.server))


def usage_us(stat: str) -> int:
    """What a cgroup's ``cpu.stat`` says of its processes' time, those that have ended included."""
    return int(dict(line.split() for line in stat.splitlines())["usage_usec"])
