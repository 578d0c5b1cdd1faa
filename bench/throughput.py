"""Throughput of one TCP stream, policed against the bare kernel, at MTU 1500 and 9000.

The last line of the output is JSON.
"""

from __future__ import annotations

from bench.fenced import STREAM_PORT, FencedPair
from bench.pairs import Pairs, closing_line, run_pairs

_PAIRS = 5
_SECONDS = 4


def main() -> None:
    """Measure and print."""
    results = {mtu: throughput(mtu) for mtu in (1500, 9000)}
    for mtu, pairs in results.items():
        print(pairs.table(f"one stream, MTU {mtu}", "Gbit/s", 2), end="\n\n")
    figures = {f"ratio_{mtu}": pairs.ratio for mtu, pairs in results.items()}
    print(closing_line("throughput", {**figures, "pairs": _PAIRS}))


def throughput(mtu: int, pairs: int = _PAIRS, seconds: float = _SECONDS) -> Pairs:
    """One stream in pairs, Gbit/s."""
    with FencedPair(mtu) as pair:
        pair.serve("stream-serve", port=STREAM_PORT)

        def measure() -> float:
            target = ["--address", pair.server.address(4), "--port", str(STREAM_PORT)]
            report = pair.load("stream", *target, "--seconds", str(seconds))
            return float(report["gbit_per_second"])

        bare, policed = pair.in_turn(measure)
        return run_pairs(pairs, ("bare", bare), ("policed", policed), progress=print)


if __name__ == "__main__":
    main()
