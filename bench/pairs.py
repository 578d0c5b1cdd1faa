"""Paired repetitions of two measurements: A B, B A, A B … with medians, a ratio for each pair, and the spread.

A machine drifts (heat, neighbours, caches); two runs next to each other drift together. So the ratio
is taken within each pair, and its median over the pairs is the result. The order within the pairs
alternates, so that being second is no advantage. Pure: what is measured is passed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Pairs:
    """The results of the repetitions: ``a[i]`` and ``b[i]`` were measured next to each other."""

    name_a: str
    name_b: str
    a: tuple[float, ...]
    b: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.a or len(self.a) != len(self.b):
            raise ValueError(f"{len(self.a)} results of {self.name_a} and {len(self.b)} of {self.name_b} make no pairs")

    @property
    def ratios(self) -> tuple[float, ...]:
        """B as a fraction of A, for each pair."""
        return tuple(b / a for a, b in zip(self.a, self.b, strict=True))

    @property
    def ratio(self) -> float:
        """Median of the ratios."""
        return median(self.ratios)

    @property
    def differences(self) -> tuple[float, ...]:
        """B minus A, for each pair (for latencies)."""
        return tuple(b - a for a, b in zip(self.a, self.b, strict=True))

    @property
    def difference(self) -> float:
        """Median of the differences."""
        return median(self.differences)

    @property
    def spread(self) -> float:
        """Largest ratio minus smallest: how far the result is to be trusted."""
        return max(self.ratios) - min(self.ratios)

    @property
    def span(self) -> str:
        """The spread in words."""
        return f"{min(self.ratios):.3f} to {max(self.ratios):.3f}"

    def table(self, title: str, unit: str, digits: int = 0) -> str:
        """Every pair, then the medians, as plain text."""
        rows = [
            [str(number), f"{a:,.{digits}f}", f"{b:,.{digits}f}", f"{b / a:.3f}"]
            for number, (a, b) in enumerate(zip(self.a, self.b, strict=True), 1)
        ]
        rows.append(["median", f"{median(self.a):,.{digits}f}", f"{median(self.b):,.{digits}f}", f"{self.ratio:.3f}"])
        lines = columns(["pair", self.name_a, self.name_b, "ratio"], rows)
        return "\n".join([f"{title} ({unit})", *lines, f"spread of the ratio: {self.span}"])


def run_pairs(
    count: int,
    a: tuple[str, Callable[[], float]],
    b: tuple[str, Callable[[], float]],
    *,
    progress: Callable[[str], None] = lambda line: None,
) -> Pairs:
    """Measure A and B ``count`` times each, next to each other, the order alternating.

    ``a`` and ``b`` are (name, measurement). An exception of a measurement ends all of it: a result with
    holes is none. ``progress`` is told one line after every pair.
    """
    if count < 1:
        raise ValueError(f"{count} pairs: at least one is needed")
    results: dict[str, list[float]] = {"a": [], "b": []}
    measure = {"a": a[1], "b": b[1]}
    for number in range(count):
        for side in ("ab", "ba")[number % 2]:
            value = measure[side]()
            if not value > 0:
                raise ValueError(f"{(a if side == 'a' else b)[0]} measured {value}: a result must be above zero")
            results[side].append(value)
        last_a, last_b = results["a"][-1], results["b"][-1]
        progress(
            f"pair {number + 1} of {count}: {a[0]} {last_a:,.1f}, {b[0]} {last_b:,.1f}, ratio {last_b / last_a:.3f}"
        )
    return Pairs(a[0], b[0], tuple(results["a"]), tuple(results["b"]))


def closing_line(bench: str, figures: Mapping[str, object]) -> str:
    """The last line of a benchmark: JSON on one line, ``bench`` first, fractions rounded to four digits."""
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
    return json.dumps({"bench": bench, **rounded}, separators=(",", ":"), allow_nan=False)


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines
