"""Which rulesets are about a unit, and what their objects can see.

Shared by everything that goes from a world to verdicts (render, decide, explain), so that it is
decided once:

1. A ruleset is about a unit when its subject matches and it is in force in the unit's namespace: it
   stands there, or above and propagates. A disabled ruleset is about nothing.
2. Fallback rulesets count only for units that no ordinary ruleset is about (an ordinary ruleset
   without rules counts as one).
3. An object selects units in any namespace, and the external networks visible from the *ruleset's*
   namespace: those standing there, and those above that propagate.
4. A network that requires identity rejects every peer without one, for all units from whose namespace
   it is visible. It does so through a rule of its own (:func:`identity_rule`), so that such a refusal
   names the network like any other refusal names its rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from watchword.model.expressions import matches
from watchword.model.ports import ANYTHING
from watchword.policy.namespaces import reaches
from watchword.policy.tables import Direction
from watchword.policy.world import Network, Rule, Ruleset, Unit, World
from watchword.wire.policy import RuleEntry


class PlacedRule(NamedTuple):
    """A rule with the ruleset it stands in and the key by which verdicts name it."""

    key: str
    ruleset: Ruleset
    rule: Rule


def rule_key(ruleset: str, direction: Direction, index: int) -> str:
    """The key of a rule: unique in a world, and what documents, verdicts and flow records carry.

    ``ruleset`` is what people know it by (:attr:`~watchword.policy.world.Ruleset.resource`): the two
    ends of an intent have rules in one direction each, so their keys do not meet.
    """
    return f"{ruleset}/{direction}/{index}"


def known_as(world: World, resource: str, direction: Direction = "out") -> Ruleset | None:
    """The ruleset that people know by this ID: a ruleset, or the end of an intent in this direction."""
    ends = (end_of(resource, direction), end_of(resource, "in" if direction == "out" else "out"))
    return next((found for key in (resource, *ends) if (found := world.rulesets.get(key)) is not None), None)


def end_of(intent: str, direction: Direction) -> str:
    """The ID, unique in a world, of one end of an intent."""
    return f"{intent}:{direction}"


def in_force(ruleset: Ruleset, namespace: str) -> bool:
    """Whether ``ruleset`` can be about units in ``namespace`` at all."""
    return not ruleset.disabled and reaches(ruleset.namespace, ruleset.propagate, namespace)


def about(unit: Unit, rulesets: Iterable[Ruleset]) -> list[Ruleset]:
    """The rulesets that count for ``unit``, by ID."""
    return counting(unit, (ruleset for ruleset in rulesets if matches(ruleset.subject, unit.tags)))


def counting(unit: Unit, selecting: Iterable[Ruleset]) -> list[Ruleset]:
    """Like :func:`about` for rulesets whose subject is known to match."""
    selected = [ruleset for ruleset in selecting if in_force(ruleset, unit.namespace)]
    ordinary = [ruleset for ruleset in selected if not ruleset.fallback]
    return sorted(ordinary or selected, key=lambda ruleset: ruleset.id)


def rules_of(rulesets: Iterable[Ruleset], direction: Direction) -> list[PlacedRule]:
    """All rules of ``rulesets`` in one direction."""
    return [
        PlacedRule(rule_key(ruleset.resource, direction, index), ruleset, rule)
        for ruleset in rulesets
        for index, rule in enumerate(ruleset.incoming if direction == "in" else ruleset.outgoing)
    ]


def rule_entry(placed: PlacedRule, selector: str) -> RuleEntry:
    """A rule as documents have it."""
    return RuleEntry(
        ruleset=placed.ruleset.resource,
        ruleset_name=placed.ruleset.name,
        namespace=placed.ruleset.namespace,
        name=placed.rule.name,
        action=placed.rule.action,
        selector=selector,
        ports=placed.rule.ports,
        observed=placed.rule.observed,
        log=placed.rule.log,
    )


def visible(network: Network, namespace: str) -> bool:
    """Whether a ruleset (or unit) in ``namespace`` sees ``network``."""
    return reaches(network.namespace, network.propagate, namespace)


def object_matches(placed: PlacedRule, network: Network) -> bool:
    """Whether a rule's object selects an external network."""
    return visible(network, placed.ruleset.namespace) and matches(placed.rule.object, network.tags)


def identity_rule(network: Network, direction: Direction) -> PlacedRule:
    """The rule by which a network that requires identity rejects peers without one.

    Its object can match nothing by tags: whoever evaluates it compares the network instead.
    """
    rule = Rule(name="identity required", action="Reject", object=(), ports=(ANYTHING,))
    ruleset = Ruleset(id=network.id, name=network.name, namespace=network.namespace, subject=())
    return PlacedRule(rule_key(network.id, direction, 0), ruleset, rule)
