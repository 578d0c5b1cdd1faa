"""The policy document one Enforcer enforces, and the deltas between two of its revisions.

A document holds only what its Enforcer needs: the units registered on it, the rules that select
them, the peers and networks those rules can name. Every table is a mapping from a stable string (or
badge) to an immutable entry, so that two documents differ by a set of upserts and removals and both
sides can compute the same digest after applying them.

Who is a peer, and why, is said by selector, because that is what documents have in common: an identity
that comes to match a selector *joins* it, in every document that uses the selector. A peer is in a
document for as long as a selector of the document matches it, a local unit or a badge asked for is
it, or everybody is a peer; nobody has to say that it goes after that.

Entries are made of strings and numbers, in no cycle: the garbage collector need not look at them
(``gc=False``), and there may be hundreds of thousands.

Unknown fields are errors everywhere (lessons, rule 2): an Enforcer that does not understand a
document rejects it whole and keeps the one it has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from watchword.model.ports import ANY_PROTOCOL as ANY_PROTOCOL
from watchword.model.ports import PortRange as PortRange
from watchword.wire.multiset import element, encoded

Action = Literal["Allow", "Reject"]


class RuleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
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


class UnitEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
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


class PeerEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One identity a local unit may meet. Its key in the document is its badge.

    Local units appear here too: a host's units meet each other by the same rules.
    """

    unit: str
    name: str
    namespace: str
    enforcer: str  # key into ``enforcers``
    selectors: tuple[str, ...]  # those of this document that match it, sorted


class PeerFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What every document says alike of one identity. Its key is its badge."""

    unit: str
    name: str
    namespace: str
    enforcer: str  # key into ``enforcers``


class DatapathKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """An X25519 public key of one epoch, signed by its Enforcer's signing key (identity.keys)."""

    epoch: int
    public: bytes  # 32 bytes
    signature: bytes  # Ed25519, 64 bytes


class EnforcerEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """An Enforcer whose units a local unit may meet. Its key in the document is its ID."""

    certificate: bytes  # DER, issued by the Console's CA
    keys: tuple[DatapathKey, ...]  # at most two, newest first


class NetworkEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One external network. Its key in the document is its ID."""

    name: str
    namespace: str
    entries: tuple[str, ...]  # CIDR, !CIDR, host name or *.domain
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
    enforcer: str = ""  # whose document this is; its own entry stays in ``enforcers`` whoever is a peer
    everybody: bool = False  # every identity there is is a peer, because some default allows
    asked: tuple[int, ...] = ()  # badges that are peers because the Enforcer met them and asked, sorted


#: The tables of a document, in the order in which a delta lists them.
TABLES = ("units", "rules", "selectors", "peers", "enforcers", "networks")


class PolicyDelta(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What changes between two revisions of one Enforcer's document.

    Applied in this order: what is ``removed`` goes (a selector from every peer that it matched, too);
    entries are put in place of those of the same key (a known peer keeps its selectors); peers leave
    and join selectors; then peers go that nothing keeps, and Enforcers of which no peer is left.
    """

    base: int
    revision: int
    units: dict[str, UnitEntry] = {}
    rules: dict[str, RuleEntry] = {}
    selectors: dict[str, tuple[tuple[str, ...], ...]] = {}
    peers: dict[int, PeerFacts] = {}
    enforcers: dict[str, EnforcerEntry] = {}
    networks: dict[str, NetworkEntry] = {}
    joined: dict[str, tuple[int, ...]] = {}  # selector -> badges that match it now
    left: dict[str, tuple[int, ...]] = {}  # selector -> badges that no longer do
    removed: dict[str, tuple[str | int, ...]] = {}  # table name -> keys
    everybody: bool | None = None  # None: as before; True: ``peers`` are all there are
    asked: tuple[int, ...] | None = None  # None: as before


class Patched(NamedTuple):
    """A document after a delta, and which entries may be others than before (or gone), by table."""

    document: PolicyDocument
    touched: dict[str, set[str | int]]


def difference(old: PolicyDocument, new: PolicyDocument) -> PolicyDelta:
    """The delta that turns ``old`` into ``new``."""
    upserts: dict[str, dict[object, object]] = {}
    removed: dict[str, tuple[str | int, ...]] = {}
    for table in TABLES:
        before, after = getattr(old, table), getattr(new, table)
        gone = tuple(sorted(key for key in before if key not in after))
        if gone:
            removed[table] = gone
        if table != "peers":
            upserts[table] = {key: entry for key, entry in after.items() if before.get(key) != entry}
    opened = new.everybody and not old.everybody
    peers: dict[int, PeerFacts] = {}
    joined: dict[str, list[int]] = {}
    left: dict[str, list[int]] = {}
    for badge, entry in new.peers.items():
        known = old.peers.get(badge)
        if opened or known is None or facts_of(known) != facts_of(entry):
            peers[badge] = facts_of(entry)
        was, now = set(known.selectors if known else ()), set(entry.selectors)
        for selector in now - was:
            joined.setdefault(selector, []).append(badge)
        for selector in was - now:
            left.setdefault(selector, []).append(badge)
    return PolicyDelta(
        base=old.revision,
        revision=new.revision,
        peers=peers,
        joined={selector: tuple(badges) for selector, badges in joined.items()},
        left={selector: tuple(badges) for selector, badges in left.items()},
        removed=removed,
        everybody=None if old.everybody == new.everybody else new.everybody,
        asked=None if old.asked == new.asked else new.asked,
        **upserts,  # type: ignore[arg-type]
    )


def facts_of(peer: PeerEntry) -> PeerFacts:
    """What of a peer is not about the document it is in."""
    return PeerFacts(peer.unit, peer.name, peer.namespace, peer.enforcer)


def patched(base: PolicyDocument, delta: PolicyDelta) -> PolicyDocument:
    """``base`` with ``delta`` applied; see :func:`patch`."""
    return patch(base, delta).document


def patch(base: PolicyDocument, delta: PolicyDelta) -> Patched:
    """``base`` with ``delta`` applied, and what that touched; ``base`` itself is left alone.

    Entries that did not change are the same objects. Raises :class:`ValueError` when the delta was
    made for another base, names an unknown table, or lets a badge join that nothing is known about.
    """
    if delta.base != base.revision:
        raise ValueError(f"delta is for revision {delta.base}, not {base.revision}")
    unknown = set(delta.removed) - set(TABLES)
    if unknown:
        raise ValueError(f"delta removes from unknown tables: {sorted(unknown)}")
    tables = {}
    touched: dict[str, set[str | int]] = {}
    for table in TABLES:
        if table != "peers":
            gone, put = delta.removed.get(table, ()), getattr(delta, table)
            entries = dict(getattr(base, table))
            for key in gone:
                entries.pop(key, None)
            entries.update(put)
            tables[table] = entries
            touched[table] = {*gone, *put}
    document = PolicyDocument(
        revision=delta.revision,
        enforcer=base.enforcer,
        everybody=base.everybody if delta.everybody is None else delta.everybody,
        asked=base.asked if delta.asked is None else delta.asked,
        **tables,
    )
    changed = _patch_peers(base, delta, document)
    touched["peers"] = set(changed)
    gone_from = {base.peers[badge].enforcer for badge in changed if badge in base.peers} | set(delta.enforcers)
    if gone_from:  # no other Enforcer can be without a peer
        left_over = gone_from - {peer.enforcer for peer in document.peers.values()} - {document.enforcer}
        for enforcer in left_over:
            document.enforcers.pop(enforcer, None)
        touched["enforcers"] |= left_over
    return Patched(document, touched)


def _patch_peers(base: PolicyDocument, delta: PolicyDelta, document: PolicyDocument) -> set[int]:
    """Fill in the peers of ``document``; the badges whose entry may be another than before."""
    peers = document.peers = dict(base.peers)
    changed: set[int] = set()
    for key in delta.removed.get("peers", ()):
        if isinstance(key, int) and key in peers:
            del peers[key]
            changed.add(key)
    selectors: dict[int, set[str]] = {}  # of those whose selectors change
    lost = set(delta.removed.get("selectors", ()))
    if lost:
        for badge, entry in peers.items():
            if not lost.isdisjoint(entry.selectors):
                selectors[badge] = set(entry.selectors) - lost
    for badge, facts in delta.peers.items():
        known = peers.get(badge)
        if known is None or facts_of(known) != facts:
            kept = known.selectors if known else ()
            peers[badge] = PeerEntry(facts.unit, facts.name, facts.namespace, facts.enforcer, kept)
            changed.add(badge)
    for selector, badges in delta.left.items():
        for badge in badges:
            if badge in peers:
                selectors.setdefault(badge, set(peers[badge].selectors)).discard(selector)
    for selector, badges in delta.joined.items():
        for badge in badges:
            if badge not in peers:
                raise ValueError(f"delta lets badge {badge} join a selector, but says nothing of who that is")
            selectors.setdefault(badge, set(peers[badge].selectors)).add(selector)
    for badge, now in selectors.items():
        entry, ordered = peers[badge], tuple(sorted(now))
        if ordered != entry.selectors:
            peers[badge] = PeerEntry(entry.unit, entry.name, entry.namespace, entry.enforcer, ordered)
            changed.add(badge)
    return changed | _dismissed(base, delta, document, changed)


def _dismissed(base: PolicyDocument, delta: PolicyDelta, document: PolicyDocument, changed: set[int]) -> set[int]:
    """Let the peers go that nothing keeps any more; their badges."""
    if document.everybody:
        # Whoever says so says who everybody is. There may have been a time in between, told in the same delta, when
        # everybody was not a peer and those who went then did not have to be taken back.
        gone = {badge for badge in document.peers if badge not in delta.peers} if delta.everybody else set()
        for badge in gone:
            del document.peers[badge]
        return gone
    scalars = delta.everybody is not None or delta.asked is not None
    candidates: Iterable[int] = document.peers if scalars or delta.units or "units" in delta.removed else changed
    kept = {unit.badge for unit in document.units.values()} | set(document.asked)
    gone = {
        badge
        for badge in candidates
        if badge not in kept and (entry := document.peers.get(badge)) and not entry.selectors
    }
    for badge in gone:
        del document.peers[badge]
    return gone


def digest(document: PolicyDocument) -> bytes:
    """What a revision's signature covers: the revision and everything in the document.

    SHA-256 over the revision and the multiset hash (:mod:`watchword.wire.multiset`) of the document's
    elements. Both sides can follow it: what joins or leaves a selector is one addition, and what the
    members of a selector add up to is the same in every document.
    """
    return sealed(document.revision, total(document))


def sealed(revision: int, total_: int) -> bytes:
    """The digest of a document of which :func:`total` is known."""
    return hashlib.sha256(b"watchword-document-v2\0" + revision.to_bytes(8, "big") + encoded(total_)).digest()


def total(document: PolicyDocument) -> int:
    """The sum of a document's elements.

    Every entry is covered: units, rules, selectors, networks and the document's own words by elements
    of their own; each peer, with its Enforcer's certificate and keys, by the members of its selectors,
    and by those kept without one; an Enforcer's entry by its peers, else by itself.
    """
    found = scope_element(document.enforcer, document.everybody, document.asked)
    for table in ("units", "rules", "selectors", "networks"):
        found += sum(element(table, key, entry) for key, entry in getattr(document, table).items())
    sums: dict[str, int] = {}
    known = {key: enforcer_digest(entry) for key, entry in document.enforcers.items()}
    kept = {unit.badge for unit in document.units.values()} | set(document.asked)
    for badge, peer in document.peers.items():
        one = peer_element(badge, facts_of(peer), known.get(peer.enforcer, b""))
        for selector in peer.selectors:
            sums[selector] = sums.get(selector, 0) + one
        if document.everybody:
            sums["*"] = sums.get("*", 0) + one
        if badge in kept or not (peer.selectors or document.everybody):
            sums[""] = sums.get("", 0) + one
    found += sum(members_element(selector, added) for selector, added in sums.items())
    named = {peer.enforcer for peer in document.peers.values()} - {document.enforcer}
    return found + sum(element("enforcers", key, entry) for key, entry in known.items() if key not in named)


def scope_element(enforcer: str, everybody: bool, asked: tuple[int, ...]) -> int:
    """What a document says of itself."""
    return element("scope", enforcer, everybody, asked)


def enforcer_digest(entry: EnforcerEntry) -> bytes:
    """What a peer's element says of its Enforcer."""
    return hashlib.sha256(_encode(entry)).digest()


def peer_element(badge: int, facts: PeerFacts, enforcer: bytes) -> int:
    """One member of a selector; ``enforcer`` is the digest of its Enforcer's entry."""
    return element("peer", badge, facts, enforcer)


def members_element(selector: str, members: int) -> int:
    """A selector of a document with the sum of its members.

    ``""`` stands for those that are kept by name (or by nothing), ``"*"`` for everybody.
    """
    return element("members", selector, encoded(members))


_encode = msgspec.msgpack.Encoder().encode
