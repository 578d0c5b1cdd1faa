"""A process inside a workload that does what it is told: ``python -m demo.programs.puppet SOCKET``.

One command a connection, as a JSON line on a Unix socket; the answers are JSON lines. It uses the
network as any program of that workload would, and reports its own success and failure:

``connect`` and ``scan`` open TCP connections; ``sql`` and ``http`` use them; ``hold`` keeps a database
connection and says when it broke; ``knock`` tries targets again and again until told to stop. Times are
those of ``time.monotonic()``, which all processes of a machine share.
"""

from __future__ import annotations

import contextlib
import errno
import json
import select
import socket
import socketserver
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from testbed.postgres_client import PostgresConnection, PostgresError

_BUSY_PAUSE = 0.005


def why(error: BaseException) -> str:
    """An error in a word: its errno's name where it has one."""
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError):
        error = error.reason
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return errno.errorcode[error.errno]
    return f"{type(error).__name__}: {error}"


def connect(address: str, port: int, timeout: float) -> dict[str, Any]:
    """Open one connection and close it."""
    began = time.monotonic()
    try:
        socket.create_connection((address, port), timeout).close()
    except OSError as error:
        return {"ok": False, "why": why(error), "seconds": time.monotonic() - began}
    return {"ok": True, "why": "", "seconds": time.monotonic() - began}


def scan(targets: list[tuple[str, int]], timeout: float) -> dict[str, Any]:
    """Open a connection to every target, all at once."""
    with ThreadPoolExecutor(len(targets)) as threads:
        results = list(threads.map(lambda target: connect(target[0], target[1], timeout), targets))
    found = [target for target, result in zip(targets, results, strict=True) if result["ok"]]
    return {"open": found, "why": sorted({result["why"] for result in results if not result["ok"]})}


def sql(address: str, statement: str, timeout: float) -> dict[str, Any]:
    """Run one statement as the database's superuser."""
    try:
        with PostgresConnection(address, 5432, user="postgres", database="postgres", timeout=timeout) as connection:
            return {"ok": True, "rows": connection.query(statement), "why": ""}
    except (OSError, PostgresError) as error:
        return {"ok": False, "rows": [], "why": why(error)}


def http(url: str, timeout: float) -> dict[str, Any]:
    """Fetch one page."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return {"ok": True, "status": answer.status, "body": answer.read().decode(), "why": ""}
    except urllib.error.HTTPError as error:
        return {"ok": False, "status": error.code, "body": error.read().decode(errors="replace"), "why": str(error)}
    except OSError as error:
        return {"ok": False, "status": 0, "body": "", "why": why(error)}


class Conversation(socketserver.StreamRequestHandler):
    """One command and its answers."""

    def handle(self) -> None:
        """Read the command, carry it out."""
        line = self.rfile.readline()
        if not line:
            return
        command = json.loads(line)
        name = command.pop("do")
        with contextlib.suppress(BrokenPipeError):  # whoever asked has lost interest
            if name in ("hold", "knock"):
                getattr(self, name)(**command)
            else:
                self._say(**_SIMPLE[name](**command))

    def hold(self, address: str, busy: bool, timeout: float) -> None:
        """Keep a database connection, idle or asking all the time; say when it stands and when it broke."""
        try:
            connection = PostgresConnection(address, 5432, user="postgres", database="postgres", timeout=timeout)
        except (OSError, PostgresError) as error:
            self._say(event="refused", why=why(error))
            return
        with connection:
            connection.query("select 1")
            self._say(event="live")
            try:
                ended = self._ask(connection) if busy else self._wait(connection)
            except (OSError, PostgresError) as error:
                self._say(event="cut", at=time.monotonic(), why=why(error))
            else:
                if not ended:
                    self._say(event="cut", at=time.monotonic(), why="closed")

    def _ask(self, connection: PostgresConnection) -> bool:
        while not self._told_to_stop(_BUSY_PAUSE):
            connection.query("select 1")
        return True

    def _wait(self, connection: PostgresConnection) -> bool:
        ready, _, _ = select.select([connection, self.connection], [], [])
        if connection not in ready:
            return True
        connection.query("select 1")  # the server says nothing by itself: this is how an application sees the end
        return False

    def knock(self, targets: list[tuple[str, int]], timeout: float, pause: float) -> None:
        """Try all targets again and again until told to stop; then say how often, and how often it worked."""
        outcomes = Counter[str]()
        self._say(event="knocking")
        with ThreadPoolExecutor(len(targets)) as threads:
            while not self._told_to_stop(pause):
                for result in threads.map(lambda target: connect(target[0], target[1], timeout), targets):
                    outcomes[result["why"]] += 1
        entered = outcomes.pop("", 0)
        self._say(event="stopped", attempts=outcomes.total() + entered, entered=entered, why=outcomes)

    def _told_to_stop(self, within: float) -> bool:
        return bool(select.select([self.connection], [], [], within)[0])

    def _say(self, **answer: object) -> None:
        self.wfile.write(json.dumps(answer).encode() + b"\n")


_SIMPLE: dict[str, Callable[..., dict[str, Any]]] = {"connect": connect, "scan": scan, "sql": sql, "http": http}


class Server(socketserver.ThreadingUnixStreamServer):
    """Listens for commands."""

    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    with Server(sys.argv[1], Conversation) as server:
        server.serve_forever()
