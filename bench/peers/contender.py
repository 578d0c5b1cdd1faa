"""What every contender has in common: programs on both hosts, and where the load generator finds the server then."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.fenced import PORT, PORTS, FencedPair
from bench.generator import LOADGEN
from testbed import Process

#: The cgroup of a contender's programs on each host.
GROUP = "peer"
_PATIENCE = 15.0


class NotInstalledError(RuntimeError):
    """A program that is to be measured is not there."""


@dataclass(frozen=True, slots=True)
class Legs:
    """Where a pair of proxies listens; no two pairs share anything, for all of them run at the same time.

    ``local``: the client's proxy, an address of the loopback. ``encrypted``: port of a service -> port at which the
    server's proxy takes connections for it.
    """

    local: str
    encrypted: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Target:
    """Where the client's load goes: requests to ``ports`` ports from ``PORT`` on, streams to ``STREAM_PORT``."""

    address: str
    ports: int = PORTS


def program(name: str, package: str) -> str:
    """Where a program is. Raises :class:`NotInstalledError`, which says what to install."""
    found = shutil.which(name)
    if found is None:
        raise NotInstalledError(f"{name} is not installed: apt-get install {package} (make setup does)")
    return found


def debian_version(package: str) -> str:
    """The version of an installed Debian package."""
    command = ["dpkg-query", "--show", "--showformat=${Version}", package]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def resident_mb(status: str) -> float:
    """The resident memory that ``/proc/PID/status`` tells, in MB."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    if found is None:
        raise RuntimeError("a program that is to be weighed has ended")
    return int(found.group(1)) * 1024 / 1e6


class Contender(ABC):
    """A product between client and server. ``caller`` is who the client proves to be; the server lets in ``client``."""

    name: str

    def __init__(self, pair: FencedPair, caller: str = "client") -> None:
        self.pair, self.caller = pair, caller
        self.processes: list[Process] = []

    @abstractmethod
    def version(self) -> str:
        """What is measured, exactly. Raises :class:`NotInstalledError`."""

    @abstractmethod
    def start(self) -> Target:
        """Start the programs on both hosts; nothing needs to work yet."""

    def stop(self) -> None:
        """End the programs, the client's first."""
        while self.processes:
            self.processes.pop().stop()

    def rss_mb(self) -> float:
        """Resident memory on the host that uses more."""
        self.check()
        return max(resident_mb(Path(f"/proc/{each.pid}/status").read_text()) for each in self.processes)

    def check(self) -> None:
        """Raise :class:`RuntimeError` with what a program said if it has ended."""
        for each in self.processes:
            if not each.running():
                raise RuntimeError(f"{each.command[0]} ended with {each.returncode}: {each.output()[-1500:]}")

    def settings(self, side: str, text: str) -> Path:
        """A file with one side's settings."""
        path = self.directory(side) / f"{self.name}-{side}.conf"
        path.write_text(text)
        return path

    def directory(self, side: str) -> Path:
        """The directory of a host, removed with it."""
        return (self.pair.client if side == "client" else self.pair.server).directory

    def wait(self, target: Target, patience: float = _PATIENCE) -> None:
        """Wait until an exchange succeeds. Raises :class:`RuntimeError` with what the programs have to say."""
        deadline = time.monotonic() + patience
        while not exchanges(self.pair, target):
            self.check()
            if time.monotonic() > deadline:
                said = "\n".join(each.output()[-1500:] for each in self.processes)
                raise RuntimeError(f"{self.name}: nothing gets through\n{said}")
            time.sleep(0.05)
        self.check()


def exchanges(pair: FencedPair, target: Target, timeout_ms: int = 500) -> bool:
    """Whether requests of a moment are answered, one at a time and all of them."""
    command = f"connect --address {target.address} --port {PORT} --inflight 1 --seconds 0.05 --timeout-ms {timeout_ms}"
    found = json.loads(pair.client.run([str(LOADGEN), *command.split()], cgroup="unit").stdout.splitlines()[-1])
    return bool(found["connections"]) and not found["failures"]
