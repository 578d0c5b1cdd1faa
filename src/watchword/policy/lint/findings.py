"""Findings, as records ready for JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from watchword.model.ports import format_flow
from watchword.policy import portsets
from watchword.policy.counsel import title
from watchword.policy.landscape import Landscape
from watchword.policy.lint.codes import CODES, SEVERITIES, Severity
from watchword.policy.portsets import PortSet
from watchword.policy.remedies import Way
from watchword.policy.selection import PlacedRule
from watchword.policy.tables import Direction
from watchword.policy.world import Ruleset

#: Other rules named in one finding.
NAMED = 5


class Witness(msgspec.Struct, frozen=True, rename="camel"):
    """One present flow that shows the finding: a unit's ID or an address at each end."""

    source: str
    destination: str
    flow: str


class Finding(msgspec.Struct, frozen=True, rename="camel"):
    """One thing that is doubtful.

    ``ruleset`` is the ID of the ruleset or intent (of the first network for overlapping-networks);
    ``direction`` and ``index`` say which rule, "" and -1 for the ruleset as a whole. ``others`` are keys
    of the rules that the finding is about besides, as far as they are listed (for overlapping-networks
    after the ID of the second network). ``pairs`` counts pairs of units where that says something.
    """

    code: str
    severity: Severity
    ruleset: str
    ruleset_name: str
    namespace: str
    text: str
    remedy: str
    direction: Literal["", "incoming", "outgoing"] = ""
    index: int = -1
    rule: str = ""
    rule_name: str = ""
    others: tuple[str, ...] = ()
    pairs: int = 0
    witness: Witness | None = None


def order(finding: Finding) -> tuple[object, ...]:
    """Errors first; then by place."""
    place = finding.namespace, finding.ruleset_name, finding.ruleset, finding.direction, finding.index
    return SEVERITIES.index(finding.severity), finding.code, *place, finding.others


def of_ruleset(code: str, ruleset: Ruleset, text: str, remedy: str) -> Finding:
    """A finding about a ruleset as a whole."""
    return Finding(
        code=code,
        severity=CODES[code].severity,
        ruleset=ruleset.resource,
        ruleset_name=ruleset.name,
        namespace=ruleset.namespace,
        text=f"{ruleset.name!r} in {ruleset.namespace} {text}",
        remedy=remedy,
    )


def of_rule(
    code: str,
    placed: PlacedRule,
    text: str,
    remedy: str,
    *,
    others: tuple[str, ...] = (),
    pairs: int = 0,
    witness: Witness | None = None,
) -> Finding:
    """A finding about one rule."""
    direction, index = standing(placed)
    return Finding(
        code=code,
        severity=CODES[code].severity,
        ruleset=placed.ruleset.resource,
        ruleset_name=placed.ruleset.name,
        namespace=placed.ruleset.namespace,
        text=f"{direction} {title(placed)} {text}",
        remedy=remedy,
        direction=direction,
        index=index,
        rule=placed.key,
        rule_name=placed.rule.name,
        others=others[:NAMED],
        pairs=pairs,
        witness=witness,
    )


def standing(placed: PlacedRule) -> tuple[Way, int]:
    """Where a rule stands in its ruleset: the direction and the index."""
    _, direction, index = placed.key.rsplit("/", 2)  # an ID is anything
    return "incoming" if direction == "in" else "outgoing", int(index)


def witness(landscape: Landscape, local: int, peer: int, ports: PortSet, direction: Direction) -> Witness:
    """One flow between a unit of one kind and another party, as the end at the former sees it."""
    unit = landscape.kinds[local].units[0]
    if peer in landscape.blocks:
        other = landscape.blocks[peer].example
    else:
        other = next(each for each in landscape.kinds[peer].units if each != unit)
    source, destination = (unit, other) if direction == "out" else (other, unit)
    return Witness(source, destination, format_flow(*portsets.example(ports)))
