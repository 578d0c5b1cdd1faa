"""TCP_REPAIR makes sockets that no handshake has opened (it takes CAP_NET_ADMIN): how far they get, and how long.

An established socket's packets look nothing up, so the first ones pass; the agent finds the socket without a
record and resets it at its second look, a second later. Where nobody repairs, nothing is let in at all.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator

import pytest

from testbed.packets import Segment
from tests.datapath.ground import CLIENT, SERVER, Connection, Ground, Side, grounds, until
from tests.datapath.workload import SocketOption, Workload

TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21
TCP_REPAIR_OPTIONS, TCP_TIMESTAMP, TCP_REPAIR_WINDOW = 22, 24, 29
OPT_WINDOW, OPT_TIMESTAMP = 3, 8
RECEIVING, SENDING = 1, 2
#: Leave repair mode, and ask the other end for its window or send nothing.
PROBING, QUIETLY = 0, -1
#: A further unit on the client's host, which policy lets nowhere.
NEIGHBOUR = 0xA0000002

VERSIONS = pytest.mark.parametrize("version", [4, 6])
_ports = itertools.count(20000)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("repair") as made:
        made.client.known = made.server.known = {CLIENT: "client", NEIGHBOUR: "client", SERVER: "server"}
        made.client.neighbours = {"neighbour": NEIGHBOUR}
        made.client.place()
        yield made


@pytest.fixture(autouse=True)
def allowed(ground: Ground) -> None:
    ground.allow()


def numbers(sent: int, received: int) -> list[SocketOption]:
    """Into repair mode, with the next numbers to send and to receive."""
    steps = [
        (TCP_REPAIR, 1),
        (TCP_REPAIR_QUEUE, SENDING),
        (TCP_QUEUE_SEQ, sent),
        (TCP_REPAIR_QUEUE, RECEIVING),
        (TCP_QUEUE_SEQ, received),
    ]
    return [(socket.IPPROTO_TCP, name, value - (value >> 31 << 32)) for name, value in steps]


def repaired(
    app: Workload, local: tuple[str, int], remote: tuple[str, int], sent: int = 1000, received: int = 2000
) -> socket.socket:
    """A socket of a unit's that is connected because it says so."""
    made = app.begin(*remote, source=local, options=numbers(sent, received))
    window = struct.pack("=5I", received, 65535, 65535, 32768, received)
    made.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_WINDOW, window)
    made.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, QUIETLY)
    made.settimeout(10)
    return made


def places(ground: Ground, version: int) -> tuple[tuple[str, int], tuple[str, int]]:
    """An address and unused port of client and server."""
    near, far = (side.host.address(version) for side in ground.sides)
    return (near, next(_ports)), (far, next(_ports))


def look(side: Side) -> None:
    """What the agent does every second."""
    side.fence.call("flows")


def ended(end: socket.socket) -> bool:
    return end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


@VERSIONS
def test_a_server_that_repairs_nothing_lets_nothing_in(ground: Ground, version: int) -> None:
    """The client believes in a connection; the server is asked for data on one that it never proved."""
    here, there = places(ground, version)
    with ground.server.app.listen(there[1]) as listener, repaired(ground.client.app, here, there) as near:
        near.sendall(b"evil")
        until(lambda: bool(ground.server.flows(there[1])))
        rejected = ground.server.flow(there[1], "Reject")
        assert (rejected.reason, rejected.peer_badge) == ("policy", 0)
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()
        look(ground.client)
        look(ground.client)
        assert ended(near)


@VERSIONS
def test_two_that_conspire_have_until_the_second_look(ground: Ground, version: int) -> None:
    """Both units repair: data passes at once, and both ends are reset by either's agent, without a record of it."""
    for agent in ground.sides:
        here, there = places(ground, version)
        near, far = (
            repaired(*each)
            for each in (
                (ground.client.app, here, there, 1000, 2000),
                (ground.server.app, there, here, 2000, 1000),
            )
        )
        with Connection(near, far) as connection:
            connection.exchange()
            look(agent)
            connection.exchange()
            look(agent)
            told = connection.ended()
            assert set(told.values()) <= {"ConnectionResetError", "ConnectionAbortedError"}, told


@VERSIONS
def test_a_revision_ends_it_at_the_next_packet(ground: Ground, version: int) -> None:
    """A new revision has every packet look its connection up: one without a record goes no further."""
    here, there = places(ground, version)
    near = repaired(ground.client.app, here, there, 1000, 2000)
    far = repaired(ground.server.app, there, here, 2000, 1000)
    with Connection(near, far) as connection:
        connection.exchange()
        ground.server.apply()
        ground.allow()
        told = connection.ended()
        assert set(told.values()) <= {"ConnectionResetError", "ConnectionAbortedError"}, told


@VERSIONS
def test_an_outsider_has_no_longer(ground: Ground, version: int) -> None:
    """The other end is no unit at all and sends by hand what the repaired socket waits for."""
    outsider, there = places(ground, version)
    ground.client.host.mute_resets()
    with repaired(ground.server.app, there, outsider, 2000, 1000) as far:
        data = Segment(*(outsider[0], there[0], outsider[1], there[1]), "PA", seq=1000, ack=2000, payload=b"order")
        ground.link.inject(ground.server.host, data)
        assert far.recv(5) == b"order"
        look(ground.server)
        look(ground.server)
        assert ended(far)
        ground.link.inject(ground.server.host, data.with_(seq=1005))
        assert far.recv(5) == b""  # the reset itself has been told above


@VERSIONS
def test_a_checkpointed_connection_of_the_same_unit_lives_on(ground: Ground, version: int) -> None:
    """What a proved connection was for is still so: its own unit may take it up again, by its old numbers."""
    with ground.listen() as listener, ground.connect(listener, version) as connection:
        connection.exchange()
        look(ground.client)
        again = moved(connection.near, ground.client.app)
        with Connection(again, connection.far) as restored:
            restored.exchange(b"again")
            for _ in range(3):
                look(ground.client)
            restored.exchange(b"and again")
        ground.server.apply()
        assert ground.server.flow(listener.getsockname()[1]).proved


@VERSIONS
def test_another_unit_does_not_inherit_a_connection(ground: Ground, version: int) -> None:
    """The same tuple and numbers in the hands of a neighbour: the record is not its own."""
    neighbour = Workload(ground.client.host, "neighbour", f"neighbour{version}")
    with ground.listen() as listener, ground.connect(listener, version) as connection:
        connection.exchange()
        look(ground.client)
        with moved(connection.near, neighbour) as stolen:
            look(ground.client)
            look(ground.client)
            assert ended(stolen)
    neighbour.close()


def moved(end: socket.socket, to: Workload) -> socket.socket:
    """Take a connection out of its socket, silently, and put it into a new one of a unit's."""
    local, remote = end.getsockname(), end.getpeername()
    tcp = socket.IPPROTO_TCP
    scales = end.getsockopt(tcp, socket.TCP_INFO, 8)[6]
    end.setsockopt(tcp, TCP_REPAIR, 1)
    taken = []
    for queue in (SENDING, RECEIVING):
        end.setsockopt(tcp, TCP_REPAIR_QUEUE, queue)
        taken.append(end.getsockopt(tcp, TCP_QUEUE_SEQ) & 0xFFFFFFFF)
    clock, window = end.getsockopt(tcp, TCP_TIMESTAMP), end.getsockopt(tcp, TCP_REPAIR_WINDOW, 20)
    end.close()
    made = to.begin(remote[0], remote[1], source=local[:2], options=numbers(*taken))
    made.setsockopt(tcp, TCP_TIMESTAMP, clock)
    agreed = [(OPT_WINDOW, (scales & 15) | scales >> 4 << 16), (OPT_TIMESTAMP, 0)]
    made.setsockopt(tcp, TCP_REPAIR_OPTIONS, b"".join(struct.pack("=II", *option) for option in agreed))
    made.setsockopt(tcp, TCP_REPAIR_WINDOW, window)
    made.setsockopt(tcp, TCP_REPAIR, PROBING)
    made.settimeout(10)
    return made
