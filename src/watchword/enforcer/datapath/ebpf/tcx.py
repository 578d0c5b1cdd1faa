"""Programs at a device's egress by TCX links (kernel 6.6 and later). One pinned link for each device."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from watchword.enforcer.datapath.ebpf import libbpf

_PREFIX = "stamp_"
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
    """The links of one Enforcer, pinned below ``pins``: they outlive the agent."""

    def __init__(self, pins: Path) -> None:
        self._pins = pins

    def _pin(self, index: int) -> Path:
        return self._pins / f"{_PREFIX}{index}"

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
        link = libbpf.link_create(f"attach to {device}", program, index, libbpf.TCX_EGRESS)
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
            number = name.removeprefix(_PREFIX)
            if name.startswith(_PREFIX) and number.isdigit() and int(number) not in present:
                (self._pins / name).unlink(missing_ok=True)
