"""What hangs at a device's traffic control, whoever put it there. Only asks; changes nothing."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from watchword.enforcer.datapath.ebpf.libbpf import KernelError

#: linux/rtnetlink.h, linux/netlink.h, linux/pkt_sched.h
_NEWQDISC, _GETQDISC = 36, 38
_NEWTFILTER, _GETTFILTER = 44, 46
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_ERROR, _DONE = 2, 3
_KIND = 1  # TCA_KIND
_CLSACT = 0xFFFFFFF1  # the parent of an ingress or clsact qdisc
_HOOKS = (0xFFFFFFF2, 0xFFFFFFF3)  # clsact's ingress and egress

#: struct nlmsghdr, struct tcmsg
_HEADER, _MESSAGE = struct.Struct("=IHHII"), struct.Struct("=BxxxiIII")


def hook_qdisc(index: int) -> str | None:
    """The kind of the qdisc that holds a device's ingress and egress filters: clsact, ingress or none."""
    for message in _dump(_GETQDISC, _NEWQDISC, index, 0):
        _, found, _, parent, _ = _MESSAGE.unpack_from(message)
        if found == index and parent == _CLSACT:
            return _attribute(message[_MESSAGE.size :], _KIND).rstrip(b"\0").decode()
    return None


def has_filters(index: int) -> bool:
    """Whether any filter hangs at the device's clsact qdisc, in either direction."""
    return any(True for parent in _HOOKS for _ in _dump(_GETTFILTER, _NEWTFILTER, index, parent))


def _dump(request: int, answer: int, index: int, parent: int) -> Iterator[bytes]:
    message = _MESSAGE.pack(0, index, 0, parent, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.sendto(_HEADER.pack(_HEADER.size + len(message), request, _DUMP, 1, 0) + message, (0, 0))
        while True:
            data = netlink.recv(1 << 16)
            while data:
                length, kind, *_ = _HEADER.unpack_from(data)
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    raise KernelError(f"list what hangs at device {index}", -struct.unpack_from("=i", data, 16)[0])
                if kind == answer:
                    yield data[_HEADER.size : length]
                data = data[(length + 3) & ~3 :]


def _attribute(data: bytes, wanted: int) -> bytes:
    while data:
        length, kind = struct.unpack_from("=HH", data)
        if kind == wanted:
            return data[4:length]
        data = data[(length + 3) & ~3 :]
    return b""
