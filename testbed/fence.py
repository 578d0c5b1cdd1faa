"""A datapath alone on a simulated host: no agent, no Console, tables made by hand.

The one module of the testbed that knows Watchword. The datapath lives in a process of its own inside
the host, as it does in production; calls reach it over a Unix socket.

    with Fence(host) as fence:
        fence.place(Placement("web", str(host.subgroup("web"))))
        fence.call("apply", tables)
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Client, Connection, Listener, wait
from pathlib import Path
from types import TracebackType
from typing import Any

from testbed.host import Host
from testbed.process import Process
from watchword.enforcer.datapath.base import Event, PeerKeys
from watchword.enforcer.datapath.ebpf.datapath import EbpfDatapath
from watchword.policy.tables import LocalUnit, Peer, Tables, Verdict, VerdictKey

_AUTH = b"testbed"


class Fence:
    """A datapath on ``host``; pins and cgroup are the host's own. ``sizes`` are those of its kernel tables."""

    def __init__(self, host: Host, sizes: Mapping[str, int] | None = None) -> None:
        self.host, self.sizes = host, dict(sizes or {})
        self._process: Process | None = None
        self._connection: Connection[Any, Any] | None = None
        self.start()

    def start(self, code: Path | None = None) -> None:
        """Start the process, or start it again after :meth:`kill`; ``code`` is where another version is unpacked."""
        address = self.host.directory / "fence.sock"
        address.unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "testbed.fence",
            str(address),
            str(self.host.cgroup),
            str(self.host.make_pins()),
            *(f"{name}={size}" for name, size in self.sizes.items()),
        ]
        environment = {"PYTHONPATH": str(code)} if code else {}
        self._process = self.host.start(command, cgroup="agent", env=environment)
        deadline = time.monotonic() + 30
        while True:
            try:
                self._connection = Client(str(address), "AF_UNIX", authkey=_AUTH)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if not self._process.running() or time.monotonic() > deadline:
                    raise RuntimeError(f"no datapath on {self.host.name}:\n{self._process.output()}") from None
                time.sleep(0.01)
        self.call("install")

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method of the datapath in its process; its exceptions are raised here."""
        self.begin(method, *arguments)
        return self.end()

    def begin(self, method: str, *arguments: object) -> None:
        """Call a method and do not wait for it."""
        if self._connection is None:
            raise RuntimeError(f"the datapath on {self.host.name} has no process")
        self._connection.send((method, arguments))

    def end(self) -> Any:
        """What came of the call that was begun."""
        if self._connection is None:
            raise RuntimeError(f"the datapath on {self.host.name} has no process")
        failed, result = self._connection.recv()
        if failed:
            raise result
        return result

    @property
    def pid(self) -> int:
        """Process ID of the agent's stand-in."""
        if self._process is None:
            raise RuntimeError(f"the datapath on {self.host.name} has no process")
        return self._process.pid

    def kill(self) -> None:
        """End the process the hard way; the kernel goes on deciding."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process = None

    def close(self) -> None:
        """Remove everything from the kernel and end the process."""
        if self._process is None:
            self.start()
        self.call("uninstall")
        self.kill()

    def __enter__(self) -> Fence:
        """Itself; installed already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Uninstall."""
        self.close()


def tables(
    revision: int,
    units: Mapping[str, int],
    peers: Mapping[int, str],
    verdicts: Mapping[VerdictKey, Verdict] | None = None,
    prefixes: Mapping[str, int] | None = None,
    default: str = "Reject",
    names: Mapping[str, int] | None = None,
) -> Tables:
    """Tables with one class for each badge, equal to the badge.

    ``units`` is native ID to badge, ``peers`` badge to Enforcer. Every default of every unit is
    ``default``.
    """
    decided = dict(verdicts or {})
    for badge in units.values():
        for direction in ("in", "out"):
            action = "Allow" if default == "Allow" else "Reject"
            decided.setdefault(VerdictKey(badge, 0, direction, 255, 0), Verdict(action))  # type: ignore[arg-type]
    reachable = {(badge, 255, 0) for badge in units.values()}
    return Tables(
        revision,
        {name: LocalUnit(name, name, badge, badge) for name, badge in units.items()},
        {badge: Peer(badge, enforcer, badge) for badge, enforcer in peers.items()},
        dict(prefixes or {}),
        names=dict(names or {}),
        verdicts=decided,
        reachable=frozenset(reachable),
    )


def allowed(local: int, peer: int, direction: str) -> dict[VerdictKey, Verdict]:
    """One verdict: Allow, every protocol and port."""
    return {VerdictKey(local, peer, direction, 255, 0): Verdict("Allow", "test")}  # type: ignore[arg-type]


def pair(own: str, peer: str, key: bytes, epochs: Sequence[int] = (1,)) -> PeerKeys:
    """The same key for all epochs."""
    del own
    return PeerKeys(peer, {(mine, theirs): key for mine in epochs for theirs in epochs})


def _serve(address: str, cgroup_root: str, pins: str, *sizes: str) -> None:
    root = Path(cgroup_root)
    chosen = {name: int(size) for name, _, size in (each.partition("=") for each in sizes)}
    datapath = EbpfDatapath(root, Path(pins) / "watchword", root / "agent", chosen)
    events: list[Event] = []
    with Listener(address, "AF_UNIX", authkey=_AUTH) as listener, listener.accept() as connection:
        ring: int | None = None
        while True:
            ready = wait([connection] if ring is None else [connection, ring])
            if ring in ready:
                datapath.poll()
            if connection not in ready:
                continue
            try:
                method, arguments = connection.recv()
            except EOFError:
                return
            try:
                if method == "events":
                    connection.send((False, list(events)))
                    continue
                result = getattr(datapath, method)(*arguments)
                if method == "install":
                    ring = datapath.watch(events.append)
                elif method == "uninstall":
                    ring = None
                connection.send((False, result))
            except Exception as error:  # every failure belongs to the caller
                connection.send((True, error))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _serve(*sys.argv[1:])
