"""What a world that is not in force would decide about flows that were seen, beside the one that is.

A report says what one end saw: its unit, what it knows of the peer, protocol and port. From that a verdict follows in
any world, but not always a certain one:

1. Host names: which addresses they stand for, each unit learns for what it opens, and reports do not say. Where a
   rule about a network with names would turn the verdict round, the verdict is *unknown*.
2. A connection refused before the peer could say who it is: the peer may be any unit, or none. It is let through where
   its address alone is, refused where neither its address nor any unit would be let through, and *unknown* otherwise.

A flow on which both worlds agree is decided as it was, whatever is known of it. What counts, and which rule wins, is
said where deciding says it (:mod:`watchword.policy.selection`, :mod:`watchword.policy.verdicts`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

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
from watchword.policy.world import Alteration, Network, Ruleset, Unit, World
from watchword.wire.policy import Action

#: Why a verdict is not certain: "identity" and "names" make it unknown; "no identity" is what it takes for granted.
Doubt = Literal["", "identity", "names", "no identity"]

#: Units of which the rules are remembered, by direction, and flows with their opinions; then all are forgotten.
REMEMBERED = 50_000

#: Whether some unit that exists is selected by an expression.
Populated = Callable[[Expression], bool]


@dataclass(frozen=True, slots=True)
class Meeting:
    """One end of a flow as it was seen.

    ``peer`` is a unit, or an address without identity. ``heard`` is false when the flow was refused before the peer
    could prove an identity. ``barred``: the Enforcer's own settings refuse the address unless an identity is proved.
    """

    unit: Unit
    peer: Unit | str
    direction: Direction
    protocol: int
    port: int
    heard: bool = True
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
    """A world as seen from single ends of flows; follows it from one to the next. Not thread-safe."""

    def __init__(self, populated: Populated) -> None:
        self.world = EMPTY
        self.policy = 0  # grows whenever rulesets, networks or namespaces are others than before
        self.named: tuple[Network, ...] = ()  # networks with host names
        self.populated = populated
        self._rulebook = Rulebook()
        self._rules: dict[tuple[str, Direction], tuple[Unit, tuple[PlacedRule, ...]]] = {}

    def follow(self, world: World) -> None:
        """Take over another world; costs what rulesets and networks it has if those are others than before."""
        before, self.world = self.world, world
        if all(getattr(before, part) is getattr(world, part) for part in ("rulesets", "networks", "namespaces")):
            return
        self.policy += 1
        self._rules.clear()
        self._rulebook.follow(world)
        self.named = tuple(network for network in world.networks.values() if network.names)

    def selecting(self, unit: Unit) -> list[Ruleset]:
        """Every ruleset whose subject selects a unit, in force or not."""
        return self._rulebook.selecting(unit.namespace, unit.tags)

    def containing(self, address: str) -> list[Network]:
        """Every network that has an address by its prefixes."""
        return self._rulebook.containing(prefixes.parse_address(address))

    def rules(self, unit: Unit, direction: Direction) -> tuple[PlacedRule, ...]:
        """The rules that count for a unit, which need not be in the world any more; found once."""
        known = self._rules.get((unit.id, direction))
        if known is not None and known[0] is unit:
            return known[1]
        if len(self._rules) >= REMEMBERED:
            self._rules.clear()
        found = self._find(unit, direction)
        self._rules[unit.id, direction] = unit, found
        return found

    def _find(self, unit: Unit, direction: Direction) -> tuple[PlacedRule, ...]:
        return tuple(selection.rules_of(selection.counting(unit, self.selecting(unit)), direction))

    def grounds(self, meeting: Meeting) -> _Grounds:
        """What there is to decide a flow by."""
        unit, direction, peer = meeting.unit, meeting.direction, meeting.peer
        taking = tuple(
            placed
            for placed in self.rules(unit, direction)
            if decide.takes(placed.rule, meeting.protocol, meeting.port)
        )
        default, _ = default_action(self.world.namespaces, unit.namespace, direction)
        if isinstance(peer, Unit):
            return _Grounds(taking, peer, (), default)
        named = self.named if direction == "out" else ()  # names count for what a unit opens
        return _Grounds(taking, Stranger(peer, tuple(self.containing(peer))), named, default)

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
                rule.action == "Reject" and self.populated(rule.object) for rule in deciding
            )
            return Opinion("Allow", by_address.rule, "no identity") if refusable else by_address
        allowable = grounds.default == "Allow" or any(
            rule.action == "Allow" and self.populated(rule.object) for rule in deciding
        )
        if by_address.action == "Reject" and allowable:
            return Opinion("Unknown", doubt="identity")
        return by_address


class Overlay(View):
    """The world of ``live`` with some alterations made, of rulesets and networks; follows it by itself.

    Costs what is altered, and once for each unit that is asked about: what the alterations do not touch is ``live``'s.
    """

    def __init__(self, live: View, alterations: Iterable[Alteration]) -> None:
        super().__init__(live.populated)
        self._live = live
        self._opinions: dict[Meeting, Opinion | None] = {}
        altered: dict[str, dict[str, Any]] = {"rulesets": {}, "networks": {}}
        for part, key, entry in alterations:
            altered[part][key] = entry
        self._touched = {part: frozenset(entries) for part, entries in altered.items()}
        come = {part: {key: each for key, each in entries.items() if each} for part, entries in altered.items()}
        self._own = dataclasses.replace(EMPTY, rulesets=come["rulesets"], networks=come["networks"])
        self._rulebook.follow(self._own)

    def catch_up(self) -> None:
        """Forget what was found, if policy is another than when it was."""
        live = self._live
        self.world = live.world
        if self.policy != live.policy:
            self.policy = live.policy
            self._rules.clear()
            self._opinions.clear()
            touched = self._touched["networks"]
            own = self._own.networks.values()
            kept = [network for network in live.named if network.id not in touched]
            self.named = (*kept, *(network for network in own if network.names))

    def selecting(self, unit: Unit) -> list[Ruleset]:
        """Every ruleset whose subject selects a unit, in force or not."""
        touched = self._touched["rulesets"]
        return [each for each in self._live.selecting(unit) if each.id not in touched] + super().selecting(unit)

    def containing(self, address: str) -> list[Network]:
        """Every network that has an address by its prefixes."""
        touched = self._touched["networks"]
        found = [each for each in self._live.containing(address) if each.id not in touched]
        return sorted(found + super().containing(address), key=lambda network: network.id)

    def _find(self, unit: Unit, direction: Direction) -> tuple[PlacedRule, ...]:
        """Those of ``live``, the same object, where nothing is altered."""
        found, same = super()._find(unit, direction), self._live.rules(unit, direction)
        return same if found == same else found

    def otherwise(self, meeting: Meeting) -> Opinion | None:
        """What is decided about a flow; None where that is what the live world does."""
        self.catch_up()
        live, known = self._live, isinstance(meeting.peer, Unit) or not self._touched["networks"]
        if known and self.rules(meeting.unit, meeting.direction) is live.rules(meeting.unit, meeting.direction):
            return None
        if not meeting.heard:  # depends on which units there are
            return self._otherwise(meeting)
        if meeting not in self._opinions:
            if len(self._opinions) >= REMEMBERED:
                self._opinions.clear()
            self._opinions[meeting] = self._otherwise(meeting)
        return self._opinions[meeting]

    def _otherwise(self, meeting: Meeting) -> Opinion | None:
        before, after = self._live.grounds(meeting), self.grounds(meeting)
        if before == after:
            return None
        found = self.opinion(meeting, after)
        if found.action != "Unknown" and found == self._live.opinion(meeting, before):
            return None
        return found


def _settled(matching: Iterable[PlacedRule], default: Action) -> Opinion:
    verdict = settle(((placed.key, placed.rule) for placed in matching), default)
    return Opinion(verdict.action, verdict.rule)
