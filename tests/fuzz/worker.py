"""Runs inside the fuzzed host's unit, started by :mod:`tests.fuzz.field`; what it has to tell is one line of JSON.

Arguments: the directory of pins, then either ``rounds SEED FIRST PACKETS SECONDS FINDINGS [WANTED …]``, or ``again
FILE`` with one case in each line of the file.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.play import Case, Rounds


def main() -> None:
    """Play, and tell."""
    pins, what, *arguments = sys.argv[1:]
    if what == "again":
        _again(Path(pins), Path(arguments[0]))
    else:
        seed, first, packets, seconds, enough, *wanted = arguments
        _rounds(Path(pins), seed, int(first), int(packets), float(seconds), Enough(int(enough), frozenset(wanted)))


class Enough(NamedTuple):
    """When to stop: at so many kinds of findings, or when all wanted ones are there."""

    kinds: int
    wanted: frozenset[str]

    def reached(self, findings: list[Case]) -> bool:
        """Whether these are enough."""
        found = {each["what"] for each in findings}
        return len(findings) >= self.kinds or (bool(self.wanted) and self.wanted <= found)


def _rounds(pins: Path, seed: str, first: int, packets: int, seconds: float, enough: Enough) -> None:
    rounds = Rounds(pins, seed)
    began, number = time.monotonic(), first
    findings: list[Case] = []
    while rounds.packets < packets and time.monotonic() - began < seconds and not enough.reached(findings):
        case = rounds.play(number, {each["what"] for each in findings})
        number += 1
        if case is not None:
            findings.append({**case, "seed": seed, "round": number - 1})
    told = {
        "packets": rounds.packets,
        "seconds": round(time.monotonic() - began, 1),
        "honest": rounds.honest,
        "next": number,
        "findings": findings,
    }
    rounds.close()
    print(json.dumps(told), flush=True)


def _again(pins: Path, cases: Path) -> None:
    rounds = Rounds(pins, "again")
    found = [rounds.again(json.loads(line)) for line in cases.read_text().splitlines()]
    rounds.close()
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
