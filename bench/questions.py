"""What people ask of a policy at the size of a large company: explain, lint, difference."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from bench.turnover import Turnover
from watchword.policy.difference import difference
from watchword.policy.explain import explain
from watchword.policy.landscape import Survey
from watchword.policy.lint import findings
from watchword.policy.rulebook import Rulebook
from watchword.policy.versions import altered

EXPLANATIONS = 200
DIFFERENCES = 5


class Answers(NamedTuple):
    """How long they took: the slowest explanation but two of a hundred, one lint, the slowest difference."""

    explain_ms: float
    lint_s: float
    diff_s: float


def ask(turnover: Turnover, say: Callable[[str], None]) -> Answers:
    """Ask about the company as it is now. One survey serves lint and differences, as it does in the Console."""
    survey = Survey()
    return Answers(_explain(turnover, say), _lint(turnover, survey, say), _difference(turnover, survey, say))


def _explain(turnover: Turnover, say: Callable[[str], None]) -> float:
    world, random = turnover.world, Random(3)
    book = Rulebook()
    started = time.perf_counter()
    book.follow(world)
    say(f"  explain: index of rulesets and networks made in {time.perf_counter() - started:.2f} s")
    units, times, allowed = sorted(world.units), [], 0
    for _ in range(EXPLANATIONS):
        source, destination = random.sample(units, 2)
        port = random.choice((22, 53, 443, 5432, 8080, 9100))
        started = time.perf_counter()
        answer = explain(world, source, destination, 6, port, book=book)
        times.append((time.perf_counter() - started) * 1000)
        allowed += answer.action == "Allow"
    times.sort()
    say(
        f"  explain, {EXPLANATIONS} pairs ({allowed} allowed), ms: p50 {times[len(times) // 2]:.2f} p99 {times[-3]:.2f}"
    )
    return times[-3]


def _lint(turnover: Turnover, survey: Survey, say: Callable[[str], None]) -> float:
    started = time.perf_counter()
    found = findings(turnover.world, survey=survey)
    taken = time.perf_counter() - started
    say(f"  lint: {len(found)} findings in {taken:.2f} s")
    return taken


def _difference(turnover: Turnover, survey: Survey, say: Callable[[str], None]) -> float:
    """Of edited rulesets, one at a time. The longest of them counts, also one that asks for a new survey."""
    old, times = turnover.world, []
    for _ in range(DIFFERENCES):
        kind, alteration = turnover.ruleset()
        new = altered(old, old.revision + 1, [alteration])
        started = time.perf_counter()
        changed = difference(old, new, survey=survey)
        times.append(time.perf_counter() - started)
        say(f"  difference: one ruleset ({kind}), {changed.flows_total} changed groups of flows, {times[-1]:.3f} s")
    return max(times)
