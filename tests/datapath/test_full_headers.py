"""Sockets whose own TCP options leave no room for an identity: MPTCP and MD5 signatures.

Such a segment leaves without identity, is counted, and is judged by its address: refused where identities are
asked for, let in where the address is. Nothing of theirs is ever overwritten.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from testbed.packets import checksums_are_right
from tests.datapath.ground import CLIENT, SERVER, Connection, Ground, grounds, says, setting, until
from tests.datapath.workload import SocketOption, finish, read
from watchword.identity.transcript import OPTION_KIND

IPPROTO_MPTCP, TCP_MD5SIG = 262, 14
MPTCP_KIND, MD5_KIND = 30, 19
NETWORK = 99

VERSIONS = pytest.mark.parametrize("version", [4, 6])
TIMESTAMPS = pytest.mark.parametrize("timestamps", [0, 1])


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("full") as made:
        for side in made.sides:  # or Linux tries MPTCP only once an hour
            side.host.sysctl("net.mptcp.blackhole_timeout", 0)
            side.host.sysctl("net.mptcp.syn_retrans_before_tcp_fallback", 1)
        made.link.offload(False)
        yield made


@pytest.fixture(autouse=True)
def allowed(ground: Ground) -> None:
    ground.allow()


def allow_addresses(ground: Ground) -> None:
    """Both may meet everybody by address, and nobody by identity."""
    for side in ground.sides:
        everybody = {"0.0.0.0/0": NETWORK, "::/0": NETWORK}
        side.apply(says(side.badge, NETWORK, "in"), says(side.badge, NETWORK, "out"), prefixes=everybody)


def signed(peer: str, key: bytes = b"secret of the two") -> SocketOption:
    """The socket signs, and asks for signatures, in what it exchanges with this peer."""
    address = ip_address(peer)
    if address.version == 4:
        name = struct.pack("=HH4s120x", socket.AF_INET, 0, address.packed)
    else:
        name = struct.pack("=HHI16s104x", socket.AF_INET6, 0, 0, address.packed)
    option = name + struct.pack("=BBHi80s", 0, 0, len(key), 0, key)
    return socket.IPPROTO_TCP, TCP_MD5SIG, option


def listen(ground: Ground, version: int, *options: SocketOption, protocol: int = 0) -> socket.socket:
    family, every = (socket.AF_INET, "0.0.0.0") if version == 4 else (socket.AF_INET6, "::")
    made = ground.server.app.make(family, protocol=protocol, options=options, bind=(every, ground.port()), listen=16)
    made.settimeout(10)
    return made


def exchange(near: socket.socket, listener: socket.socket) -> None:
    with near, listener.accept()[0] as far:
        far.settimeout(10)
        Connection(near, far).exchange(b"more than one segment" * 200)


def refused(ground: Ground, listener: socket.socket) -> None:
    """The server has recorded why, and its application has heard of nothing."""
    port = listener.getsockname()[1]
    until(lambda: bool(ground.server.flows(port)))
    rejected = ground.server.flow(port, "Reject")
    assert (rejected.reason, rejected.peer_badge, rejected.proved) == ("policy", 0, False)
    listener.settimeout(0.2)
    with pytest.raises(TimeoutError):
        listener.accept()


@VERSIONS
@TIMESTAMPS
@pytest.mark.parametrize("ends", ["client", "both"])
def test_mptcp_falls_back_and_then_proves_itself(ground: Ground, version: int, timestamps: int, ends: str) -> None:
    """Two or three SYNs without identity are refused, recorded and not answered; Linux then calls by plain TCP."""
    before = ground.client.counters()["stamp-no-room"]
    hosts = [side.host for side in ground.sides]
    with (
        setting("net.ipv4.tcp_timestamps", timestamps, *hosts),
        listen(ground, version, protocol=IPPROTO_MPTCP if ends == "both" else 0) as listener,
    ):
        address, port = ground.server.host.address(version), listener.getsockname()[1]
        with ground.server.host.capture(f"dst port {port}") as taken:
            exchange(ground.client.app.connect(address, port, protocol=IPPROTO_MPTCP, timeout=30), listener)
        for side, peer in ((ground.client, SERVER), (ground.server, CLIENT)):
            flow = side.flow(port)
            assert (flow.proved, flow.peer_badge, flow.connections) == (True, peer, 1)
        assert ground.server.flow(port, "Reject").peer_badge == 0
    syns = [s for s in taken.segments() if s.has("S")]
    assert [(s.option(MPTCP_KIND) is None, s.option(OPTION_KIND) is None) for s in (syns[0], syns[-1])] == [
        (False, True),
        (True, False),
    ]
    assert ground.client.counters()["stamp-no-room"] > before


@VERSIONS
@pytest.mark.parametrize("off", ["window_scaling", "sack", "timestamps"])
def test_mptcp_with_room_in_the_syn_alone(ground: Ground, version: int, off: str) -> None:
    """The SYN would have room for both options, its answer would not: no connection is lost between the two."""
    hosts = [side.host for side in ground.sides]
    with setting(f"net.ipv4.tcp_{off}", 0, *hosts), listen(ground, version, protocol=IPPROTO_MPTCP) as listener:
        address, port = ground.server.host.address(version), listener.getsockname()[1]
        exchange(ground.client.app.connect(address, port, protocol=IPPROTO_MPTCP, timeout=30), listener)
        assert ground.server.flow(port).proved


@VERSIONS
@TIMESTAMPS
def test_mptcp_stays_mptcp_where_the_address_is_let_in(ground: Ground, version: int, timestamps: int) -> None:
    allow_addresses(ground)
    hosts = [side.host for side in ground.sides]
    with (
        setting("net.ipv4.tcp_timestamps", timestamps, *hosts),
        listen(ground, version, protocol=IPPROTO_MPTCP) as listener,
    ):
        address, port = ground.server.host.address(version), listener.getsockname()[1]
        with ground.server.host.capture(f"port {port}") as taken:
            exchange(ground.client.app.connect(address, port, protocol=IPPROTO_MPTCP), listener)
        assert not ground.server.flow(port).proved
    assert all(s.option(MPTCP_KIND) is not None for s in taken.segments() if s.has("S"))
    assert all(s.option(MPTCP_KIND) is not None for s in taken.segments() if s.payload)


@VERSIONS
@TIMESTAMPS
def test_signatures_are_refused_where_identities_are_asked_for(ground: Ground, version: int, timestamps: int) -> None:
    """32 bytes of options, since Linux sends no time stamps beside a signature: no room, and no connection."""
    client, server = ground.client, ground.server
    before = client.counters()
    hosts = client.host, server.host
    with (
        setting("net.ipv4.tcp_timestamps", timestamps, *hosts),
        listen(ground, version, signed(client.host.address(version))) as listener,
    ):
        to = server.host.address(version), listener.getsockname()[1]
        with (
            server.host.capture(f"dst port {to[1]}") as taken,
            client.app.begin(*to, options=[signed(to[0])]) as near,
        ):
            refused(ground, listener)
            with pytest.raises(TimeoutError):
                finish(near, 0.2)
    syn = taken.segments()[0]
    assert syn.raw_options is not None
    assert len(syn.raw_options) == 32
    assert syn.option(MD5_KIND) is not None
    assert syn.option(OPTION_KIND) is None
    after = client.counters()
    assert after["stamp-no-room"] > before["stamp-no-room"]
    assert after["stamped-syn"] == before["stamped-syn"]


@VERSIONS
@TIMESTAMPS
def test_signatures_hold_where_the_address_is_let_in(ground: Ground, version: int, timestamps: int) -> None:
    """Each segment is signed header and all: one that was stamped would be dropped by the other kernel."""
    allow_addresses(ground)
    client, server = ground.client, ground.server
    with (
        setting("net.ipv4.tcp_timestamps", timestamps, client.host, server.host),
        listen(ground, version, signed(client.host.address(version))) as listener,
    ):
        to = server.host.address(version), listener.getsockname()[1]
        with server.host.capture(f"port {to[1]}") as taken:
            exchange(client.app.connect(*to, options=[signed(to[0])]), listener)
        for side in ground.sides:
            assert not side.flow(to[1]).proved
    assert all(frame.segment and frame.segment.option(MD5_KIND) is not None for frame in taken.frames)
    assert all(checksums_are_right(frame.packet) for frame in taken.frames)


@VERSIONS
def test_a_signature_is_no_identity(ground: Ground, version: int) -> None:
    """The client is content with an address, the server is not: the right signature changes nothing."""
    client, server = ground.client, ground.server
    client.apply(says(CLIENT, NETWORK, "out"), prefixes={"0.0.0.0/0": NETWORK, "::/0": NETWORK})
    with listen(ground, version, signed(client.host.address(version))) as listener:
        to = server.host.address(version), listener.getsockname()[1]
        with client.app.begin(*to, options=[signed(to[0])]):
            refused(ground, listener)


@VERSIONS
def test_a_wrong_signature_stays_wrong(ground: Ground, version: int) -> None:
    """What the datapath lets pass the kernel still checks."""
    allow_addresses(ground)
    client, server = ground.client, ground.server
    with listen(ground, version, signed(client.host.address(version))) as listener:
        to = server.host.address(version), listener.getsockname()[1]
        listener.settimeout(0.3)
        for options in ([], [signed(to[0], b"another")]):
            with client.app.begin(*to, options=options) as near:
                with pytest.raises(TimeoutError):
                    finish(near, 0.3)
                with pytest.raises(TimeoutError):
                    listener.accept()
        exchange(client.app.connect(*to, options=[signed(to[0])]), listener)


@VERSIONS
def test_a_socket_of_both_kinds_serves_each_in_its_way(ground: Ground, version: int) -> None:
    """The listener asks one other address for signatures; who has none to give proves himself."""
    with listen(ground, version, signed("10.9.9.9" if version == 4 else "fd99::9")) as listener:
        address, port = ground.server.host.address(version), listener.getsockname()[1]
        near = ground.client.app.connect(address, port)
        with near, listener.accept()[0] as far:
            near.sendall(b"x")
            far.settimeout(10)
            assert read(far, 1) == b"x"
            assert ground.server.flow(port).proved
