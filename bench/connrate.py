"""New connections a second, and the latency of connect(), policed against the bare kernel.

Short connections (request, response, close; eight packets each), several in flight, as fast as two
cores carry them, five seconds at a time. The last line of the output is JSON.
"""

from __future__ import annotations

from bench.fenced import PORT, PORTS, FencedPair
from bench.pairs import Pairs, closing_line, run_pairs

_PAIRS = 6
_SECONDS = 5
_WARMING_SECONDS = 0.5
_LATENCY_PAIRS = 5
_LATENCY_SECONDS = 1


def main() -> None:
    """Measure and print."""
    with FencedPair() as pair:
        serve(pair)
        rates = {version: rate(pair, version) for version in (4, 6)}
        latency = added_latency(pair)
    for version, pairs in rates.items():
        print(pairs.table(f"new connections, IPv{version}", "per second"), end="\n\n")
    print(latency.table("connect(), median of one connection at a time, IPv4", "µs", 1))
    print(f"added: {latency.difference:.1f} µs", end="\n\n")
    print(
        closing_line(
            "connrate",
            {
                "ratio_v4": rates[4].ratio,
                "ratio_v6": rates[6].ratio,
                "added_latency_us": latency.difference,
                "pairs": _PAIRS,
            },
        )
    )


def serve(pair: FencedPair) -> None:
    """Start the server, and warm caches and neighbours."""
    pair.serve("serve", port=PORT, ports=PORTS)
    pair.load("connect", *_target(pair, 4), "--seconds", "1", "--inflight", "16")


def _target(pair: FencedPair, version: int) -> list[str]:
    return ["--address", pair.server.address(version), "--port", str(PORT), "--ports", str(PORTS)]


def rate(pair: FencedPair, version: int, pairs: int = _PAIRS, seconds: float = _SECONDS) -> Pairs:
    """New connections a second, as many at a time as two cores carry."""

    def load(seconds: float) -> float:
        report = pair.load(
            "connect", *_target(pair, version), "--seconds", str(seconds), "--inflight", "16", "--processes", "2"
        )
        return float(report["per_second"])

    def measure() -> float:
        load(_WARMING_SECONDS)  # what was put into the kernel, or taken out, a moment ago is still being tidied up
        return load(seconds)

    bare, policed = pair.in_turn(measure)
    return run_pairs(pairs, ("bare", bare), ("policed", policed), progress=print)


def added_latency(pair: FencedPair, pairs: int = _LATENCY_PAIRS, seconds: float = _LATENCY_SECONDS) -> Pairs:
    """The median of connect(), one connection at a time, in microseconds."""

    def measure() -> float:
        report = pair.load("connect", *_target(pair, 4), "--seconds", str(seconds), "--inflight", "1")
        return float(report["connect_us"]["p50"])

    bare, policed = pair.in_turn(measure)
    return run_pairs(pairs, ("bare", bare), ("policed", policed), progress=print)


if __name__ == "__main__":
    main()
