"""The doctor as root: the datapath with fewer capabilities, a host without a route."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import watchword
from watchword.enforcer import cgroups
from watchword.enforcer.doctor import capabilities

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(watchword.__file__).parents[1])}
WATCHWORD = str(Path(sys.executable).with_name("watchword"))


def left(process: int) -> list[Path]:
    places = (Path("/sys/fs/bpf"), cgroups.mounted())
    return [path for place in places if (path := place / f"watchword-doctor-{process}").exists()]


@pytest.mark.parametrize("missing", ["", "sys_admin", "net_raw"])
def test_the_datapath_installs_with_the_capabilities_that_are_said_to_be_enough(missing: str) -> None:
    """The root of the cgroup tree may be for nobody to write: that takes DAC_OVERRIDE."""
    kept = {name.removeprefix("CAP_").lower() for name in capabilities.EBPF} | {"dac_override"}
    bounding = ",".join(["-all", *(f"+{name}" for name in sorted(kept - {missing}))])
    limits = ["setpriv", f"--bounding-set={bounding}", "--inh-caps=-all", "--no-new-privs"]
    command = [*limits, sys.executable, "-m", "watchword.enforcer.doctor.rehearsal"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as rehearsal:
        _, said = rehearsal.communicate(timeout=60)
    assert (rehearsal.returncode == 0) == (not missing), said
    assert "Traceback" not in said
    assert missing != "net_raw" or "CAP_NET_RAW" in said
    assert left(rehearsal.pid) == []


def test_a_host_without_a_route_is_told_what_to_let_through(tmp_path: Path) -> None:
    settings = tmp_path / "enforcer.toml"
    settings.write_text(f'console = "https://192.0.2.7:7443"\ndata_dir = "{tmp_path}/data"\n')
    command = ["unshare", "--net", WATCHWORD, "doctor", "--json", "--settings", str(settings)]
    profiles = {"WATCHWORD_PROFILES": str(tmp_path / "profiles.toml")}
    done = subprocess.run(command, capture_output=True, text=True, env={**ENVIRONMENT, **profiles}, check=False)
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    found = next(finding for finding in answer["findings"] if finding["name"] == "Console")
    assert found["result"] == "fail"
    assert "unreachable" in found["detail"]
    (allowed,) = answer["allow"]
    assert (allowed["host"], allowed["port"], allowed["protocol"], allowed["reached"]) == (
        "192.0.2.7",
        7443,
        "tcp",
        False,
    )
