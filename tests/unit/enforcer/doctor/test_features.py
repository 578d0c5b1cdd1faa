"""The probes of the `ebpf` datapath, on the machine that runs the tests: they find what is there."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest

from watchword.enforcer import cgroups
from watchword.enforcer.doctor import features as probes
from watchword.enforcer.doctor import needs
from watchword.enforcer.errors import SettingsError


@pytest.mark.parametrize("probe", probes.PROBES, ids=lambda probe: probe.__name__)
def test_every_failure_has_a_remedy(probe: object) -> None:
    assert callable(probe)
    finding = probe()
    assert finding.name
    assert finding.detail
    assert finding.result in ("pass", "degraded", "fail", "skip")
    assert finding.remedy or finding.result != "fail"


def test_an_old_kernel_fails_by_what_it_lacks_and_not_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    for release, result in (
        ("4.19.0-27-amd64", "degraded"),
        ("5.9.0-1-amd64", "degraded"),
        ("5.10.0-32-amd64", "pass"),
    ):
        monkeypatch.setattr(platform, "release", lambda release=release: release)
        assert probes.kernel().result == result


SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 1); __type(key, int); __type(value, int); }
seen SEC(".maps");
static __attribute__((noinline)) int helped(struct __sk_buff *skb) { return skb->len > 64; }
SEC("tc") int tail(struct __sk_buff *skb) { return bpf_skb_change_tail(skb, 64, 0) + helped(skb); }
SEC("cgroup_skb/ingress") int look(struct __sk_buff *skb) { int k = 0; return bpf_map_lookup_elem(&seen, &k) != 0; }
char LICENSE[] SEC("license") = "GPL";
"""


def test_what_the_programs_need_is_read_from_them(tmp_path: Path) -> None:
    (tmp_path / "sample.bpf.c").write_text(SOURCE)
    include = f"/usr/include/{platform.machine()}-linux-gnu"
    command = ["clang", "-O2", "-g", "-target", "bpfel", "-mcpu=v3", "-idirafter", include, "-c", "sample.bpf.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    library = probes._libbpf()
    assert library is not None
    wanted = needs.of_objects(library, [tmp_path / "sample.bpf.o"])
    assert wanted == needs.Needs(frozenset({3, 8}), frozenset({9}), frozenset({(3, 38), (8, 1)}))
    (tmp_path / "damaged.bpf.o").write_bytes(b"nonsense")
    with pytest.raises(OSError, match="damaged"):
        needs.of_objects(library, [tmp_path / "damaged.bpf.o"])


def needing(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    nothing: dict[str, Any] = {"programs": frozenset(), "maps": frozenset(), "helpers": frozenset()}
    wanted = needs.Needs(**{**nothing, **changes})
    library = probes._libbpf()
    assert library is not None
    needs._declare(library)
    monkeypatch.setattr(needs, "of_objects", lambda *_: wanted)


def test_a_feature_the_kernel_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    needing(monkeypatch, programs=frozenset({8, 9999}))
    finding = probes.program_types()
    assert finding.result == "fail"
    if os.geteuid() == 0:
        assert "program type 9999" in finding.detail
        assert "cgroup_skb" not in finding.detail


def test_a_helper_the_kernel_lacks_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    needing(monkeypatch, helpers=frozenset({(3, 38), (8, 38)}))
    finding = probes.helpers()
    assert finding.result == "fail"
    if os.geteuid() == 0:
        assert finding.detail == "the kernel lacks helper 38 in cgroup_skb"


def test_without_the_library_nothing_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_libbpf", lambda: None)
    assert probes.libbpf().result == "fail"
    assert {probe().result for probe in (probes.program_types, probes.map_types, probes.helpers)} == {"skip"}


def left_by_rehearsals() -> set[str]:
    places = [Path("/sys/fs/bpf")]
    with contextlib.suppress(SettingsError):  # a machine without cgroup v2 has no such place
        places.append(cgroups.mounted())
    readable = [place for place in places if os.access(place, os.R_OK)]
    return {str(path) for place in readable for path in place.glob("watchword-doctor-*")}


def test_the_rehearsal_leaves_nothing_behind() -> None:
    before = left_by_rehearsals()
    probes.datapath()
    assert left_by_rehearsals() <= before
