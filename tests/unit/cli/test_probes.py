"""The probes of `watchword doctor`, on the machine that runs the tests: they find what is there."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from watchword.cli import needs, probes
from watchword.enforcer import cgroups
from watchword.enforcer.errors import SettingsError


@pytest.mark.parametrize("probe", probes.PROBES, ids=lambda probe: probe.__name__)
def test_every_failure_has_a_remedy(probe: object) -> None:
    assert callable(probe)
    finding = probe()
    assert finding.name
    assert finding.detail
    assert finding.result in ("pass", "FAIL", "skip")
    assert finding.remedy or finding.result != "FAIL"


def test_an_old_kernel_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "release", lambda: "4.19.0-27-amd64")
    assert probes.kernel().result == "FAIL"
    monkeypatch.setattr(platform, "release", lambda: "5.10.0-32-amd64")
    assert probes.kernel().result == "pass"
    monkeypatch.setattr(platform, "release", lambda: "6.1-custom+")
    assert probes.kernel().result == "pass"


def test_what_the_programs_need_is_read_from_them() -> None:
    library = probes._libbpf()
    assert library is not None
    wanted = needs.of_objects(library, probes.objects())
    assert wanted.programs >= {3, 8, 18}, "sched_cls, cgroup_skb, cgroup_sock_addr"
    assert 27 in wanted.maps, "ring buffer"
    assert {(3, 1), (8, 1), (18, 1)} <= wanted.helpers, "all of them look something up"
    assert {kind for kind, _helper in wanted.helpers} <= wanted.programs


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
    assert finding.result == "FAIL"
    if os.geteuid() == 0:
        assert "program type 9999" in finding.detail
        assert "cgroup_skb" not in finding.detail


def test_a_helper_the_kernel_lacks_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    needing(monkeypatch, helpers=frozenset({(3, 38), (8, 38)}))
    finding = probes.helpers()
    assert finding.result == "FAIL"
    if os.geteuid() == 0:
        assert finding.detail == "the kernel lacks helper 38 in cgroup_skb"


def test_without_the_library_nothing_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_libbpf", lambda: None)
    assert probes.libbpf().result == "FAIL"
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


def test_a_process_without_capabilities_is_told_so() -> None:
    """As nobody, in a process of its own."""
    code = (
        "import os\nif os.geteuid() == 0:\n"
        "    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "from watchword.cli.probes import capabilities; print(capabilities().result)"
    )
    source = str(Path(probes.__file__).parent.parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r})\nimport watchword.cli.probes\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "FAIL"
