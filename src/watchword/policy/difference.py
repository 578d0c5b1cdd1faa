"""The semantic difference of two worlds, for people and programs: which flows become allowed or denied.

Plain records, ready for JSON, of what :mod:`watchword.policy.changed` finds exactly; this module adds
words, counts and bounded listings, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec
from pyroaring import FrozenBitMap

from watchword.model import ports
from watchword.model.ports import PortRange
from watchword.policy import portsets
from watchword.policy.changed import Box, Ends, boxes
from watchword.policy.counsel import title
from watchword.policy.landscape import Landscape, Survey
from watchword.policy.parties import Side, described
from watchword.policy.shares import Decided
from watchword.policy.world import Unit, World
from watchword.wire.policy import Action

#: Entries listed unless more are asked for.
LIMIT = 200

Effect = Literal["denied", "allowed", "oneEnd"]
Presence = Literal["both", "new", "gone"]


class Said(msgspec.Struct, frozen=True, rename="camel"):
    """What one end decides: ``rule`` is a key, "" for the default; ``words`` say the same."""

    action: Action
    rule: str
    words: str


class BothSaid(msgspec.Struct, frozen=True, rename="camel"):
    """What both ends decide in one world; null for an end without an Enforcer."""

    outgoing: Said | None
    incoming: Said | None


class Example(msgspec.Struct, frozen=True, rename="camel"):
    """One flow of an entry: a unit's ID or an address at each end."""

    source: str
    destination: str
    flow: str


class ChangedFlows(msgspec.Struct, frozen=True, rename="camel"):
    """All flows from every source to every destination on these ports, except a unit's with itself.

    ``effect`` is ``oneEnd`` where one end decides otherwise but the flow as a whole does not.
    ``presence`` is ``new`` or ``gone`` where the units of one side exist in one of the worlds only; the
    other world then says nothing (null). ``pairs`` counts pairs of units, and of a unit and a group of
    addresses.
    """

    effect: Effect
    presence: Presence
    sources: Side
    destinations: Side
    protocol_ports: tuple[str, ...]
    ranges: tuple[PortRange, ...]
    pairs: int
    before: BothSaid | None
    after: BothSaid | None
    example: Example
    text: str


class UnitNamed(msgspec.Struct, frozen=True, rename="camel"):
    """A unit that came, went, or has other tags or another namespace."""

    id: str
    name: str
    namespace: str


class UnitChanges(msgspec.Struct, frozen=True, rename="camel"):
    """Units that differ: how many, and the first of them."""

    count: int
    units: tuple[UnitNamed, ...]


class Difference(msgspec.Struct, frozen=True, rename="camel"):
    """Everything two worlds decide differently. ``flows`` are the first of ``flows_total`` entries."""

    before: int
    after: int
    units_new: UnitChanges
    units_gone: UnitChanges
    units_changed: UnitChanges
    flows_total: int
    pairs_allowed: int
    pairs_denied: int
    flows: tuple[ChangedFlows, ...]

    @property
    def same(self) -> bool:
        """Whether no flow is decided differently."""
        return self.flows_total == 0


def difference(old: World, new: World, *, survey: Survey | None = None, limit: int = LIMIT) -> Difference:
    """What ``new`` decides differently from ``old``.

    ``survey`` is kept from call to call by those who compare often; not thread-safe.
    """
    pair = _Pair(*(survey or Survey()).landscapes(old, new))
    counted = [(box, pair.pairs(box)) for box in boxes(*pair)]
    counted.sort(key=lambda each: (_ORDER.index(each[0].effect), -each[1], each[0].ports, min(each[0].sources)))
    return Difference(
        before=old.revision,
        after=new.revision,
        units_new=_units(_only_in(new, old)),
        units_gone=_units(_only_in(old, new)),
        units_changed=_units(_moved(old, new)),
        flows_total=len(counted),
        pairs_allowed=sum(pairs for box, pairs in counted if box.effect > 0),
        pairs_denied=sum(pairs for box, pairs in counted if box.effect < 0),
        flows=tuple(pair.told(box, pairs) for box, pairs in counted[:limit]),
    )


#: In the order in which people want to read of them.
_EFFECTS: dict[int, Effect] = {-1: "denied", 1: "allowed", 0: "oneEnd"}
_ORDER = tuple(_EFFECTS)

#: Units of each sort that are listed.
_LISTED = 20


def _only_in(one: World, other: World) -> list[Unit]:
    if one.units is other.units:
        return []
    return [unit for key, unit in one.units.items() if key not in other.units]


def _moved(old: World, new: World) -> list[Unit]:
    if old.units is new.units:
        return []
    pairs = ((old.units.get(key), unit) for key, unit in new.units.items())
    return [
        unit
        for before, unit in pairs
        if before is not None and before is not unit and (before.tags, before.namespace) != (unit.tags, unit.namespace)
    ]


def _units(found: Iterable[Unit]) -> UnitChanges:
    units = sorted(found, key=lambda unit: (unit.namespace, unit.name, unit.id))
    named = (UnitNamed(unit.id, unit.name, unit.namespace) for unit in units[:_LISTED])
    return UnitChanges(len(units), tuple(named))


class _Pair(NamedTuple):
    """The two worlds."""

    before: Landscape
    after: Landscape

    def pairs(self, box: Box) -> int:
        """How many pairs of parties a box has, a unit with itself left out."""
        counts = [self._count(side) for side in (box.sources, box.destinations)]
        return counts[0] * counts[1] - self._count((box.sources & box.destinations) - self.before.addresses)

    def _count(self, parties: FrozenBitMap) -> int:
        addresses = parties & self.before.addresses
        return self.before.count(parties - addresses) + len(addresses)

    def told(self, box: Box, pairs: int) -> ChangedFlows:
        """A box in words."""
        presence: Presence = "new" if box.before is None else "gone" if box.after is None else "both"
        landscape = self.before if presence == "gone" else self.after
        sources, destinations = described(landscape, box.sources), described(landscape, box.destinations)
        words = portsets.words(box.ports)
        before, after = _said(self.before, box.before), _said(self.after, box.after)
        flow = ports.format_flow(*portsets.example(box.ports))
        source, destination = _two(landscape, box)
        return ChangedFlows(
            effect=_EFFECTS[box.effect],
            presence=presence,
            sources=sources,
            destinations=destinations,
            protocol_ports=words,
            ranges=portsets.ranges(box.ports),
            pairs=pairs,
            before=before,
            after=after,
            example=Example(source, destination, flow),
            text=f"{sources.words} → {destinations.words}: {', '.join(words)} {_sentence(presence, before, after)}",
        )


def _two(landscape: Landscape, box: Box) -> tuple[str, str]:
    """A source and a destination that are not the same unit."""
    return next(
        (source, destination)
        for source in _names(landscape, box.sources)
        for destination in _names(landscape, box.destinations)
        if source != destination
    )


def _names(landscape: Landscape, parties: FrozenBitMap) -> Iterator[str]:
    """Each unit's ID, and an address of each block."""
    for party in parties:
        block = landscape.blocks.get(party)
        yield from landscape.kinds[party].units if block is None else (block.example,)


def _said(landscape: Landscape, ends: Ends | None) -> BothSaid | None:
    if ends is None:
        return None
    return BothSaid(_end(landscape, ends.outgoing), _end(landscape, ends.incoming))


def _end(landscape: Landscape, decided: Decided | None) -> Said | None:
    if decided is None:
        return None
    return Said(decided.action, decided.rule, decider_words(landscape, decided.rule))


def decider_words(landscape: Landscape, key: str) -> str:
    """What decides, in words: "default", or the rule and its ruleset."""
    if not key:
        return "default"
    placed = landscape.placed(key)
    if placed.rule.object:
        return title(placed)
    return f"{placed.rule.name} of external network {placed.ruleset.name!r} in {placed.ruleset.namespace}"


def _sentence(presence: Presence, before: BothSaid | None, after: BothSaid | None) -> str:
    """What was decided and what is, as far as it changes; what still refuses."""
    if before is None or after is None:
        ends = before or after
        assert ends is not None  # noqa: S101 - a box has one of the two
        by = " and ".join(dict.fromkeys(end.words for end in (ends.outgoing, ends.incoming) if end))
        return f"{'is' if presence == 'new' else 'was'} allowed by {by} ({presence} units)"
    parts, refusing = [], []
    for way, one, other in (
        ("outgoing", before.outgoing, after.outgoing),
        ("incoming", before.incoming, after.incoming),
    ):
        match one, other:
            case Said() as was, Said() as now if was.action != now.action:
                parts.append(f"{way} was {_PAST[was.action]} by {was.words}, is {_PAST[now.action]} by {now.words}")
            case Said(), Said(action="Reject") as now:
                refusing.append(f"{way} is still refused by {now.words}")
    return "; ".join((*parts, *refusing))


_PAST = {"Allow": "allowed", "Reject": "refused"}
