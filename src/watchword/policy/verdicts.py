"""How matching rules become a verdict: the one place that knows which rule wins.

1. Observed rules never decide. Among those that match, a Reject is reported before an Allow.
2. Of the others, any matching Reject wins over every Allow, wherever it comes from and however
   specific either is; else a matching Allow decides; else the default.
3. Among several winners the smallest rule key is named, so that every revision, Enforcer and
   explanation names the same one.

Rendering, compilation, simulation and explanation all settle here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from watchword.policy.tables import Verdict
from watchword.wire.policy import Action


class Deciding(Protocol):
    """What settling needs of a rule; a world's rule and a document's entry both have it."""

    @property
    def action(self) -> Action:
        """Allow or Reject."""

    @property
    def observed(self) -> bool:
        """Reported only."""

    @property
    def log(self) -> bool:
        """Whether flows it decides are reported."""


def settle(matching: Iterable[tuple[str, Deciding]], default: Action) -> Verdict:
    """The verdict of one end, given every rule that matches (by key) and the default."""
    winner: tuple[bool, str] | None = None
    seen: tuple[bool, str] | None = None
    rules: dict[str, Deciding] = {}
    for key, rule in matching:
        rules[key] = rule
        rank = (rule.action != "Reject", key)
        if rule.observed:
            seen = rank if seen is None else min(seen, rank)
        else:
            winner = rank if winner is None else min(winner, rank)
    decider = rules[winner[1]] if winner else None
    watcher = rules[seen[1]] if seen else None
    return Verdict(
        action=decider.action if decider else default,
        rule=winner[1] if winner else "",
        observed_action=watcher.action if watcher else "",
        observed_rule=seen[1] if seen else "",
        explicit=decider is not None and decider.action == "Reject",
        # an observation is there to be reported, even where the rule that decides is not
        log=decider.log or (watcher is not None and watcher.log) if decider else True,
    )


def together(parts: Sequence[Verdict]) -> Verdict:
    """The verdict about a peer of several classes, given what each of them decides apart (at least one).

    It is what :func:`settle` gives for the rules of all, but for the log: a flow that some part reports is
    reported, also where the rule that decides in the end is not.
    """
    deciding = [part for part in parts if part.rule]
    winner = min(deciding, key=lambda part: (part.action != "Reject", part.rule), default=parts[0])
    watching = [part for part in parts if part.observed_rule]
    seen = min(watching, key=lambda part: (part.observed_action != "Reject", part.observed_rule), default=winner)
    return Verdict(
        action=winner.action,
        rule=winner.rule,
        observed_action=seen.observed_action,
        observed_rule=seen.observed_rule,
        explicit=winner.explicit,
        log=winner.log or seen.log,
    )
