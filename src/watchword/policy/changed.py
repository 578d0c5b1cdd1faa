"""Which flows two worlds decide differently, as boxes: exact, disjoint, and without a look at what did not change.

A :class:`Box` is all flows from some parties to some others on some ports, except a unit's flows with
itself, for which each end decides one thing before and one thing after. How they are found:

1. An end can decide otherwise only where a rule it has came, went or changed, where a rule's object
   selects other parties than before, or where its default changed. Only those kinds' ends are looked
   at, and of their peers and ports only those that such a rule takes.
2. There both policies are divided among the rules that win (:mod:`watchword.policy.shares`) and laid
   over each other; what differs in action is kept.
3. Whether the flow as a whole changes depends on the other end too, which is divided in the same way,
   only for these peers and ports. An end without an Enforcer decides nothing.
4. Flows of units that only one of the worlds has are boxes too where they are allowed there: the world
   that does not have the unit decides nothing about it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pyroaring import FrozenBitMap

from watchword.policy import portsets
from watchword.policy.anchors import key_of
from watchword.policy.landscape import End, Landscape, Reach
from watchword.policy.portsets import PortSet
from watchword.policy.shares import Decided, Share, concerned, divided, segments
from watchword.policy.tables import Direction
from watchword.policy.world import Ruleset


class Ends(NamedTuple):
    """What both ends of a flow decide in one world; None for an end that has no say."""

    outgoing: Decided | None
    incoming: Decided | None

    @property
    def passes(self) -> bool:
        """Whether the flow as a whole is allowed."""
        return all(end is None or end.action == "Allow" for end in self)


class Box(NamedTuple):
    """See the module's text. A world that does not have one of the units decides nothing: None."""

    sources: FrozenBitMap
    destinations: FrozenBitMap
    ports: PortSet
    before: Ends | None
    after: Ends | None

    @property
    def effect(self) -> int:
        """1 where flows become allowed, -1 where they become denied, 0 where only one end changes."""
        before, after = (ends is not None and ends.passes for ends in (self.before, self.after))
        return int(after) - int(before)


class Divergence(NamedTuple):
    """One end's flows that it decides otherwise: of ``locals`` with ``parties``."""

    locals: FrozenBitMap
    parties: FrozenBitMap
    ports: PortSet
    before: Decided
    after: Decided


def boxes(before: Landscape, after: Landscape) -> list[Box]:
    """Every flow that the two worlds decide differently, at one end at least."""
    found: list[Box] = []
    comparison = _Comparison(before, after)
    for each in comparison.divergences("out"):
        found += comparison.whole(each, "out")
    for each in comparison.divergences("in"):
        found += (box for box in comparison.whole(each, "in") if not _outgoing_changes(box))
    for sources, destinations, ports, ends in _only_in(after, after.present - before.present):
        found.append(Box(sources, destinations, ports, None, ends))
    for sources, destinations, ports, ends in _only_in(before, before.present - after.present):
        found.append(Box(sources, destinations, ports, ends, None))
    return merged(box for box in found if not _only_itself(before, box))


def _outgoing_changes(box: Box) -> bool:
    """Whether the source's end changes too, in which case the box has been found from there."""
    assert box.before is not None and box.after is not None  # noqa: S101, PT018 - a comparison's
    one, other = box.before.outgoing, box.after.outgoing
    return one is not None and other is not None and one.action != other.action


def _only_itself(landscape: Landscape, box: Box) -> bool:
    """Whether there is no flow in a box but that of a unit with itself."""
    if len(box.sources) != 1 or box.sources != box.destinations:
        return False
    (party,) = box.sources
    return len(landscape.kinds[party].units) == 1  # it is no block: addresses do not talk to each other here


class _Comparison:
    """Two worlds, and what they have in common."""

    def __init__(self, before: Landscape, after: Landscape) -> None:
        self._before = before
        self._after = after
        self._kinds = before.present & after.present
        self._peers = self._kinds | before.addresses
        worlds = before.world.rulesets, after.world.rulesets
        self._touched = {
            key for key in {*worlds[0], *worlds[1]} if not _means_the_same(worlds[0].get(key), worlds[1].get(key))
        }
        self._moved = self._changed_kinds()
        self._same_networks = before.world.networks is after.world.networks or dict(before.world.networks) == dict(
            after.world.networks
        )

    def _changed_kinds(self) -> FrozenBitMap:
        """Kinds whose units have other tags or another namespace than before, as far as rules ask."""
        found = []
        for number in self._kinds:
            one, other = self._before.unit(number), self._after.unit(number)
            if one is not other and (one.namespace, one.tags) != (other.namespace, other.tags):
                found.append(number)
        return FrozenBitMap(found)

    def divergences(self, direction: Direction) -> Iterator[Divergence]:
        """What ends of units that both worlds have decide otherwise."""
        classes: defaultdict[object, list[int]] = defaultdict(list)
        for kind in self._affected(direction):
            signature = self._before.signature(kind, direction), self._after.signature(kind, direction)
            classes[signature].append(kind)
        for members in classes.values():
            one, other = self._before.end(members[0], direction), self._after.end(members[0], direction)
            for parties, ports in self._interest(one, other):
                yield from _diverging(FrozenBitMap(members), parties, ports, one, other)

    def _affected(self, direction: Direction) -> FrozenBitMap:
        """The kinds whose ends may decide otherwise."""
        found = set(self._moved)
        for landscape in (self._before, self._after):
            rulesets = landscape.world.rulesets
            for key in (key for key in self._touched if key in rulesets):
                found |= set(landscape.subjects(rulesets[key]))
            for key in self._shifting(direction):
                found |= set(landscape.subjects(rulesets[key]))
        if not self._same_networks:
            found |= set(self._demanded())
        return (FrozenBitMap(found) | self._with_other_defaults(direction)) & self._kinds

    def _with_other_defaults(self, direction: Direction) -> FrozenBitMap:
        one, other = self._before, self._after
        if one.world.namespaces is other.world.namespaces:
            return FrozenBitMap()
        differing = (
            path
            for path in {one.unit(kind).namespace for kind in self._kinds}
            if one.default(path, direction) != other.default(path, direction)
        )
        return FrozenBitMap.union(FrozenBitMap(), *(one.reach(path, False) for path in differing))

    def _demanded(self) -> FrozenBitMap:
        """The kinds that see a network which requires identity."""
        networks = [each for landscape in (self._before, self._after) for each in landscape.demanding]
        return FrozenBitMap.union(
            FrozenBitMap(), *(self._before.reach(each.namespace, each.propagate) for each in networks),
            *(self._after.reach(each.namespace, each.propagate) for each in networks),
        )  # fmt: skip

    def _shifting(self, direction: Direction) -> set[str]:
        """Rulesets that say what they said, with a rule in this direction whose object selects other parties."""
        if not self._moved and self._same_networks:
            return set()
        keys = self._keys_in_motion()
        unchanged = (each for each in self._before.world.rulesets.values() if each.id not in self._touched)
        asking = (each.id for each in unchanged if keys & _keys_asked(each, direction))
        return {key for key in asking if self._shifts(key, direction)}

    def _keys_in_motion(self) -> set[str]:
        """Keys of the tags by which kinds and networks have changed."""
        tags: set[str] = set()
        for kind in self._moved:
            tags |= self._before.unit(kind).tags ^ self._after.unit(kind).tags
        one, other = self._before.world.networks, self._after.world.networks
        for key in () if self._same_networks else {*one, *other}:
            if one.get(key) != other.get(key):
                tags = tags.union(*(networks[key].tags for networks in (one, other) if key in networks))
        return {key_of(tag) for tag in tags}

    def _shifts(self, ruleset: str, direction: Direction) -> bool:
        """Whether some object of an unchanged ruleset no longer or newly selects somebody."""
        pairs = zip(self._before.reaches(ruleset, direction), self._after.reaches(ruleset, direction), strict=True)
        return any((one.parties ^ other.parties) & self._peers for one, other in pairs)

    def _interest(self, one: End, other: End) -> Iterator[tuple[FrozenBitMap, PortSet]]:
        """The peers and ports about which an end may decide otherwise, disjoint."""
        if one.default != other.default:
            yield self._peers, portsets.EVERYTHING
            return
        before = {each.key: each for each in one.reaches}
        after = {each.key: each for each in other.reaches}
        differing: list[Reach] = []
        for key in before.keys() | after.keys():
            differing += _differing(before.get(key), after.get(key))
        for indexes, pieces in segments(portsets.EVERYTHING, differing).items():
            parties = FrozenBitMap.union(FrozenBitMap(), *(differing[index].parties for index in indexes))
            if parties := parties & self._peers:
                yield parties, pieces

    def whole(self, end: Divergence, direction: Direction) -> Iterator[Box]:
        """The flows that one end decides otherwise, with what the other end says before and after."""
        addresses = end.parties & self._before.addresses
        if addresses:
            ends = (_ends(direction, decided, None) for decided in (end.before, end.after))
            yield Box(*_sides(direction, end.locals, addresses), end.ports, *ends)
        for members, one, other in self._far_ends(end, _opposite(direction)):
            for locals_, ports, before, after in _laid_over(end.locals, end.ports, one, other):
                sides = _sides(direction, locals_, members)
                both = _ends(direction, end.before, before), _ends(direction, end.after, after)
                yield Box(*sides, ports, *both)

    def _far_ends(self, end: Divergence, direction: Direction) -> Iterator[tuple[FrozenBitMap, End, End]]:
        """The other ends' units, together where the same rules concern these flows before and after."""
        known: dict[object, tuple[object, End, End]] = {}
        groups: defaultdict[object, list[int]] = defaultdict(list)
        ends: dict[object, tuple[End, End]] = {}
        for kind in end.parties & self._kinds:
            signature = self._before.signature(kind, direction), self._after.signature(kind, direction)
            if signature not in known:
                one = _narrowed(self._before.end(kind, direction), end.locals, end.ports)
                other = _narrowed(self._after.end(kind, direction), end.locals, end.ports)
                known[signature] = ((_meaning(one), _meaning(other)), one, other)
            meaning, one, other = known[signature]
            groups[meaning].append(kind)
            ends[meaning] = one, other
        for meaning, members in groups.items():
            yield FrozenBitMap(members), *ends[meaning]


def _keys_asked(ruleset: Ruleset, direction: Direction) -> set[str]:
    """Keys of the tags that the objects of one direction ask for."""
    rules = ruleset.incoming if direction == "in" else ruleset.outgoing
    texts = (text for rule in rules for alternative in rule.object for text in alternative)
    return {key_of(text.removeprefix("!")) for text in texts}


def _means_the_same(one: Ruleset | None, other: Ruleset | None) -> bool:
    return one is other or one == other


def _opposite(direction: Direction) -> Direction:
    return "in" if direction == "out" else "out"


def _differing(one: Reach | None, other: Reach | None) -> list[Reach]:
    """Where a rule that is there before, after or both may change what is decided, as rules."""
    if one is None or other is None:
        return [each for each in (one, other) if each is not None]
    if one.action == other.action and one.ports == other.ports:
        shifted = one.parties ^ other.parties
        return [one._replace(parties=shifted)] if shifted else []
    return [one, other]


def _narrowed(end: End, parties: FrozenBitMap, ports: PortSet) -> End:
    return End(tuple(concerned(end.reaches, parties, ports)), end.default)


def _meaning(end: End) -> tuple[object, ...]:
    """What makes two narrowed ends the same; a key means one rule in one world."""
    return (*(each.key for each in end.reaches), end.default)


def _laid_over(
    parties: FrozenBitMap, ports: PortSet, one: End, other: End
) -> Iterator[tuple[FrozenBitMap, PortSet, Decided, Decided]]:
    """What two ends decide about the same parties and ports."""
    if one == other:
        yield from (
            (share.parties, share.ports, share.decided, share.decided) for share in divided(one, parties, ports)
        )
        return
    for share in divided(one, parties, ports):
        for again in divided(other, share.parties, share.ports):
            yield again.parties, again.ports, share.decided, again.decided


def _diverging(
    locals_: FrozenBitMap, parties: FrozenBitMap, ports: PortSet, one: End, other: End
) -> Iterator[Divergence]:
    for found, pieces, before, after in _laid_over(parties, ports, one, other):
        if before.action != after.action:
            yield Divergence(locals_, found, pieces, before, after)


def _ends(direction: Direction, near: Decided, far: Decided | None) -> Ends:
    return Ends(near, far) if direction == "out" else Ends(far, near)


def _sides(direction: Direction, locals_: FrozenBitMap, parties: FrozenBitMap) -> tuple[FrozenBitMap, FrozenBitMap]:
    """Sources and destinations."""
    return (locals_, parties) if direction == "out" else (parties, locals_)


_Flows = tuple[FrozenBitMap, FrozenBitMap, PortSet, Ends]


def _only_in(landscape: Landscape, units: FrozenBitMap) -> Iterator[_Flows]:
    """The flows allowed in a world to and from units that the other world does not have."""
    for locals_, share in _allowing(landscape, units, "out", landscape.parties):
        yield from _passing(landscape, locals_, share, "out")
    for locals_, share in _allowing(landscape, units, "in", landscape.parties - units):
        yield from _passing(landscape, locals_, share, "in")


def _allowing(
    landscape: Landscape, units: FrozenBitMap, direction: Direction, parties: FrozenBitMap
) -> Iterator[tuple[FrozenBitMap, Share]]:
    """What the ends of some units allow, end by end."""
    classes: defaultdict[object, list[int]] = defaultdict(list)
    for kind in units:
        classes[landscape.signature(kind, direction)].append(kind)
    for members in classes.values():
        for share in divided(landscape.end(members[0], direction), parties, portsets.EVERYTHING):
            if share.decided.action == "Allow":
                yield FrozenBitMap(members), share


def _passing(landscape: Landscape, locals_: FrozenBitMap, share: Share, direction: Direction) -> Iterator[_Flows]:
    """What of an allowing end's flows the other end allows too."""
    if addresses := share.parties & landscape.addresses:
        yield *_sides(direction, locals_, addresses), share.ports, _ends(direction, share.decided, None)
    classes: defaultdict[object, list[int]] = defaultdict(list)
    ends: dict[object, End] = {}
    far = _opposite(direction)
    for kind in share.parties & landscape.present:
        end = _narrowed(landscape.end(kind, far), locals_, share.ports)
        classes[_meaning(end)].append(kind)
        ends[_meaning(end)] = end
    for meaning, members in classes.items():
        for other in divided(ends[meaning], locals_, share.ports):
            if other.decided.action == "Allow":
                sides = _sides(direction, other.parties, FrozenBitMap(members))
                yield *sides, other.ports, _ends(direction, share.decided, other.decided)


def merged(found: Iterable[Box]) -> list[Box]:
    """The same flows in fewer boxes: those that differ in one respect only become one."""
    result = list(found)
    for field in ("destinations", "sources", "ports", "destinations"):
        groups: defaultdict[tuple[object, ...], list[Box]] = defaultdict(list)
        place = Box._fields.index(field)
        for box in result:
            groups[(*box[:place], *box[place + 1 :])].append(box)
        result = [_joined(field, boxes) for boxes in groups.values()]
    return result


def _joined(field: str, boxes: list[Box]) -> Box:
    if len(boxes) == 1:
        return boxes[0]
    if field == "ports":
        return boxes[0]._replace(ports=portsets.union(*(box.ports for box in boxes)))
    return boxes[0]._replace(**{field: FrozenBitMap.union(*(getattr(box, field) for box in boxes))})
