"""Watchword, nebula, stunnel and Envoy against the bare kernel: the same hosts, the same load, one run of four minutes.

    python -m bench.peers [--only NAME ...] [--quick]

A contender that is not installed or fails is named, does not keep the others from being measured, and makes the exit
code 1. Nebula and TLS encrypt, Watchword and the bare kernel do not: the figures compare what identity costs where that
is how it is had, not like with like. The last line of the output is JSON. ``--quick`` shows that everything works; its
figures mean nothing, and no agent is started to be weighed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version

from bench.datapath import bounded
from bench.fenced import FencedPair
from bench.pairs import closing_line
from bench.peers.contender import Contender, Target
from bench.peers.envoy import Envoy
from bench.peers.figures import BARE, Turn, figures, order, rounded, table
from bench.peers.nebula import Nebula
from bench.peers.stunnel import Stunnel
from bench.peers.turns import FULL, QUICK, Length, Seat, serve, take_turn
from tests.e2e.outpost import outposts

WATCHWORD = "watchword"
CONTENDERS: dict[str, type[Contender]] = {kind.name: kind for kind in (Nebula, Stunnel, Envoy)}

_ROUNDS = 7
#: Seconds after which a turn, or a contender's start, has failed.
_LIMIT = 25.0


class Contest:
    """Everybody's turns. Who fails once is out: a result with holes is none."""

    def __init__(self, pair: FencedPair, length: Length) -> None:
        self.pair, self.length = pair, length
        self.seats = {BARE: Seat(Target(pair.server.ipv4)), WATCHWORD: Seat(Target(pair.server.ipv4), pair.policed)}
        self.turns: dict[str, list[Turn]] = {}
        self.contenders: dict[str, Contender] = {}
        self.versions = {WATCHWORD: version("watchword")}
        self.failed: dict[str, str] = {}

    def enter(self, name: str) -> None:
        """Start a contender; it stays, idle, while others have their turns."""
        contender = CONTENDERS[name](self.pair)
        try:
            with bounded(_LIMIT):
                self.versions[name] = contender.version()
                target = contender.start()
                contender.wait(target)
        except Exception as error:  # the others are measured all the same
            contender.stop()
            self._fails(name, error)
            return
        self.contenders[name] = contender
        self.seats[name] = Seat(target)
        print(f"{name} {self.versions[name]} works", flush=True)

    def round(self, number: int) -> None:
        """One turn of everybody who is still in. Without the bare kernel there is nothing to compare with."""
        for name in order(list(self.seats), number):
            try:
                with bounded(_LIMIT):
                    self.turns.setdefault(name, []).append(take_turn(self.pair, self.seats[name], self.length))
            except Exception as error:  # as above
                if name == BARE:
                    raise
                del self.seats[name]
                self._fails(name, error)
        told = ", ".join(f"{name} {self.turns[name][-1].per_second:,.0f}/s" for name in self.seats)
        print(f"round {number + 1}: {told}", flush=True)

    def found(self) -> dict[str, dict[str, float | None]]:
        """The figures of everybody who had all turns; memory is that of a product's programs after all of the load."""
        bare = self.turns[BARE]
        result: dict[str, dict[str, float | None]] = {
            name: {**figures(bare, self.turns[name]), "rss_mb": None} for name in self.seats
        }
        for name in result.keys() & self.contenders.keys():
            result[name]["rss_mb"] = self.contenders[name].rss_mb()
        return result

    def _fails(self, name: str, error: Exception) -> None:
        self.failed[name] = f"{type(error).__name__}: {error}"
        print(f"{name} failed: {self.failed[name]}", flush=True)


def agent_rss_mb() -> float:
    """Resident memory of an agent of Watchword that enforces policy of a Console, the larger of two."""
    with outposts("peers") as outpost:
        return max(enforcer.rss_mb() for enforcer in outpost.enforcers.values())


def contest(names: Sequence[str], quick: bool) -> tuple[Contest, dict[str, dict[str, float | None]]]:
    """Measure these, Watchword and the bare kernel."""
    with FencedPair() as pair:
        serve(pair)
        held = Contest(pair, QUICK if quick else FULL)
        for name in names:
            held.enter(name)
        for number in range(1 if quick else _ROUNDS):
            held.round(number)
        found = held.found()
    if not quick and WATCHWORD in found:
        with bounded(60):
            found[WATCHWORD]["rss_mb"] = agent_rss_mb()
    return held, found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS), help="these")
    parser.add_argument("--quick", action="store_true", help="as short as possible; the figures mean nothing")
    options = parser.parse_args()
    began = time.monotonic()
    held, found = contest(options.only, options.quick)
    print("\n" + ", ".join(f"{name} {number}" for name, number in held.versions.items()))
    print(table(found, held.failed), end="\n\n")
    line: dict[str, object] = {
        name: {"version": held.versions[name], **rounded(found[name])} if name in found else None
        for name in (WATCHWORD, *options.only)
    }
    line[BARE] = rounded(found[BARE])
    seconds = round(time.monotonic() - began, 1)
    print(closing_line("peers", {**line, "failed": sorted(held.failed), "seconds": seconds}))
    return 1 if held.failed else 0


if __name__ == "__main__":
    sys.exit(main())
