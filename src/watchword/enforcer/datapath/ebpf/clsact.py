"""Programs at a device's egress by a direct-action filter under a clsact qdisc: for kernels before 6.6.

The filter has a priority and a handle of its own; other people's filters are never touched. Filter and
qdisc belong to the device and outlive the agent. A directory among the pins marks each qdisc that was
made here: it alone is removed in the end, and only when nobody else has put anything on it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from pathlib import Path

from watchword.enforcer.datapath.base import FeatureMissing
from watchword.enforcer.datapath.ebpf import libbpf

#: First of all filters: one that comes before and accepts would let packets past.
PRIORITY = 1
#: Ours among the filters of that priority ("WW").
HANDLE = 0x57570001

_PREFIX = "clsact_"
_INGRESS, _EGRESS, _REPLACE = 1, 2, 1
_ABSENT = (errno.ENOENT, errno.EINVAL)  # no such filter; no qdisc that could have one
_TAKEN = (errno.EINVAL, errno.EEXIST, errno.EOPNOTSUPP)

#: linux/rtnetlink.h, linux/netlink.h, linux/pkt_sched.h
_NEWTFILTER, _GETTFILTER = 44, 46
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_ERROR, _DONE = 2, 3
_PARENTS = (0xFFFFFFF2, 0xFFFFFFF3)  # clsact's ingress and egress


class Clsact:
    """The filters of one Enforcer on the devices of a network namespace."""

    def __init__(self, pins: Path) -> None:
        self._pins = pins
        self._programs: dict[int, int] = {}

    def _mark(self, index: int) -> Path:
        return self._pins / f"{_PREFIX}{index}"

    def attach(self, index: int, device: str, program: int) -> None:
        """Attach, or put ``program`` into the filter that is there, atomically for what passes."""
        self._make_qdisc(index, device)
        options = _options(program)
        result = libbpf.library().bpf_tc_attach(_hook(index), ctypes.byref(options))
        try:
            libbpf.checked(f"attach to {device}", result)
        except libbpf.KernelError as error:
            if error.errno == errno.ENOENT:
                raise _missing("cls_bpf") from error
            if error.errno in _TAKEN:
                what = (
                    f"attach to {device}: move what else is there; its qdisc ffff: must be clsact, "
                    f"and priority {PRIORITY} at egress free or held by BPF filters"
                )
                raise libbpf.KernelError(what, error.errno) from error
            raise
        self._programs[index] = int(options.prog_id)

    def _make_qdisc(self, index: int, device: str) -> None:
        result = libbpf.library().bpf_tc_hook_create(_hook(index))
        try:
            libbpf.checked(f"make the clsact qdisc of {device}", result)
        except libbpf.KernelError as error:
            if error.errno == errno.EEXIST:  # also when an earlier agent made it
                return
            if error.errno in (errno.ENOENT, errno.EOPNOTSUPP):
                raise _missing("sch_ingress") from error
            raise
        self._mark(index).mkdir(exist_ok=True)

    def holds(self, index: int) -> bool:
        """Whether the filter is there, with the program that was attached last."""
        found = _query(index)
        return found is not None and found == self._programs.get(index)

    def detach(self, index: int) -> None:
        """Remove the filter, and the qdisc if it was made here and nothing else is on it."""
        if _query(index) is not None:
            options = _options()
            result = libbpf.library().bpf_tc_detach(_hook(index), ctypes.byref(options))
            libbpf.checked(f"remove the filter of device {index}", result)
        self._programs.pop(index, None)
        if self._mark(index).is_dir():
            if not any(_filters(index, parent) for parent in _PARENTS):
                result = libbpf.library().bpf_tc_hook_destroy(_hook(index, _INGRESS | _EGRESS))
                if result != -errno.ENOENT:  # somebody was faster
                    libbpf.checked(f"remove the clsact qdisc of device {index}", result)
            self._mark(index).rmdir()

    def forget(self, present: set[int]) -> None:
        """Drop what belongs to devices that have gone; their filters went with them."""
        for index in self._programs.keys() - present:
            del self._programs[index]
        if not self._pins.is_dir():
            return
        for name in os.listdir(self._pins):
            number = name.removeprefix(_PREFIX)
            if name.startswith(_PREFIX) and number.isdigit() and int(number) not in present:
                (self._pins / name).rmdir()


def _missing(module: str) -> FeatureMissing:
    return FeatureMissing(f"the module {module}", f"load {module}, or use a kernel from 6.6 on, which needs none")


def _hook(index: int, attach_point: int = _EGRESS) -> ctypes.Array[libbpf.TcHook]:
    # An array of one is passed by its address, and lives as long as the call.
    return (libbpf.TcHook * 1)(libbpf.TcHook(ctypes.sizeof(libbpf.TcHook), index, attach_point))


def _options(program: int | None = None) -> libbpf.TcOptions:
    options = libbpf.TcOptions(sz=ctypes.sizeof(libbpf.TcOptions), handle=HANDLE, priority=PRIORITY)
    if program is not None:
        options.prog_fd, options.flags = program, _REPLACE
    return options


def _query(index: int) -> int | None:
    """The ID of the program in our filter; None when there is no such filter."""
    options = _options()
    result = libbpf.library().bpf_tc_query(_hook(index), ctypes.byref(options))
    try:
        libbpf.checked(f"look for the filter of device {index}", result)
    except libbpf.KernelError as error:
        if error.errno in _ABSENT:
            return None
        raise
    return int(options.prog_id)


def _filters(index: int, parent: int) -> int:
    """How many filters, whoever's, hang below ``parent``."""
    found = 0
    request = struct.pack("=IHHII", 36, _GETTFILTER, _DUMP, 1, 0) + struct.pack("=BxxxiIII", 0, index, 0, parent, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.sendto(request, (0, 0))
        while True:
            data = netlink.recv(1 << 16)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    (code,) = struct.unpack_from("=i", data, 16)
                    raise libbpf.KernelError(f"list the filters of device {index}", -code)
                found += kind == _NEWTFILTER
                data = data[(length + 3) & ~3 :]
