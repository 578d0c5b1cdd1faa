"""The programs that write into packets: there without an agent, and nothing of a unit begins without them."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

import pytest

from tests.datapath.ground import Ground, grounds
from watchword.enforcer.datapath.ebpf import libbpf
from watchword.enforcer.datapath.ebpf.object import Map

_WRITERS = 6


@pytest.fixture
def ground() -> Iterator[Ground]:
    with grounds("writers") as made:
        made.allow()
        yield made


def test_they_outlive_the_agent_and_nothing_leaves_unstamped_where_they_are_missing(ground: Ground) -> None:
    client = ground.client
    client.fence.kill()
    with ground.listen() as listener, ground.connect(listener) as connection:
        connection.exchange()
    descriptor = libbpf.pinned(str(client.pinned() / "writers"))
    assert descriptor is not None
    writers = Map(descriptor, ctypes.c_uint32, ctypes.c_uint32)
    for number in range(_WRITERS):
        writers.remove(ctypes.c_uint32(number))
    os.close(descriptor)
    before = ground.server.counters()
    with ground.listen() as listener, pytest.raises(TimeoutError):
        ground.connect(listener, timeout=0.5)
    assert ground.server.counters() == before  # nothing reached it, not even to be refused

    client.restart()
    assert client.counters()["stamp-failed"] >= 1
    ground.allow()
    with ground.listen() as listener, ground.connect(listener) as connection:
        connection.exchange()
