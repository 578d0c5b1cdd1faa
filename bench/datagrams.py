"""Datagrams by identity against the bare kernel: new flows and datagrams a second, and the latency of a question.

A question and its answer are as large as DNS has them, and every one of the first kind comes from a port of its
own, as a resolver's do. First contact, with its extra round trip, is measured for itself: the median over units
that have just been placed. The last line of the output is JSON.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.fenced import FencedPair
from bench.pairs import Pairs, closing_line, run_pairs

_PORT = 5300
PORTS = (f"udp/{_PORT}",)
_SIZES = ("--request", "48", "--response", "120")
_PAIRS = 5
_SECONDS = 3
_LATENCY_PAIRS = 7
_LATENCY_SECONDS = 1
_FIRST_PAIRS = 11

#: title -> (arguments of the load generator, what is taken of its report)
_RATES = {
    "new flows": ("--reuse", "1", "--inflight", "1", "--processes", "4"),
    "datagrams of known flows, 16 at a time": ("--reuse", "0", "--inflight", "16", "--processes", "2"),
}
_LATENCIES = {
    "a question from a new port": ("--reuse", "1"),
    "a question on a known flow": ("--reuse", "0"),
}


def main() -> None:
    """Measure and print."""
    with FencedPair(ports=PORTS) as pair:
        serve(pair)
        flows = {version: new_flows(pair, version) for version in (4, 6)}
        known = _in_pairs(pair, 4, _PAIRS, _SECONDS, _RATES["datagrams of known flows, 16 at a time"], "per_second")
        latencies = {
            title: _in_pairs(pair, 4, _LATENCY_PAIRS, _LATENCY_SECONDS, ("--inflight", "1", *arguments), "median_us")
            for title, arguments in _LATENCIES.items()
        }
        first = first_contact(pair)
    for version, pairs in flows.items():
        print(pairs.table(f"questions, each from a new port, IPv{version}", "per second"), end="\n\n")
    print(known.table("questions on known flows, 16 at a time, IPv4", "per second"), end="\n\n")
    for title, pairs in (*latencies.items(), ("the first question of all", first)):
        print(pairs.table(f"{title}, answered, median, IPv4", "µs", 1))
        print(f"added: {pairs.difference:.1f} µs", end="\n\n")
    new_port, known_flow = latencies.values()
    print(
        closing_line(
            "datagrams",
            {
                "udp_ratio": flows[4].ratio,
                "udp_ratio_v6": flows[6].ratio,
                "known_ratio": known.ratio,
                "added_latency_us": new_port.difference,
                "added_latency_known_us": known_flow.difference,
                "added_first_contact_us": first.difference,
                "pairs": _PAIRS,
            },
        )
    )


def serve(pair: FencedPair) -> None:
    """Start the server, and warm caches and neighbours."""
    pair.serve("answer", "--processes", "2", *_SIZES[2:], port=_PORT, protocol="udp")
    _ask(pair, 4, "--seconds", "1")


def new_flows(pair: FencedPair, version: int, pairs: int = _PAIRS, seconds: float = _SECONDS) -> Pairs:
    """Questions a second, each from a port of its own; sessions stand."""
    return _in_pairs(pair, version, pairs, seconds, _RATES["new flows"], "per_second")


def first_contact(pair: FencedPair, pairs: int = _FIRST_PAIRS) -> Pairs:
    """The first question of all and its answer, in microseconds."""
    return _in_pairs(pair, 4, pairs, 0.001, ("--inflight", "1", "--reuse", "0"), "first_us")


def _ask(pair: FencedPair, version: int, *arguments: str) -> dict[str, float]:
    address = pair.server.address(version)
    report = pair.load("ask", "--address", address, "--port", str(_PORT), *_SIZES, *arguments)
    return {
        "per_second": report["per_second"],
        "median_us": report["exchange_us"]["p50"],
        "first_us": report["first_us"],
    }


def _in_pairs(
    pair: FencedPair, version: int, count: int, seconds: float, arguments: Sequence[str], taken: str
) -> Pairs:
    """Pairs of one figure of the report."""

    def measure() -> float:
        return float(_ask(pair, version, *arguments, "--seconds", str(seconds))[taken])

    bare, policed = pair.in_turn(measure)
    return run_pairs(count, ("bare", bare), ("policed", policed), progress=print)


if __name__ == "__main__":
    main()
