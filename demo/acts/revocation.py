"""Act 5: what was allowed is not allowed for ever. A live connection is cut as soon as the rules say so."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from demo import traffic
from demo.cast import NAMESPACE, WORKLOADS
from demo.show import Show

TITLE = "Revocation: a tag is removed, and a live connection is cut"
WORDS = (
    "The job holds a database connection that was proved and allowed. Its tags are taken away; a connection that "
    "nobody may open any more must not live on either. Then a hundred times, and how long it takes: from the API "
    "call until the application itself sees its connection reset."
)

CHANGES = 100
BAR_MS = 1000.0


@dataclass(frozen=True)
class Cut:
    """One measurement: from the call to the application's error."""

    milliseconds: float
    how: str
    why: str


def perform(show: Show) -> None:
    """Once by hand, then a hundred times."""
    _once(show)
    job, freeze = _resource(show, "processingunits", "job"), _resource(show, "networkrulesetpolicies", "freeze")
    cuts = []
    with show.narrator.progress("tags removed, rules switched on; each cuts a fresh connection", CHANGES) as done:
        for number in range(CHANGES):
            cuts.append(_cut(show, number, job, freeze))
            done()
    ordered = sorted(cut.milliseconds for cut in cuts)
    p99 = ordered[-(-99 * len(ordered) // 100) - 1]
    show.checks.revoke_p99_ms = p99
    show.narrator.table(
        f"From API call to reset, {CHANGES} changes, milliseconds", ("changes", "fastest", "median", "p99", "slowest"),
        [(len(ordered), *(f"{value:.0f}" for value in (ordered[0], ordered[len(ordered) // 2], p99, ordered[-1])))],
    )  # fmt: skip
    show.narrator.say(f"each of them: {_bars([cut.milliseconds for cut in cuts])}")
    resets = {cut.why for cut in cuts}
    show.expect(
        "every change cut the connection, as the application saw",
        resets <= {"ECONNRESET", "ECONNABORTED"},
        ", ".join(sorted(resets)),
    )
    show.expect(f"99 of 100 within {BAR_MS:.0f} ms of the API call", p99 <= BAR_MS, f"p99 {p99:.0f} ms")
    left = show.stage.postgres.query(_COUNT.format(address=show.stage.address("job")))
    show.expect("PostgreSQL has no session left from any of them", left.strip() == "0", f"{left.strip()} over IPv4")
    with show.narrator.working("the job recovers from losing its connection so often"):
        trouble = traffic.job_recovers(show.stage)
    show.expect("afterwards the job works as if nothing had been", not trouble, trouble)


_COUNT = "select count(*) from pg_stat_activity where client_addr = '{address}';"


def _once(show: Show) -> None:
    """The story: the job itself loses its connection, cannot come back, and then can."""
    stage, narrator = show.stage, show.narrator
    began = time.monotonic()
    _tags(show, [])
    with narrator.working("the job works on with what it has"):
        lost = traffic.job_loses_database(stage, since=began)
        refused = stage.puppets["job"].sql(stage.address("postgres", 6), "select 1")
    show.expect("the job's own database connection is cut", lost, lost or "it still works")
    show.expect("and it cannot open another", not refused, refused.why)
    _tags(show, list(WORKLOADS["job"].tags))
    back = stage.puppets["job"].sql(stage.address("postgres", 6), "select 1", timeout=5)
    show.expect("with its tags back, it works again", back.ok, back.why or "at once")


def _tags(show: Show, tags: list[str]) -> None:
    """By the command line, as an operator would."""
    value = json.dumps(tags)
    show.watchword(
        "api", "update", "processingunit", "job", "-n", NAMESPACE, "--set", f"associatedTags={value}", show=False
    )
    show.watchword("wait", "--revision", "latest", "--timeout", "30s", show=False)


def _resource(show: Show, plural: str, name: str) -> str:
    found: list[dict[str, Any]] = show.stage.operator.get(f"/v1/{plural}", filter=f'name == "{name}"', recursive="true")
    return f"/v1/{plural}/{found[0]['ID']}"


def _cut(show: Show, number: int, job: str, freeze: str) -> Cut:
    """Open a connection, take the permission away, wait for the reset, give the permission back."""
    stage, operator = show.stage, show.stage.operator
    by_tag, busy, version = number % 2 == 0, number % 4 < 2, 6 if number % 8 < 4 else 4
    away: dict[str, object] = {"associatedTags": []} if by_tag else {"disabled": False}
    back: dict[str, object] = {"associatedTags": list(WORKLOADS["job"].tags)} if by_tag else {"disabled": True}
    path = job if by_tag else freeze
    with stage.puppets["job"].hold(stage.address("postgres", version), busy=busy) as held:
        called = time.monotonic()
        operator.change(path, away)
        at, why = held.broke()
    if not operator.enforced(operator.change(path, back)):
        raise RuntimeError(f"change {number} was not taken back everywhere within 30 s")
    return Cut((at - called) * 1000, "tag" if by_tag else "rule", why)


def _bars(values: list[float]) -> str:
    """A line of small bars, one for each value, the highest the slowest."""
    top = max(values)
    return "".join("▁▂▃▄▅▆▇█"[min(7, int(value / top * 8))] for value in values)
