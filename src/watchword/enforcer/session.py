"""One session with the Console as a state machine without input or output.

Frames go in, commands come out; sockets, clocks and the kernel are somebody else's business, so every
path here is tested as a transcript. ::

    OPENED ──Challenge──► GREETED ──Welcome──► ESTABLISHED ──► CLOSED (from anywhere)

What it guarantees: (1) a Challenge is signed only for the Console this Enforcer is enrolled with;
(2) no document leaves as :class:`Adopt` unless the Console's revision key signed its digest for this
Enforcer and it is newer than the one held; (3) whatever is refused leaves the held document as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

import msgspec

from watchword.enforcer import store
from watchword.enforcer.errors import UNDECODABLE, RevisionError
from watchword.enforcer.store import SignedDocument
from watchword.identity.keys import SignatureError, SigningKey
from watchword.identity.signatures import sign_hello
from watchword.wire import messages
from watchword.wire.messages import PROTOCOL_VERSION, ToConsole
from watchword.wire.policy import DatapathKey, PolicyDocument, digest, patch
from watchword.wire.words import keep_once


@dataclass(frozen=True, slots=True)
class Send:
    """Put this frame on the wire."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Established:
    """The session stands; ``welcome`` says how to behave."""

    welcome: messages.Welcome


@dataclass(frozen=True, slots=True)
class Settled:
    """The settings have changed during the session."""

    welcome: messages.Welcome


@dataclass(frozen=True, slots=True)
class Adopt:
    """A new document, verified; which entries may not be those of the one adopted before, None for unknown."""

    signed: SignedDocument
    touched: Mapping[str, Set[str | int]] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """A revision was not acceptable (the Console has been told)."""

    revision: int
    reason: str


@dataclass(frozen=True, slots=True)
class UnitsAnswered:
    """The Console answered a registration: its unit IDs, and refusals with reasons, by native ID."""

    units: Mapping[str, str]
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReportsStored:
    """The Console has all reports up to ``sequence``: of flows, or of look-ups."""

    sequence: int
    lookups: bool = False


@dataclass(frozen=True, slots=True)
class BadgeAbsent:
    """No such badge exists."""

    badge: int


@dataclass(frozen=True, slots=True)
class Asked:
    """The Console wants a ping, or to know of one."""

    message: messages.Ping | messages.PingOver | messages.PingSought


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection and connect again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Evict:
    """The Console deleted this Enforcer: close, and do not come back."""

    reason: str


Command = (
    Send
    | Established
    | Settled
    | Adopt
    | Refused
    | UnitsAnswered
    | ReportsStored
    | BadgeAbsent
    | Asked
    | Disconnect
    | Evict
)


class State(Enum):
    """Where a session stands."""

    OPENED = auto()
    GREETED = auto()
    ESTABLISHED = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a Hello says about this Enforcer, and whom it believes."""

    enforcer: str
    console: str
    console_public: bytes
    key: SigningKey
    version: str
    kernel: str
    datapath: Literal["ebpf", "netfilter", "windows"]
    keys: Sequence[DatapathKey]
    bounded: bool = False  # boundaries are in force


class Session:
    """One session. ``held`` is the document that deltas are relative to; None before the first."""

    def __init__(self, facts: Facts, held: PolicyDocument | None) -> None:
        self.state = State.OPENED
        self._facts = facts
        self._held = held

    def receive(self, frame: bytes) -> list[Command]:
        """What to do about a frame from the Console."""
        if self.state is State.CLOSED:
            return []
        try:
            message = messages.decode_to_enforcer(frame)
        except UNDECODABLE as error:
            return self._malformed(frame, str(error))
        if self.state is State.OPENED:
            return self._opened(message)
        if self.state is State.GREETED:
            return self._greeted(message)
        return self._established(message)

    def submit(self, message: ToConsole) -> list[Command]:
        """Send ``message`` if the session stands; otherwise nothing (state is told anew at its start)."""
        return [Send(messages.encode(message))] if self.state is State.ESTABLISHED else []

    def retreat(self, held: PolicyDocument | None) -> None:
        """A document that was adopted turned out unusable: deltas are relative to ``held`` again."""
        self._held = held

    def close(self) -> None:
        """The connection is gone."""
        self.state = State.CLOSED

    def _opened(self, message: messages.ToEnforcer) -> list[Command]:
        if not isinstance(message, messages.Challenge):
            return self._disconnect(f"expected a challenge, got {_kind(message)}")
        if message.protocol != PROTOCOL_VERSION:
            return self._disconnect(f"the Console speaks protocol {message.protocol}, this agent {PROTOCOL_VERSION}")
        facts = self._facts
        if message.console != facts.console:
            return self._disconnect("this is another Console than the one this Enforcer is enrolled with")
        try:
            signature = sign_hello(facts.key, facts.console, message.nonce)
        except SignatureError as error:
            return self._disconnect(f"the challenge is malformed: {error}")
        hello = messages.Hello(
            protocol=PROTOCOL_VERSION,
            enforcer=facts.enforcer,
            signature=signature,
            version=facts.version,
            datapath=facts.datapath,
            kernel=facts.kernel,
            keys=tuple(facts.keys),
            revision=self._held.revision if self._held else 0,
            digest=digest(self._held) if self._held else b"",
            bounded=facts.bounded,
        )
        self.state = State.GREETED
        return [Send(messages.encode(hello))]

    def _greeted(self, message: messages.ToEnforcer) -> list[Command]:
        if isinstance(message, messages.Evicted):
            return self._evicted(message)
        if not isinstance(message, messages.Welcome):
            return self._disconnect(f"expected a welcome, got {_kind(message)}")
        if message.enforcer != self._facts.enforcer:
            return self._disconnect("the Console took this Enforcer for another")
        self.state = State.ESTABLISHED
        return [Established(message)]

    def _established(self, message: messages.ToEnforcer) -> list[Command]:
        match message:
            case messages.Snapshot(document=document, signature=signature):
                return self._offered(SignedDocument(document, signature))
            case messages.Delta():
                return self._changed(message)
            case messages.UnitsAccepted(units=units, refused=refused):
                return [UnitsAnswered(units, refused)]
            case messages.ReportsAccepted(sequence=sequence):
                return [ReportsStored(sequence)]
            case messages.LookupsAccepted(sequence=sequence):
                return [ReportsStored(sequence, lookups=True)]
            case messages.BadgeUnknown(badge=badge):
                return [BadgeAbsent(badge)]
            case messages.Ping() | messages.PingOver() | messages.PingSought():
                return [Asked(message)]
            case messages.Evicted():
                return self._evicted(message)
            case messages.Welcome(enforcer=enforcer) if enforcer == self._facts.enforcer:
                return [Settled(message)]
        return self._disconnect(f"{_kind(message)} in the middle of a session")

    def _changed(self, message: messages.Delta) -> list[Command]:
        delta = message.delta
        if self._held is None or delta.base != self._held.revision:
            held = self._held.revision if self._held else "none"
            return self._disconnect(f"a delta from revision {delta.base} does not fit the revision held ({held})")
        try:
            document, touched = patch(self._held, delta)
        except ValueError as error:
            return self._refuse(delta.revision, str(error))
        return self._offered(SignedDocument(document, message.signature), touched)

    def _offered(self, signed: SignedDocument, touched: Mapping[str, Set[str | int]] | None = None) -> list[Command]:
        revision = signed.document.revision
        try:
            store.verify(self._facts.console_public, self._facts.enforcer, signed)
            self._check_succession(signed.document)
        except RevisionError as error:
            return self._refuse(revision, str(error))
        if touched is None:
            keep_once(signed.document)
        self._held = signed.document
        return [Adopt(signed, touched)]

    def _check_succession(self, offered: PolicyDocument) -> None:
        """An old revision, rightly signed in its time, must not come back."""
        if self._held is None or offered.revision > self._held.revision or offered == self._held:
            return
        remedy = "if the Console was restored from a backup, enrol this host again"
        if offered.revision == self._held.revision and _decides_alike(offered, self._held):
            return  # badges that this Enforcer asked for have come, which no rule is about
        if offered.revision == self._held.revision:
            raise RevisionError(f"revision {offered.revision} differs from the one of that number held; {remedy}")
        raise RevisionError(f"revision {offered.revision} is older than {self._held.revision} which is held; {remedy}")

    def _refuse(self, revision: int, reason: str) -> list[Command]:
        told = self.submit(messages.RevisionRefused(revision=max(revision, 0), reason=reason[:1000]))
        return [*told, Refused(revision, reason)]

    def _malformed(self, frame: bytes, reason: str) -> list[Command]:
        """A policy that is not understood is refused and the session goes on; anything else ends it."""
        revision = _claimed_revision(frame) if self.state is State.ESTABLISHED else None
        if revision is not None:
            return self._refuse(revision, f"the document is not understood: {reason}")
        return self._disconnect(f"the Console sent what is not understood: {reason}")

    def _evicted(self, message: messages.Evicted) -> list[Command]:
        self.state = State.CLOSED
        return [Evict(message.reason)]

    def _disconnect(self, reason: str) -> list[Command]:
        self.state = State.CLOSED
        return [Disconnect(reason)]


def _decides_alike(one: PolicyDocument, other: PolicyDocument) -> bool:
    """Whether two documents differ at most in who is known that no rule is about."""
    same = all(getattr(one, table) == getattr(other, table) for table in ("units", "rules", "selectors", "networks"))
    known = one.peers.keys() & other.peers.keys()
    extra = (document.peers[badge] for document in (one, other) for badge in document.peers.keys() - known)
    return (
        same
        and (one.enforcer, one.everybody) == (other.enforcer, other.everybody)
        and all(one.peers[badge] == other.peers[badge] for badge in known)
        and not any(peer.selectors for peer in extra)
        and all(one.enforcers[key] == other.enforcers[key] for key in one.enforcers.keys() & other.enforcers.keys())
    )


def _kind(message: messages.ToEnforcer) -> str:
    return str(type(message).__struct_config__.tag)


def _claimed_revision(frame: bytes) -> int | None:
    """The revision that a frame which did not decode seems to carry; None when it is no policy at all."""
    try:
        content = msgspec.msgpack.decode(frame)
    except UNDECODABLE:
        return None
    if not isinstance(content, dict) or content.get("kind") not in ("snapshot", "delta"):
        return None
    inner = content.get("document" if content["kind"] == "snapshot" else "delta")
    revision = inner.get("revision") if isinstance(inner, dict) else None
    return revision if isinstance(revision, int) and not isinstance(revision, bool) and revision >= 0 else 0
