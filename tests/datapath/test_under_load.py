"""Changes while connections are being made: revisions, a killed agent, removal."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import Process
from tests.datapath import load
from tests.datapath.ground import CLIENT, SERVER, Ground, grounds, says


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    load.build()
    with grounds("load") as made:
        yield made


@pytest.fixture(autouse=True)
def allowed(ground: Ground) -> None:
    ground.allow()


def held(ground: Ground, connections: int = 50) -> tuple[Process, Process]:
    """An echo server, and a client that holds connections to it and asks on each every 50 ms."""
    port = ground.port()
    server = load.start(ground.server.host, "echo", port=port)
    load.ready(server)
    return server, load.hold(ground.client.host, ground.server.host, port, connections)


def intact(server: Process, client: Process) -> None:
    found = load.result(client, stop=True)
    server.stop()
    assert found["broken"] == 0, found
    assert found["opened"] == found["connections"]
    assert found["answers"] > found["connections"], found


def test_revisions_lose_nothing_that_stays_allowed(ground: Ground) -> None:
    """200 revisions, each changing verdicts elsewhere, under connections that ask all the time."""
    server, client = held(ground)
    for number in range(200):
        other = says(SERVER, 16 + number, "in", rule=f"number {number}")
        ground.server.apply(says(SERVER, CLIENT, "in"), says(SERVER, CLIENT, "out"), other)
    intact(server, client)


@pytest.mark.parametrize("side", ["server", "client"])
def test_a_killed_agent_is_missed_by_nobody(ground: Ground, side: str) -> None:
    """2,000 new connections a second: not one fails, not one is unpoliced, while the agent dies and returns."""
    killed = ground.server if side == "server" else ground.client
    port = ground.port()
    serving = load.start(ground.server.host, "serve", port=port)
    load.ready(serving)
    holding = held(ground, 20)
    before = ground.server.counters()["proved"]
    calling = load.call(ground.client.host, ground.server.host, port, rate=2000, inflight=64, seconds=6)
    time.sleep(1.5)
    programs = program_ids(killed.pinned())
    killed.fence.kill()
    time.sleep(1.5)
    assert program_ids(killed.pinned()) == programs, "pinned programs go on without an agent"
    killed.restart()
    assert program_ids(killed.pinned()).isdisjoint(programs), "the new agent put its own programs in their place"
    found = load.result(calling)
    serving.stop()
    assert found["failures"] == {}, found
    assert found["connections"] == found["begun"] > 6000
    assert ground.server.counters()["proved"] - before == found["connections"]
    intact(*holding)
    flow = ground.server.flow(port)
    assert (flow.connections, flow.proved, flow.peer_badge) == (found["connections"], True, CLIENT)


def program_ids(pins: Path) -> set[int]:
    """The programs behind the pinned links."""
    links = [path for path in pins.iterdir() if path.name.startswith(("enforce", "refuse", "stamp_"))]
    assert links
    listed = [
        json.loads(subprocess.run(["bpftool", "-j", "link", "show", "pinned", str(path)], capture_output=True).stdout)
        for path in links
    ]
    return {entry["prog_id"] for entry in listed}


def test_a_host_that_was_never_asked_stays_closed(ground: Ground) -> None:
    """While the agent is dead, what policy refuses is still refused."""
    ground.server.apply()
    ground.server.fence.kill()
    try:
        with ground.listen() as listener, pytest.raises(TimeoutError):
            ground.connect(listener, timeout=1.5)
    finally:
        ground.server.restart()
    assert ground.server.fence.call("revision") == ground.server.revision
