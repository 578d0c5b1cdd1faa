"""A compromised unit with CAP_NET_RAW sends frames past its own kernel: no fenced server believes them."""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Iterator

import pytest

from testbed import Match
from testbed.packets import Option, Segment, mss
from tests.attack.ground import announces
from tests.datapath.ground import CLIENT, SERVER, Ground, grounds, says, until
from tests.datapath.workload import finish, read
from watchword.identity.transcript import OPTION_KIND, SynAckOption

SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
ETH_P_IP, ETH_P_IPV6, ETH_P_ARP = 0x0800, 0x86DD, 0x0806
#: A further unit on the client's host, which policy lets nowhere.
NEIGHBOUR = 0xA0000002

VERSIONS = pytest.mark.parametrize("version", [4, 6])
BYPASS = pytest.mark.parametrize("bypass", [False, True], ids=["queued", "past the queue"])
_sources = itertools.count(20000)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("frames") as made:
        made.client.host.mute_resets()
        for version in (4, 6):  # the neighbour's Ethernet address is known before somebody writes to it by hand
            with made.listen() as listener:
                made.connect(listener, version).close()
        yield made


@pytest.fixture(autouse=True)
def allowed(ground: Ground) -> None:
    ground.allow()


@pytest.fixture
def listener(ground: Ground) -> Iterator[socket.socket]:
    with ground.listen() as listening:
        listening.settimeout(0.2)
        yield listening


def sent(by: socket.socket, frame: bytes, to: tuple[str, int, int, int, bytes]) -> bool:
    """Send a frame; False where the kernel drops it."""
    try:
        by.sendto(frame, to)
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        return False
    return True


class Sender:
    """A packet socket of the client's unit."""

    def __init__(
        self, ground: Ground, *, bypass: bool, cooked: bool = False, claimed: int = 0, tagged: bool = False
    ) -> None:
        """``cooked`` leaves the Ethernet header to the kernel; ``claimed`` is what the socket says it sends."""
        self._ground, self._cooked, self._claimed, self._tagged = ground, cooked, claimed, tagged
        kind = socket.SOCK_DGRAM if cooked else socket.SOCK_RAW
        self._socket = ground.client.app.make(socket.AF_PACKET, kind)
        self._socket.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, int(bypass))

    def send(self, *segments: Segment) -> int:
        """How many the kernel refused to send: what a tc program drops, the sender is told of."""
        return sum(not self._sent(segment) for segment in segments)

    def _sent(self, segment: Segment) -> bool:
        end = self._ground.link.end(self._ground.client.host)
        mac = self._ground.link.other(self._ground.client.host).mac()
        kind = ETH_P_IP if segment.version == 4 else ETH_P_IPV6
        to = (end.device, self._claimed or kind, 0, 0, mac)
        frame = segment.packet() if self._cooked else segment.frame(end.mac(), mac)
        if self._tagged:
            frame = frame[:12] + b"\x81\0\0\1" + frame[12:]
        return sent(self._socket, frame, to)

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def syn(ground: Ground, version: int, port: int, *options: Option) -> Segment:
    number = next(_sources)
    hosts = ground.client.host.address(version), ground.server.host.address(version)
    return Segment(*hosts, number, port, "S", seq=number << 8, options=[mss(), *options])


def refused(listener: socket.socket) -> None:
    with pytest.raises(TimeoutError):
        listener.accept()


@VERSIONS
@pytest.mark.parametrize("cooked", [False, True], ids=["raw", "cooked"])
@pytest.mark.parametrize("flags", ["S", "SA", "A", "PA", "FA", "R"])
def test_what_is_queued_obeys_the_units_own_rules(ground: Ground, version: int, cooked: bool, flags: str) -> None:
    """No socket of the kernel's stands behind it, so nobody is proved and addresses are not allowed."""
    port = ground.port()
    segment = syn(ground, version, port).with_(flags=flags, payload=b"secret" * ("P" in flags))
    with ground.server.host.capture(f"dst port {port}") as arrived, Sender(ground, bypass=False, cooked=cooked) as by:
        assert by.send(segment) == 1
        until(lambda: bool(ground.client.flows(port)))
    assert arrived.segments() == []
    rejected = ground.client.flow(port, "Reject")
    assert (rejected.direction, rejected.reason, rejected.peer_badge) == ("outgoing", "policy", 0)


@VERSIONS
def test_what_the_rules_let_out_is_not_stamped(ground: Ground, listener: socket.socket, version: int) -> None:
    """The unit may call the server's address. What it makes by hand leaves as it is, and proves nothing there."""
    network = 99
    ground.client.apply(says(CLIENT, network, "out"), prefixes={"0.0.0.0/0": network, "::/0": network})
    port = listener.getsockname()[1]
    with ground.server.host.capture(f"port {port}") as seen, Sender(ground, bypass=False) as by:
        by.send(syn(ground, version, port))
        until(lambda: bool(ground.server.flows(port)))
        refused(listener)
    assert [s.options for s in seen.segments()] == [[mss()]]


@VERSIONS
@pytest.mark.parametrize("badge", [0, CLIENT, NEIGHBOUR, SERVER, 0xDEAD0001], ids=hex)
def test_past_the_queue_a_handshake_still_needs_its_proof(
    ground: Ground, listener: socket.socket, version: int, badge: int
) -> None:
    """Its own badge, a neighbour's, the server's, nobody's or none: the answer, if there is one, is not enough."""
    port = listener.getsockname()[1]
    first = syn(ground, version, port, *([announces(port, badge)] if badge else []))
    with ground.client.host.capture(f"src port {port}") as answers, Sender(ground, bypass=True) as by:
        by.send(first)
        if badge in (CLIENT, SERVER):
            answer = answers.wait(lambda s: s.has("SA") and s.dport == first.sport)
            tail = answer.reply("A", seq=answer.ack, ack=answer.seq + 1)
            guess = tail.with_(options=[Option(253, bytes.fromhex("5757") + badge.to_bytes(4, "big") + bytes(20))])
            by.send(tail, tail.with_(flags="PA", payload=b"evil"), guess, tail.with_(flags="PA", payload=b"evil"))
        else:
            by.send(first.with_(flags="A", seq=first.seq + 1, ack=1, options=[]))
        until(lambda: bool(ground.server.flows(port)))
        refused(listener)
    assert {flow.action for flow in ground.server.flows(port)} == {"Reject"}


@VERSIONS
@BYPASS
def test_a_forged_answer_does_not_make_a_server(ground: Ground, version: int, bypass: bool) -> None:
    """A unit on the server's host hears the SYN and answers for a port where nobody listens."""
    port = ground.port()
    server = ground.server
    end, mac = ground.link.end(server.host), ground.link.other(server.host).mac()
    silence = ground.link.drop(Match("RA", sport=port), toward=ground.client.host, count=None)
    with (
        server.host.capture(f"dst port {port}") as heard,
        ground.client.app.begin(server.host.address(version), port) as near,
        server.app.make(socket.AF_PACKET, socket.SOCK_RAW) as forging,
    ):
        forging.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, int(bypass))
        called = heard.wait(lambda s: s.flags == "S")
        proof = SynAckOption(SERVER, 0x123456789ABD, 0x123456789ABC).data()
        forged = called.reply("SA", seq=5, ack=called.seq + 1, options=[mss(), Option(OPTION_KIND, proof)])
        to = (end.device, ETH_P_IP if version == 4 else ETH_P_IPV6, 0, 0, mac)
        before = ground.client.counters()["dropped-proof-wrong"]
        assert sent(forging, forged.frame(end.mac(), mac), to) == bypass
        if bypass:
            until(lambda: ground.client.counters()["dropped-proof-wrong"] > before)
        with pytest.raises(TimeoutError):
            finish(near, 0.2)
    silence.end()


@VERSIONS
@BYPASS
def test_loopback_is_no_way_in(ground: Ground, version: int, bypass: bool) -> None:
    """Frames put on lo arrive as if they had been sent; who opens a socket by them has to prove himself too."""
    address = "127.0.0.1" if version == 4 else "::1"
    server = ground.server
    with ground.listen() as listener, server.app.make(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, int(bypass))
        port = listener.getsockname()[1]
        for badge in (0, CLIENT, SERVER):
            made = Segment(address, address, next(_sources), port, options=[announces(port, badge)] if badge else [])
            to = ("lo", ETH_P_IP if version == 4 else ETH_P_IPV6, 0, 0, bytes(6))
            sent(raw, made.frame(bytes(6), bytes(6)), to)
            late = made.with_(flags="PA", seq=1, ack=1, payload=b"evil", options=[])
            sent(raw, late.frame(bytes(6), bytes(6)), to)
        listener.settimeout(0.3)
        refused(listener)


@VERSIONS
@BYPASS
def test_a_live_connection_keeps_what_it_has(
    ground: Ground, listener: socket.socket, version: int, bypass: bool
) -> None:
    """Frames of a unit that does not know the numbers of a connection neither end nor change it."""
    listener.settimeout(10)
    with ground.connect(listener, version) as connection, Sender(ground, bypass=bypass) as by:
        connection.exchange()
        port = listener.getsockname()[1]
        blind = syn(ground, version, port).with_(sport=connection.near.getsockname()[1], options=[])
        for flags in ("R", "FA", "PA", "S"):
            by.send(*(blind.with_(flags=flags, seq=n, ack=n, payload=b"evil" * ("P" in flags)) for n in (1, 1 << 31)))
        connection.near.sendall(b"untouched")
        assert read(connection.far, 9) == b"untouched"


@VERSIONS
@pytest.mark.parametrize("claimed", [ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, 0x88CC, 0x0004], ids=hex)
def test_a_frame_that_lies_about_its_protocol_does_not_leave(ground: Ground, version: int, claimed: int) -> None:
    """The receiver goes by the frame. Whatever the socket says it is, it is refused: as what it is, or as a lie."""
    port = ground.port()
    with ground.server.host.capture(f"dst port {port}") as arrived:
        with Sender(ground, bypass=False, claimed=claimed) as by:
            assert by.send(syn(ground, version, port)) == 1
        with Sender(ground, bypass=True) as marking:
            marking.send(syn(ground, version, port).with_(sport=1))
        arrived.wait(lambda s: s.sport == 1)
    assert [s.sport for s in arrived.segments()] == [1]


@VERSIONS
@pytest.mark.parametrize("claimed", [0, ETH_P_ARP, 0x8100], ids=hex)
def test_nothing_leaves_behind_a_tag(ground: Ground, version: int, claimed: int) -> None:
    """A VLAN of the unit's own making would carry to a neighbour what nobody here has looked at."""
    before = ground.client.counters()["dropped-malformed"]
    with Sender(ground, bypass=False, claimed=claimed, tagged=True) as by:
        assert by.send(syn(ground, version, ground.port())) == 1
    assert ground.client.counters()["dropped-malformed"] == before + 1


def test_other_protocols_of_the_link_go_their_way(ground: Ground) -> None:
    """ARP, LLDP and frames with a length in place of a type, as daemons of the host send them."""
    end, mac = ground.link.end(ground.client.host), ground.link.other(ground.client.host).mac()
    with ground.client.app.make(socket.AF_PACKET, socket.SOCK_RAW) as by:
        for kind, claimed in ((ETH_P_ARP, ETH_P_ARP), (0x88CC, 0x88CC), (0x88CC, 0), (46, 0), (46, 0x0004)):
            frame = mac + end.mac() + kind.to_bytes(2, "big") + bytes(46)
            assert sent(by, frame, (end.device, claimed, 0, 0, mac))
