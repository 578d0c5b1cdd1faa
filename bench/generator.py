"""The compiled load generator as the benchmarks use it: built once, run on a simulated host, its report read."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from testbed import Host

LOADGEN = Path(__file__).parent / "loadgen" / "build" / "loadgen"


def build_loadgen() -> None:
    """Compile the load generator if it is not."""
    subprocess.run(["make", "-s", "-C", str(LOADGEN.parents[1])], check=True)


def report(host: Host, *arguments: str, cgroup: str = "unit", timeout: float = 60.0) -> dict[str, Any]:
    """Run the load generator's client on a host to its end; its report. Any failure is an error."""
    output = host.run([str(LOADGEN), *arguments], cgroup=cgroup, timeout=timeout).stdout
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    if found.get("failures"):
        raise RuntimeError(f"connections failed during a measurement: {found['failures']}")
    return found
