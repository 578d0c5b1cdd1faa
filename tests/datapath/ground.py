"""Two hosts with a datapath each, and what tests do between them.

``client`` and ``server`` are real hosts with one unit each; their Enforcers share a key. A test says what each
side's tables hold and then acts as the applications. Ports are handed out once, so that what one test leaves
in flow records and TIME_WAIT concerns no other.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from testbed import Host, Link, Middlebox, Router, Testbed
from testbed.fence import Fence, pair, tables
from tests.datapath.workload import SocketOption, Workload, read
from watchword.enforcer.datapath.base import Event, FlowSample, PeerKeys, Placement
from watchword.policy.tables import Tables, Verdict, VerdictKey

CLIENT, SERVER = 0xA0000001, 0xB0000001
#: What the Enforcers of the two share, and what each has for units on its own host.
KEY, OWN_KEY = bytes(range(16)), b"only on one host"

Direction = Literal["in", "out"]
Verdicts = dict[VerdictKey, Verdict]


def says(
    local: int, peer: int, direction: Direction, action: Literal["Allow", "Reject"] = "Allow", **more: bool | str
) -> Verdicts:
    """One entry for every protocol and port; a peer is a badge or the class of a network."""
    return {VerdictKey(local, peer, direction, 255, 0): Verdict(action, **{"rule": "rule", **more})}  # type: ignore[arg-type]


class Side:
    """One host, its datapath and its unit."""

    #: The badges that tables know, each with its Enforcer.
    known: Mapping[int, str] = {CLIENT: "client", SERVER: "server"}

    def __init__(
        self,
        host: Host,
        enforcer: str,
        badge: int,
        neighbours: Mapping[str, int] | None = None,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        """``neighbours`` are further units of the host, each in the cgroup of its name; ``sizes`` of kernel tables."""
        self.host, self.enforcer, self.badge = host, enforcer, badge
        self.neighbours = dict(neighbours or {})
        self.revision = 0
        self.fence = Fence(host, sizes)
        self.place()
        self.app = Workload(host)

    def place(self) -> None:
        """Say where the units are; also a new agent's first act."""
        places = [Placement(self.enforcer, str(self.host.cgroup))]
        places += [Placement(name, str(self.host.subgroup(name))) for name in self.neighbours]
        self.fence.call("place", places)

    def restart(self, code: Path | None = None) -> None:
        """Start an agent where the last one was killed; ``code`` is where another version of it is."""
        self.fence.start(code)
        self.place()

    def trust(self, peers: Sequence[PeerKeys], own_epochs: Sequence[int] = (1,)) -> None:
        """Set the keys; those for units on this host stay."""
        own = pair(self.enforcer, self.enforcer, OWN_KEY, own_epochs)
        self.fence.call("set_keys", list(own_epochs), [own, *peers])

    def tables(
        self,
        verdicts: Verdicts,
        prefixes: Mapping[str, int] | None = None,
        default: Literal["Allow", "Reject"] = "Reject",
        reachable: bool = True,
        names: Mapping[str, int] | None = None,
    ) -> Tables:
        """Tables of a new revision."""
        self.revision += 1
        made = tables(
            self.revision,
            {self.enforcer: self.badge, **self.neighbours},
            self.known,
            verdicts,
            prefixes,
            default,
            names,
        )
        return made if reachable else Tables(**{**_fields(made), "reachable": frozenset()})  # type: ignore[arg-type]

    def apply(
        self,
        *verdicts: Verdicts,
        prefixes: Mapping[str, int] | None = None,
        default: Literal["Allow", "Reject"] = "Reject",
        reachable: bool = True,
        names: Mapping[str, int] | None = None,
    ) -> None:
        """Decide by these verdicts from now on."""
        merged = {key: verdict for each in verdicts for key, verdict in each.items()}
        self.fence.call("apply", self.tables(merged, prefixes, default, reachable, names))

    def flows(self, port: int) -> list[FlowSample]:
        """What the kernel has aggregated about one port of the server."""
        return [sample for sample in self.fence.call("flows") if sample.port == port]

    def flow(self, port: int, action: str = "Allow") -> FlowSample:
        """The one flow that there is about this port and with this verdict."""
        found = [sample for sample in self.flows(port) if sample.action == action]
        assert len(found) == 1, found
        return found[0]

    def counters(self) -> dict[str, int]:
        """All counters."""
        counters: dict[str, int] = self.fence.call("counters")
        return counters

    def events(self) -> list[Event]:
        """Everything delivered so far."""
        events: list[Event] = self.fence.call("events")
        return events

    def pinned(self) -> Path:
        """Where the kernel objects of this side are."""
        return pins_of(self.host)


def pins_of(host: Host) -> Path:
    """Where the kernel objects of a host's datapath are: below the name of its build, and there is no other."""
    (pins,) = (host.pins / "watchword").iterdir()
    return pins


def _fields(made: Tables) -> dict[str, object]:
    return {name: getattr(made, name) for name in Tables.__dataclass_fields__}


class Connection:
    """Both ends of one TCP connection."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near, self.far = near, far

    def exchange(self, data: bytes = b"question") -> None:
        """Carry bytes both ways; fails when either is not carried."""
        for sender, receiver in ((self.near, self.far), (self.far, self.near)):
            sender.sendall(data)
            assert read(receiver, len(data)) == data

    def close(self) -> None:
        """Close the far end, then the near one."""
        self.far.close()
        self.near.close()

    def ended(self, timeout: float = 10.0) -> dict[str, str]:
        """How each end hears that the connection is over: the error's name, or ``end`` or ``data``."""
        told = {}
        for name, end in (("near", self.near), ("far", self.far)):
            end.settimeout(timeout)
            try:
                told[name] = "data" if end.recv(1) else "end"
            except OSError as error:
                told[name] = type(error).__name__
        return told

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Ground:
    """Client and server, on one link or with a router or a middlebox between them."""

    def __init__(
        self,
        bed: Testbed,
        between: Router | Middlebox | None = None,
        sizes: Mapping[str, int] | None = None,
        mtu: int = 1500,
    ) -> None:
        """``sizes`` are those of the server's kernel tables; ``mtu`` of a link without anything between."""
        self.bed = bed
        self.router = between if isinstance(between, Router) else None
        hosts = [bed.host(name, between) for name in ("client", "server")]
        self.link: Link = hosts[1].links[0] if between else bed.direct(*hosts, mtu=mtu)
        self.client = Side(hosts[0], "client", CLIENT)
        self.server = Side(hosts[1], "server", SERVER, sizes=sizes)
        self.sides = (self.client, self.server)
        self._ports = itertools.count(1000)
        self.trust()
        self.allow()

    def trust(self, key: bytes = KEY, epochs: Sequence[int] = (1,)) -> None:
        """Give both the key they share, for all pairs of these epochs (the newest first)."""
        self.client.trust([pair("client", "server", key, epochs)], epochs)
        self.server.trust([pair("server", "client", key, epochs)], epochs)

    def allow(self) -> None:
        """Client and server may meet, in both directions; nothing else may."""
        for side, peer in ((self.client, SERVER), (self.server, CLIENT)):
            side.apply(says(side.badge, peer, "in"), says(side.badge, peer, "out"))

    def port(self) -> int:
        """A port that nobody has used here."""
        return next(self._ports)

    def listen(self, port: int = 0, *, address: str = "::", options: Sequence[SocketOption] = ()) -> socket.socket:
        """A listener of the server's unit."""
        return self.server.app.listen(port or self.port(), address, options=options)

    def connect(
        self,
        listener: socket.socket,
        version: int = 4,
        *,
        address: str = "",
        port: int = 0,
        timeout: float = 10.0,
        options: Sequence[SocketOption] = (),
    ) -> Connection:
        """A connection from the client's unit to the listener."""
        to = address or self.server.host.address(version)
        near = self.client.app.connect(to, port or listener.getsockname()[1], timeout=timeout, options=options)
        # A listener whose patience is short is one where nobody is expected; here somebody is.
        patience = listener.gettimeout()
        listener.settimeout(timeout)
        try:
            far, _ = listener.accept()
        except BaseException:
            near.close()
            raise
        finally:
            listener.settimeout(patience)
        far.settimeout(timeout)
        return Connection(near, far)

    def half_open(self) -> int:
        """How many requests wait for an ACK at the server."""
        return len(self.server.host.run(["ss", "-tnH", "state", "syn-recv"]).stdout.splitlines())

    def close(self) -> None:
        """Uninstall both datapaths."""
        for side in self.sides:
            side.app.close()
            side.fence.close()


@contextmanager
def grounds(name: str, routed: bool = False, sizes: Mapping[str, int] | None = None) -> Iterator[Ground]:
    """A ground for the tests of one module; fails if anything is left of it."""
    with Testbed(name) as bed:
        ground = Ground(bed, bed.router("r") if routed else None, sizes)
        yield ground
        ground.close()
    assert bed.leftovers() == []


@contextmanager
def setting(key: str, value: int | str, *hosts: Host) -> Iterator[None]:
    """A sysctl of some hosts, for the body of the ``with``."""
    path = Path("/proc/sys") / key.replace(".", "/")
    before = []
    for host in hosts:
        with host.enter():
            before.append(path.read_text().strip())
        host.sysctl(key, value)
    try:
        yield
    finally:
        for host, old in zip(hosts, before, strict=True):
            host.sysctl(key, old)


def until(test: Callable[[], bool], timeout: float = 15.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout
    while not test():
        assert time.monotonic() < deadline, f"not so after {timeout} s"
        time.sleep(0.01)
