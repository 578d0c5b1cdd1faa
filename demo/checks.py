"""The claims that a run makes, and whether each held. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Claim:
    """One claim. ``found`` is what was seen, in words: the evidence, or what is there instead."""

    text: str
    holds: bool
    found: str = ""


@dataclass
class Checks:
    """All claims of a run, and the two figures that its last line names."""

    claims: list[Claim] = field(default_factory=list)
    revoke_p99_ms: float | None = None
    agent_rss_mb: float | None = None

    def add(self, text: str, holds: bool, found: str = "") -> Claim:
        """Record one claim."""
        claim = Claim(text, bool(holds), found)
        self.claims.append(claim)
        return claim

    @property
    def failed(self) -> list[Claim]:
        """Claims that did not hold."""
        return [claim for claim in self.claims if not claim.holds]

    @property
    def ok(self) -> bool:
        """Whether there were claims and every one held."""
        return bool(self.claims) and not self.failed

    def last_line(self) -> str:
        """The outcome as JSON on one line."""
        outcome = {
            "demo": "ok" if self.ok else "failed",
            "checks": len(self.claims),
            "revoke_p99_ms": _rounded(self.revoke_p99_ms),
            "agent_rss_mb": _rounded(self.agent_rss_mb),
        }
        return json.dumps(outcome, separators=(",", ":"))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
