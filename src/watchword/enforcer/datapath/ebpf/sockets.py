"""Ending connections from outside: socket destruction, and the RST that a refused client is owed.

Both act in the network namespace in which they were opened. The numbers are from
linux/inet_diag.h and linux/sock_diag.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.datapath.ebpf._layout import Address

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY, _SOCK_DESTROY = 20, 21
_NLM_F_REQUEST, _NLM_F_ACK, _NLMSG_ERROR = 1, 4, 2
_TCP_LISTEN = 10
_COOKIE_AT = 44  # in struct inet_diag_msg
_NO_COOKIE = 0xFFFFFFFFFFFFFFFF
_ENOENT, _EOPNOTSUPP, _ESTALE = 2, 95, 116


@dataclass(frozen=True, slots=True)
class Tuple:
    """One connection as this host sees it; addresses as text, ports in host order."""

    local: str
    local_port: int
    remote: str
    remote_port: int


def address_text(address: Address) -> str:
    """A kernel address as people write it; IPv4-mapped ones as IPv4."""
    raw = bytes(address)
    if raw[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, raw[12:])
    return socket.inet_ntop(socket.AF_INET6, raw)


class SocketReaper:
    """Destroys TCP sockets (SOCK_DESTROY): both ends learn it, also of a quiet connection."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
        self._sequence = 0

    def destroy(self, connection: Tuple, cookie: int = 0) -> bool:
        """True if there was such a socket, with this ``cookie`` if one is given.

        Raises :class:`OSError` when the kernel cannot do it at all.

        Where there is no such connection any more, the kernel's look-up finds the listener it once belonged
        to, and would end that. So a socket is only ever named together with its cookie.
        """
        family = socket.AF_INET6 if ":" in connection.remote else socket.AF_INET
        cookie = cookie or self._cookie_of(connection, family)
        return bool(cookie) and self._ask(_SOCK_DESTROY, _NLM_F_ACK, connection, family, cookie) is not None

    def _cookie_of(self, connection: Tuple, family: int) -> int:
        """The cookie of a connection's socket; 0 if there is none."""
        found = self._ask(_SOCK_DIAG_BY_FAMILY, 0, connection, family, _NO_COOKIE)
        if found is None or found[1] == _TCP_LISTEN:
            return 0
        return int.from_bytes(found[_COOKIE_AT : _COOKIE_AT + 8], "little")

    def _ask(self, kind: int, flags: int, connection: Tuple, family: int, cookie: int) -> bytes | None:
        """One request about one socket; the body of the answer, or None if there is no such socket."""
        local, remote = (socket.inet_pton(family, a).ljust(16, b"\0") for a in (connection.local, connection.remote))
        sockid = struct.pack("!HH", connection.local_port, connection.remote_port) + local + remote
        sockid += struct.pack("=IQ", 0, cookie)
        body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + sockid
        self._sequence += 1
        header = struct.pack("=IHHII", 16 + len(body), kind, _NLM_F_REQUEST | flags, self._sequence, 0)
        self._socket.send(header + body)
        return self._answer()

    def _answer(self) -> bytes | None:
        while True:
            message = self._socket.recv(4096)
            _, kind, _, sequence, _ = struct.unpack_from("=IHHII", message)
            if sequence != self._sequence:
                continue
            if kind != _NLMSG_ERROR:
                return message[16:]
            errno: int = -struct.unpack_from("=i", message, 16)[0]
            if errno in (_ENOENT, _ESTALE):
                return None
            if errno == _EOPNOTSUPP:
                raise OSError(errno, "the kernel lacks CONFIG_INET_DIAG_DESTROY")
            if errno:
                raise OSError(errno, "SOCK_DESTROY")
            return message[16:]

    def close(self) -> None:
        """Close the netlink socket."""
        self._socket.close()


class RefusalSender:
    """Answers a refused SYN with RST, as a closed port would, so that the client need not wait."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            self._v4 = socket.socket(socket.AF_INET, kind, socket.IPPROTO_RAW)
            self._v6 = socket.socket(socket.AF_INET6, kind, socket.IPPROTO_RAW)
        except PermissionError as error:
            raise DatapathError("raw sockets are not permitted: start the agent with CAP_NET_RAW") from error

    def refuse(self, connection: Tuple, sequence: int) -> None:
        """Send the RST for the SYN with this sequence number (RFC 9293 section 3.10.7.1)."""
        source = ipaddress.ip_address(connection.local)
        destination = ipaddress.ip_address(connection.remote)
        segment = struct.pack(
            "!HHIIBBHHH",
            connection.local_port,
            connection.remote_port,
            0,
            (sequence + 1) & 0xFFFFFFFF,
            5 << 4,
            0x14,  # RST, ACK
            0,
            0,
            0,
        )
        pseudo = source.packed + destination.packed + struct.pack("!IHH", len(segment), 0, socket.IPPROTO_TCP)
        check = _checksum(pseudo + segment)
        segment = segment[:16] + struct.pack("!H", check) + segment[18:]
        try:
            if source.version == 4:
                header = struct.pack(
                    "!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0x4000, 64, 6, 0, source.packed, destination.packed
                )
                self._v4.sendto(header + segment, (connection.remote, 0))
            else:
                header = struct.pack("!IHBB16s16s", 6 << 28, len(segment), 6, 64, source.packed, destination.packed)
                self._v6.sendto(header + segment, (connection.remote, 0))
        except OSError:
            # A courtesy that cannot be sent costs the client a time-out, nothing else.
            return

    def close(self) -> None:
        """Close both sockets."""
        self._v4.close()
        self._v6.close()


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
