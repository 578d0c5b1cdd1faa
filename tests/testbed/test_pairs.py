"""Pairs are measured in alternating order, and their figures are those of the pairs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from bench.pairs import Pairs, closing_line, run_pairs


def replay(name: str, values: list[float], calls: list[str]) -> tuple[str, Callable[[], float]]:
    left: Iterator[float] = iter(values)

    def measure() -> float:
        calls.append(name)
        return next(left)

    return name, measure


def test_the_order_alternates_and_ratios_stay_within_their_pair() -> None:
    calls: list[str] = []
    told: list[str] = []
    # The machine becomes four times slower half-way: ratios do not notice, a ratio of medians would.
    pairs = run_pairs(
        4,
        replay("bare", [100, 100, 25, 25], calls),
        replay("with", [90, 95, 24, 23], calls),
        progress=told.append,
    )
    assert calls == ["bare", "with", "with", "bare"] * 2
    assert pairs.ratios == (0.9, 0.95, 0.96, 0.92)
    assert pairs.ratio == pytest.approx(0.935)
    assert pairs.difference == pytest.approx(-3.5)
    assert pairs.spread == pytest.approx(0.06)
    assert len(told) == 4
    assert "ratio 0.950" in told[1]


def test_the_table_is_plain_and_aligned() -> None:
    text = Pairs("bare", "with proof", (10000.0, 20000.0), (9500.0, 19800.0)).table("new connections", "1/s")
    assert text.splitlines() == [
        "new connections (1/s)",
        "pair      bare  with proof  ratio",
        "1       10,000       9,500  0.950",
        "2       20,000      19,800  0.990",
        "median  15,000      14,650  0.970",
        "spread of the ratio: 0.950 to 0.990",
    ]


def test_a_result_with_holes_is_none() -> None:
    with pytest.raises(ValueError, match="bare measured 0: a result must be above zero"):
        run_pairs(1, ("bare", lambda: 0), ("with", lambda: 1))
    with pytest.raises(ValueError, match="measured nan"):
        run_pairs(1, ("bare", lambda: float("nan")), ("with", lambda: 1))
    with pytest.raises(ValueError, match="at least one"):
        run_pairs(0, ("bare", lambda: 1), ("with", lambda: 1))
    with pytest.raises(ValueError, match="make no pairs"):
        Pairs("a", "b", (1.0,), ())


def test_the_closing_line_is_json() -> None:
    line = closing_line("connrate", {"ratio_v4": 0.961234, "pairs": 5})
    assert line == '{"bench":"connrate","ratio_v4":0.9612,"pairs":5}'
    assert json.loads(line)["pairs"] == 5
    with pytest.raises(ValueError, match="not JSON compliant"):
        closing_line("connrate", {"ratio_v4": float("nan")})
