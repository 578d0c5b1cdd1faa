"""What a large host carries: many units, many peers, many rules, as an API would be told of them. Pure and seeded.

Applications have units on the host and elsewhere; each has rulesets of its own, whose rules are about other
applications, now and then about a whole tier, so that every peer is one that some rule is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

#: Rules of one ruleset; half of them incoming.
RULES_EACH = 20
TIERS = 10
_PORTS = (80, 443, 8080, 5432, 3306, 6379, 9092, 53, 22, 9100)


@dataclass(frozen=True, slots=True)
class Burden:
    """``units`` on the host (beside those that are measured), ``peers`` elsewhere on ``colleagues`` Enforcers."""

    units: int = 1000
    peers: int = 10_000
    rules: int = 5000
    colleagues: int = 100
    seed: int = 1

    @property
    def applications(self) -> int:
        """Applications that rules speak of; one in eight has rulesets, and units on the host."""
        return max(1, self.rules // RULES_EACH) * 8

    def unit(self, number: int) -> tuple[str, ...]:
        """Tags of one of the host's own units."""
        return self._tags(number % max(1, self.rules // RULES_EACH) * 8)

    def colleague(self, number: int) -> list[tuple[str, ...]]:
        """Tags of the units of another Enforcer."""
        random = Random(f"{self.seed} colleague {number}")
        first, last = (self.peers * each // self.colleagues for each in (number, number + 1))
        return [self._tags(random.randrange(self.applications)) for _ in range(first, last)]

    def _tags(self, application: int) -> tuple[str, ...]:
        return f"app=app{application:05}", f"tier={application % TIERS}"

    def rulesets(self, namespace: str) -> list[dict[str, Any]]:
        """Every ruleset, as ``networkrulesetpolicies`` of an import."""
        random = Random(f"{self.seed} rulesets")
        return [self._ruleset(number, namespace, random) for number in range(self.rules // RULES_EACH)]

    def _ruleset(self, number: int, namespace: str, random: Random) -> dict[str, Any]:
        sides = {
            side: [self._rule(number, place, random) for place in range(RULES_EACH // 2)]
            for side in ("incomingRules", "outgoingRules")
        }
        subject = [[f"app=app{number * 8:05}"]]
        return {"name": f"app{number * 8:05}", "namespace": namespace, "subject": subject, **sides}

    def _rule(self, number: int, place: int, random: Random) -> dict[str, Any]:
        if place == 0 and number % 5 == 0:
            wanted = f"tier={number // 5 % TIERS}"
        else:
            wanted = f"app=app{random.randrange(self.applications):05}"
        ports = sorted(random.sample(_PORTS, 2))
        if random.random() < 0.2:
            start = random.randrange(10_000, 60_000)
            ports = [start]
            spans = [f"tcp/{start}:{start + random.choice((9, 99))}"]
        else:
            spans = [f"tcp/{port}" for port in ports]
        action = "Reject" if random.random() < 0.1 else "Allow"
        return {"name": f"rule{place}", "object": [[wanted]], "protocolPorts": spans, "action": action}
