"""Simulated machines: one network namespace plus one cgroup v2 subtree each, with programs and sockets in them.

Knows nothing of links: what connects machines is built on top.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed import cgroup, namespace
from testbed.process import Process, command_inside

# Set for every namespace: nothing is sent or refused that a test did not ask for.
_QUIET = {
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/all/accept_ra": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/router_solicitations": "0",
}


class Machine:
    """A simulated machine without connections.

    ``net`` is the name of its network namespace, ``cgroup`` its cgroup directory, ``directory`` a
    place for its files and ``pins`` its own directory on the bpf file system (made on request by
    :meth:`make_pins`). All of it is removed with the bed.
    """

    forwards = False

    def __init__(self, name: str, net: str, group: Path, directory: Path, pins: Path) -> None:
        self.name = name
        self.net = net
        self.cgroup = group
        self.directory = directory
        self.pins = pins
        self.processes: list[Process] = []
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._log_numbers = itertools.count(1)

    def create(self) -> None:
        """Make namespace, cgroup and directory; bring ``lo`` up."""
        self.directory.mkdir()
        self.directory.chmod(0o755)  # whatever the umask: programs of other users live below
        cgroup.create(self.cgroup)
        namespace.create(self.net)
        with self.enter():
            for key, value in _QUIET.items():
                Path("/proc/sys", key).write_text(value)
        namespace.configure(self.net, ["link set lo up"])

    def route(self, network: str, via: str) -> None:
        """Add a route, IPv4 or IPv6."""
        family = "-6 " if ":" in via else ""
        self.run(["sh", "-c", f"ip {family}route add {network} via {via}"])

    def sysctl(self, key: str, value: str | int) -> None:
        """Set a sysctl of this host's network namespace, e.g. ``net.ipv4.tcp_syncookies``."""
        with self.enter():
            Path("/proc/sys", key.replace(".", "/")).write_text(str(value))

    # -- processes

    def subgroup(self, name: str) -> Path:
        """The cgroup ``name`` (may have several levels) below the host's, created if missing."""
        path = self.cgroup / name if name else self.cgroup
        cgroup.create(path)
        return path

    def run(
        self,
        command: Sequence[str],
        *,
        check: bool = True,
        timeout: float = 60.0,
        input: str | None = None,
        cgroup: str = "",
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end inside the host; returns what ``subprocess.run`` returns.

        ``cgroup`` names a group below the host's, made if missing. ``env`` is added to the
        environment.
        """
        with subprocess.Popen(
            command_inside(self.net, self.subgroup(cgroup), command, user),
            stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env} if env else None,
            cwd=cwd,
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(input, timeout)
            except BaseException:
                process.kill()
                raise
        if check and process.returncode != 0:
            raise RuntimeError(f"{list(command)} on {self.name} ended with {process.returncode}: {errors.strip()}")
        return subprocess.CompletedProcess(list(command), process.returncode, output, errors)

    def start(
        self,
        command: Sequence[str],
        *,
        log: Path | None = None,
        cgroup: str = "",
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Process:
        """Start a program inside the host; it is killed with the bed.

        ``cgroup`` names a group below the host's, made if missing. ``env`` is added to the
        environment. Returns once the process is in its namespace and cgroup.
        """
        if log is None:
            log = self.directory / f"{next(self._log_numbers)}-{Path(command[0]).name}.log"
        process = Process(self.net, self.subgroup(cgroup), command, log=log, user=user, env=env, cwd=cwd)
        self.processes.append(process)
        return process

    # -- sockets of the test process

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Switch the calling thread into the host's network namespace; never ``await`` inside."""
        with namespace.entered(self.net):
            yield

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of the *test process* inside the host's network namespace.

        It belongs to the cgroup of the test process, not to the host's subtree, so a datapath sees
        it as a socket of nobody on the host. Where the cgroup matters, use :meth:`start` or
        :meth:`run`. Sockets left open are closed with the bed.
        """
        with self.enter():
            made = socket.socket(family, kind, protocol)
        self._sockets.add(made)
        return made

    # -- life

    def make_pins(self) -> Path:
        """The host's own directory on the bpf file system, created if missing."""
        self.pins.mkdir(parents=True, exist_ok=True)
        return self.pins

    def shut(self) -> None:
        """Kill every process of the host, reap those started from here, close its sockets."""
        for left in list(self._sockets):
            left.close()
        cgroup.kill(self.cgroup)
        for process in self.processes:
            if process.running():  # has moved itself out of the host's cgroup
                process.kill()

    def net_inode(self) -> int:
        """The number of the host's network namespace."""
        return namespace.inode(self.net)
