"""What an Enforcer's profile adds to its policy document: networks to leave alone, and those that require identity.

Both become networks and rules of the document, with keys of their own that no ruleset can have, so that compiling,
loading and explaining know nothing of them. Goals:

1. An address of an excluded network belongs to that one alone: no other network's rules, no default and no identity
   requirement is about it (:mod:`watchword.policy.regions`). Every protocol is let through, both ways.
2. Peers without identity in a network that requires one are rejected, whatever else allows them; those that prove
   one are judged by policy. Datagrams carry none, so there all of them are rejected.
3. A document without boundaries stays the object that it is.
"""

from __future__ import annotations

import msgspec

from watchword.model.ports import ANYTHING
from watchword.policy.regions import EXCLUDED
from watchword.policy.tables import Direction
from watchword.wire.messages import Boundaries
from watchword.wire.policy import NetworkEntry, PolicyDocument, RuleEntry, UnitEntry

#: Selector of peers in networks that require identity.
DEMANDING = "@identity-required"

_NAMES = {EXCLUDED: "excluded network", DEMANDING: "identity required"}
_DIRECTIONS: tuple[Direction, ...] = ("in", "out")


def bounded(document: PolicyDocument, boundaries: Boundaries | None) -> PolicyDocument:
    """``document`` with ``boundaries``; the document itself is left alone."""
    if boundaries is None or not (boundaries.excluded_networks or boundaries.identity_required_networks):
        return document
    networks, rules = dict(document.networks), dict(document.rules)
    selectors = dict(document.selectors)
    keys: dict[Direction, tuple[str, ...]] = dict.fromkeys(_DIRECTIONS, ())
    for selector, entries in (
        (EXCLUDED, boundaries.excluded_networks),
        (DEMANDING, boundaries.identity_required_networks),
    ):
        if not entries:
            continue
        networks[selector] = NetworkEntry(_NAMES[selector], "", entries, (selector,), selector == DEMANDING)
        selectors[selector] = ((selector,),)
        for direction in _DIRECTIONS:
            rule = _rule(selector)
            key = f"{selector}/{direction}/0"
            rules[key] = rule
            keys[direction] += (key,)
    return msgspec.structs.replace(
        document,
        units={key: _with_rules(unit, keys) for key, unit in document.units.items()},
        rules=rules,
        selectors=selectors,
        networks=networks,
    )


def _rule(selector: str) -> RuleEntry:
    return RuleEntry(
        ruleset=selector,
        ruleset_name="enforcer profile",
        namespace="",
        name=_NAMES[selector],
        action="Allow" if selector == EXCLUDED else "Reject",
        selector=selector,
        ports=(ANYTHING,),
        log=selector != EXCLUDED,
    )


def _with_rules(unit: UnitEntry, keys: dict[Direction, tuple[str, ...]]) -> UnitEntry:
    return msgspec.structs.replace(unit, incoming=unit.incoming + keys["in"], outgoing=unit.outgoing + keys["out"])
