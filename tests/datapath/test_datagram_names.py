"""Look-ups at a name server that is a unit, by identity: the first costs one round trip more, the others none."""

from __future__ import annotations

import socket
import statistics
import struct
import time
from collections.abc import Iterator

import pytest

from testbed.datagrams import Recording
from testbed.nameserver import NameServer
from tests.datapath.ground import CLIENT, SERVER, Ground, grounds
from tests.datapath.udp import VERSIONS, bound, emptied, tells
from watchword.identity.trailer import Message

RECORDS = {
    "one.test": ["192.0.2.1"],
    "many.test": [f"192.0.2.{number}" for number in range(1, 200)],
}
_QUESTIONS = 51
_PORT = 53


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with (
        grounds("udpdns") as made,
        NameServer(made.server.host, [made.server.host.ipv4, made.server.host.ipv6], RECORDS),
    ):
        yield made


def ask(ground: Ground, version: int, name: str, number: int) -> tuple[int, float]:
    """Look a name up from a port of its own, as resolver libraries do: how many addresses, and in which time."""
    spelled = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    question = struct.pack("!6H", number, 0x0100, 1, 0, 0, 1) + spelled + struct.pack("!2H", 1, 1)
    edns = b"\0" + struct.pack("!HHIH", 41, 4096, 0, 0)
    with bound(ground.client, version) as near:
        near.connect((ground.server.host.address(version), _PORT))
        began = time.perf_counter()
        near.send(question + edns)
        answer = near.recv(65536)
        took = time.perf_counter() - began
    assert struct.unpack_from("!H", answer)[0] == number
    return struct.unpack_from("!H", answer, 6)[0], took


@VERSIONS
def test_the_first_question_costs_one_round_trip_more_and_later_ones_none(ground: Ground, version: int) -> None:
    with Recording(ground.client.host, _PORT) as wire:
        assert ask(ground, version, "one.test", 0)[0] == 1
        assert len(wire.datagrams()) == 4
        times = [ask(ground, version, "one.test", number)[1] for number in range(1, _QUESTIONS)]
        assert len(wire.datagrams()) == 4 + 2 * len(times)
        assert len(wire.datagrams(tells(Message.HELLO))) == len(wire.datagrams(tells(Message.BOUNCE))) == 1
    assert statistics.median(times) < 0.1, "nobody would notice"
    flow = [each for each in ground.client.flows(_PORT) if each.peer_badge == SERVER]
    assert flow
    assert all(each.proved for each in flow)


@VERSIONS
def test_long_answers_arrive(ground: Ground, version: int) -> None:
    """199 addresses: more than a packet, with a trailer ahead of its fragments."""
    for number in range(3):
        assert ask(ground, version, "many.test", number)[0] == len(RECORDS["many.test"])


@VERSIONS
def test_a_name_server_that_has_restarted_loses_no_question(ground: Ground, version: int) -> None:
    """Its tables are gone: it asks for one proof, which is one round trip, and answers."""
    ask(ground, version, "one.test", 1)
    for name in ("udp_flows", "udp_admitted"):
        emptied(ground.server, name)
    with Recording(ground.client.host, _PORT) as wire:
        assert [ask(ground, version, "one.test", number)[0] for number in range(5)] == [1] * 5
        assert len(wire.datagrams(tells(Message.BOUNCE))) == 1
    assert all(each.peer_badge == CLIENT for each in ground.server.flows(_PORT) if each.proved)


def test_what_goes_to_many_over_ipv6_says_nothing(ground: Ground) -> None:
    """Announcements (mDNS and the like) go to many: no trailer, no call, judged by address and refused here."""
    port, host = ground.port(), ground.client.host
    with (
        Recording(ground.server.host, port) as wire,
        bound(ground.client, 6) as near,
    ):
        with host.enter():
            index = socket.if_nametoindex(host.end.device)
        near.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        near.sendto(b"everybody", ("ff02::fb", port, 0, index))
        deadline = time.monotonic() + 10
        while not ground.client.flows(port):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert wire.datagrams() == []
    assert [each.action for each in ground.client.flows(port)] == ["Reject"]
