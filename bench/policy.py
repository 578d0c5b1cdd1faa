"""The policy engine at the size of a large company, and how its costs grow on the way there.

For each size a synthetic company is loaded, then changes are made one by one; what counts is the time
from a change to the deltas of every Enforcer whose document it changes. The digests that go into the
signatures are timed apart. The garbage collector runs as it does in the Console. At the end the deltas
applied one after the other are held against whole documents, and one of those against plain rendering.

The last line of the output is JSON, of the largest size.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bench.company import Company
from bench.questions import Answers, ask
from bench.turnover import Turnover
from watchword.policy.amendments import UNCHANGED
from watchword.policy.engine import Engine
from watchword.policy.engine.loading import undisturbed
from watchword.policy.render import render
from watchword.policy.versions import EMPTY, alterations
from watchword.policy.world import Alteration, World
from watchword.wire.policy import PolicyDocument, digest, patched

SIZES = (1_000, 10_000, 100_000)
UNIT_CHANGES = 600
RULESET_CHANGES = 150
#: Enforcers whose documents are patched with every delta and compared at the end.
WATCHED = 4


@dataclass
class Series:
    """Times of one kind of change, in milliseconds."""

    times: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)  # the same, in CPU time: what others took is left out
    digests: list[float] = field(default_factory=list)  # of all affected documents
    affected: list[int] = field(default_factory=list)
    kinds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def quantile(self, share: float, times: list[float] | None = None) -> float:
        """The time that a share of all stays at or below."""
        ordered = sorted(self.times if times is None else times)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass
class Result:
    """Everything measured at one size."""

    pus: int
    compile_s: float
    units: Series
    rulesets: Series
    rss_mb: int
    answers: Answers | None = None


class Pauses:
    """How long the garbage collector stopped the process."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._started = 0.0

    def __call__(self, phase: str, _: dict[str, int]) -> None:
        """The collector's callback."""
        if phase == "start":
            self._started = time.perf_counter()
        else:
            self.times.append((time.perf_counter() - self._started) * 1000)


class Console:
    """The engine with what stands around it: revisions, and documents at some Enforcers."""

    def __init__(self, world: World, watched: Iterable[str]) -> None:
        started = time.perf_counter()
        with undisturbed():
            self.engine = Engine()
            self.engine.load(world.revision, alterations(EMPTY, world))
            for enforcer in world.enforcers:
                self.engine.digest(enforcer)
        self.seconds = time.perf_counter() - started
        self.documents: dict[str, PolicyDocument] = {each: self.engine.document(each) for each in watched}

    def change(self, alteration: Alteration, series: Series, kind: str) -> None:
        """Apply one change and note how long it took."""
        base = self.engine.revision
        started, ran = time.perf_counter(), time.thread_time()
        publication = self.engine.apply(base + 1, [alteration])
        deltas = {each: changes.delta(base, base + 1) for each, changes in publication.amendments.items()}
        computed, ran = time.perf_counter(), time.thread_time() - ran
        for enforcer in deltas:
            if enforcer in self.engine:
                self.engine.digest(enforcer)
        ended = time.perf_counter()
        series.times.append((computed - started) * 1000)
        series.busy.append(ran * 1000)
        series.kinds[kind].append((computed - started) * 1000)
        series.digests.append((ended - computed) * 1000)
        series.affected.append(len(deltas))
        for each, document in self.documents.items():
            amendment = publication.amendments.get(each, UNCHANGED)
            self.documents[each] = patched(document, amendment.delta(base, base + 1))

    def check(self) -> None:
        """Deltas and whole documents have to agree, and so do digests."""
        for each, document in self.documents.items():
            if document != self.engine.document(each) or digest(document) != self.engine.digest(each):
                raise SystemExit(f"the document of {each} is not what its deltas make of it")


def measure(size: int, seed: int, *, questions: bool, say: Callable[[str], None]) -> Result:
    """One size."""
    say(f"{size} processing units: making a company")
    company = Company(size, seed)
    world = company.world()
    say(
        f"  {len(world.enforcers)} Enforcers, {len(world.namespaces)} namespaces, {len(world.rulesets)} rulesets, "
        f"{len(world.networks)} networks; loading"
    )
    random = Random(seed)
    console = Console(world, random.sample(sorted({unit.enforcer for unit in world.units.values()}), WATCHED))
    say(f"  all documents known and added up in {console.seconds:.2f} s")
    turnover = Turnover(company, world, seed)
    pauses = Pauses()
    gc.callbacks.append(pauses)
    share = min(1.0, max(0.2, size / SIZES[-1]))
    units = _run(console, turnover, turnover.unit, int(UNIT_CHANGES * share))
    say(_line("a unit", units))
    rulesets = _run(console, turnover, turnover.ruleset, int(RULESET_CHANGES * share))
    say(_line("a ruleset", rulesets))
    gc.callbacks.remove(pauses)
    say(f"  garbage collections: {len(pauses.times)}, the longest {max(pauses.times, default=0):.1f} ms, counted above")
    console.check()
    sample = min(console.documents, key=lambda each: len(console.documents[each].peers))
    plain = render(turnover.world, sample)
    if plain != console.engine.document(sample):
        raise SystemExit(f"the document of {sample} is not what plain rendering gives")
    say(f"  {WATCHED} documents agree with their deltas, one of {len(plain.peers)} peers with plain rendering")
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Result(size, console.seconds, units, rulesets, rss, ask(turnover, say) if questions else None)


def _run(console: Console, turnover: Turnover, draw: Callable[[], tuple[str, Alteration]], count: int) -> Series:
    series = Series()
    for _ in range(count):
        kind, alteration = draw()
        turnover.take([alteration])
        console.change(alteration, series, kind)
    return series


def _line(what: str, series: Series) -> str:
    quantiles = " ".join(
        f"{name} {series.quantile(share):.2f}" for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1))
    )
    kinds = ", ".join(f"{kind} {max(times):.1f}" for kind, times in sorted(series.kinds.items()))
    whole = [one + other for one, other in zip(series.times, series.digests, strict=True)]
    affected = sorted(series.affected)
    return (
        f"  {what} changed, {len(series.times)} times, ms: {quantiles} (longest of each kind: {kinds})\n"
        f"    Enforcers affected: median {affected[len(affected) // 2]}, most {affected[-1]}; CPU p99 "
        f"{series.quantile(0.99, series.busy):.2f} ms; with digests of all p99 {series.quantile(0.99, whole):.2f} ms"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the company and of what happens in it")
    parser.add_argument("--units", type=int, nargs="*", default=list(SIZES), help="sizes, the largest last")
    arguments = parser.parse_args()
    results = []
    for size in arguments.units:
        results.append(
            measure(
                size, arguments.seed, questions=size == arguments.units[-1], say=lambda text: print(text, flush=True)
            )
        )
        gc.unfreeze()
        gc.collect()
    print(table(results))
    print(closing_line(results[-1]))


def table(results: list[Result]) -> str:
    """How costs grow."""
    rows = [f"{'units':>8} {'load s':>8} {'unit p50':>9} {'p99 ms':>8} {'ruleset p50':>12} {'p99 ms':>8} {'RSS MB':>7}"]
    rows += [
        f"{each.pus:>8} {each.compile_s:>8.2f} {each.units.quantile(0.5):>9.2f} {each.units.quantile(0.99):>8.2f} "
        f"{each.rulesets.quantile(0.5):>12.2f} {each.rulesets.quantile(0.99):>8.2f} {each.rss_mb:>7}"
        for each in results
    ]
    return "\n".join(rows)


def closing_line(result: Result) -> str:
    """The figures of one size as JSON."""
    figures: dict[str, Any] = {
        "bench": "policy",
        "pus": result.pus,
        "full_compile_s": round(result.compile_s, 2),
        "pu_delta_p99_ms": round(result.units.quantile(0.99), 2),
        "ruleset_delta_p99_ms": round(result.rulesets.quantile(0.99), 2),
        "rss_mb": result.rss_mb,
    }
    if result.answers is not None:
        figures |= {
            "explain_ms": round(result.answers.explain_ms, 2),
            "lint_s": round(result.answers.lint_s, 2),
            "diff_s": round(result.answers.diff_s, 3),
        }
    return json.dumps(figures, separators=(",", ":"))


if __name__ == "__main__":
    main()
