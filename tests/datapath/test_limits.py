"""What this version does not do, as docs/datapath.md says it: each limit is exactly that, and no wider."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from testbed import Host, Match, Segment
from tests.attack.ground import announces
from tests.datapath.ground import CLIENT, SERVER, Connection, Ground, grounds, says, setting, until
from tests.datapath.workload import Workload, read
from watchword.enforcer.datapath.ebpf.glance import Glance
from watchword.identity.transcript import OPTION_KIND

VERSIONS = pytest.mark.parametrize("version", [4, 6])
NETWORK = 99
EVERYBODY = {"0.0.0.0/0": NETWORK, "::/0": NETWORK}


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("limits") as made:
        yield made


@pytest.fixture(autouse=True)
def allowed(ground: Ground) -> None:
    ground.allow()


def silent(listener: socket.socket, seconds: float = 0.3) -> None:
    listener.settimeout(seconds)
    with pytest.raises(TimeoutError):
        listener.accept()


# -- datagrams


def bound(app: Workload, version: int, port: int, address: str = "") -> socket.socket:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    made = app.make(family, socket.SOCK_DGRAM, bind=(address or ("0.0.0.0" if version == 4 else "::"), port))
    made.settimeout(10)
    return made


@VERSIONS
def test_on_loopback_the_sender_is_known(ground: Ground, version: int) -> None:
    """The unit itself is let in, whatever its rules; what else is on the host is not."""
    server = ground.server
    server.apply()
    port, own = ground.port(), "127.0.0.1" if version == 4 else "::1"
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with (
        bound(server.app, version, port) as there,
        bound(server.app, version, 0) as here,
        server.host.socket(family, socket.SOCK_DGRAM) as nobody,
    ):
        nobody.sendto(b"evil", (own, port))
        until(lambda: bool(server.flows(port)))
        there.settimeout(0.2)
        with pytest.raises(TimeoutError):
            there.recv(10)
        server.apply(says(SERVER, NETWORK, "out"), prefixes=EVERYBODY)
        here.sendto(b"mine", (own, port))
        there.settimeout(10)
        assert there.recv(10) == b"mine"


# -- other network namespaces


@pytest.fixture(scope="module")
def pod(ground: Ground) -> Iterator[tuple[Host, Workload]]:
    """A part of the server's unit in a network namespace of its own, with a link to the client's host."""
    host = ground.bed.host("pod")
    ground.bed.direct(ground.client.host, host)
    ground.client.fence.call("attend")
    workload = Workload(host, str(ground.server.host.cgroup / "pod"), "pod")
    yield host, workload
    workload.close()


def outsider(ground: Ground, address: str, port: int, timeout: float = 10) -> socket.socket:
    """A connection of nobody's, from the client's host."""
    made = ground.client.host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    made.settimeout(timeout)
    try:
        made.connect((address, port))
    except BaseException:
        made.close()
        raise
    return made


@VERSIONS
def test_a_socket_of_another_namespace_proves_nothing(ground: Ground, pod: tuple[Host, Workload], version: int) -> None:
    """Its answers are not stamped, so whoever asks for an identity leaves; its own calls come to nothing."""
    host, app = pod
    port = ground.port()
    with app.listen(port) as listener, pytest.raises(ConnectionAbortedError):
        ground.client.app.connect(host.address(version), port)
    assert ground.client.flow(port, "Reject").peer_badge == 0
    back = ground.port()
    near = ground.client.host.links[1].end(ground.client.host).address(version)
    with ground.client.app.listen(back) as listener, app.begin(near, back):
        until(lambda: bool(ground.client.flows(back)))
        assert ground.client.flow(back, "Reject").peer_badge == 0
        silent(listener)


@VERSIONS
def test_a_socket_of_another_namespace_opens_nothing_outside_either(
    ground: Ground, pod: tuple[Host, Workload], version: int
) -> None:
    """Also where addresses are let in: no record was begun, and without one no answer is taken."""
    _, app = pod
    ground.server.apply(says(SERVER, NETWORK, "out"), prefixes=EVERYBODY)
    near = ground.client.host.links[1].end(ground.client.host).address(version)
    before = ground.server.counters()["dropped-state-missing"]
    with ground.client.host.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM) as listener:
        listener.bind((near, ground.port()))
        listener.listen()
        with app.begin(near, listener.getsockname()[1]):
            until(lambda: ground.server.counters()["dropped-state-missing"] > before)
            silent(listener)


@VERSIONS
def test_a_quiet_connection_in_another_namespace_ends_at_its_next_packet(
    ground: Ground, pod: tuple[Host, Workload], version: int
) -> None:
    """Who calls it by address is judged like anybody. A new revision cannot reset it there, only stop it."""
    host, app = pod
    port = ground.port()
    with app.listen(port) as listener:
        before = len(ground.server.flows(port))
        with pytest.raises(TimeoutError):
            outsider(ground, host.address(version), port, 0.5)
        assert len(ground.server.flows(port)) > before
        ground.server.apply(says(SERVER, NETWORK, "in"), prefixes=EVERYBODY)
        with outsider(ground, host.address(version), port) as near, listener.accept()[0] as far:
            near.sendall(b"before")
            far.settimeout(10)
            assert read(far, 6) == b"before"
            ground.server.apply()
            far.settimeout(0.3)
            with pytest.raises(TimeoutError):
                far.recv(1)
            near.sendall(b"after")
            with pytest.raises(TimeoutError):
                far.recv(1)


# -- SYN cookies


@VERSIONS
def test_under_cookies_a_captured_ack_opens_its_own_connection_again(ground: Ground, version: int) -> None:
    """The server answers the same proved peer, at its own address and port; nobody is there to say anything."""
    with setting("net.ipv4.tcp_syncookies", 2, ground.server.host), ground.listen() as listener:
        port = listener.getsockname()[1]
        with ground.server.host.capture(f"dst port {port}") as taken:
            connection = ground.connect(listener, version)
            taken.wait(lambda s: s.flags == "A" and s.option(OPTION_KIND) is not None)
        peer = connection.far.getpeername()
        reset(connection.near)
        until(lambda: told(connection.far))
        connection.far.close()
        ack = next(s for s in taken.segments() if s.flags == "A" and s.option(OPTION_KIND) is not None)
        silence = ground.link.drop(Match("R", dport=port), toward=ground.server.host, count=None)
        # Another address or port is another connection, which this proof is not about.
        for moved in (ack.with_(sport=ack.sport ^ 1, raw_options=ack.raw_options), ack.with_(dport=ground.port())):
            ground.link.inject(ground.server.host, moved)
        silent(listener)
        ground.link.inject(ground.server.host, ack.with_(raw_options=ack.raw_options))
        listener.settimeout(10)
        with listener.accept()[0] as again:
            assert again.getpeername() == peer
            again.settimeout(0.2)
            with pytest.raises((TimeoutError, ConnectionResetError)):
                again.recv(1)
        silence.end()


def reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def told(end: socket.socket) -> bool:
    return end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


@VERSIONS
def test_under_cookies_data_does_not_come_in_ahead_of_its_ack(ground: Ground, version: int) -> None:
    """The server remembers no SYN that it could answer again, so nothing brings the proof; a new call does."""
    with setting("net.ipv4.tcp_syncookies", 2, ground.server.host), ground.listen() as listener:
        port = listener.getsockname()[1]
        loss = ground.link.drop(Match("A", dport=port, payload=False), toward=ground.server.host)
        with ground.client.app.connect(ground.server.host.address(version), port) as near:
            near.sendall(b"ahead")
            until(lambda: bool(ground.server.flows(port)))
            assert ground.server.flow(port, "Reject").reason == "policy", "nothing is kept of what the SYN announced"
            silent(listener, 1.5)
        assert loss.dropped() == 1
        loss.end()
        listener.settimeout(10)
        with ground.connect(listener, version) as connection:
            connection.exchange()


# -- headers


def test_ipv6_extensions_stop_a_segment_of_a_live_connection(ground: Ground) -> None:
    """Its payload would be taken by the kernel; here nobody has looked behind the extension."""
    with ground.listen() as listener, ground.connect(listener, 6) as connection:
        with ground.server.host.capture(f"dst port {listener.getsockname()[1]}") as taken:
            connection.exchange()
            sent = taken.wait(lambda s: bool(s.payload))
        evil = sent.with_(seq=sent.seq + len(sent.payload), payload=b"evil", raw_options=sent.raw_options).packet()
        before = ground.server.counters()["dropped-malformed"]
        for kind in (0, 60):  # hop-by-hop and destination options, with nothing but padding
            head = evil[:4] + struct.pack("!H", len(evil) - 32) + bytes([kind]) + evil[7:40]
            ground.link.inject(ground.server.host, head + bytes([6, 0, 1, 4, 0, 0, 0, 0]) + evil[40:])
        until(lambda: ground.server.counters()["dropped-malformed"] == before + 2)
        connection.near.sendall(b"good")
        assert connection.far.recv(100) == b"good"


def test_big_tcp_loses_what_is_big(ground: Ground) -> None:
    """Segments above 64 KiB stand behind an extension header: none leaves, and the counter says why."""
    device = ground.client.host.end.device

    def lost() -> int:
        return ground.client.counters()["dropped-malformed"]

    with ground.listen() as listener:
        before = lost()
        with ground.connect(listener, 6) as connection:
            carry(connection, lambda: False)
        assert lost() == before
        ground.client.host.run(["ip", "link", "set", "dev", device, "gso_max_size", "200000"])
        try:
            with ground.connect(listener, 6) as connection:
                carry(connection, lambda: lost() > before)
        finally:
            ground.client.host.run(["ip", "link", "set", "dev", device, "gso_max_size", "65536"])
        assert lost() > before


def drain(end: socket.socket) -> None:
    """Read until the other end has reset."""
    with suppress(ConnectionResetError):
        while end.recv(1 << 20):
            pass


def carry(connection: Connection, enough: Callable[[], bool]) -> None:
    """Send 64 MiB, or until it is enough; the other end reads as fast as it can, until this one has closed."""
    reading = threading.Thread(target=drain, args=[connection.far])
    reading.start()
    block = bytes(1 << 20)
    for _ in range(64):
        connection.near.sendall(block)
        if enough():
            break
    reset(connection.near)
    reading.join()


# -- full tables; last, because what they fill stays full for a while


def test_a_full_ring_loses_events_and_decides_nothing(ground: Ground) -> None:
    """Nobody reads while the agent is dead; what finds no room is counted, and everybody is judged as before."""
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        ground.server.fence.kill()
        stranger = Segment(ground.client.host.ipv4, ground.server.host.ipv4, 1, port, options=[announces(port, 0xDEAD)])
        ground.link.inject(ground.server.host, *(stranger.with_(sport=n) for n in range(1024, 6024)))
        with ground.connect(listener) as connection:
            connection.exchange()
        ground.server.restart()
        ground.trust()
        ground.allow()
        assert ground.server.counters()["event-lost"] > 0
        with ground.connect(listener) as connection:
            connection.exchange()
        silent(listener)


def spoofed(template: Segment, count: int) -> Iterator[bytes]:
    """The same IPv4 packet from ``count`` addresses of 10.128.0.0/9, with right checksums."""
    raw = template.with_(source="0.0.0.0").packet()
    ip, tcp = (~found & 0xFFFF for found in struct.unpack("!HH", raw[10:12] + raw[36:38]))
    for number in range(count):
        address = 0x0A800000 + number * 37 % (1 << 23)
        words = (address >> 16) + (address & 0xFFFF)
        sums = [~folded(start + words) & 0xFFFF for start in (ip, tcp)]
        yield b"".join(
            [raw[:10], struct.pack("!HI", sums[0], address), raw[16:36], struct.pack("!H", sums[1]), raw[38:]]
        )


def folded(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.timeout(240)
def test_refused_strangers_fill_the_records_and_decide_nothing(ground: Ground) -> None:
    """More addresses than there are aggregates: observations are lost and counted, verdicts are what they were."""
    with ground.listen() as listener, ground.connect(listener) as standing:
        port = listener.getsockname()[1]
        standing.exchange()
        stranger = Segment("10.128.0.1", ground.server.host.ipv4, 4000, port, "S", seq=9)
        ground.link.inject(ground.server.host, *spoofed(stranger, 90_000))
        until(lambda: ground.server.counters()["flow-lost"] > 0)
        standing.exchange()
        with ground.connect(listener) as again:
            again.exchange()
        ground.link.inject(ground.server.host, stranger.with_(source="10.77.1.99"))
        silent(listener)


@pytest.mark.timeout(240)
def test_bare_acks_by_address_fill_the_table_and_keep_nobody_out(ground: Ground) -> None:
    """Whoever is let in by address may fill the table of live connections: who comes in meanwhile stays in a slot."""
    verdicts = [says(SERVER, CLIENT, "in"), says(SERVER, NETWORK, "in")]
    ground.server.apply(*verdicts, prefixes={"10.128.0.0/9": NETWORK})
    with ground.listen() as listener, ground.connect(listener) as standing:
        port = listener.getsockname()[1]
        standing.exchange()
        bare = Segment("10.128.0.1", ground.server.host.ipv4, 4000, port, "A", seq=9, ack=9)
        before = ground.server.counters()["dropped-no-memory"]
        ground.link.inject(ground.server.host, *spoofed(bare, 200_000))
        until(lambda: ground.server.counters()["dropped-no-memory"] > before)
        standing.exchange()
        newcomer = ground.connect(listener)
        newcomer.exchange()
        ground.server.fence.call("flows")  # a look, which finds no room for it elsewhere
        renamed = [says(SERVER, CLIENT, "in", rule="renamed"), says(SERVER, NETWORK, "in")]
        ground.server.apply(*renamed, prefixes={"10.128.0.0/9": NETWORK})
        standing.exchange(b"under a new revision")
        newcomer.exchange(b"under a new revision")
        # The agent's looks find no socket for what filled the table, and forget it.
        deadline = time.monotonic() + 90
        while alive(ground) > 100:
            assert time.monotonic() < deadline
            ground.server.fence.call("flows")
            time.sleep(0.5)
        standing.exchange(b"still")
        newcomer.exchange(b"still")
        newcomer.close()


def alive(ground: Ground) -> int:
    """How many connections the server's table has."""
    with Glance(ground.server.pinned().parent) as glance:
        return next(fill.entries for fill in glance.fills() if fill.name == "live")
