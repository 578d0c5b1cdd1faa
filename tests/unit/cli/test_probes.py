"""The probes of `watchword doctor`, on the machine that runs the tests: they find what is there."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from watchword.cli import probes
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


def test_a_feature_the_kernel_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_PROGRAMS", {**probes._PROGRAMS, "made_up": 9999})
    finding = probes.programs()
    assert finding.result == "FAIL"
    assert "made_up" in finding.detail


def test_a_helper_the_kernel_lacks_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_HELPERS", {"change_tail in cgroup_skb": (8, 38)})
    finding = probes.helpers()
    assert finding.result == "FAIL"
    assert "change_tail in cgroup_skb" in finding.detail


def test_without_the_library_nothing_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_libbpf", lambda: None)
    assert probes.libbpf().result == "FAIL"
    assert {probe().result for probe in (probes.programs, probes.maps, probes.helpers)} == {"skip"}


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
