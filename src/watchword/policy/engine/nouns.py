"""What the engine keeps: one object for everything that documents have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from watchword.model.expressions import Expression, normalised
from watchword.policy import selection
from watchword.policy.selection import PlacedRule
from watchword.policy.selectors import selector_key
from watchword.policy.tables import Direction
from watchword.policy.tagged import Membership
from watchword.policy.world import Network, Ruleset
from watchword.wire.multiset import element
from watchword.wire.policy import Action, EnforcerEntry, RuleEntry, enforcer_digest, members_element

DIRECTIONS: tuple[Direction, Direction] = ("in", "out")


class Station:
    """One Enforcer, as the reader of a document."""

    __slots__ = ("asked", "digest", "entry", "id", "local", "openings", "selectors", "total")

    def __init__(self, identifier: str, entry: EnforcerEntry) -> None:
        self.id = identifier
        self.entry = entry
        self.digest = enforcer_digest(entry)
        self.openings = 0  # local units of which some default allows
        self.asked: frozenset[int] = frozenset()  # badges, also of units that do not exist
        # sums of its document's elements: all, and all but the members of its selectors; None: not known
        self.total: int | None = None
        self.local: int | None = None
        self.selectors: tuple[Selector, ...] = ()  # of its document; as of ``local``

    def replace(self, entry: EnforcerEntry) -> None:
        """Take over another certificate or other keys."""
        self.entry, self.digest = entry, enforcer_digest(entry)


class Crowd:
    """The units that one object expression matches, whatever namespaces it stands in."""

    __slots__ = ("membership", "networks", "selectors", "total")

    def __init__(self, membership: Membership, networks: Membership, total: int) -> None:
        self.membership = membership
        self.networks = networks  # the same expression over external networks
        self.total = total  # the sum of the members' elements
        self.selectors: dict[Selector, None] = {}


class Selector:
    """An object expression in rulesets of one namespace, and the Enforcers whose documents use it."""

    __slots__ = ("_members", "_totalled", "audience", "crowd", "expression", "key", "namespace", "networks", "own")

    def __init__(self, key: str, namespace: str, expression: Expression, crowd: Crowd | None) -> None:
        self.key = key
        self.namespace = namespace
        self.expression = expression
        self.crowd = crowd  # None: it is one network's demand and matches no identity
        self.networks: dict[str, None] = {}  # external networks that it sees and matches
        self.audience: dict[Station, int] = {}  # and how many of its placements use it
        self.own = element("selectors", key, expression)
        self._members: int  # the element of its members when they added up to ``_totalled``
        self._totalled: int | None = None

    def members(self) -> int:
        """The element of its members; 0 when it has none."""
        total = self.crowd.total if self.crowd else 0
        if total is not self._totalled:
            self._members = members_element(self.key, total) if total else 0
            self._totalled = total
        return self._members


class Placement:
    """A ruleset that is about units (or a network's demand for identity), ready for documents."""

    __slots__ = ("entries", "hosts", "id", "incoming", "outgoing", "ruleset", "selectors", "subject", "total")

    def __init__(self, identifier: str) -> None:
        self.id = identifier
        self.ruleset: Ruleset | None = None  # None: a network's demand
        self.subject: Membership | None = None
        self.entries: dict[str, RuleEntry] = {}  # by rule key
        self.incoming: tuple[str, ...] = ()
        self.outgoing: tuple[str, ...] = ()
        self.selectors: dict[Selector, None] = {}
        self.hosts: dict[Station, int] = {}  # and for how many of their units it counts
        self.total = 0  # the sum of its rules' elements

    def fill(self, rules: Mapping[Direction, Iterable[PlacedRule]], selectors: Mapping[str, Selector]) -> None:
        """Take over rules; ``selectors`` are theirs by rule key."""
        keys: dict[Direction, tuple[str, ...]] = {"in": (), "out": ()}
        self.entries = {}
        for direction, placed_rules in rules.items():
            for placed in placed_rules:
                self.entries[placed.key] = selection.rule_entry(placed, selectors[placed.key].key)
                keys[direction] += (placed.key,)
        self.incoming, self.outgoing = keys["in"], keys["out"]
        self.selectors = dict.fromkeys(selectors.values())
        self.total = sum(element("rules", key, entry) for key, entry in self.entries.items())


class Standing:
    """The rulesets about a unit, shared by all units with the same ones. Compared by identity."""

    __slots__ = ("__weakref__", "counting", "fallback", "ordinary")

    def __init__(self, ordinary: tuple[Placement, ...], fallback: tuple[Placement, ...]) -> None:
        self.ordinary = ordinary
        self.fallback = fallback
        self.counting = ordinary or fallback


class Climate:
    """What a namespace brings for the units in it. Compared by identity."""

    __slots__ = ("demands", "incoming", "outgoing")

    def __init__(self, incoming: Action, outgoing: Action, demands: tuple[Placement, ...]) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self.demands = demands  # of networks that require identity

    @property
    def open(self) -> bool:
        """Whether some default allows."""
        return "Allow" in (self.incoming, self.outgoing)

    def same(self, other: Climate) -> bool:
        """Whether nothing differs."""
        mine, others = (self.incoming, self.outgoing), (other.incoming, other.outgoing)
        return mine == others and self.demands == other.demands


def demand_key(network: str) -> str:
    """The key of the selector by which a network that requires identity is named."""
    return selector_key(network, ())


def demand_expression(network: str) -> Expression:
    """What that selector says to people."""
    return normalised(((f"$id={network}",),))


def demand_rules(network: Network) -> dict[Direction, list[PlacedRule]]:
    """The rules of a network that requires identity."""
    return {direction: [selection.identity_rule(network, direction)] for direction in DIRECTIONS}
