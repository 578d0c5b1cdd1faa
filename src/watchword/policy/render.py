"""Rendering: from the world to the document of one Enforcer.

What a document contains, and why:

1. The units registered on the Enforcer, each with the rules that are about it (see
   :mod:`watchword.policy.selection`) and the defaults of its namespace.
2. Those rules and their selectors, and nothing of rules about other Enforcers' units.
3. As peers every identity that one of those selectors matches - also those of Reject and observed
   rules, so that a refusal names its rule - the local units themselves, badges asked for by the
   Enforcer, and everybody as soon as a local unit's default allows something. An identity in
   no document therefore meets nothing but Reject defaults.
4. The external networks that one of those selectors matches. Selector keys contain the ruleset's
   namespace, and a network lists a selector only when it is visible from that namespace.
5. The Enforcers of all peers, and this one. An identity whose Enforcer is not known (evicted) is in
   no document: it cannot prove itself to anybody.

Every list and table is in a fixed order: equal worlds give equal documents, and these the same tables.

This is the plain statement of it, from scratch and one thing at a time. The Console follows changes
with :mod:`watchword.policy.engine`, which is held against this.
"""

from __future__ import annotations

from collections.abc import Collection

from watchword.model.expressions import Expression, matches, normalised
from watchword.policy import selection
from watchword.policy.namespaces import default_action
from watchword.policy.selection import PlacedRule
from watchword.policy.selectors import selector_key
from watchword.policy.tables import Direction
from watchword.policy.world import Unit, World
from watchword.wire.policy import (
    Action,
    NetworkEntry,
    PeerEntry,
    PolicyDocument,
    RuleEntry,
    UnitEntry,
)

_DIRECTIONS: tuple[Direction, Direction] = ("in", "out")


def render(world: World, enforcer_id: str, asked: Collection[int] = ()) -> PolicyDocument:
    """The document of one Enforcer; ``asked`` are badges it met and asked for.

    Raises :class:`LookupError` when the world does not have that Enforcer.
    """
    if enforcer_id not in world.enforcers:
        raise LookupError(f"the world has no Enforcer {enforcer_id!r}")
    draft = _Draft(world)
    for unit in sorted(world.units.values(), key=lambda unit: unit.id):
        if unit.enforcer == enforcer_id:
            draft.add_unit(unit)
    return draft.document(enforcer_id, asked)


class _Draft:
    """A document in the making."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.units: dict[str, UnitEntry] = {}
        self.rules: dict[str, RuleEntry] = {}
        self.placed: dict[str, PlacedRule] = {}  # selector to a rule that uses it
        self.demanding: dict[str, str] = {}  # network that requires identity to its selector
        self.everybody = False  # some default of a local unit allows

    def add_unit(self, unit: Unit) -> None:
        """Take in a local unit with its rules."""
        rulesets = selection.about(unit, self.world.rulesets.values())
        keys: dict[Direction, tuple[str, ...]] = {}
        defaults: dict[Direction, Action] = {}
        for direction in _DIRECTIONS:
            added = [self._add_rule(placed) for placed in selection.rules_of(rulesets, direction)]
            keys[direction] = tuple(sorted(added + self._identity_rules(unit, direction)))
            defaults[direction], _ = default_action(self.world.namespaces, unit.namespace, direction)
        self.everybody = self.everybody or "Allow" in defaults.values()
        self.units[unit.id] = UnitEntry(
            native_id=unit.native_id,
            badge=unit.badge,
            name=unit.name,
            namespace=unit.namespace,
            tags=tuple(sorted(unit.tags)),
            incoming=keys["in"],
            outgoing=keys["out"],
            default_incoming=defaults["in"],
            default_outgoing=defaults["out"],
        )

    def _add_rule(self, placed: PlacedRule) -> str:
        if placed.key not in self.rules:
            selector = selector_key(placed.ruleset.namespace, placed.rule.object)
            self.placed.setdefault(selector, placed)
            self.rules[placed.key] = selection.rule_entry(placed, selector)
        return placed.key

    def _identity_rules(self, unit: Unit, direction: Direction) -> list[str]:
        keys = []
        for network in self.world.networks.values():
            if network.identity_required and selection.visible(network, unit.namespace):
                placed = selection.identity_rule(network, direction)
                selector = self.demanding.setdefault(network.id, selector_key(network.id, ()))
                self.rules[placed.key] = selection.rule_entry(placed, selector)
                keys.append(placed.key)
        return keys

    def document(self, enforcer_id: str, asked: Collection[int]) -> PolicyDocument:
        """The finished document."""
        world = self.world
        identities = {
            unit.badge: unit for unit in world.units.values() if unit.badge and unit.enforcer in world.enforcers
        }
        met = tuple(sorted({badge for badge in asked if badge in identities}))
        kept = {unit.badge for unit in self.units.values()} | set(met)
        peers = {}
        for badge, unit in sorted(identities.items()):
            selectors = [key for key, placed in self.placed.items() if matches(placed.rule.object, unit.tags)]
            if selectors or badge in kept or self.everybody:
                ordered = tuple(sorted(selectors))
                peers[badge] = PeerEntry(unit.id, unit.name, unit.namespace, unit.enforcer, ordered)
        enforcers = {enforcer_id, *(peer.enforcer for peer in peers.values())}
        return PolicyDocument(
            revision=world.revision,
            units=self.units,
            rules=dict(sorted(self.rules.items())),
            selectors=self._selectors(),
            peers=peers,
            enforcers={enforcer: world.enforcers[enforcer] for enforcer in sorted(enforcers)},
            networks=self._networks(),
            enforcer=enforcer_id,
            everybody=self.everybody,
            asked=met,
        )

    def _selectors(self) -> dict[str, Expression]:
        selectors = {selector: normalised(placed.rule.object) for selector, placed in self.placed.items()}
        for network_id, selector in self.demanding.items():
            selectors[selector] = ((f"$id={network_id}",),)
        return dict(sorted(selectors.items()))

    def _networks(self) -> dict[str, NetworkEntry]:
        networks = {}
        for network in sorted(self.world.networks.values(), key=lambda network: network.id):
            selectors = [
                selector for selector, placed in self.placed.items() if selection.object_matches(placed, network)
            ]
            if network.id in self.demanding:
                selectors.append(self.demanding[network.id])
            if selectors:
                networks[network.id] = NetworkEntry(
                    name=network.name,
                    namespace=network.namespace,
                    entries=(*network.entries, *network.names),
                    selectors=tuple(sorted(selectors)),
                    identity_required=network.identity_required,
                )
        return networks
