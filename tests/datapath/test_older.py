"""Listeners, connections and handshakes that were there before the Enforcer."""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

from testbed import Host, Link, Match, Testbed
from testbed.fence import pair
from tests.datapath.ground import CLIENT, KEY, SERVER, Connection, Side, says, until
from tests.datapath.workload import Workload, finish, read
from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf import libbpf
from watchword.enforcer.datapath.ebpf.object import Map
from watchword.policy.tables import Segment, Verdict, VerdictKey

PORT = 3000

#: The class of an external network.
NETWORK = 20


@dataclass
class Hosts:
    """Two hosts whose applications run before there is any Enforcer."""

    client: Host
    server: Host
    link: Link
    near: Workload = field(init=False)
    far: Workload = field(init=False)
    sides: list[Side] = field(init=False)

    def __post_init__(self) -> None:
        self.near, self.far = (Workload(host, "app", "older") for host in (self.client, self.server))
        # Their agents run, but attach nothing before they have tables.
        self.sides = [Side(self.server, "server", SERVER), Side(self.client, "client", CLIENT)]

    def connect(self, listener: socket.socket, version: int = 4) -> Connection:
        near = self.near.connect(self.server.address(version), listener.getsockname()[1])
        far, _ = listener.accept()
        far.settimeout(10)
        return Connection(near, far)

    def install(self, which: str = "both", allow: bool = True) -> None:
        """Attach one or both, which know each other; units may meet only if ``allow``."""
        for side, peer, badge in ((self.sides[0], "client", CLIENT), (self.sides[1], "server", SERVER)):
            if which in (side.enforcer, "both"):
                side.trust([pair(side.enforcer, peer, KEY)])
                side.apply(*((says(side.badge, badge, way) for way in ("in", "out")) if allow else ()))

    def side(self, name: str) -> Side:
        return next(side for side in self.sides if side.enforcer == name)

    def close(self) -> None:
        for side in self.sides:
            side.app.close()
            side.fence.close()
        self.near.close()
        self.far.close()


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with Testbed("older") as bed:
        client, server = bed.host("client"), bed.host("server")
        made = Hosts(client, server, bed.direct(client, server))
        yield made
        made.close()
    assert bed.leftovers() == []


def records(side: Side) -> list[layout.Flow]:
    """The records of connections past their first second."""
    descriptor = libbpf.pinned(str(side.pinned() / "live"))
    assert descriptor is not None
    try:
        return [flow for _, flow in Map(descriptor, ctypes.c_uint64, layout.Flow).items_batched()]
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("version", [4, 6])
def test_a_listener_needs_no_restart(hosts: Hosts, version: int) -> None:
    with hosts.far.listen(PORT) as listener:
        hosts.install()
        with hosts.connect(listener, version) as connection:
            connection.exchange()
            for side in hosts.sides:
                flow = side.flow(PORT)
                assert (flow.proved, flow.connections) == (True, 1)
        hosts.side("server").apply()
        with pytest.raises(TimeoutError):
            hosts.near.connect(hosts.server.address(version), PORT, timeout=1.5)


def test_a_listener_lets_in_nobody_without_identity(hosts: Hosts) -> None:
    with hosts.far.listen(PORT) as listener:
        hosts.install("server")
        with pytest.raises(TimeoutError):
            hosts.near.connect(hosts.server.ipv4, PORT, timeout=1.5)
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize("allow", [True, False], ids=["allowed", "refused"])
def test_connections_are_kept_whatever_policy_says(hosts: Hosts, allow: bool) -> None:
    """Also over revisions, looks of the agent and its death; only new ones are refused."""
    with hosts.far.listen(PORT) as listener:
        older = [hosts.connect(listener, version) for version in (4, 6, 4, 6)]
        older[3].near.shutdown(socket.SHUT_WR)
        hosts.install(allow=allow)
        for side in hosts.sides:
            assert side.counters()["existing"] == len(older)
        for _ in range(2):  # once young for the agent, once old
            for number, side in enumerate(hosts.sides):
                peer = (CLIENT, SERVER)[number]
                side.apply(says(side.badge, peer, "in", "Reject", explicit=True, rule="no"))
                side.apply()
                side.fence.kill()
                for connection in older[:3]:
                    connection.exchange()
                side.restart()
            for connection in older[:3]:
                connection.exchange()
            older[3].far.sendall(b"rest")
            assert read(older[3].near, 4) == b"rest"
        for side in hosts.sides:
            assert len([flow for flow in records(side) if flow.existing]) == len(older)
            assert side.counters()["existing"] == len(older)
            assert {flow.reason for flow in side.flows(PORT)} == {"existing-refused"}
        with pytest.raises((OSError, TimeoutError)):
            hosts.near.connect(hosts.server.ipv4, PORT, timeout=1.5)
        for connection in older:
            connection.close()
        for side in hosts.sides:
            until(lambda side=side: records(side) == [])  # type: ignore[misc]


@pytest.mark.parametrize("allow", [True, False], ids=["allowed", "refused"])
def test_they_are_judged_by_address(hosts: Hosts, allow: bool) -> None:
    """Each way by the rule for that way, and told apart from what proved itself."""
    action: Literal["Allow", "Reject"] = "Allow" if allow else "Reject"
    opposite: Literal["Allow", "Reject"] = "Reject" if allow else "Allow"
    with hosts.far.listen(PORT) as listener:
        older = [hosts.connect(listener, version) for version in (4, 4, 6, 6)]
        for connection in older[1::2]:
            connection.exchange(b"before the Enforcer")
            connection.near.shutdown(socket.SHUT_WR)
        for side, peer, way, back in zip(
            hosts.sides, (hosts.client, hosts.server), ("in", "out"), ("out", "in"), strict=True
        ):
            side.apply(
                says(side.badge, NETWORK, way, action, rule="this way"),  # type: ignore[arg-type]
                says(side.badge, NETWORK, back, opposite, rule="other way"),  # type: ignore[arg-type]
                prefixes={f"{peer.ipv4}/32": NETWORK, f"{peer.ipv6}/128": NETWORK},
            )
        for connection in older[::2]:
            connection.exchange(b"after")
        for side, peer, direction in zip(
            hosts.sides, (hosts.client, hosts.server), ("incoming", "outgoing"), strict=True
        ):
            flows = {flow.peer_address: flow for flow in side.flows(PORT)}
            assert set(flows) == {peer.ipv4, peer.ipv6}
            for flow in flows.values():
                assert (flow.reason, flow.rule) == ("existing" if allow else "existing-refused", "this way")
                assert (flow.action, flow.direction, flow.proved) == ("Allow", direction, False)
                assert (flow.connections, flow.bytes_in, flow.bytes_out) == (2, 5, 5), "counted from adoption on"
                assert (flow.packets_in > 0, flow.revision) == (True, side.revision)
        for connection in older:
            connection.close()
        for side in hosts.sides:
            assert [flow.bytes_in for flow in side.flows(PORT)] == [5, 5]


def test_what_policy_refuses_is_cut_if_so_chosen(hosts: Hosts) -> None:
    """Both ends learn it; what is allowed, by address or because both ends are one unit, goes on."""
    with hosts.far.listen(PORT) as listener, hosts.far.listen(PORT + 1) as other:
        refused = [hosts.connect(listener, version) for version in (4, 6)]
        allowed = hosts.connect(other)
        own = Connection(hosts.far.connect("127.0.0.1", PORT), listener.accept()[0])
        for connection in (*refused, allowed, own):
            connection.exchange()
        server = hosts.side("server")
        server.fence.call("keep_existing", False)
        server.trust([])
        tables = server.tables(
            {
                **says(SERVER, NETWORK, "in"),
                VerdictKey(SERVER, NETWORK, "in", 6, 1): Verdict("Reject", "no"),
            },
            {f"{hosts.client.ipv4}/32": NETWORK, f"{hosts.client.ipv6}/128": NETWORK},
        )
        server.fence.call("apply", replace(tables, segments=(Segment(6, PORT, PORT, 1),)))
        for connection in refused:
            assert connection.ended() == {"near": "ConnectionResetError", "far": "ConnectionAbortedError"}
        for connection in (allowed, own):
            connection.exchange()
        assert [(f.action, f.reason, f.rule, f.connections) for f in server.flows(PORT) if f.peer_badge == 0] == [
            ("Reject", "existing-refused", "no", 1)
        ] * 2  # one for each address
        local = [flow for flow in server.flows(PORT) if flow.peer_badge == SERVER]
        assert {(flow.direction, flow.reason, flow.proved) for flow in local} == {
            ("incoming", "existing", False),
            ("outgoing", "existing", False),
        }
        server.apply()  # and by every later revision
        assert allowed.ended() == {"near": "ConnectionResetError", "far": "ConnectionAbortedError"}
        own.exchange()
        for connection in (*refused, allowed, own):
            connection.close()


def test_to_keep_them_no_more_ends_them_at_once(hosts: Hosts) -> None:
    with hosts.far.listen(PORT) as listener, hosts.connect(listener) as connection:
        hosts.install(allow=True)  # by badge: nobody has proved one
        connection.exchange()
        hosts.side("client").fence.call("keep_existing", False)
        assert connection.ended() == {"near": "ConnectionAbortedError", "far": "ConnectionResetError"}
        with hosts.connect(listener) as anew:
            anew.exchange()
        assert hosts.side("client").flow(PORT, "Reject").reason == "existing-refused"


def test_who_called_whom_is_told_by_the_sequence(hosts: Hosts) -> None:
    """Whatever was sent, acknowledged or closed by then, and though the callers' ports are lower than the server's."""
    connections = []
    with hosts.far.listen(60000) as listener:
        for number, (sent, closed) in enumerate(itertools.product((0, 1, 50_000), ("", "near", "far", "both"))):
            connections.append(Connection(*called(hosts, listener, 2000 + number)))
            connections[-1].exchange(bytes(sent))
            shut(connections[-1], closed)
        connections.append(Connection(*called(hosts, listener, 2100)))
        connections[-1].exchange(b"data")
        lost = hosts.link.drop(Match(sport=2100), toward=hosts.server, count=None)
        connections[-1].near.sendall(b"on its way, not acknowledged")
        connections[-1].near.shutdown(socket.SHUT_WR)
        until(lambda: lost.dropped() > 1)  # and sent again
        hosts.install()
        for side, direction in zip(hosts.sides, (layout.Direction.IN, layout.Direction.OUT), strict=True):
            found = [flow for flow in records(side) if flow.existing]
            assert len(found) >= 10, "connections of which both halves are closed may be over"
            assert {(flow.direction, flow.port) for flow in found} == {(direction, 60000)}
        lost.end()
        for connection in connections:
            connection.close()


def called(hosts: Hosts, listener: socket.socket, port: int) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection that the client made from this port."""
    near = hosts.near.connect(hosts.server.ipv4, listener.getsockname()[1], source=(hosts.client.ipv4, port))
    far, _ = listener.accept()
    far.settimeout(10)
    return near, far


def shut(connection: Connection, which: str) -> None:
    """Close the sending half of these ends, and see it come to the other."""
    for name, end, other in (("near", connection.near, connection.far), ("far", connection.far, connection.near)):
        if which in (name, "both"):
            end.shutdown(socket.SHUT_WR)
            assert other.recv(1) == b""


def test_connections_of_others_are_not_taken_for_ours(hosts: Hosts) -> None:
    """Sockets outside the Enforcer's cgroup are none of its business: not before it, not after."""
    with hosts.server.socket(socket.AF_INET, socket.SOCK_STREAM) as outside:
        outside.bind(("0.0.0.0", PORT))
        outside.listen()
        near = hosts.near.connect(hosts.server.ipv4, PORT)
        far, _ = outside.accept()
        hosts.install()
        assert hosts.side("server").counters()["existing"] == 0
        assert hosts.side("client").counters()["existing"] == 1
        Connection(near, far).exchange()
        near.close()
        far.close()


def test_a_transfer_is_not_interrupted(hosts: Hosts) -> None:
    size = 200_000_000
    with hosts.far.listen(PORT) as listener, hosts.connect(listener) as connection:
        sender = threading.Thread(target=connection.near.sendall, args=(bytes(size),))
        sender.start()
        received = len(read_some(connection.far, 1_000_000))
        hosts.install(allow=False)
        while received < size:
            received += len(connection.far.recv(1 << 20))
        sender.join()
        assert received == size


def read_some(end: socket.socket, size: int) -> bytes:
    """At least so many bytes."""
    data = b""
    while len(data) < size:
        data += end.recv(1 << 20)
    return data


@pytest.mark.parametrize("lost", ["S", "SA"])
def test_a_handshake_under_way_is_proved(hosts: Hosts, lost: str) -> None:
    """Its SYN left before the Enforcers came, and was lost, or the answer was: what is sent again carries identity."""
    with hosts.far.listen(PORT) as listener:
        if lost == "S":
            loss = hosts.link.drop(Match(lost, dport=PORT), toward=hosts.server, count=None)
        else:
            loss = hosts.link.drop(Match(lost, sport=PORT), toward=hosts.client, count=None)
        caller = hosts.near.begin(hosts.server.ipv4, PORT)
        until(lambda: loss.dropped() > 0)
        hosts.install()
        loss.end()
        finish(caller, 30)
        far, _ = listener.accept()
        caller.sendall(b"hello")
        far.settimeout(10)
        assert read(far, 5) == b"hello"
        for side in hosts.sides:
            assert side.flow(PORT).proved
        caller.close()
        far.close()


def test_a_later_enforcer_keeps_what_an_earlier_one_let_in(hosts: Hosts) -> None:
    """After complete removal the connections it had proved are older than the next one."""
    hosts.install()
    with hosts.far.listen(PORT) as listener:
        connection = hosts.connect(listener)
        connection.exchange()
        for side in hosts.sides:
            side.fence.call("uninstall")
            side.fence.kill()
        connection.exchange()
        for side in hosts.sides:
            side.restart()
            side.apply()
            assert side.counters()["existing"] == 1
            assert side.flow(PORT).reason == "existing-refused"
        connection.exchange()
        connection.close()
