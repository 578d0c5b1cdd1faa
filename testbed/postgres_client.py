"""A PostgreSQL connection in a few lines: enough of protocol 3.0 for real queries over real TCP.

For programs on simulated hosts, which have no PostgreSQL driver. Text format, no TLS, no password:
the testbed's servers trust their namespace.
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType

Row = tuple[str | None, ...]


class PostgresError(Exception):
    """The server refused a statement; the message is the server's."""


class PostgresConnection:
    """One connection, as a context manager. ``OSError`` means that it is broken."""

    def __init__(self, address: str, port: int, *, user: str, database: str, timeout: float = 5.0) -> None:
        self._socket = socket.create_connection((address, port), timeout)
        self._buffer = self._socket.makefile("rb")
        try:
            settings = b"".join(part.encode() + b"\0" for part in ("user", user, "database", database)) + b"\0"
            self._socket.sendall(struct.pack("!II", 8 + len(settings), 3 << 16) + settings)
            self._until_ready()
        except BaseException:
            self.close()
            raise

    def query(self, statement: str, *parameters: str | int | None) -> list[Row]:
        """Run one statement with ``$1``, ``$2`` … as parameters; returns its rows."""
        values = [None if value is None else str(value).encode() for value in parameters]
        bound = b"".join(
            struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value for value in values
        )
        self._socket.sendall(
            _message(b"P", b"\0" + statement.encode() + b"\0" + struct.pack("!H", 0))
            + _message(b"B", b"\0\0" + struct.pack("!HH", 0, len(values)) + bound + struct.pack("!H", 0))
            + _message(b"E", b"\0" + struct.pack("!I", 0))
            + _message(b"S", b"")
        )
        return self._until_ready()

    def fileno(self) -> int:
        """The socket's descriptor, to wait for: it gets readable when the connection has ended."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close without a word to the server."""
        self._buffer.close()
        self._socket.close()

    def __enter__(self) -> PostgresConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _until_ready(self) -> list[Row]:
        """Read up to ReadyForQuery; rows on the way, or the error that was on the way."""
        rows: list[Row] = []
        refusal: PostgresError | None = None
        while True:
            kind, body = self._read()
            if kind == b"D":
                rows.append(_row(body))
            elif kind == b"E":
                fields = {part[:1]: part[1:].decode() for part in body.split(b"\0") if part}
                if fields.get(b"V") in ("FATAL", "PANIC"):
                    raise ConnectionError(f"the server ended the connection: {fields.get(b'M')}")
                refusal = PostgresError(f"{fields.get(b'C')}: {fields.get(b'M')}")
            elif kind == b"R" and struct.unpack_from("!I", body) != (0,):
                raise PostgresError("the server wants a password; the testbed's servers must not")
            elif kind == b"Z":
                if refusal:
                    raise refusal
                return rows

    def _read(self) -> tuple[bytes, bytes]:
        head = self._buffer.read(5)
        if len(head) < 5:
            raise ConnectionError("the server closed the connection")
        size = struct.unpack("!I", head[1:])[0] - 4
        body = self._buffer.read(size)
        if len(body) < size:
            raise ConnectionError("the server closed the connection")
        return head[:1], body


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _row(body: bytes) -> Row:
    values: list[str | None] = []
    at = 2
    for _ in range(struct.unpack_from("!H", body)[0]):
        size = struct.unpack_from("!i", body, at)[0]
        at += 4
        values.append(None if size < 0 else body[at : at + size].decode())
        at += max(size, 0)
    return tuple(values)
