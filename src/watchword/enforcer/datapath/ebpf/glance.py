"""What the kernel holds of one Enforcer, read by somebody who is not its agent.

Reads the pinned tables only, so it works as well while no agent runs; takes root, as the pins do. Counts of live
connections are as of the agent's last look (:meth:`watchword.enforcer.datapath.base.Datapath.look`).
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from watchword.enforcer.datapath.base import DatapathError, LiveConnection, TableFill, VerdictTotal
from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf import counting, libbpf, samples
from watchword.enforcer.datapath.ebpf._layout import NameKind
from watchword.enforcer.datapath.ebpf.datapath import objects
from watchword.enforcer.datapath.ebpf.names import Numbers
from watchword.enforcer.datapath.ebpf.object import Map
from watchword.enforcer.datapath.ebpf.predecessor import attached, build
from watchword.enforcer.datapath.ebpf.records import connection


def pins_in_force(pin_root: Path) -> Path:
    """The pins at work, if they are of the build that this code belongs to: of another one it cannot read the tables.

    Raises :class:`DatapathError` when they are not, when there are none, and for anybody but root.
    """
    try:
        pins = attached(pin_root)
    except PermissionError:
        raise DatapathError(f"{pin_root} is for root only; use sudo") from None
    except FileNotFoundError:
        raise DatapathError(f"no Enforcer has anything in the kernel at {pin_root}; check pin_dir") from None
    if pins.name != build(objects()):
        remedy = "restart the Enforcer, whose new version is installed but not started"
        raise DatapathError(f"what is in the kernel is of another version: {remedy}")
    return pins


class Glance:
    """The pinned tables of one Enforcer. Close it."""

    def __init__(self, pin_root: Path) -> None:
        """Open them. Raises :class:`DatapathError` when there are none, or for anybody but root."""
        self._fds: dict[str, int] = {}
        self._pins = pins_in_force(pin_root)
        for name in sorted(entry.name for entry in self._pins.iterdir() if entry.is_file()):
            self._open(name)

    def _open(self, name: str) -> None:
        """Open one pin if it is a map; the others are links."""
        try:
            fd = libbpf.pinned(str(self._pins / name))
        except libbpf.KernelError as error:
            self.close()
            raise DatapathError(f"{self._pins / name} cannot be opened: {os.strerror(error.errno)}; use sudo") from None
        if fd is None:
            return
        if libbpf.is_map(fd):
            self._fds[name] = fd
        else:
            os.close(fd)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close all descriptors."""
        while self._fds:
            os.close(self._fds.popitem()[1])

    def revision(self) -> int:
        """The revision in force; 0 for none."""
        state = Map(self._fds["state"], ctypes.c_uint32, layout.State).get(ctypes.c_uint32(0))
        return int(state.revision) if state is not None and state.generation else 0

    def counters(self) -> dict[str, int]:
        """All counters by name, those that are zero too."""
        return counting.counted(self._fds)

    def verdicts(self) -> list[VerdictTotal]:
        """What flows of each verdict and reason have carried since the datapath was installed."""
        totals = Map(self._fds["totals"], ctypes.c_uint32, layout.FlowCounts)
        return counting.verdicts(totals, counting.aggregates(self._fds))

    def fills(self) -> list[TableFill]:
        """How full each table is."""
        return counting.fills(self._fds)

    def connections(self) -> list[LiveConnection]:
        """All connections that live now, young ones too."""
        rules = Numbers(Map(self._fds["names"], layout.NameKey, layout.Name), NameKind.RULE)
        boot = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
        clock = samples.Clock(boot)
        found: dict[bytes, LiveConnection] = {}
        for young in self._young():
            found[samples.raw(young.id)] = connection(young, rules, clock)
        for _, record in Map(self._fds["live"], ctypes.c_uint64, layout.Flow).items_batched():
            found[samples.raw(record.id)] = connection(record, rules, clock)
        return list(found.values())

    def _young(self) -> Iterator[layout.Young]:
        for _, young in Map(self._fds["young"], ctypes.c_uint32, layout.Young).items_batched():
            if young.judged.generation:
                yield young
