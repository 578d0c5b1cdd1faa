"""Datagrams by identity through address translation: nothing of an address is proved, so nothing of it has to stay."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator

import pytest

from testbed.datagrams import Recording
from testbed.translation import dialled, masqueraded
from tests.datapath.estate import Estate, estates
from tests.datapath.udp import VERSIONS, bound, exchange, nothing, tells
from watchword.identity.trailer import Message

NOWHERE = {4: "10.99.0.1", 6: "fd99::1"}
BACKENDS = ["one", "two", "three"]


@pytest.fixture(scope="module")
def estate() -> Iterator[Estate]:
    with estates("udpnat", ["client", *BACKENDS]) as made:
        yield made


@pytest.fixture(autouse=True)
def allowed(estate: Estate) -> None:
    estate["client"].apply(estate.meet("client", *BACKENDS))
    for name in BACKENDS:
        estate[name].apply(estate.meet(name, "client", direction="in"))


@VERSIONS
def test_behind_the_routers_address(estate: Estate, version: int) -> None:
    """Source translation: the server sees the router, and the client's name."""
    port, one = estate.port(), estate["one"]
    device = one.host.links[0].near.device
    with masqueraded(estate.router, device, version), bound(one, version, port) as far:
        for _ in range(2):
            with bound(estate["client"], version) as near:
                back = exchange(near, far, (one.host.address(version), port))
                assert back[0] == one.host.links[0].near.address(version)
    assert (one.flow(port).peer_badge, one.flow(port).proved) == (estate["client"].badge, True)


@VERSIONS
@pytest.mark.parametrize("connected", [True, False])
def test_one_address_hides_several_hosts(estate: Estate, version: int, connected: bool) -> None:
    """Flows go to backends in turn: a proof for another one is bounced once, and nothing is lost."""
    outer, inner = estate.port(), estate.port()
    backends = [(estate[name].host.address(version), inner) for name in BACKENDS]
    far = {name: bound(estate[name], version, inner) for name in BACKENDS}
    reached = dict.fromkeys(BACKENDS, 0)
    with dialled(estate.router, NOWHERE[version], outer, backends, protocol="udp"):
        for _ in range(9):
            with (
                Recording(estate["client"].host, outer) as wire,
                bound(estate["client"], version) as near,
            ):
                if connected:
                    near.connect((NOWHERE[version], outer))
                near.send(b"question") if connected else near.sendto(b"question", (NOWHERE[version], outer))
                name = whoever(far)
                data, back = far[name].recvfrom(100)
                assert data == b"question"
                far[name].sendto(b"answer", back)
                assert near.recv(100) == b"answer"
                reached[name] += 1
                assert len(wire.datagrams(tells(Message.BOUNCE))) <= 1
    assert reached == dict.fromkeys(BACKENDS, 3)
    for name, end in far.items():
        end.close()
        assert estate[name].flow(inner).connections == 3


@VERSIONS
def test_large_first_datagrams_reach_one_of_several_hosts_whole(estate: Estate, version: int) -> None:
    """The call, the proof and all fragments go to the same backend."""
    outer, inner = estate.port(), estate.port()
    backends = [(estate[name].host.address(version), inner) for name in BACKENDS]
    far = {name: bound(estate[name], version, inner) for name in BACKENDS}
    with dialled(estate.router, NOWHERE[version], outer, backends, protocol="udp"):
        for number in range(2 * len(BACKENDS)):
            with bound(estate["client"], version) as near:
                question = bytes([number]) * 8000
                near.sendto(question, (NOWHERE[version], outer))
                name = whoever(far)
                data, back = far[name].recvfrom(65536)
                assert data == question
                far[name].sendto(b"answer", back)
                assert near.recv(100) == b"answer"
    for name, end in far.items():
        end.close()
        assert estate[name].flow(inner).connections == 2


def whoever(sockets: dict[str, socket.socket]) -> str:
    """Which of them has something to read, within ten seconds."""
    ready = select.select(list(sockets.values()), [], [], 10)[0]
    assert len(ready) == 1
    return next(name for name, end in sockets.items() if end is ready[0])


@VERSIONS
def test_a_backend_that_policy_does_not_name_is_left(estate: Estate, version: int) -> None:
    """Also when it comes after one that is named, at the same address: no data goes there."""
    client, outer, inner = estate["client"], estate.port(), estate.port()
    client.apply(estate.meet("client", "one"))
    backends = [(estate[name].host.address(version), inner) for name in ("one", "two")]
    with (
        bound(estate["one"], version, inner) as one,
        bound(estate["two"], version, inner) as two,
        dialled(estate.router, NOWHERE[version], outer, backends, protocol="udp"),
    ):
        with bound(client, version) as near:
            exchange(near, one, (NOWHERE[version], outer))
        with bound(client, version) as near:
            near.sendto(b"secret", (NOWHERE[version], outer))
            nothing(two)
            refused = client.flow(outer, "Reject")
            assert refused.peer_badge == estate["two"].badge


@VERSIONS
def test_names_are_resolved_without_delay(estate: Estate, version: int) -> None:
    """A resolver's traffic: each question from a port of its own, answers up to 1,232 bytes (EDNS)."""
    one, client = estate["one"], estate["client"]
    before = sum(flow.connections for flow in client.flows(53))
    with bound(one, version, 53) as far:
        for number in range(20):
            with bound(client, version) as near:
                near.connect((one.host.address(version), 53))
                near.settimeout(2)
                near.send(struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + b"\3web\4test\0\0\1\0\1")
                question, back = far.recvfrom(512)
                far.sendto(question[:2] + b"\x81\x80" + question[4:] + bytes(60 * number), back)
                assert near.recv(4096)[:2] == struct.pack("!H", number)
    flow = client.flow(53)
    assert (flow.connections - before, flow.peer_badge) == (20, one.badge)
