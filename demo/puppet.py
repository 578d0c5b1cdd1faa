"""Telling a workload's puppet what to do: the near end of :mod:`demo.programs.puppet`."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed import Host, Process

SOURCE = Path(__file__).parents[1]

Target = tuple[str, int]


@dataclass(frozen=True)
class Attempt:
    """What became of one thing a workload tried. ``why`` is empty when it worked."""

    ok: bool
    why: str
    answer: dict[str, Any]

    def __bool__(self) -> bool:
        return self.ok


class Puppet:
    """A process in one workload of a host, at our command."""

    def __init__(self, host: Host, name: str, process: Process) -> None:
        self.host = host
        self.process = process
        self._socket = _socket(host, name)
        deadline = time.monotonic() + 30
        while not self._socket.exists():
            if not process.running() or time.monotonic() > deadline:
                raise RuntimeError(f"{process.command} on {host.name}: {process.output()}")
            time.sleep(0.02)

    @classmethod
    def start(cls, host: Host, name: str, cgroup: str) -> Puppet:
        """Start one in a cgroup of the host: as a further process of the workload that lives there."""
        return cls(host, name, host.start(puppet_command(host, name), cgroup=cgroup, cwd=SOURCE))

    # -- commands

    def connect(self, address: str, port: int, timeout: float = 1.5) -> Attempt:
        """Open one TCP connection."""
        return self._tell("connect", address=address, port=port, timeout=timeout)

    def scan(self, targets: Sequence[Target], timeout: float = 1.5) -> list[Target]:
        """Which of the targets take a connection."""
        answer = self._ask("scan", targets=targets, timeout=timeout)
        return [(address, port) for address, port in answer["open"]]

    def sql(self, address: str, statement: str, timeout: float = 1.5) -> Attempt:
        """Run one statement on the database at ``address``."""
        return self._tell("sql", address=address, statement=statement, timeout=timeout)

    def http(self, url: str, timeout: float = 5.0) -> Attempt:
        """Fetch one page."""
        return self._tell("http", url=url, timeout=timeout)

    @contextlib.contextmanager
    def hold(self, address: str, *, busy: bool) -> Iterator[HeldConnection]:
        """Keep a database connection open, idle or busy, and learn when it breaks."""
        with self._talk("hold", address=address, busy=busy, timeout=5.0) as lines:
            first = _next(lines)
            if first["event"] != "live":
                raise ConnectionError(f"{self.host.name} cannot open a database connection: {first['why']}")
            yield HeldConnection(lines)

    @contextlib.contextmanager
    def knock(self, targets: Sequence[Target], *, timeout: float = 0.1, pause: float = 0.02) -> Iterator[Knocking]:
        """Try all targets again and again for as long as the block runs."""
        with self._talk("knock", targets=targets, timeout=timeout, pause=pause) as lines:
            _next(lines)
            knocking = Knocking()
            yield knocking
            lines.write(b"stop\n")
            lines.flush()
            last = _next(lines)
            knocking.attempts, knocking.entered, knocking.why = last["attempts"], last["entered"], last["why"]

    # -- the wire

    def _tell(self, do: str, **arguments: object) -> Attempt:
        answer = self._ask(do, **arguments)
        return Attempt(answer["ok"], answer["why"], answer)

    def _ask(self, do: str, **arguments: object) -> dict[str, Any]:
        with self._talk(do, **arguments) as lines:
            return _next(lines)

    @contextlib.contextmanager
    def _talk(self, do: str, **arguments: object) -> Iterator[Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(self._socket))
            with connection.makefile("rwb") as lines:
                lines.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
                lines.flush()
                yield lines


class HeldConnection:
    """A live database connection of a workload."""

    def __init__(self, lines: Any) -> None:
        self._lines = lines

    def broke(self) -> tuple[float, str]:
        """Wait until it breaks: when (``time.monotonic()``) and how the application saw it."""
        event = _next(self._lines)
        return event["at"], event["why"]


@dataclass
class Knocking:
    """How often somebody knocked, and got in. Filled when it is over."""

    attempts: int = 0
    entered: int = 0
    why: dict[str, int] | None = None


def puppet_command(host: Host, name: str) -> list[str]:
    """The command line of the puppet ``name`` of a host."""
    return [sys.executable, "-m", "demo.programs.puppet", str(_socket(host, name))]


def _socket(host: Host, name: str) -> Path:
    return host.directory / f"{name}.puppet"


def _next(lines: Any) -> dict[str, Any]:
    line = lines.readline()
    if not line:
        raise RuntimeError("the puppet broke off without an answer")
    answer: dict[str, Any] = json.loads(line)
    return answer
