"""What a large host's policy costs: the connection rate, and the agent's memory, start and idle time.

Two pairs of hosts with real agents under one Console (:mod:`bench.site`) are measured in turn. Starting is as after a
boot: nothing in the kernel, the signed revision on disk.
"""

from __future__ import annotations

import time
from statistics import median

from bench.bars import Finding
from bench.burden import Burden
from bench.pairs import run_pairs
from bench.site import Pair, boot, processor_seconds, sites

_PAIRS = 30
_SECONDS = 0.6
_BOOTS = 3
_SETTLING = 6.0
_IDLE_SECONDS = 12.0


def measure(burden: Burden, pairs: int = _PAIRS, idle: float = _IDLE_SECONDS) -> dict[str, Finding]:
    """Build, measure, remove."""
    with sites(burden) as (_, light, loaded):
        rate = run_pairs(
            pairs,
            ("no other policy", lambda: light.connections(_SECONDS)),
            ("loaded", lambda: loaded.connections(_SECONDS)),
            progress=print,
        )
        started = [boot(loaded.enforcers[number % 2]) for number in range(_BOOTS)]
        time.sleep(_SETTLING)  # until the sessions with the Console stand
        memory = [enforcer.rss_mb() for enforcer in loaded.enforcers]
        share = _idle(loaded, idle)
    print(rate.table("new connections, IPv4, by what the hosts know", "per second"), end="\n\n")
    return {
        "loaded_ratio": Finding(rate.ratio, rate.span),
        "start_s": Finding(median(started), f"{min(started):.2f} to {max(started):.2f}"),
        "rss_mb": Finding(max(memory), f"{min(memory):.1f} to {max(memory):.1f}"),
        "idle_percent": Finding(max(share), f"{min(share):.2f} to {max(share):.2f}"),
    }


def _idle(pair: Pair, seconds: float) -> list[float]:
    """Processor time of each agent while nothing happens, in percent of a core."""
    before = [processor_seconds(enforcer) for enforcer in pair.enforcers]
    time.sleep(seconds)
    return [
        100 * (processor_seconds(enforcer) - spent) / seconds
        for enforcer, spent in zip(pair.enforcers, before, strict=True)
    ]
