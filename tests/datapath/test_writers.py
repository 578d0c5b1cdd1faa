"""The programs that write into packets and that judge: there without an agent, and nothing begins without them."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

import pytest

from tests.datapath.ground import Ground, Side, grounds
from watchword.enforcer.datapath.ebpf import libbpf
from watchword.enforcer.datapath.ebpf.object import Map

_WRITERS, _JUDGES = 6, 6


@pytest.fixture
def ground() -> Iterator[Ground]:
    with grounds("writers") as made:
        made.allow()
        yield made


def remove(side: Side, table: str, entries: int) -> None:
    """Empty a table of programs, of which there are so many."""
    descriptor = libbpf.pinned(str(side.pinned() / table))
    assert descriptor is not None
    programs = Map(descriptor, ctypes.c_uint32, ctypes.c_uint32)
    for number in range(entries):
        programs.remove(ctypes.c_uint32(number))
    os.close(descriptor)


def test_they_outlive_the_agent_and_nothing_leaves_unstamped_where_they_are_missing(ground: Ground) -> None:
    client = ground.client
    client.fence.kill()
    with ground.listen() as listener, ground.connect(listener) as connection:
        connection.exchange()
    remove(client, "writers", _WRITERS)
    before = ground.server.counters()
    with ground.listen() as listener, pytest.raises(TimeoutError):
        ground.connect(listener, timeout=0.5)
    assert ground.server.counters() == before  # nothing reached it, not even to be refused

    client.restart()
    assert client.counters()["stamp-failed"] >= 1
    ground.allow()
    with ground.listen() as listener, ground.connect(listener) as connection:
        connection.exchange()


@pytest.mark.parametrize("end", ["client", "server"])
def test_nothing_comes_in_where_those_that_judge_are_missing(ground: Ground, end: str) -> None:
    """Neither a connection to the host nor the answer to one from it, not even of those that policy allows."""
    side = ground.client if end == "client" else ground.server
    side.fence.kill()
    with ground.listen() as listener, ground.connect(listener) as connection:
        connection.exchange()
    remove(side, "judges", _JUDGES)
    with ground.listen() as listener, pytest.raises(TimeoutError):
        ground.connect(listener, timeout=0.5)

    side.restart()
    assert side.counters()["dropped-state-missing"] >= 1
    ground.allow()
    with ground.listen() as listener, ground.connect(listener) as connection:
        connection.exchange()
