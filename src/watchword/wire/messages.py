"""Messages between an Enforcer and its Console, msgpack frames on one outbound WebSocket.

Order of a session::

    Console   Challenge            a fresh nonce
    Enforcer  Hello                signature over nonce and console, what it is, what it has
    Console   Welcome              settings; then Snapshot, or Delta from the revision it has
    both      everything else, in any order

The Enforcer proves its identity by signing the challenge with the key its certificate names, so a
TLS-inspecting proxy in between neither breaks the session nor can speak in its place elsewhere.

History of :data:`PROTOCOL_VERSION` (one dated line for each change):

* 1 (2026-11-23): first version. Images and services of a unit, and a Welcome again during a session when its
  settings change, need nothing newer: what an agent does not say it does not send, and one that does not
  expect the second Welcome reconnects and gets it as the first.
* 2 (2026-11-23): Welcome says ``existing_connections``, when they are to be cut.
* 2 (2026-11-23): Welcome says ``boundaries`` where a profile has set any, or the Hello said that some are in force.
* 2 (2026-11-23): Ping, PingOver and PingSought, for Enforcers that have said HostAddresses in this session;
  they answer with PingHeard and PingSighted.
* 2 (2026-11-23): boundaries say ``offline_max_age``, if there is one; what Welcome itself says of it is not believed.
* 2 (2026-11-23): boundaries say ``existing_connections`` and ``key_lifetime``; what Welcome itself says of them is not
  believed any more.
* 2 (2026-11-23): LookupReports, answered by LookupsAccepted.
* 2 (2026-11-23): a delta says who joins and leaves selectors; a digest is a multiset hash of the document.
* 2 (2026-11-23): Examined says which requirements a host does not meet. A Console has to know it first.
* 2 (2026-11-24): boundaries say ``excluded_interfaces``, if there are any.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from watchword.wire.pings import PingEnd, PingOutcome
from watchword.wire.policy import Action, DatapathKey, PolicyDelta, PolicyDocument

PROTOCOL_VERSION = 2

#: Bytes that begin what an Enforcer signs in :class:`Hello`; then console ID, NUL, nonce.
HELLO_CONTEXT = b"watchword-hello-v1\0"

#: Bytes that begin what a Console signs for a revision; then enforcer ID, NUL, revision (u64 BE), digest.
REVISION_CONTEXT = b"watchword-revision-v1\0"

#: Bytes that begin what a Console signs for :class:`Boundaries`; then enforcer ID, NUL, issued (u64 BE), digest.
BOUNDARIES_CONTEXT = b"watchword-boundaries-v1\0"

#: Seconds between datapath key rotations where boundaries say nothing of them.
DAY = 86400.0

#: The largest frame either side accepts, in bytes.
FRAME_LIMIT = 64 << 20


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of all messages."""


# --- Console to Enforcer ---------------------------------------------------------------------


class Challenge(_Message, frozen=True, tag="challenge"):
    """First frame of a session."""

    protocol: int
    console: str
    nonce: bytes  # 32 random bytes


class Boundaries(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where an Enforcer's settings say what policy does not; signed like a revision, because it may open.

    Networks are lists of CIDRs; a ``!CIDR`` in the second leaves out a part. Seconds without a Console, after which
    the rules of the last revision lapse, may open too: what they reject, a default may allow. So may connections that
    are kept though policy refuses them, and a datapath key that nobody replaces. ``issued`` is the time of
    signing in microseconds since 1970, by the Console's clock: an Enforcer takes none older than the one it has.
    """

    issued: int
    excluded_networks: tuple[str, ...] = ()  # peers that are left alone
    identity_required_networks: tuple[str, ...] = ()  # peers that are rejected unless they prove an identity
    offline_max_age: float = 0.0  # 0 is for ever
    existing_connections: Literal["Keep", "Cut"] = "Keep"  # those older than the Enforcer that policy refuses
    key_lifetime: float = 0.0  # seconds between datapath key rotations; 0 is a day
    excluded_interfaces: tuple[str, ...] = ()  # names of interfaces of the host that are left alone
    signature: bytes = b""

    @property
    def binding(self) -> bool:
        """Whether they say anything."""
        return msgspec.structs.replace(self, issued=0, signature=b"") != Boundaries(0)


class Welcome(_Message, frozen=True, omit_defaults=True, tag="welcome"):
    """The Enforcer is who it says; how it is to behave. Sent again whenever the latter changes.

    What is as ever is not said, so that an agent that has never heard of a setting learns of it only when somebody
    wants it to act on it.
    """

    enforcer: str
    namespace: str
    report_interval: float = 1.0  # seconds between flow reports
    key_lifetime: float = DAY  # for earlier agents; unsigned, so not believed
    offline_max_age: float = 0.0  # of earlier Consoles: likewise
    existing_connections: Literal["Keep", "Cut"] = "Keep"  # for earlier agents: likewise
    boundaries: Boundaries | None = None  # None: as the Enforcer has them


class Snapshot(_Message, frozen=True, tag="snapshot"):
    """A whole policy document."""

    document: PolicyDocument
    signature: bytes


class Delta(_Message, frozen=True, tag="delta"):
    """Changes to the document of revision ``delta.base``; the signature is over the result's digest."""

    delta: PolicyDelta
    signature: bytes


class UnitsAccepted(_Message, frozen=True, tag="units-accepted"):
    """Answer to :class:`RegisterUnits`: native ID to Console unit ID, and refusals with a reason."""

    units: dict[str, str]
    refused: dict[str, str] = {}


class ReportsAccepted(_Message, frozen=True, tag="reports-accepted"):
    """All reports up to and including ``sequence`` are stored; a later one than the last says that this was not."""

    sequence: int


class LookupsAccepted(_Message, frozen=True, tag="lookups-accepted"):
    """As :class:`ReportsAccepted`, of look-up reports: they have numbers of their own."""

    sequence: int


class BadgeUnknown(_Message, frozen=True, tag="badge-unknown"):
    """Answer to :class:`BadgeQuery` when no such badge exists (otherwise a Delta brings it)."""

    badge: int


class Evicted(_Message, frozen=True, tag="evicted"):
    """The Enforcer's record was deleted; it must not come back with this credential."""

    reason: str


class Ping(_Message, frozen=True, tag="ping"):
    """Call an address as one of your units; say with :class:`PingHeard` what came of it."""

    number: int  # by which everything about this ping is known
    unit: str  # Console ID
    protocol: int  # TCP, UDP (an empty datagram), ICMP or ICMPv6 (an echo request)
    address: str
    port: int  # 0 of an echo request
    patience: float  # seconds for an answer to come
    quiet: bool  # go no further than the answer: whoever listens notices nothing


class PingOver(_Message, frozen=True, tag="ping-over"):
    """The other end has been asked: end the attempt."""

    number: int


class PingSought(_Message, frozen=True, tag="ping-sought"):
    """What do you know of this handshake? It came, or should have come, from elsewhere."""

    number: int
    protocol: int
    nonce: int  # of its SYN; 0 for one that carried no identity
    badge: int  # that it announced
    address: str  # from where it came, as far as the near end knows
    source_port: int
    port: int  # that was dialled; type and code of an echo request (type << 8 | code)
    age: float  # seconds since it began, at the most
    quiet: bool  # give it up unless it is a connection: nobody is going to complete it


# --- Enforcer to Console ---------------------------------------------------------------------


class Hello(_Message, frozen=True, omit_defaults=True, tag="hello"):
    """Second frame of a session."""

    protocol: int
    enforcer: str
    signature: bytes  # Ed25519 over HELLO_CONTEXT, console, NUL, nonce
    version: str
    datapath: Literal["ebpf", "netfilter", "windows"]
    kernel: str
    keys: tuple[DatapathKey, ...]  # newest first, at most two
    revision: int = 0  # revision held, 0 for none
    digest: bytes = b""  # its digest, so that a fork is noticed
    bounded: bool = False  # boundaries are in force, so it has to be told when there are none any more


class UnitService(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ports a unit says it listens on."""

    protocol: int  # IANA number
    ports: tuple[str, ...] = ()  # "80" or "8000:8010"


class UnitRegistration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One processing unit found on this host. The Console decides its tags from these."""

    native_id: str
    type: Literal["Host", "Service", "Process", "Container", "Pod", "WindowsService"]
    name: str
    tags: tuple[str, ...] = ()  # user tags
    metadata: tuple[str, ...] = ()  # @… tags from a trusted source on this host
    namespace: str = ""  # empty for the Enforcer's own
    images: tuple[str, ...] = ()  # container images
    services: tuple[UnitService, ...] = ()


class RegisterUnits(_Message, frozen=True, tag="register-units"):
    """Units that exist now. With ``complete``, units registered earlier and not listed are gone."""

    units: tuple[UnitRegistration, ...]
    complete: bool = False


class RetireUnits(_Message, frozen=True, tag="retire-units"):
    """Units that no longer exist."""

    native_ids: tuple[str, ...]


class PublishKeys(_Message, frozen=True, tag="publish-keys"):
    """The Enforcer's valid datapath keys after a rotation, newest first."""

    keys: tuple[DatapathKey, ...]


class RevisionEnforced(_Message, frozen=True, tag="revision-enforced"):
    """The kernel decides by this revision from now on."""

    revision: int


class RevisionRefused(_Message, frozen=True, tag="revision-refused"):
    """The Enforcer could not take a revision and keeps the one it has."""

    revision: int
    reason: str


class BadgeQuery(_Message, frozen=True, tag="badge-query"):
    """A handshake carried a badge this Enforcer does not know."""

    badge: int


class FlowRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One aggregated flow as one end saw it, since the previous report (counts are increments).

    ``unit`` is the local end. ``peer_badge`` is 0 for a peer without identity, which then is named
    by ``peer_address`` and, if any, ``network``. ``rule`` is a rule key of the document or empty for
    a default.
    """

    unit: str
    direction: Literal["incoming", "outgoing"]
    peer_badge: int
    peer_unit: str
    peer_address: str
    network: str
    protocol: int
    port: int
    action: Action
    reason: str  # name from the closed list of reasons, "policy" for a decision
    rule: str
    ruleset: str
    observed_action: Literal["", "Allow", "Reject"]
    observed_rule: str
    proved: bool  # both identities were proved in the handshake
    revision: int
    connections: int
    packets_in: int
    packets_out: int
    bytes_in: int
    bytes_out: int
    latency_us_total: int  # sum over ``connections`` of SYN to SYN-ACK at the client
    first_seen: float  # Unix time, UTC
    last_seen: float


class FlowReports(_Message, frozen=True, tag="flow-reports"):
    """A batch; sent again until accepted. ``lost`` counts flow observations that found no room."""

    sequence: int
    records: tuple[FlowRecord, ...]
    lost: int = 0


class LookupRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """DNS look-ups of one unit for one name and type that came to the same, since the previous report."""

    unit: str
    name: str
    type: int  # of record asked for, IANA number
    result: str  # resolved, empty, no-such-name, …, truncated, unread, withheld
    resolver: str  # the last
    count: int  # an increment
    addresses: int  # in the last answer
    learned: tuple[str, ...]  # that the unit may be judged by under that name, some dozen at most
    first_seen: float  # Unix time, UTC
    last_seen: float


class LookupReports(_Message, frozen=True, tag="lookup-reports"):
    """A batch; sent again until accepted. ``lost`` counts look-ups that found no room."""

    sequence: int
    records: tuple[LookupRecord, ...]
    lost: int = 0


class HostAddresses(_Message, frozen=True, tag="host-addresses"):
    """Where this host can be reached, when a session begins and on change; that pings are understood here."""

    addresses: tuple[str, ...]


class PingHeard(_Message, frozen=True, tag="ping-heard"):
    """Answer to :class:`Ping`: what came of it, or why it could not be tried. The attempt stands until PingOver."""

    number: int
    outcome: PingOutcome | None = None
    failure: str = ""


class PingSighted(_Message, frozen=True, tag="ping-sighted"):
    """Answer to :class:`PingSought`.

    ``how`` it was found: by its nonce, beyond doubt; by its ends, without identity (of other protocols than TCP: as the
    latest packet of such a peer to this port); as the latest refusal of such a peer at this port; or not at all.
    """

    number: int
    how: Literal["nonce", "ends", "refusal", "nothing"] = "nothing"
    end: PingEnd | None = None


class Status(_Message, frozen=True, tag="status"):
    """The Enforcer's own health, on change and every minute."""

    rss_bytes: int
    cpu_seconds: float
    counters: dict[str, int]
    problems: tuple[str, ...] = ()


class UnmetRequirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One requirement that a host does not meet, or not in full; why, and what to do about it."""

    group: str
    name: str
    result: Literal["degraded", "fail"]
    detail: str
    remedy: str = ""


class Examined(_Message, frozen=True, tag="examined"):
    """What came of holding the host against the requirements, some seconds after the agent's start; in each session."""

    result: Literal["pass", "degraded", "fail"]
    unmet: tuple[UnmetRequirement, ...] = ()


class Goodbye(_Message, frozen=True, tag="goodbye"):
    """An orderly end: the agent stops (its datapath goes on) or is uninstalled."""

    uninstalled: bool = False


ToEnforcer = (
    Challenge
    | Welcome
    | Snapshot
    | Delta
    | UnitsAccepted
    | ReportsAccepted
    | LookupsAccepted
    | BadgeUnknown
    | Ping
    | PingOver
    | PingSought
    | Evicted
)
ToConsole = (
    Hello
    | RegisterUnits
    | RetireUnits
    | PublishKeys
    | RevisionEnforced
    | RevisionRefused
    | BadgeQuery
    | FlowReports
    | LookupReports
    | HostAddresses
    | PingHeard
    | PingSighted
    | Status
    | Examined
    | Goodbye
)

encode = msgspec.msgpack.Encoder().encode
decode_to_enforcer = msgspec.msgpack.Decoder(ToEnforcer).decode
decode_to_console = msgspec.msgpack.Decoder(ToConsole).decode
