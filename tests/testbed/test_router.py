"""The router translates, balances, strips options and limits packet sizes."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from testbed import Host, Option, Router, Segment, Testbed
from testbed.translation import dialled, masqueraded, redirected

Routed = tuple[Router, Host, Host]


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with Testbed("router") as made:
        yield made
    assert made.leftovers() == []


@pytest.fixture
def routed(bed: Testbed) -> Routed:
    router = bed.router("r")
    return router, bed.host("inside", router), bed.host("outside", router)


def listener(host: Host, version: int, port: int) -> socket.socket:
    made = host.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    made.bind(("0.0.0.0" if version == 4 else "::", port))
    made.listen()
    made.settimeout(5)
    return made


def connect(host: Host, address: str, port: int) -> socket.socket:
    made = host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    made.settimeout(5)
    try:
        made.connect((address, port))
    except BaseException:
        made.close()
        raise
    return made


def peer_of(server: socket.socket) -> str:
    accepted, (address, *_) = server.accept()
    accepted.close()
    return str(address)


@pytest.mark.parametrize("version", [4, 6])
def test_masquerading_hides_the_client(routed: Routed, version: int) -> None:
    router, inside, outside = routed
    with listener(outside, version, 80) as server:
        with connect(inside, outside.address(version), 80):
            assert peer_of(server) == inside.address(version)
        router.masquerade(outside.links[0])
        with connect(inside, outside.address(version), 80):
            assert peer_of(server) == outside.links[0].end(router).address(version)


def test_source_nat_gives_the_address_asked_for(routed: Routed) -> None:
    router, inside, outside = routed
    router.snat(f"{inside.ipv4}/32", "10.77.200.9")
    with listener(outside, 4, 80) as server, connect(inside, outside.ipv4, 80):
        assert peer_of(server) == "10.77.200.9"


@pytest.mark.parametrize("version", [4, 6])
def test_a_forwarded_port_is_translated(routed: Routed, version: int) -> None:
    router, inside, outside = routed
    public = outside.links[0].end(router).address(version)
    router.dnat(public, 80, [(inside.address(version), 8080)])
    with listener(inside, version, 8080) as server, connect(outside, public, 80):
        assert peer_of(server) == outside.address(version)


@pytest.mark.parametrize("version", [4, 6])
def test_a_translation_ends_with_its_block(routed: Routed, version: int) -> None:
    """On the router, on the host that listens and on the one that calls; what was begun goes on."""
    router, inside, outside = routed
    public = "10.99.0.1" if version == 4 else "fd99::1"
    here = inside.address(version)
    with listener(inside, version, 8080) as server:
        with (
            dialled(router, public, 80, [(here, 8080)]),
            masqueraded(router, inside.links[0].near.device, version),
            connect(outside, public, 80),
        ):
            assert peer_of(server) == inside.links[0].end(router).address(version)
        with redirected(inside, version, 81, 8080), connect(outside, here, 81):
            assert peer_of(server) == outside.address(version)
        with dialled(outside, public, 82, [(here, 8080)], "OUTPUT"), connect(outside, public, 82):
            assert peer_of(server) == outside.address(version)
        for to, port in ((public, 80), (here, 81), (public, 82)):
            with pytest.raises(OSError, match=r"unreachable|refused|timed out|No route"):
                connect(outside, to, port)


@pytest.mark.parametrize("version", [4, 6])
def test_a_balancer_takes_backends_in_turn(bed: Testbed, routed: Routed, version: int) -> None:
    router, first, client = routed
    backends = [first, bed.host("second", router), bed.host("third", router)]
    public = client.links[0].end(router).address(version)
    router.dnat(public, 80, [(host.address(version), 8080 + n) for n, host in enumerate(backends)])
    servers = [listener(host, version, 8080 + n) for n, host in enumerate(backends)]
    for _ in range(6):
        connect(client, public, 80).close()
    for server in servers:
        with server:
            assert [peer_of(server), peer_of(server)] == [client.address(version)] * 2
            server.settimeout(0.05)
            with pytest.raises(TimeoutError):
                server.accept()


@pytest.mark.parametrize("version", [4, 6])
def test_options_are_stripped_and_only_those(routed: Routed, version: int) -> None:
    router, inside, outside = routed
    syn = Segment(
        *(inside.address(version), outside.address(version), 5000, 80),
        options=[Option(253, b"s" * 10), Option(254, b"k" * 4)],
    )
    with outside.capture("tcp port 80") as taken:
        inside.send_raw(syn)
        assert taken.wait(lambda s: s.sport == 5000).option(253) == b"s" * 10
        router.strip_options([253])
        inside.send_raw(syn.with_(sport=5001))
        stripped = taken.wait(lambda s: s.sport == 5001)
    assert stripped.option(253) is None
    assert stripped.option(254) == b"k" * 4


def test_a_narrow_link_limits_segments(bed: Testbed) -> None:
    router = bed.router("r")
    client, server = bed.host("client", router), bed.host("server", router, mtu=1300)
    client.links[0].offload(False)
    bulk = b"x" * 100_000
    with listener(server, 4, 80) as listening, server.capture("tcp port 80") as taken:
        with connect(client, server.ipv4, 80) as caller:
            accepted, _ = listening.accept()
            with accepted:
                caller.sendall(bulk[:50_000])
                received = b""
                while len(received) < 50_000:
                    received += accepted.recv(65536)
        taken.wait(lambda s: s.has("F") and s.dport == 80)
    sizes = {len(frame.packet) for frame in taken.frames if frame.segment and frame.segment.dport == 80}
    assert max(sizes) <= 1300
    assert max(sizes) > 1200
