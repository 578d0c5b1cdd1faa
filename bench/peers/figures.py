"""What rounds of turns say: each contender against the bare kernel of the same round. Pure.

A round is one turn of everybody, one after the other; rounds alternate in their order. Ratios and differences are
taken within a round, for a machine drifts; their medians are the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.pairs import columns

#: What everybody is compared with.
BARE = "bare"

#: The figures of one contender: key of the JSON -> heading of the table and digits after the point.
FIGURES = {
    "connection_ratio": ("connections, of bare", 3),
    "per_second": ("connections/s", 0),
    "added_latency_us": ("added latency, µs", 1),
    "throughput_ratio": ("one stream, of bare", 3),
    "gbit_per_second": ("Gbit/s", 2),
    "cpu_us": ("CPU µs/connection", 1),
    "rss_mb": ("memory of a host, MB", 1),
}


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn measured.

    ``per_second``: new connections, several at a time. ``exchange_us``: median of connecting, asking and hearing the
    answer, one at a time. ``gbit_per_second``: one stream. ``cpu_us``: processor time of everything on both hosts for
    each connection of the first figure, load generator and kernel included.
    """

    per_second: float
    exchange_us: float
    gbit_per_second: float
    cpu_us: float

    def __post_init__(self) -> None:
        if not min(self.per_second, self.exchange_us, self.gbit_per_second, self.cpu_us) > 0:
            raise ValueError(f"{self}: every figure must be above zero")


def order(names: Sequence[str], number: int) -> list[str]:
    """Who has his turn when in a round: forwards, then backwards, so that nobody always follows the same."""
    return list(names) if number % 2 == 0 else list(reversed(names))


def figures(bare: Sequence[Turn], turns: Sequence[Turn]) -> dict[str, float]:
    """Medians of one contender's turns against the bare turns of the same rounds."""
    if not turns or len(bare) != len(turns):
        raise ValueError(f"{len(turns)} turns and {len(bare)} of the bare kernel make no rounds")
    pairs = list(zip(bare, turns, strict=True))
    return {
        "connection_ratio": median(turn.per_second / base.per_second for base, turn in pairs),
        "per_second": median(turn.per_second for turn in turns),
        "added_latency_us": median(turn.exchange_us - base.exchange_us for base, turn in pairs),
        "throughput_ratio": median(turn.gbit_per_second / base.gbit_per_second for base, turn in pairs),
        "gbit_per_second": median(turn.gbit_per_second for turn in turns),
        "cpu_us": median(turn.cpu_us for turn in turns),
    }


def table(found: Mapping[str, Mapping[str, float | None]], failed: Mapping[str, str]) -> str:
    """A row for each contender, then those that failed and why. ``None`` is what has no figure."""
    rows = [
        [name, *(_cell(measured.get(key), digits) for key, (_, digits) in FIGURES.items())]
        for name, measured in found.items()
    ]
    lines = columns(["", *(heading for heading, _ in FIGURES.values())], rows)
    return "\n".join([*lines, *(f"{name} failed: {why}" for name, why in failed.items())])


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def rounded(measured: Mapping[str, float | None]) -> dict[str, float | None]:
    """The same for the line of JSON: one digit more than the table shows, every key there."""
    return {
        key: None if (value := measured.get(key)) is None else round(value, digits + 1)
        for key, (_, digits) in FIGURES.items()
    }
