"""The codes of findings: stable names, how much they matter, and exactly when each is given.

``docs/policy.md`` has the same table; a test compares them. In the definitions a rule *counts* for a
unit when its ruleset does (enabled, in force in the unit's namespace, subject matches, no fallback
displaced by an ordinary ruleset) and the rule is not in observation. A rule *meets* a flow at an end
when it counts for the unit there, its object selects the peer and its ports take the flow. Flows of a
unit with itself are left out everywhere.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "info"]

#: From bad to harmless.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


class Code(NamedTuple):
    """One code: how much it matters, and when it is given."""

    severity: Severity
    given: str


CODES: dict[str, Code] = {
    "tag-outside-prefixes": Code(
        "error",
        "a clause of the subject or an object begins with none of the tagPrefixes in force in the ruleset's namespace; "
        "the ruleset could not be written again as it is",
    ),
    "subject-matches-nothing": Code("warning", "an enabled ruleset's subject matches no present unit in any namespace"),
    "unreachable-ruleset": Code(
        "warning",
        "an enabled ruleset's subject matches present units, but none where the ruleset is in force",
    ),
    "subject-matches-everything": Code(
        "info", "an enabled ruleset's subject matches all of at least two present units where it is in force"
    ),
    "object-matches-nothing": Code(
        "warning",
        "a rule of an enabled ruleset names no present unit in any namespace and no external network that is visible "
        "from the ruleset's",
    ),
    "object-matches-everything": Code(
        "info", "an Allow rule of an enabled ruleset names all of at least two present units"
    ),
    "over-broad-rule": Code(
        "warning",
        "an Allow rule of an enabled ruleset takes every TCP port, and names all of at least two present units or a "
        "visible network with a prefix of length 0",
    ),
    "open-to-internet": Code(
        "info", "an incoming Allow rule of an enabled ruleset names a visible network with a prefix of length 0"
    ),
    "duplicate-rule": Code(
        "warning",
        "an earlier rule (by key) of an enabled ruleset has the same direction, action, observation, ports and "
        "object, and its ruleset the same namespace, subject, propagate and fallback",
    ),
    "unused-rule": Code(
        "warning",
        "a rule meets no present flow, though its ruleset is enabled and its subject matches where it is in force, "
        "and its object names something, and it is not in observation",
    ),
    "rejected-allow": Code(
        "warning", "an Allow rule meets present flows, and a Reject rule meets every one of them at the same end"
    ),
    "partly-rejected-allow": Code(
        "info", "an Allow rule meets present flows, and a Reject rule meets some but not all of them at the same end"
    ),
    "shadowed-rule": Code(
        "warning",
        "each present flow that the rule meets is met at the same end by another rule that rejects or has the same "
        "action, the rules reported as duplicate-rule, rejected-allow and shadowed-rule left out: these can be "
        "removed all together and no verdict changes",
    ),
    "one-sided-rule": Code(
        "warning",
        "an Allow rule meets flows with present units that its end allows, and the other end refuses every one of them",
    ),
    "partly-one-sided-rule": Code(
        "info",
        "an Allow rule meets flows with present units that its end allows, and the other end refuses some but not all",
    ),
    "overlapping-networks": Code(
        "warning",
        "an address belongs to two networks, and for one present unit and flow an Allow rule names the one alone and a "
        "Reject rule the other alone",
    ),
    "long-disabled": Code("info", "a ruleset is disabled and has not been changed for 30 days"),
}
