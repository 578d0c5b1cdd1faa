"""What a world that is not in force would decide about flows that were seen, beside the one that is.

A report says what one end saw: its unit, what it knows of the peer, protocol and port. From that a verdict follows in
any world, but not always a certain one:

1. Host names: which addresses a network with names has, only hosts know that ask for them. Where a rule about such a
   network would turn the verdict round, the verdict is *unknown*.
2. A connection refused before the peer could say who it is: the peer may be any unit, or none. It is let through where
   its address alone is, refused where neither its address nor any unit would be let through, and *unknown* otherwise.

A flow on which both worlds agree is decided as it was, whatever is known of it. What counts, and which rule wins, is
said where deciding says it (:mod:`watchword.policy.selection`, :mod:`watchword.policy.verdicts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from watchword.model import prefixes
from watchword.model.expressions import Expression
from watchword.policy import decide, selection
from watchword.policy.boundaries import DEMANDING
from watchword.policy.decide import Party, Stranger
from watchword.policy.namespaces import default_action
from watchword.policy.rulebook import Rulebook
from watchword.policy.selection import PlacedRule, rule_key
from watchword.policy.tables import Direction
from watchword.policy.verdicts import settle
from watchword.policy.versions import EMPTY
from watchword.policy.world import Network, Unit, World
from watchword.wire.policy import Action

#: Why a verdict is not certain: "identity" and "names" make it unknown; "no identity" is what it takes for granted.
Doubt = Literal["", "identity", "names", "no identity"]

#: Units of which the rules are remembered, by direction; then all are forgotten.
REMEMBERED = 50_000

#: Whether some unit that exists is selected by an expression.
Populated = Callable[[Expression], bool]


@dataclass(frozen=True, slots=True)
class Meeting:
    """One end of a flow as it was seen.

    ``peer`` is a unit, or an address without identity. ``heard`` is false when the flow was refused before the peer
    could prove an identity. ``network`` is the ID of the external network that the end took the address for, if any.
    ``barred``: the Enforcer's own settings refuse the address unless an identity is proved.
    """

    unit: Unit
    peer: Unit | str
    direction: Direction
    protocol: int
    port: int
    heard: bool = True
    network: str = ""
    barred: bool = False


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a world decides; ``rule`` is the key of the rule, empty for a default and where it is unknown."""

    action: Literal["Allow", "Reject", "Unknown"]
    rule: str = ""
    doubt: Doubt = ""


class _Grounds(NamedTuple):
    """Everything that an opinion is made of."""

    rules: tuple[PlacedRule, ...]  # that take the flow and count for the unit, whomever they name
    peer: Party
    named: tuple[Network, ...]  # networks that may have the peer's address, if they do not have it for certain
    default: Action


class View:
    """One world as seen from single ends of flows; follows it from one to the next. Not thread-safe."""

    def __init__(self, populated: Populated) -> None:
        self._populated = populated
        self._rulebook = Rulebook()
        self._world = EMPTY
        self._rules: dict[tuple[str, Direction], tuple[Unit, tuple[PlacedRule, ...]]] = {}
        self._shared: dict[tuple[str, ...], tuple[PlacedRule, ...]] = {}  # of all units with the same rulesets
        self._named: tuple[Network, ...] = ()

    def follow(self, world: World) -> None:
        """Take over another world; costs what rulesets and networks it has if those are others than before."""
        before, self._world = self._world, world
        self._rulebook.follow(world)
        if before.rulesets is not world.rulesets:
            self._rules.clear()
            self._shared.clear()
        if before.networks is not world.networks:
            self._named = tuple(network for network in world.networks.values() if network.names)

    def learned(self, meeting: Meeting) -> Network | None:
        """The network whose address the peer has by one of the network's names, as far as the end said so."""
        network = self._world.networks.get(meeting.network)
        if network is None or not network.names or isinstance(meeting.peer, Unit):
            return None
        return None if network in self._containing(meeting.peer) else network

    def grounds(self, meeting: Meeting, learned: Network | None) -> _Grounds:
        """What there is to decide a flow by; ``learned`` is what the world in force says of it."""
        unit, direction, peer = meeting.unit, meeting.direction, meeting.peer
        taking = tuple(
            placed
            for placed in self.rules(unit, direction)
            if decide.takes(placed.rule, meeting.protocol, meeting.port)
        )
        default, _ = default_action(self._world.namespaces, unit.namespace, direction)
        if isinstance(peer, Unit):
            return _Grounds(taking, peer, (), default)
        certain = self._containing(peer)
        if learned is not None:
            certain += [each for each in self._named if each.id == learned.id and {*learned.names} <= {*each.names}]
        return _Grounds(taking, Stranger(peer, tuple(certain)), self._named, default)

    def _containing(self, address: str) -> list[Network]:
        return self._rulebook.containing(prefixes.parse_address(address))

    def rules(self, unit: Unit, direction: Direction) -> tuple[PlacedRule, ...]:
        """The rules that count for a unit, which need not be in the world any more; found once."""
        known = self._rules.get((unit.id, direction))
        if known is not None and known[0] is unit:
            return known[1]
        rulesets = selection.counting(unit, self._rulebook.selecting(unit.namespace, unit.tags))
        same = direction, *(ruleset.id for ruleset in rulesets)
        found = self._shared.get(same)
        if found is None:
            found = self._shared[same] = tuple(selection.rules_of(rulesets, direction))
        if len(self._rules) >= REMEMBERED:
            self._rules.clear()
        self._rules[unit.id, direction] = unit, found
        return found

    def opinion(self, meeting: Meeting, grounds: _Grounds) -> Opinion:
        """What this world decides."""
        peer = grounds.peer
        if isinstance(peer, Unit):
            if peer.id == meeting.unit.id:
                return Opinion("Allow")
            return _settled((placed for placed in grounds.rules if decide.names(placed, peer)), grounds.default)
        by_address = self._by_address(meeting, grounds, peer)
        return by_address if meeting.heard else self._unheard(by_address, grounds)

    def _by_address(self, meeting: Meeting, grounds: _Grounds, peer: Stranger) -> Opinion:
        if meeting.barred:
            return Opinion("Reject", rule_key(DEMANDING, meeting.direction, 0))
        demands = decide.identity_rules(meeting.unit, peer, meeting.direction)
        certain = [*demands, *(placed for placed in grounds.rules if decide.names(placed, peer))]
        verdict = settle(((placed.key, placed.rule) for placed in certain), grounds.default)
        if not verdict.explicit and grounds.named:
            perhaps = Stranger(peer.address, grounds.named)
            demands = decide.identity_rules(meeting.unit, perhaps, meeting.direction)
            doubtful = [*demands, *(placed for placed in grounds.rules if decide.names(placed, perhaps))]
            if any(placed.rule.action != verdict.action and not placed.rule.observed for placed in doubtful):
                return Opinion("Unknown", doubt="names")
        return Opinion(verdict.action, verdict.rule)

    def _unheard(self, by_address: Opinion, grounds: _Grounds) -> Opinion:
        """What the address alone decides, and what any unit that might be there could turn it into."""
        deciding = [placed.rule for placed in grounds.rules if not placed.rule.observed]
        if by_address.action == "Allow":
            refusable = grounds.default == "Reject" or any(
                rule.action == "Reject" and self._populated(rule.object) for rule in deciding
            )
            return Opinion("Allow", by_address.rule, "no identity") if refusable else by_address
        allowable = grounds.default == "Allow" or any(
            rule.action == "Allow" and self._populated(rule.object) for rule in deciding
        )
        if by_address.action == "Reject" and allowable:
            return Opinion("Unknown", doubt="identity")
        return by_address


def otherwise(live: View, draft: View, meeting: Meeting) -> Opinion | None:
    """What the world of ``draft`` decides about a flow; None where that is what the world of ``live`` does."""
    learned = live.learned(meeting)
    before, after = live.grounds(meeting, learned), draft.grounds(meeting, learned)
    if before == after:
        return None
    found = draft.opinion(meeting, after)
    if found.action != "Unknown" and found == live.opinion(meeting, before):
        return None
    return found


def _settled(matching: Iterable[PlacedRule], default: Action) -> Opinion:
    verdict = settle(((placed.key, placed.rule) for placed in matching), default)
    return Opinion(verdict.action, verdict.rule)
