"""Where the programs hang: links to the cgroup root, and two hooks at every device of a network namespace.

Everything attached outlives the agent. A later agent replaces the programs in place, which the kernel
does between two packets; nothing is ever detached to be attached anew. How a program hangs at a device
depends on the kernel: ``tcx`` from 6.6 on, ``clsact`` before.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from watchword.enforcer.datapath.base import DatapathError, FeatureMissing
from watchword.enforcer.datapath.ebpf import libbpf, tcx
from watchword.enforcer.datapath.ebpf.clsact import Clsact
from watchword.enforcer.datapath.ebpf.tcx import Direction, Tcx

#: Set to ``tcx`` or ``clsact`` in the agent's environment to choose the hook instead of asking the kernel.
HOOK_VARIABLE = "WATCHWORD_DEVICE_HOOK"

_ARPHRD_ETHER, _ARPHRD_LOOPBACK = 1, 772
_SIOCGIFHWADDR = 0x8927

#: name of the pin -> (program, attach type), in the order in which they are attached first
_CGROUP = {
    "refuse4": ("refuse4", libbpf.CGROUP_INET4_CONNECT),
    "refuse6": ("refuse6", libbpf.CGROUP_INET6_CONNECT),
    "enforce_in": ("enforce_in", libbpf.CGROUP_INET_INGRESS),
}
#: the same for what hangs there only while it is wanted: it judges nothing
_AT_TIMES = {"resolve_in": ("resolve_in", libbpf.CGROUP_INET_INGRESS)}

#: What the pins and marks of device hooks begin with.
_DEVICE_PINS = ("stamp_", "verify_", "clsact_")
#: programs at a device, by direction; the first to be attached comes first
_ROLES: Mapping[Direction, str] = {"in": "verify", "out": "stamp"}


def has_links(pins: Path) -> bool:
    """Whether anything that is attached is held below ``pins``, be it that an agent was cut short."""
    return any(path.name in _CGROUP | _AT_TIMES or path.name.startswith(_DEVICE_PINS) for path in pins.iterdir())


class DeviceHook(Protocol):
    """One way of running a program on everything that leaves, or comes in, by a device."""

    def attach(self, index: int, device: str, program: int) -> None:
        """Attach, or replace the program in place."""

    def holds(self, index: int) -> bool:
        """Whether what was attached last is still there."""

    def detach(self, index: int) -> None:
        """Remove it if it is there."""

    def forget(self, present: set[int]) -> None:
        """Drop what belongs to devices that have gone."""


class Attachments:
    """What one Enforcer has attached; what must be remembered is below ``pins``.

    ``hook`` names the device hook; without it HOOK_VARIABLE does, else the kernel is asked.
    """

    def __init__(self, pins: Path, cgroup: Path, programs: Mapping[str, int], hook: str | None = None) -> None:
        self._pins, self._cgroup, self._programs = pins, cgroup, programs
        self._hooks: dict[str, dict[Direction, DeviceHook]] = {
            "tcx": {"in": Tcx(pins, "in"), "out": Tcx(pins, "out")},
            "clsact": {"in": Clsact(pins, "in"), "out": Clsact(pins, "out")},
        }
        self._wanted = hook or os.environ.get(HOOK_VARIABLE)
        self._devices: dict[int, str] = {}
        #: Whether anything that comes in has to be looked at (:mod:`.hearing`); None while nobody has said.
        self.hearing: bool | None = None

    def hook(self) -> str:
        """The device hook in use."""
        if self._wanted is None:
            self._wanted = "tcx" if tcx.supported() else "clsact"
        if self._wanted not in self._hooks:
            raise DatapathError(f"{HOOK_VARIABLE} is {self._wanted!r}: set it to tcx or clsact, or not at all")
        return self._wanted

    def attached(self) -> bool:
        """Whether an agent has attached before."""
        return (self._pins / "enforce_in").exists()

    def take_over(self) -> None:
        """Put this agent's programs behind all links and hooks that an earlier one left."""
        for name, (program, _) in (_CGROUP | _AT_TIMES).items():
            if name in _CGROUP or (self._pins / name).exists():
                self._update(name, self._programs[program])
        self._devices.clear()
        self.attach_devices()

    def inherit(self, builds: Iterable[Path]) -> None:
        """Make the links and marks below the pins of other builds this one's own, and put its programs there.

        Links that this build has no program for stay where they are. May be called again when it was cut short.
        Where a link of this build's own already stands at a device, theirs goes last: the kernel runs no program twice
        in one place, and lets go of a link that was renamed over only some time later.
        """
        spare: list[Path] = []
        for pins in builds:
            theirs = [path for path in pins.iterdir() if path.name.startswith(_DEVICE_PINS)]
            theirs += [pins / name for name in _CGROUP | _AT_TIMES if (pins / name).exists()]
            for path in theirs:
                if path.is_file() and (self._pins / path.name).exists():
                    spare.append(path)
                else:  # a rename within a bpffs moves the reference, the link stays attached
                    path.rename(self._pins / path.name)
        self._attach_cgroup([name for name in _CGROUP if not (self._pins / name).exists()])
        self.take_over()
        for path in spare:
            path.unlink()

    def _update(self, name: str, program: int) -> None:
        link = libbpf.pinned(str(self._pins / name))
        if link is None:
            raise libbpf.KernelError(f"find the pinned link {name}", errno.ENOENT)
        try:
            libbpf.link_update(f"replace {name}", link, program)
        finally:
            os.close(link)

    def attach_devices(self) -> None:
        """Attach to every device that has appeared, and again where somebody removed what was attached.

        One device's failure keeps none of the others from being attached; it is raised in the end.
        """
        present = dict(socket.if_nameindex())
        self._devices = {index: name for index, name in self._devices.items() if index in present}
        self._forget(set(present))
        failures: list[DatapathError] = []
        for index, device in present.items():
            try:
                self._attach_device(index, device)
            except DatapathError as error:
                if not isinstance(error, libbpf.KernelError) or error.errno != errno.ENODEV:  # else gone again
                    failures.append(error)
        if len(failures) == 1 or any(isinstance(error, FeatureMissing) for error in failures):
            raise next((error for error in failures if isinstance(error, FeatureMissing)), failures[0])
        if failures:
            raise DatapathError("; ".join(map(str, failures)))

    def _attach_device(self, index: int, device: str) -> None:
        chosen = self.hook()
        known, kind = index in self._devices, _kind_of(device)
        for direction, hook in self._hooks[chosen].items():
            if direction == "in" and not self._hears(hook, index, kind):
                continue
            if not known or not hook.holds(index):
                hook.attach(index, device, self._programs[f"{_ROLES[direction]}_{kind or 'ethernet'}"])
        if not known:
            for name, hooks in self._hooks.items():
                for hook in hooks.values():
                    if name != chosen:  # an agent that used the other one
                        hook.detach(index)
        self._devices[index] = device

    def _hears(self, hook: DeviceHook, index: int, kind: str | None) -> bool:
        """Whether the program for what comes in belongs there; removes it where it does not."""
        if self.hearing is None:  # as an earlier agent left it, until there are tables
            return kind is not None and hook.holds(index)
        if self.hearing and kind is not None:  # nothing on lo carries a trailer
            return True
        if index not in self._devices or hook.holds(index):
            hook.detach(index)
        return False

    def _forget(self, present: set[int]) -> None:
        for hooks in self._hooks.values():
            for hook in hooks.values():
                hook.forget(present)

    def attach_cgroup(self) -> None:
        """Attach to the cgroup root. From the last link on, every packet below it is judged."""
        self._attach_cgroup(_CGROUP)

    def resolve(self, wanted: bool) -> None:
        """Whether what resolvers say over TCP has to be read, because policy has host names."""
        for name in _AT_TIMES:
            pin = self._pins / name
            if wanted and not pin.exists():
                self._attach_cgroup([name])
            elif not wanted:
                pin.unlink(missing_ok=True)

    def _attach_cgroup(self, names: Iterable[str]) -> None:
        target = os.open(self._cgroup, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in names:
                program, attach_type = (_CGROUP | _AT_TIMES)[name]
                what = f"attach {program} to {self._cgroup}"
                link = libbpf.link_create(what, self._programs[program], target, attach_type)
                try:
                    libbpf.pin(link, str(self._pins / name))
                finally:
                    os.close(link)
        finally:
            os.close(target)

    def detach(self) -> None:
        """Remove everything, whichever agent attached it. Needs no programs."""
        for name in _CGROUP | _AT_TIMES:
            (self._pins / name).unlink(missing_ok=True)
        for index, _ in socket.if_nameindex():
            for hook in (hook for hooks in self._hooks.values() for hook in hooks.values()):
                try:
                    hook.detach(index)
                except libbpf.KernelError as error:
                    if error.errno != errno.ENODEV:
                        raise
        self._forget(set())
        self._devices.clear()


def _kind_of(device: str) -> str | None:
    """The kind of link: whether packets there have an Ethernet header; None for the loopback device."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            answer = fcntl.ioctl(asked, _SIOCGIFHWADDR, struct.pack("16s24x", device.encode()))
        except OSError as error:
            raise libbpf.KernelError(f"ask what kind of link {device} is", error.errno or errno.ENODEV) from error
    (kind,) = struct.unpack_from("=H", answer, 16)
    if kind == _ARPHRD_LOOPBACK:
        return None
    return "ethernet" if kind == _ARPHRD_ETHER else "plain"
