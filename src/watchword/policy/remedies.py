"""Changes to a world that would turn a verdict round, as data: said, applied, and thereby checked.

Indexes and keys of rules are those before any of the changes; :func:`applied` carries out a list of
changes as one.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

from watchword.model import ports
from watchword.model.expressions import Expression
from watchword.policy.versions import persistent
from watchword.policy.world import Namespace, Network, Rule, Ruleset, World
from watchword.wire.policy import Action

Way = Literal["incoming", "outgoing"]


class _Change(msgspec.Struct, frozen=True, rename="camel", tag_field="change"):
    """Base of all changes."""


class RemoveRule(_Change, frozen=True, tag="removeRule"):
    """Take a rule away; a flow may be left out of it instead."""

    rule: str


class EnforceRule(_Change, frozen=True, tag="enforceRule"):
    """Turn a rule's observation off."""

    rule: str


class WidenPorts(_Change, frozen=True, tag="widenPorts"):
    """Add an entry to a rule's protocolPorts."""

    rule: str
    protocol_ports: tuple[str, ...]


class WidenObject(_Change, frozen=True, tag="widenObject"):
    """Add alternatives to a rule's object."""

    rule: str
    object: Expression


class EnableRuleset(_Change, frozen=True, tag="enableRuleset"):
    """Clear ``disabled``."""

    ruleset: str


class PropagateRuleset(_Change, frozen=True, tag="propagateRuleset"):
    """Set ``propagate``, so that it is in force in namespaces below too."""

    ruleset: str


class CountRuleset(_Change, frozen=True, tag="countRuleset"):
    """Clear ``fallback``, so that it counts beside others."""

    ruleset: str


class PropagateNetwork(_Change, frozen=True, tag="propagateNetwork"):
    """Set ``propagate``, so that rulesets in namespaces below see it."""

    network: str


class TrustNetwork(_Change, frozen=True, tag="trustNetwork"):
    """Clear ``identityRequired``."""

    network: str


class AddRule(_Change, frozen=True, tag="addRule"):
    """Add a rule to a ruleset."""

    ruleset: str
    direction: Way
    action: Action
    object: Expression
    protocol_ports: tuple[str, ...]


class AddRuleset(_Change, frozen=True, tag="addRuleset"):
    """Add a ruleset with one rule."""

    namespace: str
    subject: Expression
    direction: Way
    action: Action
    object: Expression
    protocol_ports: tuple[str, ...]


class AddNetwork(_Change, frozen=True, tag="addNetwork"):
    """Add an external network."""

    namespace: str
    entries: tuple[str, ...]
    tags: tuple[str, ...]


class SetDefault(_Change, frozen=True, tag="setDefault"):
    """Set a namespace's default for one direction."""

    namespace: str
    direction: Way
    action: Action


Change = (
    RemoveRule
    | EnforceRule
    | WidenPorts
    | WidenObject
    | EnableRuleset
    | PropagateRuleset
    | CountRuleset
    | PropagateNetwork
    | TrustNetwork
    | AddRule
    | AddRuleset
    | AddNetwork
    | SetDefault
)


class Remedy(msgspec.Struct, frozen=True, rename="camel"):
    """Changes that together turn one end's verdict round, and the same in words."""

    text: str
    changes: tuple[Change, ...]


def applied(world: World, changes: Iterable[Change]) -> World:
    """``world`` after ``changes``. Raises :class:`LookupError` for what it does not have."""
    after = _Applied(world)
    for change in changes:
        after.apply(change)
    after.take_away()
    return dataclasses.replace(
        world,
        namespaces=after.namespaces,
        networks=after.networks,
        rulesets=after.rulesets,
    )


class _Applied:
    """A world's changeable parts, being changed.

    Rules are only marked as taken away, and added behind the others: until the end, their indexes are those
    in the keys.
    """

    def __init__(self, world: World) -> None:
        self.namespaces = persistent(world.namespaces)  # all there are, also when the rest is an excerpt
        self.networks = dict(world.networks)
        self.rulesets = dict(world.rulesets)
        self._before = world.rulesets
        self._gone: defaultdict[tuple[str, Way], set[int]] = defaultdict(set)  # by ruleset and direction

    def apply(self, change: Change) -> None:
        """Carry out one change."""
        match change:
            case RemoveRule(rule):
                self._remove(rule)
            case EnforceRule(rule):
                self._edit(rule, lambda old: dataclasses.replace(old, observed=False))
            case WidenPorts(rule, entries):
                added = ports.parse(entries)
                self._edit(rule, lambda old: dataclasses.replace(old, ports=(*old.ports, *added)))
            case WidenObject(rule, expression):
                self._edit(rule, lambda old: dataclasses.replace(old, object=(*old.object, *expression)))
            case EnableRuleset(ruleset):
                self.rulesets[ruleset] = dataclasses.replace(self.rulesets[ruleset], disabled=False)
            case PropagateRuleset(ruleset):
                self.rulesets[ruleset] = dataclasses.replace(self.rulesets[ruleset], propagate=True)
            case CountRuleset(ruleset):
                self.rulesets[ruleset] = dataclasses.replace(self.rulesets[ruleset], fallback=False)
            case PropagateNetwork(network):
                self.networks[network] = dataclasses.replace(self.networks[network], propagate=True)
            case TrustNetwork(network):
                self.networks[network] = dataclasses.replace(self.networks[network], identity_required=False)
            case SetDefault(namespace, direction, action):
                self._set_default(namespace, direction, action)
            case _:
                self._add(change)

    def take_away(self) -> None:
        """Take away the rules that are marked."""
        for (identifier, way), gone in self._gone.items():
            rules = rules_of(self.rulesets[identifier], way)
            kept = [rule for index, rule in enumerate(rules) if index not in gone]
            self.rulesets[identifier] = with_rules(self.rulesets[identifier], way, kept)

    def _edit(self, key: str, edit: Callable[[Rule], Rule]) -> None:
        identifier, way, index = self._place(key)
        rules = list(rules_of(self.rulesets[identifier], way))
        rules[index] = edit(rules[index])
        self.rulesets[identifier] = with_rules(self.rulesets[identifier], way, rules)

    def _remove(self, key: str) -> None:
        identifier, way, index = self._place(key)
        if index in self._gone[identifier, way]:
            raise LookupError(f"rule {key} is gone already")
        self._gone[identifier, way].add(index)

    def _place(self, key: str) -> tuple[str, Way, int]:
        """The ID of the ruleset that a rule's key means, the direction, and the index."""
        resource, direction, index = key.rsplit("/", 2)
        way: Way = "incoming" if direction == "in" else "outgoing"
        for each in self._before.values():
            if each.resource == resource and 0 <= int(index) < len(rules_of(each, way)):
                return each.id, way, int(index)
        raise LookupError(f"there is no rule {key}")

    def _set_default(self, path: str, direction: Way, action: Action) -> None:
        old = self.namespaces.get(path, Namespace(path))
        if direction == "incoming":
            new = dataclasses.replace(old, default_incoming=action)
        else:
            new = dataclasses.replace(old, default_outgoing=action)
        self.namespaces = self.namespaces.insert(path, new)

    def _add(self, change: AddRule | AddRuleset | AddNetwork) -> None:
        identifier = f"new-{len(self.rulesets)}-{len(self.networks)}"
        if isinstance(change, AddNetwork):
            self.networks[identifier] = Network(
                identifier, identifier, change.namespace, False, change.entries, frozenset(change.tags)
            )
            return
        rule = Rule("", change.action, change.object, ports.parse(change.protocol_ports))
        if isinstance(change, AddRuleset):
            ruleset = Ruleset(identifier, identifier, change.namespace, change.subject)
        else:
            ruleset = self.rulesets[change.ruleset]
        rules = rules_of(ruleset, change.direction)
        self.rulesets[ruleset.id] = with_rules(ruleset, change.direction, (*rules, rule))


def rules_of(ruleset: Ruleset, direction: Way) -> tuple[Rule, ...]:
    """The rules of one direction."""
    rules: tuple[Rule, ...] = getattr(ruleset, direction)
    return rules


def with_rules(ruleset: Ruleset, direction: Way, rules: Sequence[Rule]) -> Ruleset:
    """``ruleset`` with other rules in one direction."""
    changed: dict[str, Any] = {direction: tuple(rules)}
    return dataclasses.replace(ruleset, **changed)
