"""Things with tags and what selects them: dense numbers, postings, and watched expressions as bitmaps.

1. Everything held has a number, as small as can be; numbers of what is gone are given again. A set of
   things is a bitmap of numbers (`roaring bitmaps <https://roaringbitmap.org>`_).
2. Under each tag and each key stands the bitmap of what carries it (a *posting*).
3. A *watched* expression has a bitmap of its own, kept as things come, change and go. A change costs
   as much as it has expressions that share a rare tag with the thing, whatever the number of things.
   Any other expression is evaluated from the postings, in a few set operations.

Bitmaps that methods return are the index's own: valid until its next change, not to be modified.
Not thread-safe. For the Console and for offline commands; an Enforcer never loads this module.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from pyroaring import AbstractBitMap, BitMap

from watchword.model.expressions import Expression, clause
from watchword.policy.anchors import key_of, terms


class Tagged(Protocol):
    """Something that expressions select."""

    @property
    def id(self) -> str:
        """Unique among the things of one index."""

    @property
    def tags(self) -> frozenset[str]:
        """What expressions are compared with."""


Thing = TypeVar("Thing", bound=Tagged)


class Alternative:
    """One alternative, ready for fast comparison: tags that have to be there, then everything else."""

    __slots__ = ("others", "required", "selects")

    def __init__(self, texts: Iterable[str]) -> None:
        clauses = [clause(text) for text in texts]
        self.required = frozenset(taken.text for taken in clauses if not (taken.prefix or taken.negated))
        self.others = tuple(taken for taken in clauses if taken.prefix or taken.negated)
        self.selects = any(not taken.negated for taken in clauses)

    def holds(self, tags: frozenset[str]) -> bool:
        """Whether something with these tags is selected."""
        return self.selects and self.required <= tags and all(taken.holds(tags) for taken in self.others)


class Membership:
    """A watched expression and the numbers of what it matches now."""

    __slots__ = ("alternatives", "anchors", "expression", "numbers", "watchers")

    def __init__(self, expression: Expression, anchors: frozenset[str], numbers: BitMap) -> None:
        self.expression = expression
        self.alternatives = tuple(Alternative(texts) for texts in expression)
        self.anchors = anchors  # terms under which the index finds it
        self.numbers = numbers
        self.watchers = 0

    def holds(self, tags: frozenset[str]) -> bool:
        """Whether something with these tags is selected."""
        return any(alternative.holds(tags) for alternative in self.alternatives)


@dataclass(slots=True)
class Shift:
    """What a change of one thing did to watched expressions."""

    number: int
    joined: list[Membership] = field(default_factory=list)
    stayed: list[Membership] = field(default_factory=list)
    left: list[Membership] = field(default_factory=list)


class Postings:
    """Which numbers carry each tag, and which some tag of each key."""

    def __init__(self) -> None:
        self._numbers: dict[str, BitMap] = {}  # a tag, or a key with its equals sign
        self._tags: defaultdict[str, set[str]] = defaultdict(set)  # key with its equals sign to its tags

    def add(self, number: int, terms_: Iterable[str]) -> None:
        """File a number under terms."""
        for term in terms_:
            posting = self._numbers.get(term)
            if posting is None:
                posting = self._numbers[term] = BitMap()
                self._tags[key_of(term)].add(term)
            posting.add(number)

    def discard(self, number: int, terms_: Iterable[str]) -> None:
        """Take a number out from under terms."""
        for term in terms_:
            posting = self._numbers[term]
            posting.discard(number)
            if not posting:
                del self._numbers[term]
                self._forget(term)

    def _forget(self, term: str) -> None:
        known = self._tags[key_of(term)]
        known.discard(term)
        if not known:
            del self._tags[key_of(term)]

    def term(self, term: str) -> AbstractBitMap:
        """What carries a tag, or (for a key with its equals sign) any tag of that key."""
        return self._numbers.get(term) or _NOTHING

    def beginning(self, text: str) -> AbstractBitMap:
        """What carries some tag beginning with ``text``, which contains an equals sign."""
        if text == key_of(text):
            return self.term(text)
        found = [self._numbers[tag] for tag in self._tags.get(key_of(text), ()) if tag.startswith(text)]
        return BitMap.union(*found) if found else _NOTHING

    def clause(self, text: str) -> AbstractBitMap:
        """What a clause names, its negation left aside."""
        taken = clause(text)
        return self.beginning(taken.text) if taken.prefix else self.term(taken.text)

    def evaluate(self, expression: Expression) -> BitMap:
        """What an expression matches; a bitmap of the caller's own."""
        return BitMap.union(BitMap(), *(self._alternative(texts) for texts in expression))

    def _alternative(self, texts: Iterable[str]) -> AbstractBitMap:
        needed = [self.clause(text) for text in texts if not text.startswith("!")]
        if not needed:  # selects nothing
            return _NOTHING
        found = BitMap.intersection(*sorted(needed, key=len))
        for text in texts:
            if text.startswith("!"):
                found -= self.clause(text)
        return found

    def anchor(self, texts: Iterable[str]) -> str | None:
        """The rarest term that everything an alternative selects is filed under."""
        needed = [taken for taken in map(clause, texts) if not taken.negated]
        found = [key_of(taken.text) if taken.prefix else taken.text for taken in needed]
        return min(found, key=lambda term: (len(self.term(term)), term), default=None)


_NOTHING: AbstractBitMap = BitMap()


class TaggedIndex(Generic[Thing]):
    """See the module's text."""

    def __init__(self) -> None:
        self.postings = Postings()
        self.everything = BitMap()
        self._things: list[Thing | None] = []
        self._numbers: dict[str, int] = {}
        self._free: list[int] = []
        self._watched: dict[Expression, Membership] = {}
        self._anchored: defaultdict[str, dict[Membership, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, identifier: str) -> int:
        """The number of a thing. Raises :class:`LookupError` when it is not here."""
        return self._numbers[identifier]

    def get(self, identifier: str) -> Thing | None:
        """The thing of that ID, if it is here."""
        number = self._numbers.get(identifier)
        return None if number is None else self._things[number]

    def thing(self, number: int) -> Thing:
        """The thing of a number. Raises :class:`LookupError` when nothing has it."""
        found = self._things[number]
        if found is None:
            raise LookupError(f"nothing has number {number}")
        return found

    def things(self, numbers: Iterable[int]) -> Iterator[Thing]:
        """The things of many numbers, in their order."""
        return map(self.thing, numbers)

    def tagged(self, clause_: str) -> AbstractBitMap:
        """What carries a tag (``key=value``), some tag of a key (``key=*``), or of a prefix (``key=pre*``)."""
        return self.postings.clause(clause_)

    def matching(self, expression: Expression) -> AbstractBitMap:
        """What an expression matches, watched or not."""
        membership = self._watched.get(expression)
        return self.postings.evaluate(expression) if membership is None else membership.numbers

    def watch(self, expression: Expression) -> Membership:
        """Keep the expression's bitmap from now on, until :meth:`unwatch` was called as often."""
        membership = self._watched.get(expression)
        if membership is None:
            found = (self.postings.anchor(texts) for texts in expression)
            anchors = frozenset(term for term in found if term is not None)
            membership = Membership(expression, anchors, self.postings.evaluate(expression))
            self._watched[expression] = membership
            for term in anchors:
                self._anchored[term][membership] = None
        membership.watchers += 1
        return membership

    def unwatch(self, membership: Membership) -> bool:
        """Take back one :meth:`watch`; true when it was the last and the bitmap is kept no longer."""
        membership.watchers -= 1
        if membership.watchers:
            return False
        del self._watched[membership.expression]
        for term in membership.anchors:
            del self._anchored[term][membership]
            if not self._anchored[term]:
                del self._anchored[term]
        return True

    def memberships(self, tags: frozenset[str]) -> list[Membership]:
        """The watched expressions that match something with these tags."""
        return [membership for membership in self._candidates(tags) if membership.holds(tags)]

    def _candidates(self, tags: frozenset[str]) -> set[Membership]:
        found: set[Membership] = set()
        for term in terms(tags):
            anchored = self._anchored.get(term)
            if anchored:
                found.update(anchored)
        return found

    def put(self, thing: Thing) -> Shift:
        """Take in a thing, in place of the one of the same ID if there is one."""
        before = self.get(thing.id)
        if before is None:
            number = self._take(thing)
            self.postings.add(number, terms(thing.tags))
            shift = Shift(number, joined=self.memberships(thing.tags))
        else:
            number = self._numbers[thing.id]
            self._things[number] = thing
            shift = self._change(number, before.tags, thing.tags)
        for membership in shift.joined:
            membership.numbers.add(number)
        for membership in shift.left:
            membership.numbers.discard(number)
        return shift

    def _take(self, thing: Thing) -> int:
        number = self._free.pop() if self._free else len(self._things)
        if number == len(self._things):
            self._things.append(thing)
        else:
            self._things[number] = thing
        self._numbers[thing.id] = number
        self.everything.add(number)
        return number

    def _change(self, number: int, old: frozenset[str], new: frozenset[str]) -> Shift:
        if old != new:  # terms that stay are left alone, so that no posting is thrown away and made anew
            gone, fresh = terms(old) - terms(new), terms(new) - terms(old)
            self.postings.discard(number, gone)
            self.postings.add(number, fresh)
        shift = Shift(number)
        for membership in self._candidates(old) | self._candidates(new):
            was, now = number in membership.numbers, membership.holds(new)
            if was and now:
                shift.stayed.append(membership)
            elif was:
                shift.left.append(membership)
            elif now:
                shift.joined.append(membership)
        return shift

    def drop(self, identifier: str) -> Shift:
        """Let a thing go. Raises :class:`LookupError` when it is not here."""
        number = self._numbers.pop(identifier)
        thing = self.thing(number)
        shift = Shift(number, left=[each for each in self._candidates(thing.tags) if number in each.numbers])
        for membership in shift.left:
            membership.numbers.discard(number)
        self.postings.discard(number, terms(thing.tags))
        self.everything.discard(number)
        self._things[number] = None
        self._free.append(number)
        return shift
