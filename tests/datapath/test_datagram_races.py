"""Datagrams that meet two CPUs, or a new revision, on their way: nothing of them is lost."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterator

import pytest

from testbed.datagrams import Recording
from tests.datapath.ground import CLIENT, SERVER, Ground, Side, grounds, says
from tests.datapath.udp import VERSIONS, bound, exchange, nothing, tells
from watchword.enforcer.datapath.ebpf._layout import UdpFlow
from watchword.identity.trailer import Message

#: Far more than two CPUs can be apart, so that the test needs no hurry.
AHEAD = 60_000_000_000


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("udprace") as made:
        yield made


def touched_by_another_cpu(side: Side, port: int) -> None:
    """Move the times of a flow ahead of this CPU's, as one leaves them that was told of the tick earlier."""
    path = str(side.pinned() / "udp_flows")
    found = 0
    for entry in json.loads(side.host.run(["bpftool", "-j", "map", "dump", "pinned", path]).stdout):
        flow = UdpFlow.from_buffer(bytearray(int(byte, 16) for byte in entry["value"]))
        if flow.port != port:
            continue
        for name in ("opened", "seen", "stamped", "asked"):
            setattr(flow, name, getattr(flow, name) + AHEAD)
        value = [f"{byte:#04x}" for byte in ctypes.string_at(ctypes.addressof(flow), ctypes.sizeof(flow))]
        side.host.run(["bpftool", "map", "update", "pinned", path, "key", *entry["key"], "value", *value])
        found += 1
    assert found == 1


@VERSIONS
def test_a_clock_that_is_behind_makes_no_flow_a_forgotten_one(ground: Ground, version: int) -> None:
    """Between two CPUs in one jiffy time may go backwards: a reply is a reply nevertheless."""
    port = ground.port()
    to = (ground.server.host.address(version), port)
    with (
        Recording(ground.server.host, port) as wire,
        bound(ground.server, version, port) as far,
        bound(ground.client, version) as near,
    ):
        for side in (ground.server, ground.client):
            exchange(near, far, to)
            touched_by_another_cpu(side, port)
            for _ in range(3):
                exchange(near, far, to)
        assert len(wire.datagrams(tells(Message.HELLO))) == 1
        assert len(wire.datagrams(tells(Message.BOUNCE))) == 1
    assert [flow.direction for flow in ground.server.flows(port)] == ["incoming"]


@VERSIONS
def test_a_call_under_way_is_answered_after_a_new_revision_too(ground: Ground, version: int) -> None:
    """The call of the first datagram takes long; meanwhile there is a new revision, and the flow goes on."""
    port = ground.port()
    to = (ground.server.host.address(version), port)
    with (
        Recording(ground.client.host, port) as wire,
        bound(ground.server, version, port) as far,
        bound(ground.client, version) as near,
    ):
        ground.server.apply()
        near.sendto(b"first", to)
        slow = wire.wait(tells(Message.HELLO))
        nothing(far, 0.1)
        ground.server.apply(says(SERVER, CLIENT, "in"))
        ground.client.apply(says(CLIENT, SERVER, "out", rule="another"))
        near.sendto(b"second", to)
        assert far.recv(100) == b"second"
        ground.link.inject(ground.server.host, slow.packet())
        assert far.recv(100) == b"first"
        exchange(near, far, to)
    ground.allow()
