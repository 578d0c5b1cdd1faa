"""All findings about a world, in order."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from watchword.policy.landscape import Landscape, Survey
from watchword.policy.lint import spelling
from watchword.policy.lint.classes import classes
from watchword.policy.lint.findings import Finding, of_rule, order
from watchword.policy.lint.meetings import Meetings
from watchword.policy.lint.onesided import one_sided
from watchword.policy.lint.overlaps import overlapping
from watchword.policy.namespaces import ROOT, reaches
from watchword.policy.world import World

_NEVER: Mapping[str, datetime.datetime] = {}


def findings(
    world: World,
    *,
    survey: Survey | None = None,
    within: str = ROOT,
    changed: Mapping[str, datetime.datetime] = _NEVER,
    now: datetime.datetime | None = None,
) -> tuple[Finding, ...]:
    """Everything doubtful about the rulesets and networks of ``within`` and below, worst first.

    ``changed`` says by ID when rulesets last changed; without it and ``now`` nothing is said about how
    long they have been disabled. ``survey`` is kept from call to call by those who ask often.
    """
    (landscape,) = (survey or Survey()).landscapes(world)
    found: list[Finding] = []

    def tell(finding: Finding) -> None:
        if reaches(within, True, finding.namespace):
            found.append(finding)

    for ruleset in world.rulesets.values():
        if not reaches(within, True, ruleset.namespace):
            continue
        found += spelling.outside_prefixes(landscape, ruleset)
        found += spelling.long_disabled(ruleset, changed, now)
        if not ruleset.disabled:
            found += spelling.subject(landscape, ruleset)
            found += spelling.objects(landscape, ruleset)
    repeated = spelling.duplicates([each for each in world.rulesets.values() if not each.disabled], tell)
    everywhere = classes(landscape)
    meetings = Meetings(landscape, everywhere)
    _unused(landscape, meetings, within, found)
    dead = meetings.contradictions(tell)
    meetings.shadowed(repeated | dead, tell)
    one_sided(landscape, everywhere, tell)
    overlapping(landscape, everywhere, tell)
    return tuple(sorted(dict.fromkeys(found), key=order))


def _unused(landscape: Landscape, meetings: Meetings, within: str, found: list[Finding]) -> None:
    """Rules that no flow meets, and of which nothing else says why."""
    for ruleset in landscape.world.rulesets.values():
        if ruleset.disabled or not reaches(within, True, ruleset.namespace):
            continue
        if not landscape.subjects(ruleset):
            continue
        for placed in spelling.rules(ruleset):
            record = meetings.records.get(placed.key)
            if placed.rule.observed or (record is not None and record.met):
                continue
            if spelling.names_something(landscape, placed):
                why = "the units that it is about have ordinary rulesets" if ruleset.fallback else "no flow meets it"
                found.append(of_rule("unused-rule", placed, f"does nothing: {why}", "remove it"))
