"""The policy document one Enforcer enforces, and the deltas between two of its revisions.

A document holds only what its Enforcer needs: the units registered on it, the rules that select
them, the peers and networks those rules can name. Every table is a mapping from a stable string (or
badge) to an immutable entry, so that two documents differ by a set of upserts and removals and both
sides can compute the same digest after applying them.

Unknown fields are errors everywhere (lessons, rule 2): an Enforcer that does not understand a
document rejects it whole and keeps the one it has.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from watchword.model.ports import ANY_PROTOCOL as ANY_PROTOCOL
from watchword.model.ports import PortRange as PortRange

Action = Literal["Allow", "Reject"]


class RuleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule of one ruleset. Its key in the document is ``<ruleset id>/<in|out>/<index>``."""

    ruleset: str
    ruleset_name: str
    namespace: str
    name: str
    action: Action
    selector: str  # key into ``selectors``
    ports: tuple[PortRange, ...]
    observed: bool = False
    log: bool = True


class UnitEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One local processing unit. Its key in the document is the Console's unit ID."""

    native_id: str  # the Enforcer's own name for it, as registered
    badge: int
    name: str
    namespace: str
    tags: tuple[str, ...]
    incoming: tuple[str, ...]  # rule keys
    outgoing: tuple[str, ...]
    default_incoming: Action
    default_outgoing: Action


class PeerEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One identity a local unit may meet. Its key in the document is its badge.

    Local units appear here too: a host's units meet each other by the same rules.
    """

    unit: str
    name: str
    namespace: str
    enforcer: str  # key into ``enforcers``
    selectors: tuple[str, ...]  # those of this document that match it, sorted


class DatapathKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An X25519 public key of one epoch, signed by its Enforcer's signing key (identity.keys)."""

    epoch: int
    public: bytes  # 32 bytes
    signature: bytes  # Ed25519, 64 bytes


class EnforcerEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An Enforcer whose units a local unit may meet. Its key in the document is its ID."""

    certificate: bytes  # DER, issued by the Console's CA
    keys: tuple[DatapathKey, ...]  # at most two, newest first


class NetworkEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One external network. Its key in the document is its ID."""

    name: str
    namespace: str
    entries: tuple[str, ...]  # CIDR or !CIDR
    selectors: tuple[str, ...]  # those of this document that match it, sorted
    identity_required: bool = False


class PolicyDocument(msgspec.Struct, forbid_unknown_fields=True):
    """Everything one Enforcer needs in order to decide, at one revision."""

    revision: int
    units: dict[str, UnitEntry] = {}
    rules: dict[str, RuleEntry] = {}
    selectors: dict[str, tuple[tuple[str, ...], ...]] = {}  # expression, for people and explain
    peers: dict[int, PeerEntry] = {}
    enforcers: dict[str, EnforcerEntry] = {}
    networks: dict[str, NetworkEntry] = {}


#: The tables of a document, in the order in which a delta lists them.
TABLES = ("units", "rules", "selectors", "peers", "enforcers", "networks")


class PolicyDelta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What changes between two revisions of one Enforcer's document."""

    base: int
    revision: int
    units: dict[str, UnitEntry] = {}
    rules: dict[str, RuleEntry] = {}
    selectors: dict[str, tuple[tuple[str, ...], ...]] = {}
    peers: dict[int, PeerEntry] = {}
    enforcers: dict[str, EnforcerEntry] = {}
    networks: dict[str, NetworkEntry] = {}
    removed: dict[str, tuple[str | int, ...]] = {}  # table name -> keys


def difference(old: PolicyDocument, new: PolicyDocument) -> PolicyDelta:
    """The delta that turns ``old`` into ``new``."""
    upserts: dict[str, dict[object, object]] = {}
    removed: dict[str, tuple[str | int, ...]] = {}
    for table in TABLES:
        before, after = getattr(old, table), getattr(new, table)
        upserts[table] = {key: entry for key, entry in after.items() if before.get(key) != entry}
        gone = tuple(sorted(key for key in before if key not in after))
        if gone:
            removed[table] = gone
    return PolicyDelta(base=old.revision, revision=new.revision, removed=removed, **upserts)  # type: ignore[arg-type]


def patched(base: PolicyDocument, delta: PolicyDelta) -> PolicyDocument:
    """``base`` with ``delta`` applied; ``base`` itself is left alone.

    Raises :class:`ValueError` when the delta was made for another base or names an unknown table.
    """
    if delta.base != base.revision:
        raise ValueError(f"delta is for revision {delta.base}, not {base.revision}")
    unknown = set(delta.removed) - set(TABLES)
    if unknown:
        raise ValueError(f"delta removes from unknown tables: {sorted(unknown)}")
    tables = {}
    for table in TABLES:
        entries = {**getattr(base, table), **getattr(delta, table)}
        for key in delta.removed.get(table, ()):
            entries.pop(key, None)
        tables[table] = entries
    return PolicyDocument(revision=delta.revision, **tables)


_encode = msgspec.msgpack.Encoder().encode


def digest(document: PolicyDocument) -> bytes:
    """SHA-256 over the canonical encoding: what a revision's signature covers.

    Canonical is: the revision, then each table as a list of its (key, entry) pairs in order of keys.
    Entries hold no mappings, so their encoding has only one form.
    """
    tables = [sorted(getattr(document, table).items(), key=_key) for table in TABLES]
    return hashlib.sha256(_encode((document.revision, *tables))).digest()


def _key(pair: tuple[str | int, object]) -> str | int:
    return pair[0]
