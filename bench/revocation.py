"""How long a connection lives on after it was forbidden: from the API call, and from when its hosts hear of it.

A hundred times a connection is opened and the rule that allows it is turned into its opposite. What counts is the
application's own reset. When the Console's word arrives is seen on the wire: the first segment with payload that it
sends to either host after the call.
"""

from __future__ import annotations

import select
import socket
import time
from statistics import median

from bench.bars import Finding
from testbed import Capture, Segment
from tests.datapath.workload import Workload, finish
from tests.e2e.outpost import PORT, Outpost

_CHANGES = 100
_PATIENCE = 10.0


def measure(outpost: Outpost, changes: int = _CHANGES) -> dict[str, Finding]:
    """Forbid and allow again."""
    calls, heard = [], []
    app = Workload(outpost.web, "app", "revocation")
    try:
        for number in range(changes):
            from_call, from_hearing = _cut(outpost, app, 4 if number % 2 else 6)
            calls.append(from_call * 1000)
            heard.append(from_hearing * 1000)
    finally:
        app.close()
    return {"revoke_p99_ms": _finding(calls), "revoke_heard_p99_ms": _finding(heard)}


def _cut(outpost: Outpost, app: Workload, version: int) -> tuple[float, float]:
    """One change: seconds from the call to the reset, and from the first word of the Console to it."""
    console = outpost.hosts["console"].ipv4

    def word(segment: Segment) -> bool:
        return segment.source == console and bool(segment.payload)

    with app.begin(outpost.db.address(version), PORT) as held:
        finish(held)
        with Capture(outpost.web, word) as web, Capture(outpost.db, word) as db:
            called, wall = time.monotonic(), time.time()
            outpost.let_in(False)
            cut = _reset(held)
        frames = [frame.time for frame in (*web.frames, *db.frames) if frame.time >= wall]
    if not frames:
        raise RuntimeError("the connection was cut before the Console said anything")
    outpost.enforces(outpost.let_in(True), "web", "db")
    return cut - called, cut - called - (min(frames) - wall)


def _reset(held: socket.socket) -> float:
    """When the application saw it."""
    poll = select.poll()
    poll.register(held, select.POLLERR | select.POLLHUP)
    if not poll.poll(_PATIENCE * 1000):
        raise RuntimeError(f"a forbidden connection lives on after {_PATIENCE:.0f} s")
    return time.monotonic()


def _finding(milliseconds: list[float]) -> Finding:
    ordered = sorted(milliseconds)
    p99 = ordered[-(-99 * len(ordered) // 100) - 1]
    return Finding(p99, f"{ordered[0]:.0f} to {ordered[-1]:.0f}, median {median(ordered):.0f}")
