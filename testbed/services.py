"""Real programs on simulated hosts: nginx, PostgreSQL and the shop's API.

Each is started inside the host's namespace and cgroup, is ready when its constructor returns, keeps
all its files in the host's directory and stops cleanly. Whether one is ready is read from the kernel's
list of listening sockets and never asked by a connection, which a policy might refuse.
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from testbed.host import Host
from testbed.process import Process
from testbed.shop import SCHEMA

_SOURCE = Path(__file__).parents[1]
#: In the kernel's lists: a TCP socket that listens, a UDP socket without a peer.
_WAITING = {"tcp": "0A", "udp": "07"}


def listens(host: Host, port: int, protocol: str = "tcp") -> bool:
    """Whether a socket of ``tcp`` or ``udp`` waits for whoever comes to ``port`` in the host's namespace."""
    with host.enter():
        lines = [
            line.split()
            for name in (protocol, f"{protocol}6")
            for line in Path(f"/proc/thread-self/net/{name}").read_text().splitlines()[1:]
        ]
    waiting = _WAITING[protocol]
    return any(fields[3] == waiting and int(fields[1].rpartition(":")[2], 16) == port for fields in lines)


class Service:
    """A running program; a context manager that stops it."""

    stop_signal = signal.SIGTERM

    def __init__(self, host: Host, port: int, process: Process) -> None:
        self.host = host
        self.port = port
        self.process = process

    def await_ready(self, timeout: float = 30.0) -> None:
        """Wait until it listens; an end before that is an error with the program's own words."""
        deadline = time.monotonic() + timeout
        while not listens(self.host, self.port):
            if not self.process.running() or time.monotonic() > deadline:
                raise RuntimeError(f"{self.process.command[0]} on {self.host.name} failed: {self.process.output()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ask it to end, and wait; what it started ends with it."""
        if self.process.running():
            self.process.signal(self.stop_signal)
        self.process.stop(grace=20)

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


_NGINX = """
daemon off;
worker_processes 1;
error_log stderr;
pid {directory}/nginx.pid;
events {{}}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen {port};
        listen [::]:{port} ipv6only=on;
        root {directory}/pages;
{locations}
    }}
}}
"""
_LOCATION = """
        location {path} {{
            proxy_pass {upstream};
            proxy_connect_timeout 2s;
        }}
"""


class Nginx(Service):
    """nginx with one page, and other programs behind it.

    ``upstreams`` maps paths to URLs, e.g. ``{"/orders": "http://10.77.2.2:8000"}``.
    """

    def __init__(
        self, host: Host, *, port: int = 80, upstreams: Mapping[str, str] | None = None, cgroup: str = "nginx"
    ) -> None:
        directory = host.directory / f"nginx-{port}"
        (directory / "pages").mkdir(parents=True)
        (directory / "pages/index.html").write_text(f"<h1>{host.name}</h1>\n")
        locations = "".join(
            _LOCATION.format(path=path, upstream=upstream) for path, upstream in (upstreams or {}).items()
        )
        config = directory / "nginx.conf"
        config.write_text(_NGINX.format(directory=directory, port=port, locations=locations))
        command = ["nginx", "-c", str(config), "-e", "stderr"]
        super().__init__(host, port, host.start(command, cgroup=cgroup, log=directory / "nginx.log"))
        self.await_ready()


class Postgres(Service):
    """PostgreSQL with tables; it trusts everybody who can reach it, so that only policy is in between."""

    stop_signal = signal.SIGINT  # "fast shutdown"

    def __init__(self, host: Host, *, port: int = 5432, sql: str = SCHEMA, cgroup: str = "postgres") -> None:
        self._sockets = host.directory / f"postgres-{port}"
        self._sockets.mkdir()
        shutil.chown(self._sockets, "postgres", "postgres")
        self._data = self._sockets / "data"
        programs = _postgres_programs()
        initialise = ["--pgdata", str(self._data), "--auth", "trust", "--no-sync", "--no-instructions"]
        host.run(
            [str(programs / "initdb"), *initialise, "--locale", "C.UTF-8"],
            cgroup=cgroup,
            user="postgres",
            cwd=self._data.parent,
        )
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n")
        settings = {
            "listen_addresses": "*",
            "port": str(port),
            "unix_socket_directories": str(self._sockets),
            "fsync": "off",
            "shared_buffers": "16MB",
            "dynamic_shared_memory_type": "mmap",  # no files in /dev/shm that a SIGKILL would leave
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        # An IPC namespace of its own, for the same reason: its System V segment ends with it.
        become = [
            "unshare",
            "--ipc",
            "--",
            "setpriv",
            "--reuid",
            "postgres",
            "--regid",
            "postgres",
            "--init-groups",
            "--",
        ]
        command = [*become, str(programs / "postgres"), "-D", str(self._data), *options]
        log = self._sockets / "postgres.log"
        super().__init__(host, port, host.start(command, cgroup=cgroup, log=log, cwd=self._sockets))
        self.await_ready()
        self._await_queries()
        if sql:
            self.query(sql)

    def query(self, sql: str) -> str:
        """Run SQL over the Unix socket; the result as unaligned text."""
        where = ["-h", str(self._sockets), "-p", str(self.port), "-U", "postgres"]
        return self.host.run(["psql", *where, "-qAtX", "-v", "ON_ERROR_STOP=1"], input=sql, cwd=self._sockets).stdout

    def _await_queries(self) -> None:
        """It listens before it has finished starting; wait for the rest."""
        check = ["pg_isready", "-h", str(self._sockets), "-p", str(self.port)]
        deadline = time.monotonic() + 30
        while self.host.run(check, check=False).returncode != 0:
            if not self.process.running() or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL on {self.host.name} failed: {self.process.output()}")
            time.sleep(0.05)


def _postgres_programs() -> Path:
    """Debian keeps the server's programs out of the path, by version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    return found[-1].parent


class Shop(Service):
    """The shop's API in front of a database; see :mod:`testbed.shop`."""

    def __init__(
        self, host: Host, *, database: str, database_port: int = 5432, port: int = 8000, cgroup: str = "shop"
    ) -> None:
        command = [sys.executable, "-m", "testbed.shop", "--port", str(port)]
        command += ["--database", database, "--database-port", str(database_port)]
        super().__init__(host, port, host.start(command, cgroup=cgroup, cwd=_SOURCE))
        self.await_ready()
