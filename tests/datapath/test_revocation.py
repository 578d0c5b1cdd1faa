"""A new revision reaches connections that stand, active or quiet, whatever somebody has done to hide them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from testbed.packets import Segment
from tests.datapath.ground import Ground, grounds, says, until


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("revoke") as made:
        yield made


@pytest.fixture(autouse=True)
def allowed(ground: Ground) -> None:
    ground.allow()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("at", ["server", "client"])
def test_both_ends_learn_at_once(ground: Ground, version: int, active: bool, at: str) -> None:
    with ground.listen() as listener, ground.connect(listener, version) as connection:
        if active:
            connection.exchange()
        (ground.server if at == "server" else ground.client).apply()
        told = connection.ended()
        assert set(told.values()) <= {"ConnectionResetError", "ConnectionAbortedError"}, told
        ground.allow()
        with ground.connect(listener, version) as again:  # the listener itself is untouched
            again.exchange()


def test_others_are_not_touched(ground: Ground) -> None:
    """The revision refuses one direction; a connection in the other one, and its data in flight, live on."""
    with (
        ground.listen() as listener,
        ground.connect(listener) as refused,
        ground.client.app.listen(ground.port()) as back_listener,
        ground.server.app.connect(ground.client.host.ipv4, back_listener.getsockname()[1]) as back,
        back_listener.accept()[0] as back_far,
    ):
        back.sendall(b"before")
        ground.server.apply(says(ground.server.badge, ground.client.badge, "out"))
        assert set(refused.ended().values()) <= {"ConnectionResetError", "ConnectionAbortedError"}
        back.sendall(b" after")
        back_far.settimeout(10)
        assert back_far.recv(12, socket.MSG_WAITALL) == b"before after"


def test_two_connections_of_one_remote_port_are_two(ground: Ground) -> None:
    """Same client address and port, same server port, two addresses of the server: closing one hides nothing."""
    second = "10.77.1.77"
    ground.server.host.run(["ip", "address", "add", f"{second}/24", "dev", ground.server.host.end.device])
    source = (ground.client.host.ipv4, 45000)
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        first = ground.client.app.connect(ground.server.host.ipv4, port, source=source)
        first_far, _ = listener.accept()
        other = ground.client.app.connect(second, port, source=source)
        other_far, _ = listener.accept()
        other.close()
        other_far.close()
        until(lambda: ground.server.flow(port).connections == 2)
        ground.server.apply()
        first_far.settimeout(10)
        with pytest.raises((ConnectionResetError, ConnectionAbortedError)):
            first_far.recv(1)
        first.close()
        first_far.close()


@pytest.mark.parametrize("flags", ["R", "RA", "FA", "F"])
def test_a_segment_that_the_kernel_ignores_hides_no_connection(ground: Ground, flags: str) -> None:
    """Anybody can send an RST or FIN outside the window. It must not end the record of what lives on."""
    with ground.listen() as listener, ground.connect(listener) as connection:
        port = listener.getsockname()[1]
        if "F" in flags:
            connection.far.shutdown(socket.SHUT_WR)  # the server waits for the client's FIN and still reads
            assert connection.near.recv(1) == b""
        there = Segment(ground.client.host.ipv4, ground.server.host.ipv4, connection.near.getsockname()[1], port, flags)
        ground.link.inject(ground.server.host, *(there.with_(seq=seq, ack=seq) for seq in range(0, 1 << 32, 1 << 27)))
        connection.near.sendall(b"still here")
        connection.far.settimeout(10)
        assert connection.far.recv(100) == b"still here"
        ground.server.apply()
        with pytest.raises((ConnectionResetError, ConnectionAbortedError)):
            connection.far.recv(1)
