"""The BPF objects of this machine, by asking the kernel itself: programs, maps and links by number.

Numbers are never used twice, so an object that is gone stays gone. Other users of the machine have
objects too: tests ask for those of one process, or for those that use its maps.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["prog", "map", "link"]
KINDS: tuple[Kind, ...] = ("prog", "map", "link")


class KernelObject(NamedTuple):
    """One object, e.g. ``("prog", 17)``."""

    kind: Kind
    number: int


class _ProgramInfo(ctypes.Structure):
    """struct bpf_prog_info up to map_ids."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_prog_len", ctypes.c_uint32),
        ("xlated_prog_len", ctypes.c_uint32),
        ("jited_prog_insns", ctypes.c_uint64),
        ("xlated_prog_insns", ctypes.c_uint64),
        ("load_time", ctypes.c_uint64),
        ("created_by_uid", ctypes.c_uint32),
        ("nr_map_ids", ctypes.c_uint32),
        ("map_ids", ctypes.c_uint64),
    ]


def _libbpf() -> ctypes.CDLL:
    return ctypes.CDLL("libbpf.so.1", use_errno=True)


def present() -> set[KernelObject]:
    """Everything that the kernel holds now."""
    library, found = _libbpf(), set()
    for kind in KINDS:
        following = getattr(library, f"bpf_{kind}_get_next_id")
        number = ctypes.c_uint32(0)
        while following(number, ctypes.byref(number)) == 0:
            found.add(KernelObject(kind, number.value))
        if ctypes.get_errno() != errno.ENOENT:
            raise OSError(ctypes.get_errno(), f"ask for the next {kind}")
    return found


def held_by(pid: int) -> set[KernelObject]:
    """What a process has open."""
    found = set()
    for entry in _descriptors(pid):
        for line in entry.splitlines():
            name, _, value = line.partition(":")
            kind = name.removesuffix("_id")
            if kind in KINDS and name != kind:
                found.add(KernelObject(kind, int(value)))
    return found


def _descriptors(pid: int) -> Iterator[str]:
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            yield path.read_text()
        except FileNotFoundError:  # closed meanwhile
            continue


def using(maps: set[KernelObject]) -> set[KernelObject]:
    """All programs that use one of these maps, whoever loaded them."""
    numbers = {each.number for each in maps if each.kind == "map"}
    return {each for each in present() if each.kind == "prog" and numbers & _maps_of(each.number)}


def _maps_of(program: int) -> set[int]:
    library = _libbpf()
    descriptor = library.bpf_prog_get_fd_by_id(ctypes.c_uint32(program))
    if descriptor < 0:  # gone meanwhile
        return set()
    try:
        numbers = (ctypes.c_uint32 * 64)()
        info = _ProgramInfo(nr_map_ids=64, map_ids=ctypes.addressof(numbers))
        size = ctypes.c_uint32(ctypes.sizeof(info))
        if library.bpf_obj_get_info_by_fd(descriptor, ctypes.byref(info), ctypes.byref(size)) < 0:
            raise OSError(ctypes.get_errno(), f"ask about program {program}")
        return set(numbers[: info.nr_map_ids])
    finally:
        os.close(descriptor)


def attached(target: int, attach_type: int) -> int:
    """How many programs hang at a cgroup (a descriptor) or device (its index), by the kernel's own list."""
    number = ctypes.c_uint32(0)
    if _libbpf().bpf_prog_query(target, attach_type, 0, None, None, ctypes.byref(number)) < 0:
        if ctypes.get_errno() == errno.ENOENT:  # how a device says that there never was one
            return 0
        raise OSError(ctypes.get_errno(), "ask what is attached")
    return number.value
