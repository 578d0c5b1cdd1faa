"""Agents that are killed again and again, at any moment of their lives, while connections stand and others are made.

    python -m tests.e2e.kills --kills 1000 --seed 7

Two hosts; the agent of each is started and ended by SIGKILL a random time later, on its own: one time in two while it
starts, else while it is on duty and takes revisions. The policy changes several times a second. What came of it is what
the applications saw, as one line of JSON; the exit code is 1 if one connection was lost or one was let in that should
not be.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from demo.enforcer import Enforcer
from tests.datapath import load
from tests.e2e.outpost import PORT, Outpost, outposts

HELD, RATE = 50, 100
#: Seconds for which an agent lives on duty at most.
_LONGEST_DUTY = 1.0
_CHANGE_EVERY = 0.3


@dataclass
class Outcome:
    """What the applications saw."""

    seed: int
    kills: int = 0
    killed_on_duty: int = 0  # after the Console had answered; the others while they started
    seconds: float = 0.0
    revisions: int = 0
    held: int = 0
    broken: int = 0  # of those that stood
    connections: int = 0
    failed: dict[str, int] = field(default_factory=dict)  # of those made meanwhile
    unproved: int = 0  # connections that came about without a proof
    refused: int = 0  # attempts of who may not
    entered: int = 0  # and successes
    left: list[str] = field(default_factory=list)  # after removal

    @property
    def unharmed(self) -> bool:
        """Nothing was lost and nobody got in."""
        flaws = (self.broken, self.failed, self.unproved, self.entered, self.left)
        return not any(flaws) and bool(self.kills and self.connections and self.refused)


class Killer(threading.Thread):
    """Ends one host's agent ``times`` times, and leaves a living one. A start takes about ``start`` seconds."""

    def __init__(self, enforcer: Enforcer, times: int, moments: random.Random, start: float) -> None:
        super().__init__(name=f"killer of {enforcer.host.name}")
        self.killed_on_duty = 0
        self._enforcer, self._times, self._moments, self._start = enforcer, times, moments, start
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Kill."""
        try:
            for _ in range(self._times):
                self._let_live()
                self._kill()
                self._enforcer.start()
        except BaseException as failure:
            self.failure = failure

    def _let_live(self) -> None:
        if self._moments.random() < 0.5:
            time.sleep(self._moments.uniform(0.0, self._start))
            return
        deadline = time.monotonic() + 60
        while not on_duty(self._enforcer) and self._enforcer.agent.running() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(self._moments.uniform(0.0, _LONGEST_DUTY))

    def _kill(self) -> None:
        agent = self._enforcer.agent
        if not agent.running():
            raise AssertionError(f"the agent on {self._enforcer.host.name} ended by itself: {agent.output()[-3000:]}")
        self._enforcer.kill()
        self.killed_on_duty += on_duty(self._enforcer)


def on_duty(enforcer: Enforcer) -> bool:
    """Whether the Console has answered this agent."""
    return "session with the Console established" in enforcer.agent.output()


class Changes(threading.Thread):
    """Changes policy elsewhere, several times a second."""

    def __init__(self, outpost: Outpost) -> None:
        super().__init__(name="changes")
        self.revision = self.made = 0
        self._outpost = outpost
        self._over = threading.Event()

    def run(self) -> None:
        """Change."""
        while not self._over.wait(_CHANGE_EVERY):
            self.made += 1
            self.revision = self._outpost.change_elsewhere(self.made)

    def stop(self) -> None:
        """Make no further change."""
        self._over.set()
        self.join()


def storm(outpost: Outpost, kills: int, seed: int) -> Outcome:
    """Kill ``kills`` times in all, under load."""
    outcome = Outcome(seed)
    before = outpost.counters("db")["proved"]
    start = _time_to_duty(outpost)
    began = time.monotonic()
    with _load(outpost, outcome):
        killers = [
            Killer(enforcer, kills // 2 + (number < kills % 2), random.Random(f"{seed} {name}"), start)
            for number, (name, enforcer) in enumerate(outpost.enforcers.items())
        ]
        changes = Changes(outpost)
        for thread in (*killers, changes):
            thread.start()
        for killer in killers:
            killer.join()
        changes.stop()
        for killer in killers:
            if killer.failure is not None:
                raise killer.failure
            outcome.killed_on_duty += killer.killed_on_duty
        outcome.kills, outcome.revisions = kills, changes.made
        outpost.enforces(changes.revision, "web", "db")
    outcome.seconds = round(time.monotonic() - began, 1)
    outcome.unproved = outcome.connections + outcome.held - (outpost.counters("db")["proved"] - before)
    return outcome


def _time_to_duty(outpost: Outpost) -> float:
    """Seconds from the start of an agent until the Console has answered it, on this machine today."""
    enforcer = outpost.enforcers["db"]
    enforcer.kill()
    began = time.monotonic()
    enforcer.start()
    while not on_duty(enforcer):
        time.sleep(0.01)
    return time.monotonic() - began


@contextmanager
def _load(outpost: Outpost, outcome: Outcome) -> Iterator[None]:
    """Who may, calls and holds connections; who may not, tries."""
    web, db = outpost.web, outpost.db
    echo = load.start(db, "echo", port=PORT + 1, seconds=86400)
    load.ready(echo)
    held = load.hold(web, db, PORT + 1, HELD, timeout_ms=30000, seconds=86400)
    calls = load.start(
        web, "connect", address=db.ipv4, port=PORT, rate=RATE, inflight=64, seconds=86400, timeout_ms=30000
    )
    intruders = [
        load.start(
            host, "connect", cgroup, address=db.ipv4, port=PORT, rate=20, inflight=8, seconds=86400, timeout_ms=300
        )
        for host, cgroup in ((web, "guest"), (outpost.outside, ""))
    ]
    yield
    for process in (calls, *intruders):
        found = load.result(process, stop=True)
        if process is calls:
            outcome.connections, outcome.failed = found["connections"], found["failures"]
        else:
            outcome.entered += found["connections"]
            outcome.refused += sum(found["failures"].values())
    standing = load.result(held, stop=True)
    outcome.held, outcome.broken = standing["opened"], standing["broken"]
    echo.stop()


def remove(outpost: Outpost) -> list[str]:
    """Uninstall both Enforcers; what is left of them."""
    left: list[str] = []
    for enforcer in outpost.enforcers.values():
        left += enforcer.uninstall()["left"]
        left += [str(path) for path in (enforcer.pins, enforcer.host.directory / "data") if path.exists()]
        left += [str(path) for path in enforcer.host.cgroup.rglob("watchword*") if path.is_dir()]
    return left


def main() -> int:
    """Run the storm and print what came of it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=1000)
    options.add_argument("--seed", type=int, default=int(time.time()))
    given = options.parse_args()
    with outposts("soak") as outpost:
        outcome = storm(outpost, given.kills, given.seed)
        outcome.left = remove(outpost)
    print(json.dumps(asdict(outcome)))
    return 0 if outcome.unharmed else 1


if __name__ == "__main__":
    sys.exit(main())
