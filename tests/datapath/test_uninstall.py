"""After removal nothing is left, by the kernel's own lists; and no connection notices that it is policed no more."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import Host, kernel_objects
from testbed.kernel_objects import KernelObject
from tests.datapath import load
from tests.datapath.ground import CLIENT, SERVER, Ground, Side, grounds, says, until
from tests.datapath.test_under_load import held, intact
from watchword.enforcer.datapath.ebpf import libbpf
from watchword.enforcer.datapath.ebpf.attachments import HOOK_VARIABLE

_CGROUP_HOOKS = (libbpf.CGROUP_INET_INGRESS, libbpf.CGROUP_INET4_CONNECT, libbpf.CGROUP_INET6_CONNECT)
_NETWORK = 20  # class of a network that covers everything


@pytest.fixture(params=["tcx", "clsact"])
def ground(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setenv(HOOK_VARIABLE, request.param)
    with grounds("uninstall") as made:
        yield made


def hooks(host: Host) -> dict[str, int]:
    """How many programs hang where."""
    found = {}
    group = os.open(host.cgroup, os.O_RDONLY)
    try:
        for hook in _CGROUP_HOOKS:
            found[f"cgroup {hook}"] = kernel_objects.attached(group, hook)
    finally:
        os.close(group)
    with host.enter():
        for index, device in socket.if_nameindex():
            found[device] = kernel_objects.attached(index, libbpf.TCX_EGRESS)
    listed = host.run(["tc", "qdisc", "show"]).stdout.splitlines()
    found["qdiscs"] = sum("noqueue" not in line for line in listed)
    return {where: number for where, number in found.items() if number}


def sockets(pid: int) -> list[str]:
    """Sockets of a process other than those of the test's own control."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(entry)
        if target.startswith("socket:"):
            found.append(target.removeprefix("socket:[").removesuffix("]"))
    listed = [
        line.split()
        for table in ("raw", "raw6", "netlink")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return [words[0] for words in listed if words[9] in found]


def kernel_side(side: Side) -> set[KernelObject]:
    """Every object that belongs to this side: what its agent holds, and what uses its maps."""
    held_now = kernel_objects.held_by(side.fence.pid)
    return held_now | kernel_objects.using(held_now)


def nothing_left(side: Side, objects: set[KernelObject]) -> None:
    until(lambda: hooks(side.host) == {})  # the kernel lets go of links and frees programs a little later
    assert not (side.host.pins / "watchword").exists()
    until(lambda: not objects & kernel_objects.present())


def test_removal_leaves_nothing(ground: Ground) -> None:
    with ground.listen() as listener, ground.connect(listener) as connection:
        connection.exchange()
    side = ground.server
    objects = kernel_side(side)
    assert {each.kind for each in objects} == {"prog", "map", "link"}
    assert objects <= kernel_objects.present()
    assert len(hooks(side.host)) >= 4
    assert sockets(side.fence.pid)
    side.fence.call("uninstall")
    nothing_left(side, objects)
    assert kernel_objects.held_by(side.fence.pid) == set()
    assert sockets(side.fence.pid) == []


def test_removal_twice_and_anew(ground: Ground) -> None:
    side = ground.client
    objects = kernel_side(side)
    side.fence.call("uninstall")
    side.fence.call("uninstall")
    nothing_left(side, objects)
    side.fence.call("install")
    side.fence.call("uninstall")  # nothing was attached yet
    nothing_left(side, objects)
    side.fence.kill()
    side.restart()
    ground.trust()
    ground.allow()
    with ground.listen() as listener, ground.connect(listener) as connection:
        connection.exchange()
        assert ground.server.flow(listener.getsockname()[1]).proved
    objects |= kernel_side(side)
    side.fence.call("uninstall")
    nothing_left(side, objects)


def test_removal_after_the_agent_was_killed(ground: Ground) -> None:
    """Twice, so that objects of three agents are there; by a process that never had them open."""
    side = ground.server
    objects = kernel_side(side)
    for _ in range(2):
        side.fence.kill()
        assert hooks(side.host)
        side.restart()
        ground.trust()
        ground.allow()
        objects |= kernel_side(side)
    side.fence.kill()
    side.fence.close()
    nothing_left(side, objects)


def test_removal_before_anything_was_attached(ground: Ground) -> None:
    host = ground.bed.host("third")
    side = Side(host, "third", 0xC0000001)
    objects = kernel_side(side)
    assert hooks(host) == {}
    side.fence.call("uninstall")
    nothing_left(side, objects)
    side.app.close()
    side.fence.close()


def test_connections_go_on_without_it(ground: Ground) -> None:
    """Young ones, old ones, idle ones, one with data in flight, one half closed: none is reset or stalls."""
    with ground.listen() as listener:
        old, idle, half, busy = (ground.connect(listener) for _ in range(4))
        for side in ground.sides:
            side.fence.call("flows")  # a look: these are in the table of old ones now
        young = ground.connect(listener)
        half.near.shutdown(socket.SHUT_WR)
        busy.near.setblocking(False)
        sent = 0
        try:
            while True:
                sent += busy.near.send(bytes(65536))
        except BlockingIOError:
            pass
        for side in reversed(ground.sides):
            side.fence.call("uninstall")
        for connection in (old, idle, young):
            connection.exchange()
        half.far.sendall(b"rest")
        assert half.near.recv(4) == b"rest"
        received = 0
        busy.near.setblocking(True)
        busy.near.shutdown(socket.SHUT_WR)
        while piece := busy.far.recv(1 << 20):
            received += len(piece)
        assert received == sent
        with ground.connect(listener) as unpoliced:
            unpoliced.exchange()
        for connection in (old, idle, half, busy, young):
            connection.close()


@pytest.mark.parametrize("first", ["server", "client"])
def test_removal_under_load(ground: Ground, first: str) -> None:
    """Fifty connections that ask all the time, and new ones: none that stands is lost, and none that comes after."""
    load.build()
    for side, peer in ((ground.client, SERVER), (ground.server, CLIENT)):
        rules = [says(side.badge, who, way) for who in (peer, _NETWORK) for way in ("in", "out")]
        side.apply(*rules, prefixes={"0.0.0.0/0": _NETWORK, "::/0": _NETWORK})
    port = ground.port()
    serving = load.start(ground.server.host, "serve", port=port)
    load.ready(serving)
    holding = held(ground)
    sides = [ground.server, ground.client] if first == "server" else [ground.client, ground.server]
    for side in sides:
        objects = kernel_side(side)
        time.sleep(0.3)
        side.fence.call("uninstall")
        nothing_left(side, objects)
        calling = load.call(ground.client.host, ground.server.host, port, rate=500, inflight=16, seconds=1)
        found = load.result(calling)
        assert found["failures"] == {}, found
        assert found["connections"] == found["begun"] > 100
    intact(*holding)
    serving.stop()
