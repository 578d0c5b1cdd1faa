"""A unit with CAP_NET_RAW makes TCP segments by itself: it can do no more than by connect()."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from testbed.packets import Segment
from tests.attack.ground import Battlefield, announces, battlefields
from tests.datapath.ground import CLIENT, SERVER

SEND = """
import socket, sys
made = socket.socket(socket.AF_INET, socket.SOCK_RAW, int(sys.argv[1]))
made.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
for line in sys.stdin:
    packet = bytes.fromhex(line)
    try:
        made.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
    except OSError as error:
        print(error, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def field() -> Iterator[Battlefield]:
    with battlefields("raw") as made:
        yield made


@pytest.mark.parametrize("protocol", [6, 253, 255, 256, 262])
@pytest.mark.parametrize("flags", ["S", "A", "PA", "SA", "R", "FA"])
def test_nothing_leaves_to_where_policy_does_not_let_it(field: Battlefield, protocol: int, flags: str) -> None:
    """The protocol number of a raw socket stands where others have their port: none may pass for TCP's own."""
    segment = Segment(field.client.host.ipv4, field.attacker.ipv4, 4000, 80, flags, payload=b"secret" * ("P" in flags))
    with field.attacker.capture("dst port 80") as arrived:
        command = [sys.executable, "-c", SEND, str(protocol)]
        field.client.host.run(command, input=segment.packet().hex() + "\n", cgroup="app")
        field.send_marker()
        arrived.wait(lambda s: s.sport == 9)
    assert [s for s in arrived.segments() if s.sport == 4000] == []


@pytest.mark.parametrize("badge", [CLIENT, SERVER])
def test_a_hand_made_announcement_does_not_leave(field: Battlefield, badge: int) -> None:
    """Own badge or a neighbour's: without a socket of the kernel's there is no proof, so policy by address decides."""
    port = field.port()
    segment = field.syn(port, announces(port, badge), source=field.client.host.ipv4)
    with field.listen(port) as listener, field.server.host.capture(f"port {port}") as arrived:
        assert field.client.host.send_raw(segment, cgroup="app") == 0
        listener.settimeout(0.5)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert arrived.segments() == []
