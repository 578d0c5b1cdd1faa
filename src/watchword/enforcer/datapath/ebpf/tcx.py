"""Programs at a device by TCX links (kernel 6.6 and later). One pinned link for each device and direction."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Literal

from watchword.enforcer.datapath.ebpf import libbpf

#: by direction: how the pinned links are named, and the hook
_HOOKS = {"out": ("stamp_", libbpf.TCX_EGRESS), "in": ("verify_", libbpf.TCX_INGRESS)}
#: What leaves by a device, or what comes in by it.
Direction = Literal["out", "in"]

_LOOPBACK = 1  # index of lo, which every network namespace has

#: What the kernel says of an attach type that it does not know, or was built without.
_UNKNOWN = (errno.EINVAL, errno.EOPNOTSUPP, errno.E2BIG)


def supported() -> bool:
    """Whether this kernel has TCX. Only asks; nothing is attached."""
    try:
        libbpf.query_device("ask for TCX", _LOOPBACK, libbpf.TCX_EGRESS)
    except libbpf.KernelError as error:
        if error.errno in _UNKNOWN:
            return False
        if error.errno != errno.ENOENT:  # how 6.6 says that there is nothing yet
            raise
    return True


class Tcx:
    """The links of one Enforcer in one direction, pinned below ``pins``: they outlive the agent."""

    def __init__(self, pins: Path, direction: Direction) -> None:
        self._pins = pins
        self._prefix, self._attach_type = _HOOKS[direction]

    def _pin(self, index: int) -> Path:
        return self._pins / f"{self._prefix}{index}"

    def attach(self, index: int, device: str, program: int) -> None:
        """Attach, or put ``program`` behind the link that is there, atomically for what passes."""
        pin = self._pin(index)
        link = libbpf.pinned(str(pin))
        if link is not None:
            try:
                libbpf.link_update(f"replace the program at {device}", link, program)
            except libbpf.KernelError as error:
                if error.errno not in (errno.ENODEV, errno.ENOLINK):
                    raise
            else:
                return
            finally:
                os.close(link)
            pin.unlink()  # the link was detached, or its device went and another has the number
        link = libbpf.link_create(f"attach to {device}", program, index, self._attach_type)
        try:
            libbpf.pin(link, str(pin))
        finally:
            os.close(link)

    def holds(self, index: int) -> bool:
        """Whether the link is there and still attached to this device."""
        link = libbpf.pinned(str(self._pin(index)))
        if link is None:
            return False
        try:
            return libbpf.link_device(f"look at the link of device {index}", link) == index
        finally:
            os.close(link)

    def detach(self, index: int) -> None:
        """Let go of the link; the kernel detaches with the last reference."""
        self._pin(index).unlink(missing_ok=True)

    def forget(self, present: set[int]) -> None:
        """Drop what belongs to devices that have gone."""
        if not self._pins.is_dir():
            return
        for name in os.listdir(self._pins):
            number = name.removeprefix(self._prefix)
            if name.startswith(self._prefix) and number.isdigit() and int(number) not in present:
                (self._pins / name).unlink(missing_ok=True)
