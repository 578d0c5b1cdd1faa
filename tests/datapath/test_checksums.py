"""Stamped packets on the wire: checksums and lengths are right, whatever other options there are."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address

import pytest

from testbed import Frame, Host
from testbed.firewall import rule
from testbed.packets import checksums_are_right, tcp_checksum_is_begun, with_ipv4_options
from tests.datapath.ground import Ground, Side, grounds, setting, until
from tests.datapath.workload import SocketOption
from watchword.identity.transcript import OPTION_KIND

VERSIONS = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("sums") as made:
        yield made


@pytest.fixture(autouse=True)
def allowed(ground: Ground) -> Iterator[None]:
    ground.allow()
    yield
    ground.link.offload(True)


@contextmanager
def finished_early(version: int, *hosts: Host) -> Iterator[None]:
    """The checksums of what these hosts send are complete before any tc program sees the packet."""
    fill = ["-t", "mangle", "POSTROUTING", "-p", "tcp", "-j", "CHECKSUM", "--checksum-fill"]
    for host in hosts:
        rule(host, version, *fill[:2], "-A", *fill[2:])
    try:
        yield
    finally:
        for host in hosts:
            rule(host, version, *fill[:2], "-D", *fill[2:])


def handshake(ground: Ground, version: int, options: list[SocketOption] | None = None) -> dict[str, Frame]:
    """The stamped SYN, SYN-ACK and ACK of a connection that works, as they are on the wire."""
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        with (
            ground.server.host.capture(f"port {port}") as taken,
            ground.connect(listener, version, options=options or ()) as connection,
        ):
            connection.exchange()
            taken.wait(lambda s: s.has("A") and bool(s.payload), count=2)
        assert ground.server.flow(port).proved
        assert ground.client.flow(port).proved
    stamped = [frame for frame in taken.frames if frame.segment and frame.segment.option(OPTION_KIND)]
    found = {frame.segment.flags.strip("EC"): frame for frame in stamped if frame.segment}
    assert set(found) == {"S", "SA", "A"}
    return found


def lengths_are_right(frame: Frame) -> bool:
    """IP length, captured length and data offset say the same."""
    segment = frame.segment
    assert segment is not None
    assert segment.raw_options is not None
    head = 20 if ip_address(segment.source).version == 4 else 0
    return segment.ip_length == head + 20 + len(segment.raw_options) and len(frame.packet) == segment.ip_length + (
        0 if head else 40
    )


@VERSIONS
@pytest.mark.parametrize("timestamps", [0, 1])
@pytest.mark.parametrize("where", ["kernel, late", "kernel, early", "device"])
def test_checksums(ground: Ground, version: int, timestamps: int, where: str) -> None:
    """Computed by the kernel after the option was added, before it was, or left to the device."""
    hosts = ground.client.host, ground.server.host
    if where == "kernel, late":
        ground.link.offload(False)
    with ExitStack() as settings:
        settings.enter_context(setting("net.ipv4.tcp_timestamps", timestamps, *hosts))
        if where == "kernel, early":
            settings.enter_context(finished_early(version, *hosts))
        frames = handshake(ground, version)
    for step, frame in frames.items():
        assert lengths_are_right(frame), step
        if where == "device":
            assert tcp_checksum_is_begun(frame.packet), step
        else:
            assert checksums_are_right(frame.packet), step


@VERSIONS
def test_checksums_of_cookies(ground: Ground, version: int) -> None:
    """The kernel sends these SYN-ACKs without a socket of its own."""
    ground.link.offload(False)
    with setting("net.ipv4.tcp_syncookies", 2, ground.server.host):
        frames = handshake(ground, version)
    assert all(checksums_are_right(frame.packet) for frame in frames.values())


@VERSIONS
def test_checksums_through_loopback(ground: Ground, version: int) -> None:
    """Whose packets need none: the device says that they are right."""
    server = ground.server
    with ground.listen() as listener, server.host.capture(f"port {listener.getsockname()[1]}") as taken:
        near = server.app.connect("127.0.0.1" if version == 4 else "::1", listener.getsockname()[1])
        far, _ = listener.accept()
        near.close()
        far.close()
    stamped = [f for f in taken.frames if f.outgoing and f.segment and f.segment.option(OPTION_KIND)]
    assert len(stamped) >= 3
    assert all(tcp_checksum_is_begun(frame.packet) for frame in stamped)


@VERSIONS
@pytest.mark.parametrize("timestamps", [0, 1])
@pytest.mark.parametrize("scaling", [0, 1])
@pytest.mark.parametrize("sack", [0, 1])
def test_every_combination_of_options(ground: Ground, version: int, timestamps: int, scaling: int, sack: int) -> None:
    """Each end may lack any of them; also then nothing is lost or moved."""
    values = {"timestamps": timestamps, "window_scaling": scaling, "sack": sack}
    ground.link.offload(False)
    for hosts in ((ground.client.host, ground.server.host), (ground.client.host,), (ground.server.host,)):
        with ExitStack() as settings:
            for name, value in values.items():
                settings.enter_context(setting(f"net.ipv4.tcp_{name}", value, *hosts))
            frames = handshake(ground, version)
        for step, frame in frames.items():
            assert lengths_are_right(frame), step
            assert checksums_are_right(frame.packet), step
        if ground.client.host in hosts:
            syn = frames["S"].segment
            assert syn is not None
            kinds = {3: scaling, 4: sack, 8: timestamps}
            assert {kind for kind in kinds if syn.option(kind) is not None} == {k for k, on in kinds.items() if on}


@VERSIONS
@pytest.mark.parametrize("mss", [88, 536, 1400])
def test_a_segment_size_of_the_applications_choice(ground: Ground, version: int, mss: int) -> None:
    ground.link.offload(False)
    handshake(ground, version, [(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)])


@VERSIONS
def test_congestion_notification(ground: Ground, version: int) -> None:
    ground.link.offload(False)
    with setting("net.ipv4.tcp_ecn", 1, ground.client.host, ground.server.host):
        frames = handshake(ground, version)
    assert frames["S"].segment is not None
    assert frames["S"].segment.flags == "SEC"
    assert all(checksums_are_right(frame.packet) for frame in frames.values())


#: Padding in the IPv4 header: nothing that a router would act upon.
PADDED = (socket.IPPROTO_IP, socket.IP_OPTIONS, b"\1\1\1\0")


def malformed(side: Side) -> int:
    return side.counters()["dropped-malformed"]


def test_ipv4_options_are_refused_on_the_way_out(ground: Ground) -> None:
    """A handshake behind IPv4 options carries no identity, and TCP has plain headers only: refused and counted."""
    before = malformed(ground.client)
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        with ground.client.app.begin(ground.server.host.ipv4, port, options=[PADDED]):
            until(lambda: malformed(ground.client) > before)
            listener.settimeout(0.2)
            with pytest.raises(TimeoutError):
                listener.accept()


def test_ipv4_options_on_a_live_connection_are_refused_on_the_way_in(ground: Ground) -> None:
    """The kernel would take the segment for what it is; nobody here has looked at what stands behind the options."""
    with ground.listen() as listener, ground.connect(listener) as connection:
        port = listener.getsockname()[1]
        with ground.server.host.capture(f"dst port {port}") as taken:
            connection.exchange()
            sent = taken.wait(lambda s: bool(s.payload))
        evil = sent.with_(seq=sent.seq + len(sent.payload), payload=b"evil", raw_options=sent.raw_options)
        before = malformed(ground.server)
        ground.link.inject(ground.server.host, with_ipv4_options(evil.packet(), b"\1" * 4))
        until(lambda: malformed(ground.server) == before + 1)
        connection.near.sendall(b"good")
        assert connection.far.recv(100) == b"good"


def test_ipv4_options_stop_a_connection_while_they_are_there(ground: Ground) -> None:
    """Set on a live connection its packets no longer leave; without them it goes on where it stood."""
    with ground.listen(address="0.0.0.0") as listener, ground.connect(listener) as connection:
        connection.exchange()
        before = malformed(ground.client)
        connection.near.setsockopt(*PADDED)
        connection.near.sendall(b"held back")
        until(lambda: malformed(ground.client) > before)
        connection.far.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.far.recv(1)
        connection.near.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"")
        connection.far.settimeout(20)
        assert connection.far.recv(9, socket.MSG_WAITALL) == b"held back"
