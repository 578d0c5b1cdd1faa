"""The packet fuzzer: ``make fuzz-packets FUZZ="--packets 10000000 --state fuzz.json"``; docs/testing.md explains it.

Runs in slices, each on a host of its own, and writes the state down after each: the same command goes on where it was
interrupted. The last line of the output is JSON. Ends with 1 when something was found.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tests.fuzz.field import fields

_SLICE = 120.0  # seconds


def main() -> int:
    """Fuzz, and tell."""
    options = _options()
    state = _state(options.state, options.seed)
    left = options.seconds
    while state["packets"] < options.packets and left > 0 and not state["findings"]:
        with fields("fuzz") as field:
            told = field.rounds(
                str(state["seed"]), state["next"], options.packets - state["packets"], min(left, _SLICE)
            )
            stay = field.records()
        left -= told["seconds"]
        for name in ("packets", "seconds", "honest"):
            state[name] = round(state[name] + told[name], 1)
        state["next"] = told["next"]
        state["findings"] += told["findings"]
        if stay:
            state["findings"].append({"kind": "records", "why": f"{stay} records stay without a connection"})
        if options.state:
            options.state.write_text(json.dumps(state))
        if not options.json:
            print(f"{state['packets']:,} packets, {len(state['findings'])} findings", flush=True)
    pace = round(state["packets"] / state["seconds"]) if state["seconds"] else 0
    print(
        json.dumps(
            {
                "fuzz": "packets",
                "packets": state["packets"],
                "packets_per_s": pace,
                "seeds": [state["seed"]],
                "rounds": state["next"],
                "honest": state["honest"],
                "findings": state["findings"],
            }
        )
    )
    return 1 if state["findings"] else 0


def _state(path: Path | None, seed: str) -> dict[str, Any]:
    if path is not None and path.exists():
        state: dict[str, Any] = json.loads(path.read_text())
        if state["seed"] != seed:
            raise SystemExit(f"--state {path} is of seed {state['seed']}: name another file, or --seed {state['seed']}")
        return state
    return {"seed": seed, "packets": 0, "seconds": 0.0, "honest": 0, "next": 0, "findings": []}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the datapath with packets (root).")
    parser.add_argument(
        "--packets", type=int, default=1_000_000, help="packets in all, with those of the state (%(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="no longer than this (%(default)s)")
    parser.add_argument("--seed", default="1", help="any text; the same does the same (%(default)s)")
    parser.add_argument("--state", type=Path, help="file to go on from, and to write down how far it came")
    parser.add_argument("--json", action="store_true", help="print nothing but the line of JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
