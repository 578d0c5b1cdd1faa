"""Where the programs hang: links to the cgroup root and to every device of a network namespace.

Every link is pinned, so that it outlives the agent. A later agent replaces the program behind a
pinned link, which the kernel does between two packets; nothing is ever detached to be attached anew.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from watchword.enforcer.datapath.ebpf import libbpf

_ARPHRD_ETHER, _ARPHRD_LOOPBACK = 1, 772
_ENODEV, _ENOLINK = 19, 67

#: name of the pin -> (program, attach type), in the order in which they are attached first
_CGROUP = {
    "refuse4": ("refuse4", libbpf.CGROUP_INET4_CONNECT),
    "refuse6": ("refuse6", libbpf.CGROUP_INET6_CONNECT),
    "enforce_in": ("enforce_in", libbpf.CGROUP_INET_INGRESS),
}
_DEVICE_PREFIX = "stamp_"


class Attachments:
    """The links of one Enforcer, below ``pins``."""

    def __init__(self, pins: Path, cgroup: Path, programs: Mapping[str, int]) -> None:
        self._pins, self._cgroup, self._programs = pins, cgroup, programs
        self._devices: dict[int, str] = {}

    def attached(self) -> bool:
        """Whether an agent has attached before."""
        return (self._pins / "enforce_in").exists()

    def take_over(self) -> None:
        """Put this agent's programs behind all links that an earlier one left."""
        for name, (program, _) in _CGROUP.items():
            self._update(name, self._programs[program])
        for name in os.listdir(self._pins):
            if name.startswith(_DEVICE_PREFIX):
                self._take_over_device(name)

    def _take_over_device(self, name: str) -> None:
        index = int(name.removeprefix(_DEVICE_PREFIX))
        device = dict(socket.if_nameindex()).get(index)
        if device is None:
            (self._pins / name).unlink()
            return
        try:
            self._update(name, self._programs[_program_for(device)])
        except libbpf.KernelError as error:
            if error.errno not in (_ENODEV, _ENOLINK):
                raise
            (self._pins / name).unlink()  # the device went and another has its number: attached below
            return
        self._devices[index] = device

    def _update(self, name: str, program: int) -> None:
        link = libbpf.pinned(str(self._pins / name))
        if link is None:
            raise libbpf.KernelError(f"find the pinned link {name}", 2)
        try:
            libbpf.link_update(f"replace {name}", link, program)
        finally:
            os.close(link)

    def attach_devices(self) -> None:
        """Attach to every device that has appeared; forget those that have gone."""
        present = dict(socket.if_nameindex())
        for index in [index for index in self._devices if present.get(index) is None]:
            (self._pins / f"{_DEVICE_PREFIX}{index}").unlink(missing_ok=True)
            del self._devices[index]
        for index, device in present.items():
            if index not in self._devices:
                self._attach_device(index, device)

    def _attach_device(self, index: int, device: str) -> None:
        program = self._programs[_program_for(device)]
        try:
            link = libbpf.link_create(f"attach to {device}", program, index, libbpf.TCX_EGRESS)
        except libbpf.KernelError as error:
            if error.errno == _ENODEV:  # gone again
                return
            raise
        self._pin(link, f"{_DEVICE_PREFIX}{index}")
        self._devices[index] = device

    def attach_cgroup(self) -> None:
        """Attach to the cgroup root. From the last link on, every packet below it is judged."""
        target = os.open(self._cgroup, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name, (program, attach_type) in _CGROUP.items():
                what = f"attach {program} to {self._cgroup}"
                self._pin(libbpf.link_create(what, self._programs[program], target, attach_type), name)
        finally:
            os.close(target)

    def _pin(self, link: int, name: str) -> None:
        try:
            libbpf.pin(link, str(self._pins / name))
        finally:
            os.close(link)


def _program_for(device: str) -> str:
    kind = int(Path(f"/sys/class/net/{device}/type").read_text()) if _in_sysfs(device) else _ARPHRD_ETHER
    return "stamp_ethernet" if kind in (_ARPHRD_ETHER, _ARPHRD_LOOPBACK) else "stamp_plain"


def _in_sysfs(device: str) -> bool:
    # /sys shows the namespace in which it was mounted; another namespace's devices may be missing.
    return Path(f"/sys/class/net/{device}/type").exists()
