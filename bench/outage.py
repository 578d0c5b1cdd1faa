"""Two agents killed -9 under load and started again: connections that fail, and attempts that get in unpoliced."""

from __future__ import annotations

import time

from bench.bars import Finding
from tests.datapath import load
from tests.e2e.outpost import PORT, Outpost

RATE = 2200
#: What the load has to have been for the figures to count.
_LEAST = 2000
_SECONDS = 9
_BEFORE, _DEAD = 2.0, 2.5


def measure(outpost: Outpost, rate: int = RATE, seconds: int = _SECONDS) -> dict[str, Finding]:
    """Load, kill, start, count."""
    proved = outpost.counters("db")["proved"]
    calls = load.call(outpost.web, outpost.db, PORT, rate=rate, inflight=64, seconds=seconds)
    intruders = [
        load.start(host, "connect", cgroup, address=outpost.db.ipv4, port=PORT, rate=40, inflight=16, seconds=3600,
                   timeout_ms=300)
        for host, cgroup in ((outpost.web, "guest"), (outpost.outside, ""))
    ]  # fmt: skip
    time.sleep(_BEFORE)
    for enforcer in outpost.enforcers.values():
        enforcer.kill()
    time.sleep(_DEAD)
    for enforcer in outpost.enforcers.values():
        enforcer.start()
    made = load.result(calls)
    tried = [load.result(process, stop=True) for process in intruders]
    outpost.enforces(1, "web", "db")
    proofs = outpost.counters("db")["proved"] - proved
    if made["per_second"] < _LEAST * rate / RATE:
        raise RuntimeError(f"the load was {made['per_second']:.0f} connections a second, not {_LEAST * rate // RATE}")
    if min(sum(found["failures"].values()) for found in tried) < 10:
        raise RuntimeError("hardly anybody knocked who may not enter")
    entered = sum(found["connections"] for found in tried)
    failed = made["begun"] - made["connections"]
    unproved = abs(made["connections"] - proofs)
    attempts = entered + sum(sum(found["failures"].values()) for found in tried)
    return {
        "restart_failures": Finding(failed, f"of {made['begun']}, {made['per_second']:.0f} a second"),
        "restart_unpoliced": Finding(entered + unproved, f"of {attempts} refused, {made['connections']} proved"),
    }
