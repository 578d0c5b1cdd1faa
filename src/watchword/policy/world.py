"""What the policy engine decides over: the Console's records, reduced to what a verdict depends on.

Built by the Console from its store, or from files by the offline commands. Immutable; the engine
never sees a database row or an HTTP object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from watchword.model.expressions import Expression as Expression
from watchword.wire.policy import Action, EnforcerEntry, PortRange

Inherited = Literal["Allow", "Reject", "Inherit"]


@dataclass(frozen=True, slots=True)
class Namespace:
    """One node of the tenant tree, ``/`` or ``/acme/prod``."""

    path: str
    default_incoming: Inherited = "Inherit"
    default_outgoing: Inherited = "Inherit"
    tag_prefixes: tuple[str, ...] = ()  # its own; those above it hold here too


@dataclass(frozen=True, slots=True)
class Unit:
    """A processing unit with all tags that matching uses (normalised)."""

    id: str
    native_id: str
    name: str
    namespace: str
    enforcer: str
    badge: int
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Network:
    """An external network: entries are ``CIDR`` or ``!CIDR``; ``tags`` are what rules match.

    ``names`` are its host names: they stand for the addresses that a unit has learned under them, for what
    the unit opens. A network may have nothing else.
    """

    id: str
    name: str
    namespace: str
    propagate: bool
    entries: tuple[str, ...]
    tags: frozenset[str]
    identity_required: bool = False
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One incoming or outgoing rule."""

    name: str
    action: Action
    object: Expression
    ports: tuple[PortRange, ...]
    observed: bool = False
    log: bool = True


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A network ruleset: whom it is about, and its rules in each direction.

    ``id`` is unique in a world. ``origin`` is the ID of the intent that this is one end of, and empty
    for a ruleset of its own; people and flow records know the ruleset by :attr:`resource`.
    """

    id: str
    name: str
    namespace: str
    subject: Expression
    incoming: tuple[Rule, ...] = ()
    outgoing: tuple[Rule, ...] = ()
    propagate: bool = False
    fallback: bool = False
    disabled: bool = False
    origin: str = ""

    @property
    def resource(self) -> str:
        """ID of the resource that says this: the intent's, or its own."""
        return self.origin or self.id


@dataclass(frozen=True, slots=True)
class World:
    """One published policy state."""

    revision: int
    namespaces: Mapping[str, Namespace]
    units: Mapping[str, Unit]
    networks: Mapping[str, Network]
    rulesets: Mapping[str, Ruleset]
    enforcers: Mapping[str, EnforcerEntry] = field(default_factory=dict)


Entry = Namespace | Unit | Network | Ruleset | EnforcerEntry


class Alteration(NamedTuple):
    """One difference between a world and the next: ``world.<part>[key]`` is ``entry``, or gone."""

    part: str
    key: str
    entry: Entry | None


#: The parts of a world that changes go into.
PARTS = ("namespaces", "units", "networks", "rulesets", "enforcers")
