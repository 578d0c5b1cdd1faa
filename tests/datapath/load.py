"""The compiled load generator on simulated hosts: programs that hold, make and flood connections."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from testbed import Host, Process

_SOURCE = Path(__file__).parents[2] / "bench" / "loadgen"
PROGRAM = _SOURCE / "build" / "loadgen"


def build() -> None:
    """Compile the load generator if it is not."""
    subprocess.run(["make", "-s", "-C", str(_SOURCE)], check=True)


def start(host: Host, mode: str, cgroup: str = "app", **options: object) -> Process:
    """Start one mode of the load generator on a host, in its unit."""
    arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    return host.start([str(PROGRAM), mode, *arguments], cgroup=cgroup)


def ready(process: Process, timeout: float = 30.0) -> None:
    """Wait until a server listens, or all connections of ``hold`` stand."""
    deadline = time.monotonic() + timeout
    while "ready" not in process.output():
        assert process.running(), process.output()
        assert time.monotonic() < deadline, f"not ready after {timeout} s: {process.output()}"
        time.sleep(0.01)


def hold(
    client: Host,
    server: Host,
    port: int,
    connections: int = 50,
    interval_ms: int = 50,
    timeout_ms: int = 15000,
    seconds: int = 120,
) -> Process:
    """Open connections from one host to another and ask on each again and again; they stand on return."""
    holding = start(
        client,
        "hold",
        address=server.ipv4,
        port=port,
        connections=connections,
        interval_ms=interval_ms,
        timeout_ms=timeout_ms,
        seconds=seconds,
    )
    ready(holding)
    return holding


def call(client: Host, server: Host, port: int, *, rate: int, inflight: int, seconds: int) -> Process:
    """Make new connections from one host to another, ``rate`` a second and at most ``inflight`` at once."""
    return start(
        client,
        "connect",
        address=server.ipv4,
        port=port,
        rate=rate,
        inflight=inflight,
        seconds=seconds,
        timeout_ms=15000,
    )


def result(process: Process, stop: bool = False, timeout: float = 60.0) -> dict[str, Any]:
    """What it reports at its end."""
    if stop:
        process.signal(signal.SIGINT)
    process.wait(timeout)
    lines = [line for line in process.output().splitlines() if line.startswith("{")]
    assert lines, process.output()
    found: dict[str, Any] = json.loads(lines[-1])
    return found
