"""What any kernel must show before it is called fit: a little of everything, quickly.

``make smoke-kernels`` runs this, and the loading of all objects, on other kernels than the machine's own.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from testbed import kernel_objects
from tests.datapath.ground import CLIENT, SERVER, Ground, grounds, says, until
from tests.datapath.wire import refusable
from watchword.enforcer.datapath.ebpf.tcx import supported

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
VERSIONS = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("smoke") as made:
        yield made


@VERSIONS
def test_both_ends_prove_themselves(ground: Ground, version: int) -> None:
    """So SYN, SYN-ACK and ACK were stamped, by the programs reached by tail call: nobody else writes proofs."""
    ground.allow()
    with ground.listen() as listener, ground.connect(listener, version) as connection:
        connection.exchange(b"x" * 100_000)
        port = listener.getsockname()[1]
        for side, peer in ((ground.client, SERVER), (ground.server, CLIENT)):
            flow = side.flow(port)
            assert (flow.proved, flow.peer_badge, flow.connections) == (True, peer, 1)
            assert side.counters()["stamp-failed"] == 0
    until(lambda: ground.client.flow(port).bytes_out >= 100_000)


@VERSIONS
def test_one_that_is_refused(ground: Ground, version: int) -> None:
    ground.server.apply(says(SERVER, CLIENT, "in", "Reject", explicit=True, rule="no"))
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            ground.client.app.connect(ground.server.host.address(version), port, timeout=8)
        assert ground.server.flow(port, "Reject").rule == "no"


def test_one_that_is_cut_by_a_revision(ground: Ground) -> None:
    """The iterators find the connection, and the agent resets it: it is idle."""
    ground.allow()
    with ground.listen() as listener, ground.connect(listener) as connection:
        connection.exchange()
        ground.server.apply(says(SERVER, CLIENT, "in", "Reject"))
        assert connection.ended()["near"] == "ConnectionResetError"


@VERSIONS
def test_datagrams_one_way_and_not_the_other(ground: Ground, version: int) -> None:
    """By identity: the first datagram of a pair that has not met is proved too."""
    ground.client.apply(says(CLIENT, SERVER, "out"))
    ground.server.apply(says(SERVER, CLIENT, "in"))
    sides = (ground.client, ground.server)
    with ExitStack() as opened:
        near, far = (
            opened.enter_context(
                side.app.make(FAMILY[version], socket.SOCK_DGRAM, bind=(side.host.address(version), ground.port()))
            )
            for side in sides
        )
        near.sendto(b"question", far.getsockname())
        far.settimeout(10)
        assert far.recvfrom(100)[0] == b"question"
        far.sendto(b"answer", near.getsockname())  # needs no rule
        near.settimeout(10)
        assert near.recvfrom(100)[0] == b"answer"
        other = opened.enter_context(
            ground.client.app.make(
                FAMILY[version], socket.SOCK_DGRAM, bind=(ground.client.host.address(version), ground.port())
            )
        )
        with refusable():
            far.sendto(b"question", other.getsockname())
        other.settimeout(0.5)
        with pytest.raises(TimeoutError):
            other.recvfrom(100)


def test_nothing_stays(ground: Ground) -> None:
    """By the kernel's own lists; through the hook that this kernel has."""
    side = ground.server
    listed = side.host.run(["tc", "qdisc", "show"]).stdout
    assert ("clsact" in listed) == (not supported())
    held = kernel_objects.held_by(side.fence.pid)
    objects = held | kernel_objects.using(held)
    assert {each.kind for each in objects} == {"prog", "map", "link"}
    side.fence.call("uninstall")
    until(lambda: not objects & kernel_objects.present())
    assert "clsact" not in side.host.run(["tc", "qdisc", "show"]).stdout
    assert not (side.host.pins / "watchword").exists()
