"""The engine: every Enforcer's document at once, followed change by change.

1. A change costs what it changes: the units and documents it is about, and the expressions that share
   a rare tag with it. Documents are not kept; what they have in common is, once: the members of each
   selector, the rules of each ruleset, who reads them.
2. :meth:`Engine.apply` says of each Enforcer whose document changes how it does; Enforcers for which the
   same changes share one amendment. Applying amendments gives what :meth:`Engine.document` gives, and
   that is what :func:`watchword.policy.render.render` gives for the same world.
3. :meth:`Engine.digest` adds a document's digest up from sums that are kept (:func:`watchword.wire.policy.total`).

Units have badges of their own: no two present units may share one. Not thread-safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from watchword.policy.amendments import Amendment, merged
from watchword.policy.engine.documents import Reading, total
from watchword.policy.engine.nouns import Station
from watchword.policy.engine.populace import Populace
from watchword.policy.engine.rulebook import Rulebook
from watchword.policy.engine.state import State
from watchword.policy.engine.subscriptions import Subscriptions
from watchword.policy.engine.surroundings import Surroundings
from watchword.policy.selectors import SelectorIndex
from watchword.policy.world import PARTS, Alteration, Namespace, Network, Ruleset, Unit, World
from watchword.wire.policy import EnforcerEntry, PolicyDocument, sealed

#: The order in which nothing has to be worked out twice: units before the expressions that match them.
_LOADING = ("namespaces", "networks", "enforcers", "units", "rulesets")


@dataclass(frozen=True, slots=True)
class Publication:
    """What one revision changes: an amendment for each Enforcer whose document is another than before."""

    revision: int
    amendments: Mapping[str, Amendment]


class Engine:
    """See the module's text."""

    def __init__(self) -> None:
        self._state = State()
        self._subscriptions = Subscriptions(self._state)
        self._populace = Populace(self._state, self._subscriptions)
        self._rulebook = Rulebook(self._state, self._subscriptions, self._populace)
        self._surroundings = Surroundings(self._state, self._subscriptions, self._populace)

    @classmethod
    def of(cls, world: World) -> Engine:
        """An engine that has a whole world."""
        engine = cls()
        parts = ((part, getattr(world, part)) for part in PARTS)
        engine.load(world.revision, (Alteration(part, *item) for part, entries in parts for item in entries.items()))
        return engine

    @property
    def revision(self) -> int:
        """The newest revision."""
        return self._state.revision

    @property
    def units(self) -> SelectorIndex:
        """The index of the units; not to be modified."""
        return self._state.units

    def __contains__(self, enforcer: str) -> bool:
        return enforcer in self._state.stations

    def load(self, revision: int, alterations: Iterable[Alteration]) -> None:
        """Like :meth:`apply` when there is nobody to tell; much faster for much."""
        self._state.muted = True
        try:
            for alteration in sorted(alterations, key=lambda each: _LOADING.index(each.part)):
                self._follow(alteration)
        finally:
            self._state.muted = False
        for station in self._state.stations.values():
            station.total = station.local = None
        self._state.revision = revision

    def apply(self, revision: int, alterations: Iterable[Alteration]) -> Publication:
        """Take over the changes of one revision."""
        for alteration in alterations:
            self._follow(alteration)
        self._state.revision = revision
        return Publication(revision, self._amendments())

    def ask(self, enforcer: str, badges: Iterable[int]) -> Amendment:
        """From now on these badges are peers of one Enforcer, as far as they exist; what that changes there.

        Raises :class:`LookupError` when there is no such Enforcer.
        """
        self._populace.ask(self._station(enforcer), frozenset(badges))
        return self._amendments().get(enforcer, Amendment())

    def document(self, enforcer: str) -> PolicyDocument:
        """The whole document of one Enforcer. Raises :class:`LookupError` when there is none."""
        return Reading(self._state, self._station(enforcer)).document()

    def digest(self, enforcer: str, revision: int | None = None) -> bytes:
        """The digest of an Enforcer's document, as it would be if it were of another ``revision``.

        Raises :class:`LookupError` when there is no such Enforcer.
        """
        found = total(self._state, self._station(enforcer))
        return sealed(self._state.revision if revision is None else revision, found)

    def _station(self, enforcer: str) -> Station:
        station = self._state.stations.get(enforcer)
        if station is None:
            raise LookupError(f"the world has no Enforcer {enforcer!r}")
        return station

    def _follow(self, alteration: Alteration) -> None:
        state, surroundings = self._state, self._surroundings
        match alteration.entry:
            case Unit():
                self._populace.put(alteration.entry)
            case Ruleset():
                self._rulebook.put(alteration.entry)
            case Network():
                surroundings.put_network(alteration.entry)
            case Namespace():
                surroundings.put_namespace(alteration.entry)
            case EnforcerEntry():
                surroundings.put_enforcer(alteration.key, alteration.entry)
            case None:
                self._drop(alteration.part, alteration.key)
        state.forget_keys()
        self._subscriptions.refresh()

    def _drop(self, part: str, key: str) -> None:
        match part:
            case "units":
                self._populace.drop(key)
            case "rulesets":
                self._rulebook.drop(key)
            case "networks":
                self._surroundings.drop_network(key)
            case "namespaces":
                self._surroundings.drop_namespace(key)
            case "enforcers":
                self._surroundings.drop_enforcer(key)
            case _:
                raise LookupError(f"a world has no part {part!r}")

    def _amendments(self) -> dict[str, Amendment]:
        """What was told, one amendment for each Enforcer; those that were told the same share it."""
        shared: dict[tuple[Amendment, ...], Amendment] = {}  # amendments are compared by identity
        found: dict[str, Amendment] = {}
        for station, told in self._state.collect().items():
            if len(told) == 1:
                found[station.id] = told[0]
                continue
            key = tuple(told)
            amendment = shared.get(key)
            if amendment is None:
                amendment = shared[key] = merged(told)
            found[station.id] = amendment
        return found
