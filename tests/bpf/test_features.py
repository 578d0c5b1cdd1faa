"""What a kernel lacks is found by trying, and named to whoever starts an Enforcer there. True on every kernel."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import cgroup
from testbed.remains import ensure_bpffs
from watchword.enforcer.datapath.base import FeatureMissing
from watchword.enforcer.datapath.ebpf import features
from watchword.enforcer.datapath.ebpf.datapath import EbpfDatapath
from watchword.enforcer.datapath.ebpf.features import CGROUP_SKB, Instruction


@pytest.fixture
def datapath() -> Iterator[EbpfDatapath]:
    """One for an empty cgroup; nothing of it is attached, for it gets no tables."""
    ensure_bpffs()
    name = f"watchword-test-{secrets.token_hex(4)}"
    pins, group = Path("/sys/fs/bpf") / name, cgroup.root() / name
    group.mkdir()
    yield EbpfDatapath(group, pins)
    shutil.rmtree(pins, ignore_errors=True)
    group.rmdir()


def test_the_datapath_loads_where_nothing_is_missing_and_says_what_is_elsewhere(datapath: EbpfDatapath) -> None:
    missing = list(features.lacking())
    if not missing:
        datapath.install()
        datapath.uninstall()
        return
    with pytest.raises(FeatureMissing) as refused:
        datapath.install()
    assert refused.value.feature == ", ".join(missing)
    assert "Linux 5.10 or later" in refused.value.remedy


def test_what_no_kernel_has_is_missing() -> None:
    exiting = (Instruction(0xB7, 0, 0, 0), Instruction(0x95))
    assert features.takes(exiting)
    assert not features.takes((Instruction(0xDB, 10, -8, 0x7E), *exiting))  # an atomic operation without a meaning
    assert features.lets_call(CGROUP_SKB, 1)  # bpf_map_lookup_elem
    assert not features.lets_call(CGROUP_SKB, 100_000)
