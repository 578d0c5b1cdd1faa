"""What an Enforcer asks of a kernel datapath, whichever it is (eBPF, netfilter, Windows).

A datapath is filled with tables before connections need them and decides alone. Nothing here is
called per packet or per connection. All calls are synchronous and quick (milliseconds); the agent
calls them from its event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from watchword.policy.tables import Tables


class DatapathError(Exception):
    """The kernel refused something. The message says what, and what to do about it."""


class FeatureMissing(DatapathError):  # noqa: N818
    """The kernel lacks something this datapath needs; ``feature`` names it."""

    def __init__(self, feature: str, remedy: str) -> None:
        super().__init__(f"the kernel lacks {feature}: {remedy}")
        self.feature = feature
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[FeatureMissing], tuple[str, str]]:
        """Pickled by its parts, so that it survives a process boundary."""
        return FeatureMissing, (self.feature, self.remedy)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a unit's processes run: a cgroup v2 directory (absolute path), all below it included.

    The unit whose cgroup is nearest to a socket's cgroup owns the socket. The host unit is placed at
    the Enforcer's cgroup root.
    """

    native_id: str
    cgroup: str


@dataclass(frozen=True, slots=True)
class PeerKeys:
    """Pairwise 128-bit keys shared with one peer Enforcer, by (own epoch, peer epoch)."""

    enforcer: str
    keys: Mapping[tuple[int, int], bytes]


@dataclass(frozen=True, slots=True)
class FlowSample:
    """Cumulative counts of one aggregated flow since the datapath was installed."""

    unit_badge: int
    direction: Literal["incoming", "outgoing"]
    peer_badge: int
    peer_address: str  # "" for a peer with identity
    protocol: int
    port: int
    action: Literal["Allow", "Reject"]
    reason: str
    rule: str  # rule key, "" for a default
    observed_action: Literal["", "Allow", "Reject"]
    observed_rule: str
    proved: bool
    revision: int
    connections: int
    packets_in: int
    packets_out: int
    bytes_in: int
    bytes_out: int
    latency_us_total: int
    first_seen: float  # Unix time, UTC
    last_seen: float


@dataclass(frozen=True, slots=True)
class LiveConnection:
    """One connection that lives now; counts as of the agent's last look."""

    protocol: int
    local: str
    local_port: int
    remote: str
    remote_port: int
    direction: Literal["incoming", "outgoing"]
    unit_badge: int
    peer_badge: int  # 0 without identity
    existing: bool  # older than the datapath: the peer has proved nothing in it
    action: Literal["Allow", "Reject"]
    reason: str
    rule: str  # rule key, "" for a default
    observed_action: Literal["", "Allow", "Reject"]
    observed_rule: str
    revision: int  # that admitted it, or found it; 0 when the agent has not looked yet
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    latency_us: int  # 0 when not known
    opened: float  # Unix time at which it was recorded first: up to a second late; 0 in its first second


@dataclass(frozen=True, slots=True)
class TableFill:
    """How full one of the kernel's tables is."""

    name: str
    entries: int
    room: int


@dataclass(frozen=True, slots=True)
class VerdictTotal:
    """What all flows of one verdict and reason have carried since the datapath was installed."""

    action: Literal["Allow", "Reject"]
    reason: str
    connections: int
    packets_in: int
    packets_out: int
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True, slots=True)
class CaptureFilter:
    """Which packets of a unit a capture wants, and how much of each."""

    unit_badge: int
    remote: str = ""  # CIDR of the other end; "" for all
    port: int = 0  # of either end; 0 for all
    snap: int = 0  # bytes of each packet; 0 for as many as there can be
    rate: int = 5000  # packets in a second, on the whole host


@dataclass(frozen=True, slots=True)
class CapturedPacket:
    """A packet as it was judged; ``content`` is its beginning, from the IP header on."""

    time: float  # Unix time
    direction: Literal["incoming", "outgoing"]
    action: Literal["Allow", "Reject"]
    reason: str
    unit_badge: int
    peer_badge: int  # 0 for none that its record or refusal names
    recorded: bool  # the connection has a record: what is said of its peer is the record's
    existing: bool  # and is older than the datapath
    rule: str  # rule key, if ``decided``; "" for a default
    decided: bool  # rule and peer are known of this packet
    revision: int
    device: int  # index of the interface
    length: int  # of the whole packet
    content: bytes


@dataclass(frozen=True, slots=True)
class Lookup:
    """Cumulative counts of one aggregated DNS look-up since the datapath was installed."""

    unit_badge: int
    name: str
    kind: int  # type of record asked for, IANA number: 1 A, 28 AAAA
    result: str  # resolved, no-such-name, …, empty, truncated, unread, withheld
    resolver: str
    count: int
    addresses: int  # in the last answer
    first_seen: float  # Unix time, UTC
    last_seen: float
    number: int  # the datapath's own for the name
    result_number: int
    learned: tuple[str, ...] = ()  # addresses that are good under the name; where the call says so


@dataclass(frozen=True, slots=True)
class AnswerUnread:
    """A unit got an answer of which nothing was learned: it was truncated, or not understood."""

    badge: int
    name: str
    kind: int
    resolver: str


@dataclass(frozen=True, slots=True)
class BadgeMissed:
    """A handshake carried a badge that is in no table."""

    badge: int


@dataclass(frozen=True, slots=True)
class EventsLost:
    """The ring buffer had no room for ``count`` further events."""

    count: int


Event = BadgeMissed | EventsLost | AnswerUnread


class Datapath(Protocol):
    """One kernel datapath of one Enforcer.

    Life: ``install`` (idempotent; takes over what an earlier agent left, without a gap), then any
    number of ``apply``/``set_keys``/``place``, then either ``close`` (the kernel goes on deciding)
    or ``uninstall`` (nothing is left).
    """

    name: Literal["ebpf", "netfilter", "windows"]

    def install(self) -> None:
        """Load, attach and pin. Raises :class:`FeatureMissing` or :class:`DatapathError`."""

    def place(self, placements: Sequence[Placement]) -> None:
        """Replace the set of placements. A cgroup that no longer exists is an error."""

    def set_keys(self, own_epochs: Sequence[int], peers: Sequence[PeerKeys]) -> None:
        """Replace all pairwise keys; ``own_epochs`` newest first (the newest is used to send)."""

    def apply(self, tables: Tables) -> None:
        """Make ``tables`` what the kernel decides by, at once and as a whole.

        New flows and the next packet of every live flow are judged by it; live flows that it refuses
        are reset, also quiet ones, before this returns.
        """

    def keep_existing(self, keep: bool) -> None:
        """Choose what becomes of connections older than the datapath that policy refuses by address.

        They are kept until told otherwise. To keep no more ends them at once, so that both ends learn it.
        """

    def exclude(self, interfaces: Sequence[str]) -> None:
        """Leave alone the interfaces of these names and no others, now and whenever one comes, goes or is renamed.

        Only interfaces of the network namespace that the datapath was made in are meant.
        """

    def attend(self) -> None:
        """Put back what has to be attached: to devices that appeared, or where somebody removed it.

        Called every second. Raises :class:`DatapathError` naming what cannot be policed now.
        """

    def reattach(self) -> None:
        """Put this agent's programs back where a capture has put others that judge alike."""

    def revision(self) -> int:
        """The revision the kernel decides by now; 0 before the first ``apply``."""

    def flows(self) -> list[FlowSample]:
        """All aggregated flows with cumulative counts; entries idle for an hour are dropped after."""

    def look(self) -> None:
        """Bring the records of live connections up to date, for whoever reads them next."""

    def reported(self, samples: Sequence[FlowSample]) -> None:
        """Remember, across restarts of the agent, that these counts have been reported."""

    def unreported(self) -> list[tuple[FlowSample, FlowSample | None]]:
        """Samples that grew since ``reported``, each with what was reported last (or None)."""

    def believe(self, resolvers: Sequence[str]) -> None:
        """Learn host names from the answers of these addresses (UDP port 53) and of nobody else."""

    def learn(self, badge: int, answer: bytes) -> bool:
        """Let a local unit learn a DNS answer that the agent has got; false when it was not understood."""

    def lookups(self) -> list[Lookup]:
        """All aggregated look-ups with cumulative counts, also those that have been reported."""

    def unreported_lookups(self) -> list[tuple[Lookup, Lookup | None]]:
        """Look-ups that grew since ``reported_lookups``, with what is learned; each with what was reported last."""

    def reported_lookups(self, lookups: Sequence[Lookup]) -> None:
        """Remember, across restarts of the agent, that these counts have been reported."""

    def learned(self, badge: int, address: str) -> list[str]:
        """The names under which a local unit has learned an address."""

    def forget(self, lookups: Sequence[Lookup]) -> None:
        """Drop names and addresses that have run out, and of these look-ups those that are reported whole.

        Called every half minute. What is not reported is never dropped; what finds no room then is counted.
        """

    def counters(self) -> dict[str, int]:
        """Closed list of named counters: drops by reason, helper failures, lost observations."""

    def watch(self, handler: Callable[[Event], None]) -> int:
        """Begin to deliver events; returns a file descriptor for ``loop.add_reader(fd, poll)``."""

    def poll(self) -> None:
        """Deliver the events that are waiting."""

    def close(self) -> None:
        """Let go of the kernel objects; they stay pinned and go on deciding."""

    def uninstall(self) -> None:
        """Remove every program, map, link, qdisc, rule and file of this Enforcer."""
