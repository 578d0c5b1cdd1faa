"""Programs at a device by direct-action filters under its clsact qdisc: for kernels before 6.6.

The filter has a priority and a handle of its own; other people's filters are never touched. Filter and
qdisc belong to the device and outlive the agent. A directory among the pins marks each qdisc that was
made here: it alone is removed in the end, and only when nobody else has put anything on it.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Mapping
from pathlib import Path

from watchword.enforcer.datapath.base import DatapathError, FeatureMissing
from watchword.enforcer.datapath.ebpf import libbpf, rtnetlink
from watchword.enforcer.datapath.ebpf.tcx import Direction

#: First of all filters: one that comes before and accepts would let packets past.
PRIORITY = 1
#: Ours among the filters of that priority ("WW").
HANDLE = 0x57570001

_PREFIX = "clsact_"
_INGRESS, _EGRESS, _REPLACE = 1, 2, 1
_POINTS: Mapping[Direction, int] = {"out": _EGRESS, "in": _INGRESS}
_ABSENT = (errno.ENOENT, errno.EINVAL)  # no such filter; no qdisc that could have one
_TAKEN = (errno.EINVAL, errno.EEXIST, errno.EOPNOTSUPP)


class Clsact:
    """The filters of one Enforcer on the devices of a network namespace, in one direction."""

    def __init__(self, pins: Path, direction: Direction) -> None:
        self._pins, self._direction = pins, direction
        self._point = _POINTS[direction]
        self._programs: dict[int, int] = {}

    def _mark(self, index: int) -> Path:
        return self._pins / f"{_PREFIX}{index}"

    def attach(self, index: int, device: str, program: int) -> None:
        """Attach, or put ``program`` into the filter that is there, atomically for what passes."""
        self._make_qdisc(index, device)
        options = _options(program)
        result = libbpf.library().bpf_tc_attach(_hook(index, self._point), ctypes.byref(options))
        try:
            libbpf.checked(f"attach to {device}", result)
        except libbpf.KernelError as error:
            if error.errno == errno.ENOENT:
                raise _missing("cls_bpf") from error
            if error.errno in _TAKEN:
                side = "egress" if self._point == _EGRESS else "ingress"
                what = f"attach to {device}: priority {PRIORITY} at {side} is for BPF filters of all protocols only"
                raise libbpf.KernelError(what, error.errno) from error
            raise
        self._programs[index] = int(options.prog_id)

    def _make_qdisc(self, index: int, device: str) -> None:
        result = libbpf.library().bpf_tc_hook_create(_hook(index, self._point))
        try:
            libbpf.checked(f"make the clsact qdisc of {device}", result)
        except libbpf.KernelError as error:
            if error.errno == errno.EEXIST:  # also when an earlier agent made it
                _check_kind(index, device)
                return
            if error.errno in (errno.ENOENT, errno.EOPNOTSUPP):
                raise _missing("sch_ingress") from error
            raise
        self._mark(index).mkdir(exist_ok=True)

    def holds(self, index: int) -> bool:
        """Whether the filter is there, with the program that was attached last."""
        found = program_at(index, self._direction)
        return found is not None and found == self._programs.get(index)

    def detach(self, index: int) -> None:
        """Remove the filter, and the qdisc if it was made here and nothing else is on it."""
        if program_at(index, self._direction) is not None:
            options = _options()
            result = libbpf.library().bpf_tc_detach(_hook(index, self._point), ctypes.byref(options))
            libbpf.checked(f"remove the filter of device {index}", result)
        self._programs.pop(index, None)
        if self._mark(index).is_dir():
            if rtnetlink.has_filters(index):
                if any(program_at(index, direction) is not None for direction in _POINTS):
                    return  # ours in the other direction, which goes next
            else:
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


def _check_kind(index: int, device: str) -> None:
    # An ingress qdisc takes a filter for egress too, and runs it on what comes in.
    kind = rtnetlink.hook_qdisc(index)
    if kind != "clsact":
        raise DatapathError(
            f"{device} has a qdisc of kind {kind}, which sees nothing that leaves: replace it by clsact, "
            "which does all that ingress does"
        )


def _missing(module: str) -> FeatureMissing:
    return FeatureMissing(f"the module {module}", f"load {module}, or use a kernel from 6.6 on, which needs none")


def _hook(index: int, attach_point: int) -> ctypes.Array[libbpf.TcHook]:
    # An array of one is passed by its address, and lives as long as the call.
    return (libbpf.TcHook * 1)(libbpf.TcHook(ctypes.sizeof(libbpf.TcHook), index, attach_point))


def _options(program: int | None = None) -> libbpf.TcOptions:
    options = libbpf.TcOptions(sz=ctypes.sizeof(libbpf.TcOptions), handle=HANDLE, priority=PRIORITY)
    if program is not None:
        options.prog_fd, options.flags = program, _REPLACE
    return options


def program_at(index: int, direction: Direction) -> int | None:
    """The ID of the program in our filter; None when there is no such filter."""
    options = _options()
    result = libbpf.library().bpf_tc_query(_hook(index, _POINTS[direction]), ctypes.byref(options))
    try:
        libbpf.checked(f"look for the filter of device {index}", result)
    except libbpf.KernelError as error:
        if error.errno in _ABSENT:
            return None
        raise
    return int(options.prog_id)


def replace_at(index: int, direction: Direction, program: int) -> None:
    """Put another program into our filter at a device, between two packets."""
    options = _options(program)
    libbpf.checked(
        f"replace the filter of device {index}",
        libbpf.library().bpf_tc_attach(_hook(index, _POINTS[direction]), ctypes.byref(options)),
    )
