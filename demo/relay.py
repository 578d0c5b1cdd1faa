"""A TCP relay from this machine's loopback to the Console's host, which has a network of its own.

TLS passes through it untouched. It is here so that commands in any terminal reach the Console.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading

from testbed import Host

_CHUNK = 65536


class Relay:
    """Listens on a free port of 127.0.0.1 and connects each client to ``address``:``port`` inside ``host``."""

    def __init__(self, host: Host, address: str, port: int) -> None:
        self._host = host
        self._target = (address, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._clients: set[socket.socket] = set()
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def close(self) -> None:
        """Take no more clients, and let go of those there are."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in list(self._clients):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            self._clients.add(client)
            threading.Thread(target=self._serve, args=(client,), name="relay", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, self._host.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
            server.connect(self._target)
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            other = {client: server, server: client}
            while True:
                for side in select.select([client, server], [], [])[0]:
                    data = side.recv(_CHUNK)
                    if not data:
                        return
                    other[side].sendall(data)
        self._clients.discard(client)
