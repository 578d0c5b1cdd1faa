"""Desired state to actual state: what the agent wants of its datapath, and the steps to get there.

Whoever learns something new (a document, a placement, a key) only notes it here; :meth:`reconcile`
then does what is missing, so that any number of changes at once cost one pass. Goals:

1. Nothing is installed before there is a complete document: an Enforcer without policy is not there.
2. Keys and placements are in the kernel before the tables that need them.
3. A document that does not compile, or that the kernel refuses, leaves the one in force as it was.
4. What fails for a passing reason stays wanted and is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from watchword.enforcer.datapath.base import Datapath, DatapathError, Event, FeatureMissing, PeerKeys
from watchword.enforcer.errors import RevisionError
from watchword.enforcer.pairing import Pairing
from watchword.enforcer.store import SignedDocument
from watchword.enforcer.units import Units
from watchword.identity.keys import DatapathPrivateKey
from watchword.policy.boundaries import bounded
from watchword.policy.compile import Compiler, Touched
from watchword.policy.tables import Tables
from watchword.wire.messages import Boundaries
from watchword.wire.policy import PolicyDocument

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Enforced:
    """What the kernel decides by, or is about to."""

    signed: SignedDocument
    document: PolicyDocument  # the same, with the boundaries of the profile
    tables: Tables
    expired: bool
    boundaries: Boundaries | None


class Enforcement:
    """Owns the datapath. Not thread-safe; belongs to the agent's event loop."""

    def __init__(self, datapath: Datapath, pairing: Pairing, units: Units) -> None:
        self.datapath = datapath
        self.installed = False
        self.removed = False  # on purpose: the datapath is not to be touched again
        self.actual: Enforced | None = None
        self.problems: dict[str, str] = {}
        self.keep_existing = True  # connections older than the Enforcer that policy refuses
        self._pairing = pairing
        self._units = units
        self._compiler = Compiler()
        self._wanted: SignedDocument | None = None
        self._touched: Touched | None = None  # keys of entries that may not be those compiled last
        self._expired = False
        self._boundaries: Boundaries | None = None
        self._own: tuple[DatapathPrivateKey, ...] = ()
        self._keys: tuple[tuple[int, ...], tuple[PeerKeys, ...]] | None = None
        self._places: frozenset[object] | None = None

    def want(self, signed: SignedDocument, touched: Touched | None = None) -> None:
        """Enforce a verified document from the next pass on.

        ``touched`` are the keys of entries that may not be those of the document wanted before; None when
        nobody knows.
        """
        self._wanted = signed
        if self._touched is None or touched is None:
            self._touched = None
        else:
            before = self._touched
            self._touched = {table: {*before.get(table, ()), *touched.get(table, ())} for table in {*before, *touched}}

    def expire(self, expired: bool) -> bool:
        """Let the rules lapse (or hold again) because the revision is too old; True when that is a change."""
        changed, self._expired = expired != self._expired, expired
        return changed

    def bound(self, boundaries: Boundaries | None) -> None:
        """Enforce these boundaries, which have been verified, from the next pass on."""
        if boundaries != self._boundaries:
            self._boundaries, self._touched = boundaries, None

    def own_keys(self, keys: Sequence[DatapathPrivateKey]) -> None:
        """The datapath keys to use, the one that handshakes name first."""
        self._own = tuple(keys)

    @property
    def wanted(self) -> bool:
        """Whether there is a document to enforce."""
        return self._wanted is not None

    def places(self, native_id: str) -> bool:
        """Whether the kernel judges this unit by a document that knows it."""
        if self.actual is None or self._places != self._units.places():
            return False
        return any(unit.native_id == native_id for unit in self.actual.tables.units.values())

    def install(self, handler: Callable[[Event], None]) -> int:
        """Install the datapath and deliver its events; returns the descriptor to watch."""
        self.datapath.install()
        self.installed = True
        return self.datapath.watch(handler)

    def reconcile(self) -> bool:
        """Do what is missing; True when another document is in force afterwards.

        Raises :class:`RevisionError` when the wanted document does not compile (it is wanted no longer), and
        :class:`DatapathError` when the kernel refused something; what is in force stays.
        """
        if self._wanted is None or not self.installed:
            return False
        target = self._target(self._wanted)
        self._place()
        self._set_keys(target.signed.document)
        self.datapath.keep_existing(self.keep_existing)
        self.datapath.exclude(target.boundaries.excluded_interfaces if target.boundaries else ())
        if target is self.actual:
            return False
        self.datapath.apply(target.tables)
        before, self.actual = self.actual, target
        return before is None or before.signed is not target.signed

    def _target(self, wanted: SignedDocument) -> Enforced:
        """The tables of what is wanted. Any failure is the document's: it is input like any other."""
        actual = self.actual
        boundaries = self._boundaries
        if (
            actual is not None
            and actual.signed is wanted
            and (actual.expired, actual.boundaries) == (self._expired, boundaries)
        ):
            return actual
        document = wanted.document
        touched, self._touched = self._touched, None
        try:
            document = bounded(_lapsed(document) if self._expired else document, boundaries)
            if self._expired:
                tables = self._compiler.compile(document)
            else:
                tables = self._compiled(document, touched)
                self._touched = {}
        except (ValueError, LookupError, TypeError) as error:
            self._wanted = actual.signed if actual else None
            raise RevisionError(f"revision {document.revision} cannot be compiled: {error!r}") from error
        return Enforced(wanted, document, tables, self._expired, boundaries)

    def _compiled(self, document: PolicyDocument, touched: Touched | None) -> Tables:
        if touched is None:
            return self._compiler.compile(document)
        return self._compiler.follow(document, touched)

    def _place(self) -> None:
        """A cgroup may vanish at any moment; then the others are placed when its unit has been forgotten."""
        places = self._units.places()
        if places == self._places:
            return
        try:
            self.datapath.place(self._units.placements())
        except FeatureMissing:
            raise
        except DatapathError as error:
            self.problems["placement"] = f"units could not be placed: {error}"
            _log.warning("units could not be placed: %s", error)
        else:
            self._places = places
            self.problems.pop("placement", None)

    def _set_keys(self, document: PolicyDocument) -> None:
        keys = self._pairing.keys(document.enforcers, self._own)
        epochs = tuple(key.epoch for key in self._own)
        if (epochs, keys) != self._keys:
            self.datapath.set_keys(epochs, keys)
            self._keys = (epochs, keys)


def _lapsed(document: PolicyDocument) -> PolicyDocument:
    """``document`` with its rules gone: what remains are the namespaces' own defaults, and all identities."""
    units = {key: msgspec.structs.replace(unit, incoming=(), outgoing=()) for key, unit in document.units.items()}
    return msgspec.structs.replace(document, units=units, rules={})
