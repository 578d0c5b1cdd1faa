"""Counting in real maps: how full tables are, and sums that do not shrink when an aggregate goes."""

from __future__ import annotations

import ctypes
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.remains import ensure_bpffs
from watchword.enforcer.datapath.base import VerdictTotal
from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf import counting
from watchword.enforcer.datapath.ebpf.editions import OBJECTS
from watchword.enforcer.datapath.ebpf.object import BpfObject, Map


@pytest.fixture
def maps() -> Iterator[dict[str, int]]:
    ensure_bpffs()
    path = Path("/sys/fs/bpf") / f"watchword-test-{secrets.token_hex(4)}"
    path.mkdir()
    loaded = BpfObject(OBJECTS / "sweep.bpf.o", path, {"live": 10_000})
    yield loaded.maps
    loaded.close()
    shutil.rmtree(path)


def test_every_entry_of_a_table_is_counted(maps: dict[str, int]) -> None:
    """Of more than one batch, of prefix trees, and of none."""
    live = Map(maps["live"], ctypes.c_uint64, layout.Flow)
    live.put_all((ctypes.c_uint64(number), layout.Flow()) for number in range(9_000))
    prefixes = Map(maps["prefixes6"], layout.Prefix6, layout.PrefixClass)
    for number in range(5):
        prefixes.put(layout.Prefix6(64, 0, (ctypes.c_uint8 * 16)(number)), layout.PrefixClass(1))
    found = {fill.name: (fill.entries, fill.room) for fill in counting.fills(maps)}
    assert found["live"] == (9_000, 10_000)
    assert found["prefixes6"][0] == 5
    assert found["flows"][0] == found["prefixes4"][0] == 0
    assert "counters" not in found, "arrays are always full"


def test_what_an_aggregate_had_counted_stays_when_it_goes(maps: dict[str, int]) -> None:
    totals = Map(maps["totals"], ctypes.c_uint32, layout.FlowCounts)
    allowed = layout.FlowKey(action=layout.Action.ALLOW)
    refused = layout.FlowKey(reason=layout.Reason.PROOF_WRONG)
    counts = layout.FlowCounts(
        connections=2, packets_in=3, packets_out=5, bytes_in=7, bytes_out=11, first_seen=1, last_seen=2
    )
    for key in (allowed, allowed, refused):
        totals.put(*counting.added(totals, key, counts))
    assert counting.verdicts(totals, [(allowed, counts)]) == [
        VerdictTotal("Reject", "proof-wrong", 2, 3, 5, 7, 11),
        VerdictTotal("Allow", "policy", 6, 9, 15, 21, 33),
    ]


def test_all_counters_have_names_of_their_own(maps: dict[str, int]) -> None:
    assert counting.counted(maps) == dict.fromkeys(counting.NAMES.values(), 0)
    assert len(set(counting.NAMES.values())) == len(counting.NAMES)
