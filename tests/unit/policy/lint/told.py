"""What lint tells of a small world, by code."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.unit.policy.shop import keyed, world
from watchword.policy.lint import Finding, findings
from watchword.policy.world import Ruleset, World


def with_rulesets(*rulesets: Ruleset, **changes: Any) -> World:
    return world(rulesets=keyed(*rulesets), **changes)


def told(made: World) -> dict[str, list[Finding]]:
    by_code: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in findings(made):
        by_code[finding.code].append(finding)
    return by_code


def only(made: World, code: str) -> Finding:
    (finding,) = told(made)[code]
    return finding


def keys(made: World, code: str) -> list[str]:
    """The rules (or rulesets) that a code is given for."""
    return [finding.rule or finding.ruleset for finding in told(made)[code]]
