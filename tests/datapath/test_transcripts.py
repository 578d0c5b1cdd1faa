"""Captured handshakes against the reference: every byte that kernels put on the wire, computed once more in Python."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from testbed import Segment
from testbed.fence import pair
from testbed.translation import dialled, masqueraded
from tests.datapath.estate import Estate, accepted, estates, pairwise
from tests.datapath.ground import OWN_KEY, Side, setting
from watchword.enforcer.datapath.base import PeerKeys
from watchword.identity.transcript import (
    OPTION_KIND,
    VERSION,
    AckOption,
    SynAckOption,
    SynOption,
    Transcript,
    transcript_of,
)

VERSIONS = pytest.mark.parametrize("version", [4, 6])
NOWHERE = {4: "10.99.0.1", 6: "fd99::1"}
WAYS = ["plain", "without time stamps", "cookies", "source NAT", "port NAT", "both NATs", "NAT on the client's host"]


@pytest.fixture(scope="module")
def estate() -> Iterator[Estate]:
    with estates("script", ["client", "web"]) as made:
        made["client"].apply(made.meet("client", "web"))
        made["web"].apply(made.meet("web", "client", direction="in"))
        yield made


def option_of(segments: Sequence[Segment], flags: str) -> bytes:
    """The option of the one segment of a handshake; what is repeated has to be the same."""
    found = {s.option(OPTION_KIND) for s in segments if s.flags.strip("EC") == flags and s.option(OPTION_KIND)}
    assert len(found) == 1, found
    (only,) = found
    assert only is not None
    return only


def check(segments: Sequence[Segment], client: Side, server: Side, dialled_port: int, key: bytes) -> Transcript:
    """Everything in the three options of a captured handshake follows from the SYN, the server's nonce and the key."""
    syn = SynOption.parse(option_of(segments, "S"))
    answer = SynAckOption.parse(option_of(segments, "SA"))
    ack = AckOption.parse(option_of(segments, "A"))
    assert (syn.badge, syn.version, syn.dialled) == (client.badge, VERSION, dialled_port)
    assert answer.badge == server.badge
    transcript = transcript_of(syn, answer)
    assert answer.proof == transcript.synack_proof(key)
    expected = AckOption(
        syn.badge, syn.epoch, transcript.server_epoch, syn.dialled, syn.nonce, transcript.ack_proof(key)
    )
    assert ack == expected
    assert option_of(segments, "A") == expected.data()
    return transcript


def captured(estate: Estate, to: str, port: int, inner: int) -> tuple[list[Segment], list[Segment]]:
    """The handshake of a connection that works, as it is at the client and at the server."""
    client, web = estate["client"], estate["web"]
    with (
        web.app.listen(inner) as listener,
        client.host.capture(f"port {port}") as near,
        web.host.capture(f"port {inner}") as far,
    ):
        connection, _ = accepted(client.app.connect(to, port), listener)
        with connection:
            connection.exchange()
    return near.segments(), far.segments()


@VERSIONS
@pytest.mark.parametrize("way", WAYS)
def test_a_captured_handshake_is_the_references(estate: Estate, version: int, way: str) -> None:
    """The same on both sides of every translation: addresses, ports and sequence numbers are in none of it."""
    client, web = estate["client"], estate["web"]
    port = estate.port()
    inner = estate.port() if "port" in way or "both" in way or "client's" in way else port
    to = web.host.address(version) if inner == port else NOWHERE[version]
    backend = [(web.host.address(version), inner)]
    hosts = client.host, web.host
    with ExitStack() as circumstances:
        if way == "without time stamps":
            circumstances.enter_context(setting("net.ipv4.tcp_timestamps", 0, *hosts))
        if way == "cookies":
            circumstances.enter_context(setting("net.ipv4.tcp_syncookies", 2, web.host))
        if way in ("source NAT", "both NATs"):
            circumstances.enter_context(masqueraded(estate.router, web.host.links[0].near.device, version))
        if way in ("port NAT", "both NATs"):
            circumstances.enter_context(dialled(estate.router, to, port, backend))
        if way == "NAT on the client's host":
            circumstances.enter_context(dialled(client.host, to, port, backend, "OUTPUT"))
        near, far = captured(estate, to, port, inner)
    if way == "NAT on the client's host":  # which is behind its own translation on the wire
        near = far
    key = pairwise("client", "web")
    assert check(near, client, web, port, key) == check(far, client, web, port, key)


@VERSIONS
def test_on_one_host_it_is_the_key_of_the_host_itself(estate: Estate, version: int) -> None:
    web = estate["web"]
    port = estate.port()
    with web.app.listen(port) as listener, web.host.capture(f"port {port}") as taken:
        connection, _ = accepted(web.app.connect("127.0.0.1" if version == 4 else "::1", port), listener)
        with connection:
            connection.exchange()
    check(taken.segments(), web, web, port, OWN_KEY)


@VERSIONS
@pytest.mark.parametrize("epochs", [((2, 1), (1,)), ((1,), (2, 1)), ((258, 257), (4, 3)), ((511, 510), (256, 255))])
def test_epochs_are_told_by_their_low_bits(
    estate: Estate, version: int, epochs: tuple[Sequence[int], Sequence[int]]
) -> None:
    """Each pair of epochs has a key of its own; which one it was stands in the options and under the proofs."""
    client, web = estate["client"], estate["web"]
    ours, theirs = epochs
    keys = {(a, b): bytes([a & 255, b & 255] * 8) for a in ours for b in theirs}
    try:
        client.trust([PeerKeys("web", keys)], ours)
        web.trust([PeerKeys("client", {(b, a): key for (a, b), key in keys.items()})], theirs)
        port = estate.port()
        near, _ = captured(estate, web.host.address(version), port, port)
        transcript = check(near, client, web, port, keys[ours[0], theirs[0]])
        assert (transcript.client_epoch, transcript.server_epoch) == (ours[0] & 255, theirs[0] & 1)
    finally:
        for side, other in ((client, "web"), (web, "client")):
            side.trust([pair(side.enforcer, other, pairwise("client", "web"))])


def test_no_nonce_comes_twice(estate: Estate) -> None:
    """Of a hundred handshakes of the same two ends, to the same port and partly from the same one."""
    client, web = estate["client"], estate["web"]
    port = estate.port()
    with web.app.listen(port) as listener, web.host.capture(f"port {port}") as taken:
        for number in range(100):
            source = (client.host.ipv4, 40000 + number % 10)
            near = client.app.connect(web.host.ipv4, port, source=source)
            far, _ = listener.accept()
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no TIME_WAIT here
            near.close()
            far.close()
    announced = [SynOption.parse(o).nonce for s in taken.segments() if s.flags == "S" and (o := s.option(OPTION_KIND))]
    answered = [SynAckOption.parse(o).nonce for s in taken.segments() if s.has("SA") and (o := s.option(OPTION_KIND))]
    assert len(set(announced)) == 100
    assert len(set(answered)) >= 100  # a repeated SYN-ACK may have a new one
