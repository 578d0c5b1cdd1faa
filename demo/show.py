"""What every act needs at hand: the stage, the narrator and the claims."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from subprocess import CompletedProcess

from demo import kernel, traffic
from demo.checks import Checks
from demo.narrator import Narrator
from demo.stage import Stage


@dataclass
class Show:
    """One run of the demonstration."""

    stage: Stage
    narrator: Narrator
    checks: Checks
    rss_mb: dict[str, float] = field(default_factory=dict)
    devices: list[str] = field(default_factory=kernel.devices)

    def expect(self, text: str, holds: object, found: str = "") -> bool:
        """Check one claim and tell about it. ``found`` is what was seen."""
        claim = self.checks.add(text, bool(holds), found)
        self.narrator.claim(claim)
        return claim.holds

    def watchword(self, *arguments: str, show: bool = True, check: bool = True) -> CompletedProcess[str]:
        """Run a command of the operator's and show it with what it printed."""
        done = self.stage.operator.command(*arguments, check=check)
        self.narrator.command(f"watchword {shlex.join(arguments)}", done.stdout + done.stderr if show else "")
        return done

    def job_works(self, text: str, *, since: float = 0.0, at_least: int) -> None:
        """Claim that whatever the job tried since then worked, and that it tried so often."""
        uses = traffic.job_uses(self.stage, since=since, at_least=at_least)
        failed = traffic.failures(uses)
        self.expect(text, len(uses) >= at_least and not failed, "; ".join(failed[:3]) or f"{len(uses)} times")

    def weigh(self) -> None:
        """Note how much memory each agent has at most."""
        for name, enforcer in self.stage.enforcers.items():
            self.rss_mb[name] = max(self.rss_mb.get(name, 0.0), enforcer.rss_mb())
