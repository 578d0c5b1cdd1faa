"""IP protocols by number: GRE, ESP, AH, SCTP and any other, both ways, with raw sockets."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from testbed import internet
from testbed.internet import AH, ESP, GRE, IGMP, SCTP
from tests.datapath.ground import CLIENT, SERVER, Ground, Side, grounds, says
from tests.datapath.rules import Rules
from tests.datapath.wire import refusable, wires
from watchword.model import protocols

VERSIONS = pytest.mark.parametrize("version", [4, 6])
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
#: One that tunnels, one that is encrypted, one that IPv6 also has as an extension header, one with ports, two others.
NUMBERS = (GRE, ESP, AH, SCTP, 89, 103)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("protocols") as made:
        yield made


class Speaker:
    """A raw socket of a unit for one protocol."""

    def __init__(self, side: Side, version: int, protocol: int) -> None:
        self.version = version
        self.socket = side.app.make(FAMILY[version], socket.SOCK_RAW, protocol)

    def say(self, to: str, data: bytes) -> None:
        with refusable():
            self.socket.sendto(data, (to, 0))

    def hears(self, data: bytes, seconds: float = 5) -> bool:
        """Whether this arrives; what else does is passed over."""
        self.socket.settimeout(seconds)
        with suppress(TimeoutError):
            while True:
                raw = self.socket.recv(70000)
                if (raw[20:] if self.version == 4 else raw) == data:
                    return True
        return False

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def payload(sport: int = 7000, dport: int = 8000) -> bytes:
    """Bytes that are a header with ports to whoever thinks so."""
    return struct.pack("!HH", sport, dport) + os.urandom(28)


@VERSIONS
@pytest.mark.parametrize("protocol", NUMBERS)
def test_a_protocol_passes_by_its_number_and_is_answered_without_a_rule(
    ground: Ground, version: int, protocol: int
) -> None:
    name = protocols.KEYWORDS[protocol]
    there, here = (side.host.address(version) for side in (ground.server, ground.client))
    others = [protocols.KEYWORDS[each] for each in NUMBERS if each != protocol]
    with Speaker(ground.client, version, protocol) as near, Speaker(ground.server, version, protocol) as far:
        Rules(ground.client).outgoing(*others, "tcp/1:65535", "udp/1:65535").apply()
        Rules(ground.server).incoming(name).apply()
        with wires(ground.link, ground.server.host) as wire:
            near.say(there, payload())
            assert [raw for raw in wire.arrivals() if internet.upper(raw)[0] == protocol] == []
        Rules(ground.client).outgoing(name).apply()
        Rules(ground.server).incoming(*others, "tcp/1:65535", "udp/1:65535").apply()
        refused = payload()
        near.say(there, refused)
        assert not far.hears(refused, 0.3)
        Rules(ground.server).incoming(name).apply()
        asked, answer, uninvited = payload(), payload(8000, 7000), payload(1, 2)
        near.say(there, asked)
        assert far.hears(asked)
        far.say(here, answer)
        assert near.hears(answer)
        seen = {
            (sample.direction, sample.peer_address)
            for sample in ground.server.fence.call("flows")
            if sample.protocol == protocol and sample.action == "Allow"
        }
        assert ("incoming", here) in seen
        Rules(ground.client).apply()
        ground.link.inject(ground.client.host, internet.packet(there, here, protocol, uninvited))
        assert not near.hears(uninvited, 0.2)


@VERSIONS
def test_a_reject_by_number_wins_over_any(ground: Ground, version: int) -> None:
    there = ground.server.host.address(version)
    Rules(ground.client).outgoing("any").apply()
    Rules(ground.server).incoming("any").incoming("gre", action="Reject").apply()
    for protocol, passes in ((GRE, False), (ESP, True), (253, True)):  # 253 has no name: only any is about it
        with Speaker(ground.client, version, protocol) as near, Speaker(ground.server, version, protocol) as far:
            data = payload()
            near.say(there, data)
            assert far.hears(data, 5 if passes else 0.3) == passes


@VERSIONS
def test_a_protocol_without_a_name_is_subject_to_defaults_and_any(ground: Ground, version: int) -> None:
    there = ground.server.host.address(version)
    every = ["tcp/1:65535", "udp/1:65535", *sorted(set(protocols.NUMBERS) - {"tcp", "udp"})]
    for incoming, passes in ((every, False), (["any"], True)):
        Rules(ground.client).outgoing("any").apply()
        Rules(ground.server).incoming(*incoming).apply()
        with Speaker(ground.client, version, 253) as near, Speaker(ground.server, version, 253) as far:
            data = payload()
            near.say(there, data)
            assert far.hears(data, 5 if passes else 0.3) == passes


def test_group_management_is_the_network_itself_and_nothing_else_is(ground: Ground) -> None:
    """IGMP leaves to groups on the link, whatever policy says; to one host, or beyond the link, it is a protocol."""
    for side in ground.sides:
        side.apply(says(CLIENT, SERVER, "out"), says(SERVER, CLIENT, "in"))
    here, there = ground.client.host.ipv4, ground.server.host.ipv4
    leave = struct.pack("!BBH4s", 0x17, 0, 0, socket.inet_aton("239.1.2.3"))
    cases = [
        (internet.ipv4(here, "224.0.0.2", IGMP, leave, ttl=1, number=1), True),
        (internet.ipv4(here, "239.1.2.3", IGMP, leave, ttl=1, options=b"\x94\x04\0\0", number=2), True),
        (internet.ipv4(here, "224.0.0.2", IGMP, leave, ttl=2, number=3), False),
        (internet.ipv4(here, there, IGMP, leave, ttl=1, number=4), False),
        (internet.ipv4(here, "224.0.0.2", GRE, leave, ttl=1, number=5), False),
    ]
    with (
        wires(ground.link, ground.server.host) as wire,
        ground.client.app.make(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
    ):
        ground.client.host.run(["ip", "route", "replace", "224.0.0.0/4", "dev", ground.client.host.end.device])
        for made, _ in cases:
            raw.sendto(made, (socket.inet_ntoa(made[16:20]), 0))
        arrived = {struct.unpack_from("!H", each, 4)[0] for each in wire.arrivals() if each[0] >> 4 == 4}
    assert {number for number in arrived if 1 <= number <= 5} == {
        struct.unpack_from("!H", made, 4)[0] for made, passes in cases if passes
    }


@VERSIONS
def test_answers_outlive_a_revision_that_still_allows_the_question_and_no_other(ground: Ground, version: int) -> None:
    """Whoever only answers is not cut off by a change that does not concern it, and is by one that does."""
    there, here = (side.host.address(version) for side in (ground.server, ground.client))
    with Speaker(ground.client, version, GRE) as near, Speaker(ground.server, version, GRE) as far:
        Rules(ground.client).outgoing("gre").apply()
        Rules(ground.server).incoming("gre").apply()
        near.say(there, asked := payload())
        assert far.hears(asked)
        for _ in range(2):
            Rules(ground.client).outgoing("gre", "esp").apply()
            Rules(ground.server).incoming("gre", "esp").apply()
            far.say(here, answer := payload())
            assert near.hears(answer)
        Rules(ground.client).outgoing("esp").apply()
        far.say(here, late := payload())
        assert not near.hears(late, 0.3)
        Rules(ground.client).outgoing("gre").apply()
        Rules(ground.server).incoming("esp").apply()
        with wires(ground.client.host.links[0], ground.client.host) as wire:
            far.say(here, payload())
            assert [raw for raw in wire.arrivals() if internet.upper(raw)[0] == GRE] == []
