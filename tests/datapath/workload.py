"""Sockets of a processing unit, in the hands of a test.

A small process inside the unit's cgroup and network namespace makes each socket, connects or binds it, and
passes its descriptor out. From then on the test sends, receives and closes, without starting a program for
each connection. To the kernel the socket is the unit's: its cgroup is settled when it is made.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from testbed import Host

ROOT = Path(__file__).parents[2]

#: (level, name, value): a socket option to be set before the socket is bound or connected.
SocketOption = tuple[int, int, int | bytes]


class Workload:
    """One process of a unit; everything it makes is closed with the host."""

    def __init__(self, host: Host, group: str = "app", name: str = "") -> None:
        self.host, self.group = host, group
        path = host.directory / f"workload-{name or group.replace('/', '-')}.sock"
        self.process = host.start([sys.executable, "-m", __spec__.name, str(path)], cgroup=group, cwd=ROOT)
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        deadline = time.monotonic() + 30
        while True:
            try:
                self._control.connect(str(path))
                return
            except OSError:
                if not self.process.running() or time.monotonic() > deadline:
                    self._control.close()
                    raise RuntimeError(f"no workload on {host.name}: {self.process.output()}") from None
                time.sleep(0.005)

    def close(self) -> None:
        """End the process; sockets handed out live on."""
        self._control.close()
        self.process.stop()

    def make(
        self,
        family: int,
        kind: int = socket.SOCK_STREAM,
        protocol: int = 0,
        *,
        options: Sequence[SocketOption] = (),
        bind: tuple[str | int, int] | None = None,
        listen: int | None = None,
        connect: tuple[str, int] | None = None,
        early: bytes | None = None,
    ) -> socket.socket:
        """A socket made and set up inside the unit. ``early`` connects by TCP Fast Open with this data.

        Raises what the system call raised; a connection that is still coming about is no error.
        """
        request = {
            "make": [family, kind, protocol],
            "options": [[level, name, v if isinstance(v, int) else v.hex()] for level, name, v in options],
            "bind": bind,
            "listen": listen,
            "connect": connect,
            "early": None if early is None else early.hex(),
        }
        self._control.send(json.dumps(request).encode())
        answer, descriptors, _, _ = socket.recv_fds(self._control, 1 << 16, 1)
        number = json.loads(answer)["errno"]
        if not descriptors:
            raise OSError(number, os.strerror(number))
        made = socket.socket(fileno=descriptors[0])
        if number not in (0, errno.EINPROGRESS):
            made.close()
            raise OSError(number, os.strerror(number))
        return made

    def listen(
        self,
        port: int,
        address: str = "::",
        *,
        backlog: int = 128,
        options: Sequence[SocketOption] = (),
        timeout: float = 10.0,
    ) -> socket.socket:
        """A listening TCP socket; on ``::`` it takes IPv4 too."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        reuse = (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener = self.make(family, options=[reuse, *options], bind=(address, port), listen=backlog)
        listener.settimeout(timeout)
        return listener

    def connect(
        self,
        address: str,
        port: int,
        *,
        timeout: float = 10.0,
        source: tuple[str, int] | None = None,
        options: Sequence[SocketOption] = (),
        protocol: int = 0,
    ) -> socket.socket:
        """A connected TCP socket; raises as ``connect`` does, TimeoutError after ``timeout``."""
        caller = self.begin(address, port, source=source, options=options, protocol=protocol)
        try:
            finish(caller, timeout)
        except BaseException:
            caller.close()
            raise
        return caller

    def begin(
        self,
        address: str,
        port: int,
        *,
        source: tuple[str, int] | None = None,
        options: Sequence[SocketOption] = (),
        protocol: int = 0,
        early: bytes | None = None,
    ) -> socket.socket:
        """A TCP socket that has sent its SYN; :func:`finish` waits for the answer."""
        family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
        if source is not None:
            options = [(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1), *options]
        return self.make(family, protocol=protocol, options=options, bind=source, connect=(address, port), early=early)


def finish(caller: socket.socket, timeout: float = 10.0) -> None:
    """Wait until a connection has come about; raises what became of it otherwise."""
    poll = select.poll()
    poll.register(caller, select.POLLOUT)
    if not poll.poll(timeout * 1000):
        raise TimeoutError(f"no answer to the SYN in {timeout} s")
    number = caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))
    caller.settimeout(timeout)


def read(from_: socket.socket, size: int) -> bytes:
    """Exactly ``size`` bytes, or what came before the end."""
    data = b""
    while len(data) < size:
        piece = from_.recv(size - len(data))
        if not piece:
            break
        data += piece
    return data


def _make(request: dict[str, Any]) -> tuple[int, socket.socket | None]:
    try:
        made = socket.socket(*request["make"])
    except OSError as error:
        return error.errno or errno.EIO, None
    made.setblocking(False)
    try:
        for level, name, value in request["options"]:
            made.setsockopt(level, name, value if isinstance(value, int) else bytes.fromhex(value))
        if request["bind"] is not None:
            made.bind(tuple(request["bind"]))
        if request["listen"] is not None:
            made.listen(request["listen"])
        if request["early"] is not None:
            made.sendto(bytes.fromhex(request["early"]), socket.MSG_FASTOPEN, tuple(request["connect"]))
        elif request["connect"] is not None:
            made.connect(tuple(request["connect"]))
    except OSError as error:
        return error.errno or errno.EIO, made
    return 0, made


def _serve(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(1)
        control, _ = listener.accept()
    with control:
        while request := control.recv(1 << 16):
            number, made = _make(json.loads(request))
            socket.send_fds(control, [json.dumps({"errno": number}).encode()], [made.fileno()] if made else [])
            if made is not None:
                made.close()


if __name__ == "__main__":
    _serve(sys.argv[1])
