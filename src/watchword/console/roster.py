"""The policy world in memory, following the store change by change.

Each world shares with the one before everything that did not change; a world that somebody still looks
at stays as it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from watchword.console.store.records import Record
from watchword.policy import entries as policy_entries
from watchword.policy.entries import Placed
from watchword.policy.versions import EMPTY, altered
from watchword.policy.world import Alteration, Unit
from watchword.wire.policy import DatapathKey, EnforcerEntry

#: How many units that are gone can still be named, for flows reported after their end.
DEPARTED_LIMIT = 10_000

_decode_keys = msgspec.msgpack.Decoder(tuple[DatapathKey, ...]).decode
encode_keys = msgspec.msgpack.Encoder().encode


def datapath_keys(record: Record) -> tuple[DatapathKey, ...]:
    """The datapath keys stored with an Enforcer."""
    return _decode_keys(record.private["datapath_keys"])


def entries(record: Record | None) -> tuple[Placed, ...]:
    """What a record contributes to the world; nothing for what has no part in policy (or no longer)."""
    if record is None:
        return ()
    if record.kind.singular == "enforcer":
        certificate = x509.load_pem_x509_certificate(record.resource.certificate.encode())
        known = EnforcerEntry(certificate=certificate.public_bytes(Encoding.DER), keys=datapath_keys(record))
        return (Placed("enforcers", record.id, known),)
    return policy_entries.entries(record.resource)


class Roster:
    """The newest world, and names of things that have just left it."""

    def __init__(self) -> None:
        self.world = EMPTY
        self._badges: dict[int, str] = {}
        self._departed: OrderedDict[str, Unit] = OrderedDict()

    def follow(self, revision: int, changes: Iterable[tuple[Record | None, Record | None]]) -> list[Alteration]:
        """Take over committed changes, each as the record before and after it; what that means for the world."""
        alterations: list[Alteration] = []
        for before, after in changes:
            old, new = entries(before), entries(after)
            kept = {(placed.part, placed.key) for placed in new}
            known = {(placed.part, placed.key): placed.entry for placed in old}
            alterations += [Alteration(part, key, None) for part, key in known if (part, key) not in kept]
            alterations += [
                Alteration(*placed) for placed in new if known.get((placed.part, placed.key)) != placed.entry
            ]
            self._note_units(old, new)
        self.world = altered(self.world, revision, alterations)
        return alterations

    def _note_units(self, old: tuple[Placed, ...], new: tuple[Placed, ...]) -> None:
        for placed in new:
            if isinstance(placed.entry, Unit):
                self._badges[placed.entry.badge] = placed.entry.id
                self._departed.pop(placed.entry.id, None)
        if new:
            return
        for placed in old:
            if isinstance(placed.entry, Unit):
                self._badges.pop(placed.entry.badge, None)
                self._departed[placed.entry.id] = placed.entry
                while len(self._departed) > DEPARTED_LIMIT:
                    self._departed.popitem(last=False)

    def unit(self, identifier: str) -> Unit | None:
        """A unit that exists, or that did until lately."""
        return self.world.units.get(identifier) or self._departed.get(identifier)

    def unit_by_badge(self, badge: int) -> Unit | None:
        """The unit that a badge names."""
        identifier = self._badges.get(badge)
        return self.world.units.get(identifier) if identifier else None
