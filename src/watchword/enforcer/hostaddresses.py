"""The addresses at which this host can be reached, asked of the kernel (rtnetlink(7))."""

from __future__ import annotations

import socket
import struct

_GETADDR, _NEWADDR, _DONE, _ERROR = 22, 20, 3, 2
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_HEADER, _MESSAGE, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), struct.Struct("=HH")
_ADDRESS, _LOCAL = 1, 2  # IFA_*; on point-to-point links the first is the other end's
_UNIVERSE, _SITE = 0, 200  # RT_SCOPE_*: not of the link, not of the host
_LIMIT = 256


def host_addresses() -> tuple[str, ...]:
    """All addresses of the network namespace that others can use, in order; at most 256."""
    found: set[str] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.sendto(_HEADER.pack(_HEADER.size + _MESSAGE.size, _GETADDR, _DUMP, 1, 0) + bytes(_MESSAGE.size), (0, 0))
        while True:
            data = netlink.recv(1 << 16)
            while data:
                length, kind, *_ = _HEADER.unpack_from(data)
                if kind in (_DONE, _ERROR):
                    return tuple(sorted(found)[:_LIMIT])
                if kind == _NEWADDR and (address := _address(data[_HEADER.size : length])):
                    found.add(address)
                data = data[(length + 3) & ~3 :]


def _address(message: bytes) -> str:
    family, _, _, scope, _ = _MESSAGE.unpack_from(message)
    if scope not in (_UNIVERSE, _SITE) or family not in (socket.AF_INET, socket.AF_INET6):
        return ""
    attributes, rest = {}, message[_MESSAGE.size :]
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        attributes[kind] = rest[_ATTRIBUTE.size : length]
        rest = rest[(length + 3) & ~3 :]
    raw = attributes.get(_LOCAL) or attributes.get(_ADDRESS, b"")
    return socket.inet_ntop(family, raw) if raw else ""
