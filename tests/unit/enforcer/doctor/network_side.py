"""What stands between a host and a Console: a server over TLS, a CONNECT proxy, one that looks into TLS."""

from __future__ import annotations

import contextlib
import datetime
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

from watchword.identity.certificates import Authority

Serve = Callable[[socket.socket], None]


def context(authority: Authority, directory: Path) -> ssl.SSLContext:
    """TLS with a certificate of this CA for localhost."""
    now = datetime.datetime.now(datetime.UTC)
    certificate, key = authority.issue_server(("localhost",), now, secrets.token_bytes)
    path = directory / f"server-{secrets.token_hex(4)}.pem"
    path.write_bytes(certificate + key)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(path)
    return made


@contextlib.contextmanager
def listening(serve: Serve) -> Iterator[int]:
    """A server at a free port of loopback, each connection in a thread of its own."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    over = threading.Event()
    threads: list[threading.Thread] = []

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            threads.append(threading.Thread(target=_served, args=(serve, connection)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server.getsockname()[1]
    finally:
        over.set()
        acceptor.join()
        for thread in threads:
            thread.join(10)
        server.close()


def _served(serve: Serve, connection: socket.socket) -> None:
    connection.settimeout(10)
    with connection, contextlib.suppress(OSError):
        serve(connection)


def console(tls: ssl.SSLContext, ca_pem: bytes, ahead: float = 0.0) -> Serve:
    """Answers as a Console whose clock is ``ahead`` seconds ahead of this host's."""

    def serve(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as secured:
            request = head(secured)
            body = ca_pem if b" /v1/ca " in request else b"{}"
            date = formatdate(time.time() + ahead, usegmt=True)
            secured.sendall(f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    return serve


def proxy(asked: list[bytes], status: str = "200 OK", inspect: ssl.SSLContext | None = None) -> Serve:
    """Makes tunnels; with ``inspect`` it ends TLS itself, and speaks it anew with who was asked for."""

    def serve(connection: socket.socket) -> None:
        request = head(connection)
        asked.append(request)
        connection.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if not status.startswith("200"):
            return
        port = int(request.split()[1].rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as beyond:
            if inspect is None:
                relay(connection, beyond)
                return
            untrusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            untrusting.check_hostname, untrusting.verify_mode = False, ssl.CERT_NONE
            with inspect.wrap_socket(connection, server_side=True) as near, untrusting.wrap_socket(beyond) as far:
                far.sendall(head(near))
                while piece := far.recv(65536):
                    near.sendall(piece)

    return serve


def relay(one: socket.socket, other: socket.socket) -> None:
    """Both directions until either ends."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=pump, args=(other, one))
    back.start()
    pump(one, other)
    back.join(10)


def head(connection: socket.socket) -> bytes:
    """A request up to the empty line."""
    read = b""
    while b"\r\n\r\n" not in read and (piece := connection.recv(65536)):
        read += piece
    return read
