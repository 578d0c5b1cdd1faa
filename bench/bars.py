"""The bars that the datapath has to meet, and the table and the JSON line that say whether it does. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.pairs import closing_line, columns


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure and what it must not be below (``least``) or above."""

    key: str
    what: str
    limit: float | None  # None: told for comparison
    least: bool = False
    unit: str = ""
    digits: int = 1

    def met(self, value: float) -> bool:
        """Whether ``value`` is as it should be."""
        return self.limit is None or (value >= self.limit if self.least else value <= self.limit)

    def told(self, value: float) -> str:
        """A value with its unit."""
        return f"{value:,.{self.digits}f} {self.unit}".rstrip()

    @property
    def bound(self) -> str:
        """The limit in words."""
        return "" if self.limit is None else f"{'≥' if self.least else '≤'} {self.told(self.limit)}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a part measured for one bar; ``spread`` is how far the repetitions lie apart, in words."""

    value: float
    spread: str = ""


def table(bars: Iterable[Bar], found: Mapping[str, Finding], failures: Mapping[str, str]) -> str:
    """Every bar that was measured, then the parts that failed."""
    rows = []
    for bar in bars:
        if finding := found.get(bar.key):
            verdict = "" if bar.limit is None else "met" if bar.met(finding.value) else "MISSED"
            rows.append([bar.what, bar.told(finding.value), bar.bound, verdict, finding.spread])
    lines = columns(["what", "measured", "bar", "", "spread"], rows)
    return "\n".join([*lines, *(f"{part} failed: {why}" for part, why in failures.items())])


def last_line(
    name: str, bars: Iterable[Bar], found: Mapping[str, Finding], failures: Iterable[str], seconds: float
) -> str:
    """JSON: every figure by its key (``null`` where nothing was measured), bars missed, parts failed."""
    listed = list(bars)
    unknown = found.keys() - {bar.key for bar in listed}
    if unknown:
        raise ValueError(f"no bar is called {', '.join(sorted(unknown))}")
    figures: dict[str, object] = {bar.key: found[bar.key].value if bar.key in found else None for bar in listed}
    figures["missed"] = [bar.key for bar in listed if bar.key in found and not bar.met(found[bar.key].value)]
    figures["failed"] = sorted(failures)
    return closing_line(name, {**figures, "seconds": round(seconds, 1)})
