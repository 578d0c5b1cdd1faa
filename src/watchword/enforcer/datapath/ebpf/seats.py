"""The places where programs that judge packets hang, as one sees them from outside the agent."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from watchword.enforcer.datapath.ebpf import clsact, libbpf
from watchword.enforcer.datapath.ebpf.tcx import Direction


@dataclass(frozen=True, slots=True)
class Seat:
    """One place: a pinned link, or (``device``) our filter at a device, in one direction."""

    pin: Path
    device: int = 0
    direction: Direction = "out"

    def program(self) -> int | None:
        """The ID of the program there; None when the place is gone."""
        if self.device:
            return clsact.program_at(self.device, self.direction)
        link = libbpf.pinned(str(self.pin))
        if link is None:
            return None
        try:
            return libbpf.link_program(f"look at {self.pin.name}", link) or None
        finally:
            os.close(link)

    def put(self, program: int) -> None:
        """Replace the program there, between two packets. ``program`` is a descriptor."""
        if self.device:
            clsact.replace_at(self.device, self.direction, program)
            return
        link = libbpf.pinned(str(self.pin))
        if link is None:
            return
        try:
            libbpf.link_update(f"replace the program of {self.pin.name}", link, program)
        finally:
            os.close(link)


def seats(pins: Path) -> list[Seat]:
    """All places of the Enforcer with these pins."""
    found = []
    for name in sorted(os.listdir(pins)):
        kind, _, device = name.rpartition("_")
        if name == "enforce_in" or (kind in ("stamp", "verify") and device.isdigit()):
            found.append(Seat(pins / name))
        elif kind == "clsact" and device.isdigit():
            found += [Seat(pins / name, int(device), direction) for direction in get_args(Direction)]
    return found


def named(program: int) -> str:
    """The name of a program, by its ID."""
    fd = libbpf.program_of_id(program)
    try:
        return ctypes.string_at(libbpf.program_info(fd).name).decode()
    finally:
        os.close(fd)
