"""Ending connections by SOCK_DESTROY: the one that is meant, and never the listener behind it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from testbed import Host, Testbed
from watchword.enforcer.datapath.ebpf.sockets import SocketReaper, Tuple


@pytest.fixture
def host() -> Iterator[Host]:
    with Testbed("reaper") as bed:
        yield bed.host("host")


@pytest.fixture
def reaper(host: Host) -> Iterator[SocketReaper]:
    with host.enter():
        made = SocketReaper()
    yield made
    made.close()


def listener(host: Host, family: int) -> socket.socket:
    made = host.socket(family, socket.SOCK_STREAM)
    made.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    made.listen()
    made.settimeout(5)
    return made


def connected(host: Host, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = host.socket(server.family, socket.SOCK_STREAM)
    client.settimeout(5)
    client.connect(server.getsockname())
    return client, server.accept()[0]


def name_of(end: socket.socket) -> Tuple:
    local, remote = end.getsockname(), end.getpeername()
    return Tuple(local[0], local[1], remote[0], remote[1])


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_is_reset_without_knowing_its_cookie(host: Host, reaper: SocketReaper, family: int) -> None:
    with listener(host, family) as server:
        client, accepted = connected(host, server)
        with client, accepted:
            assert reaper.destroy(name_of(accepted))
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            with pytest.raises(ConnectionAbortedError):
                accepted.recv(1)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_listener_survives_a_connection_that_ended_by_itself(host: Host, reaper: SocketReaper, family: int) -> None:
    """The kernel finds the listener where there is no such connection any more."""
    with listener(host, family) as server:
        client, accepted = connected(host, server)
        gone = name_of(accepted)
        client.close()
        accepted.close()
        never = Tuple(gone.local, gone.local_port, gone.remote, 1)
        reaper.destroy(gone)  # what still waits there for late packets may be found, and is nobody's
        for each in (gone, never):
            assert not reaper.destroy(each)
            assert not reaper.destroy(each, 12345)
        again, accepted = connected(host, server)
        again.close()
        accepted.close()
