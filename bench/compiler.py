"""The Enforcer's compiler on a large document: from nothing, after one changed peer, after one changed rule.

No kernel and no Console: documents are made here, seeded, in the shape of a large host that meets a large
company. What is timed is :class:`watchword.policy.compile.Compiler` alone, not the delta's way there
(signature, digest, disk) nor the kernel's maps. The last line of the output is JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import msgspec

from watchword.model.ports import ANYTHING, PortRange
from watchword.policy.compile import Compiler
from watchword.wire.policy import Action, EnforcerEntry, PeerEntry, PolicyDocument, RuleEntry, UnitEntry, digest

#: Rules of one ruleset; half of them incoming.
_RULES_EACH = 20
_ENFORCERS = 500
_PORTS = (80, 443, 8080, 5432, 3306, 6379, 9092, 53, 22, 9100)

Touched = dict[str, set[str | int]]


class Estate:
    """A synthetic document, and changes to it like a company's."""

    def __init__(self, units: int, peers: int, rules: int, seed: int) -> None:
        self._random = Random(seed)
        self._apps = max(peers // 5, 1)
        rulesets = max(rules // _RULES_EACH, 1)
        self.document = PolicyDocument(
            revision=1,
            rules=dict(rule for number in range(rulesets) for rule in self._ruleset(number)),
            peers={badge: self._peer(badge) for badge in range(1, peers + 1)},
            enforcers={f"enforcer-{number}": EnforcerEntry(b"", ()) for number in range(_ENFORCERS)},
        )
        self.document.units = {f"unit-{number}": self._unit(number, rulesets) for number in range(units)}

    def _ruleset(self, number: int) -> Iterator[tuple[str, RuleEntry]]:
        for index in range(_RULES_EACH):
            direction, place = ("in", index) if index < _RULES_EACH // 2 else ("out", index - _RULES_EACH // 2)
            yield f"ruleset-{number:05}/{direction}/{place}", self._rule(number)

    def _rule(self, number: int) -> RuleEntry:
        kind = self._random.random()
        if kind < 0.7:
            ports = tuple(PortRange(6, port, port) for port in self._random.sample(_PORTS, 2))
        elif kind < 0.9:
            start = self._random.randrange(1024, 60000)
            ports = (PortRange(self._random.choice((6, 17)), start, start + self._random.choice((0, 9, 99))),)
        else:
            ports = (ANYTHING,)
        return RuleEntry(
            ruleset=f"ruleset-{number:05}",
            ruleset_name=f"ruleset {number}",
            namespace="/acme/prod",
            name="",
            action="Reject" if self._random.random() < 0.1 else "Allow",
            selector=self._selector(),
            ports=ports,
        )

    def _app(self) -> int:
        """Few apps are many workloads, most are few."""
        return min(int(self._random.paretovariate(0.7)), self._apps) - 1

    def _selector(self) -> str:
        if self._random.random() < 0.02:
            return f"tier={self._random.randrange(10)}"
        return f"app={self._random.randrange(self._apps)}"

    def _peer(self, badge: int) -> PeerEntry:
        app = self._app() if self._random.random() < 0.3 else self._random.randrange(self._apps)
        return PeerEntry(
            unit=f"unit-{badge}",
            name=f"workload-{badge}",
            namespace="/acme/prod",
            enforcer=f"enforcer-{badge % _ENFORCERS}",
            selectors=tuple(sorted((f"app={app}", f"tier={app % 10}"))),
        )

    def _unit(self, number: int, rulesets: int) -> UnitEntry:
        """Units of one app share two rulesets: its own and one of ten that are about many."""
        app = number % max(rulesets - 10, 1)
        chosen = (f"ruleset-{min(app + 10, rulesets - 1):05}", f"ruleset-{app % min(10, rulesets):05}")
        half = range(_RULES_EACH // 2)
        defaults: tuple[Action, Action] = ("Reject", "Reject")
        return UnitEntry(
            native_id=f"native-{number}",
            badge=number + 1,
            name=f"unit-{number}",
            namespace="/acme/prod",
            tags=(f"app={app}",),
            incoming=tuple(sorted({f"{ruleset}/in/{index}" for ruleset in chosen for index in half})),
            outgoing=tuple(sorted({f"{ruleset}/out/{index}" for ruleset in chosen for index in half})),
            default_incoming=defaults[0],
            default_outgoing=defaults[1],
        )

    def change_a_peer(self) -> Touched:
        """Another app's labels for a peer that is there, or one goes and one comes."""
        badge = self._random.randrange(1, len(self.document.peers) + 1)
        if self._random.random() < 0.5 or badge not in self.document.peers:
            return self._put("peers", {badge: self._peer(badge)})
        fresh = max(self.document.peers) + 1
        peers = {**self.document.peers, fresh: self._peer(fresh)}
        del peers[badge]
        self._next(peers=peers)
        return {"peers": {badge, fresh}}

    def change_a_rule(self) -> Touched:
        """The other action, or other ports and another object, for a rule that is there."""
        key = self._random.choice(list(self.document.rules))
        rule = self.document.rules[key]
        if self._random.random() < 0.5:
            changed = msgspec.structs.replace(rule, action="Allow" if rule.action == "Reject" else "Reject")
        else:
            changed = self._rule(int(rule.ruleset.rpartition("-")[2]))
        return self._put("rules", {key: changed})

    def _put(self, table: str, entries: dict[str | int, object]) -> Touched:
        self._next(**{table: {**getattr(self.document, table), **entries}})
        return {table: set(entries)}

    def _next(self, **tables: object) -> None:
        self.document = msgspec.structs.replace(self.document, revision=self.document.revision + 1, **tables)


def rss_mb() -> float:
    """Resident memory of this process."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096 / 1e6


def milliseconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes, in milliseconds, without the collector's pauses for what was before."""
    gc.collect()
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--peers", type=int, default=10_000)
    parser.add_argument("--rules", type=int, default=5000)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    estate = Estate(options.units, options.peers, options.rules, options.seed)
    gc.collect()
    before = rss_mb()
    compiler = Compiler()
    full = milliseconds(lambda: compiler.compile(estate.document))
    gc.collect()
    held = rss_mb() - before
    tables = compiler.compile(estate.document)
    print(f"{len(tables.verdicts)} verdicts, {len({peer.peer_class for peer in tables.peers.values()})} peer classes")
    print(f"digest: {milliseconds(lambda: digest(estate.document)):.1f} ms")
    report: dict[str, object] = {
        "bench": "compiler",
        "units": options.units,
        "peers": options.peers,
        "rules": options.rules,
        "full_ms": round(full, 1),
        "held_mb": round(held, 1),
    }
    for name, change in (("peer", estate.change_a_peer), ("rule", estate.change_a_rule)):
        spent = []
        for _ in range(options.changes):
            change()
            spent.append(milliseconds(lambda: compiler.compile(estate.document)))
        report[f"{name}_p50_ms"] = round(statistics.median(spent), 3)
        report[f"{name}_p99_ms"] = round(sorted(spent)[-1 - len(spent) // 100], 3)
    report["rss_mb"] = round(rss_mb(), 1)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
