"""Loaded BPF objects, their programs and maps, in terms of bytes and descriptors."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar, cast

from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.datapath.ebpf import libbpf
from watchword.enforcer.datapath.ebpf.libbpf import KernelError, checked, library

_LOG_SIZE = 1 << 20
_BATCH = 4096
_ENOENT = 2
_E2BIG = 7  # what hash tables say when they are full
_ENOSPC = 28  # what prefix trees say
_ENOTSUPP = 524  # include/linux/errno.h: not in bulk, what arrays for each CPU say before Linux 5.13

#: Internal maps (global data) carry the object's name; they are pinned by their section's.
_INTERNAL = ".data."


class BpfObject:
    """One compiled object, loaded; its maps are taken from ``pins`` where they exist, else pinned there.

    ``sizes`` are numbers of entries by name of map, for maps that do not exist yet. The maps in ``passing`` are never
    pinned, and go with the descriptors: a number is that of a map to use, None means a new one. What stays of an object
    are its descriptors: libbpf's own, with all instructions and types, is closed as soon as they are taken.
    """

    def __init__(
        self,
        path: Path,
        pins: Path,
        sizes: Mapping[str, int] | None = None,
        passing: Mapping[str, int | None] | None = None,
    ) -> None:
        self._passing = dict(passing or {})
        self.maps: dict[str, int] = {}
        self.programs: dict[str, int] = {}
        log = ctypes.create_string_buffer(_LOG_SIZE)
        options = libbpf.OpenOptions(sz=ctypes.sizeof(libbpf.OpenOptions))
        options.kernel_log_buf = ctypes.addressof(log)  # cast() would keep it until cycles are looked for
        options.kernel_log_size = _LOG_SIZE
        opened = library().bpf_object__open_file(os.fsencode(path), ctypes.byref(options))
        if not opened:
            raise KernelError(f"open {path.name}", ctypes.get_errno())
        try:
            self._arrange(opened, pins, sizes or {})
            if library().bpf_object__load(opened) < 0:
                said = log.value.decode(errors="replace")[-4000:]
                raise KernelError(f"load {path.name}", ctypes.get_errno(), said)
            self._take(opened)
        except BaseException:
            self.close()
            raise
        finally:
            library().bpf_object__close(opened)

    def _arrange(self, opened: int, pins: Path, sizes: Mapping[str, int]) -> None:
        lib = library()
        for handle in _walk(lib.bpf_object__next_map, opened):
            name = _map_name(handle)
            used = self._passing.get(name)
            if used is not None:
                checked(f"use {name}", lib.bpf_map__reuse_fd(handle, used))
            elif name not in self._passing and not name.startswith("."):
                checked(f"pin {name}", lib.bpf_map__set_pin_path(handle, os.fsencode(pins / name)))
                room = _pinned_room(pins / name) or sizes.get(name)
                if room:
                    checked(f"set the size of {name}", lib.bpf_map__set_max_entries(handle, room))

    def _take(self, opened: int) -> None:
        lib = library()
        for handle in _walk(lib.bpf_object__next_map, opened):
            self.maps[_map_name(handle)] = os.dup(lib.bpf_map__fd(handle))
        for handle in _walk(lib.bpf_object__next_program, opened):
            self.programs[lib.bpf_program__name(handle).decode()] = os.dup(lib.bpf_program__fd(handle))

    def close(self) -> None:
        """Close all descriptors; what is pinned or attached stays."""
        for held in (self.maps, self.programs):
            while held:
                os.close(held.popitem()[1])


def _pinned_room(path: Path) -> int | None:
    """The size of a map that is there already, whatever it was asked to be."""
    fd = libbpf.pinned(str(path))
    if fd is None:
        return None
    try:
        return libbpf.map_room(fd)
    finally:
        os.close(fd)


def _walk(following: object, handle: int) -> Iterator[int]:
    current = following(handle, None)  # type: ignore[operator]
    while current:
        yield current
        current = following(handle, current)  # type: ignore[operator]


def _map_name(handle: int) -> str:
    name = str(library().bpf_map__name(handle).decode())
    return name.rpartition(_INTERNAL)[2] if _INTERNAL in name else name


K = TypeVar("K", bound=ctypes.Structure | ctypes.c_uint32 | ctypes.c_uint64)
V = TypeVar("V", bound=ctypes.Structure | ctypes.c_uint32 | ctypes.c_uint64 | ctypes.Array[ctypes.c_char])


class MapFull(DatapathError):  # noqa: N818
    """A table has no room for what a revision needs; the message names it."""

    def __init__(self, name: str, room: int) -> None:
        super().__init__(
            f"the kernel's table {name} is full: it has room for {room} entries, of the revision in force and of the "
            f"next; make the policy smaller, or the table larger (table_sizes.{name}, effective after an uninstall)"
        )
        self.name, self.room = name, room

    def __reduce__(self) -> tuple[type[MapFull], tuple[str, int]]:
        """Pickled by its parts, so that it survives a process boundary."""
        return MapFull, (self.name, self.room)


class Map(Generic[K, V]):
    """A map with typed keys and values. A per-CPU map's value type is the array over all CPUs."""

    def __init__(self, fd: int, key: type[K], value: type[V], name: str = "map") -> None:
        self.fd, self.name = fd, name
        self.key, self.value = key, value

    def get(self, key: K) -> V | None:
        """A copy of the value, or None."""
        value = self.value()
        if library().bpf_map_lookup_elem(self.fd, ctypes.byref(key), ctypes.byref(value)) == 0:
            return value
        if ctypes.get_errno() == _ENOENT:
            return None
        raise KernelError("map look-up", ctypes.get_errno())

    def put(self, key: K, value: V) -> None:
        """Set one entry."""
        result = library().bpf_map_update_elem(self.fd, ctypes.byref(key), ctypes.byref(value), libbpf.ANY)
        self._stored("map update", result)

    def _stored(self, what: str, result: int) -> None:
        """Raises :class:`MapFull` when there was no room, else what else went wrong."""
        if result < 0 and ctypes.get_errno() in (_E2BIG, _ENOSPC):
            raise MapFull(self.name, libbpf.map_room(self.fd))
        checked(what, result)

    def remove(self, key: K) -> None:
        """Remove one entry if it is there."""
        if library().bpf_map_delete_elem(self.fd, ctypes.byref(key)) < 0 and ctypes.get_errno() != _ENOENT:
            raise KernelError("map removal", ctypes.get_errno())

    def put_all(self, entries: Iterable[tuple[K, V]]) -> None:
        """Set many entries with few system calls."""
        for keys, values, count in _batches(self.key, self.value, entries):
            number = ctypes.c_uint32(count)
            options = libbpf.BatchOptions(sz=ctypes.sizeof(libbpf.BatchOptions))
            result = library().bpf_map_update_batch(self.fd, keys, values, ctypes.byref(number), ctypes.byref(options))
            self._stored("map batch update", result)

    def remove_all(self, keys: Iterable[K]) -> None:
        """Remove entries that may be there."""
        for key in keys:
            self.remove(key)

    def clear(self) -> None:
        """Remove all entries."""
        for key, _ in self.items():
            self.remove(key)

    def items(self) -> list[tuple[K, V]]:
        """All entries, read one by one; entries that vanish meanwhile are left out."""
        found: list[tuple[K, V]] = []
        current: K | None = None
        while True:
            following = self.key()
            pointer = ctypes.byref(current) if current is not None else None
            if library().bpf_map_get_next_key(self.fd, pointer, ctypes.byref(following)) < 0:
                return found
            value = self.get(following)
            if value is not None:
                found.append((following, value))
            current = following

    def items_batched(self) -> list[tuple[K, V]]:
        """All entries, read in bulk where the kernel can."""
        return list(self.each_batched())

    def each_batched(self) -> Iterator[tuple[K, V]]:
        """The same, one after the other."""
        keys, values = (self.key * _BATCH)(), (self.value * _BATCH)()
        options = libbpf.BatchOptions(sz=ctypes.sizeof(libbpf.BatchOptions))
        position, first = ctypes.create_string_buffer(64), True
        while True:
            number = ctypes.c_uint32(_BATCH)
            result = library().bpf_map_lookup_batch(
                self.fd,
                None if first else position,
                position,
                keys,
                values,
                ctypes.byref(number),
                ctypes.byref(options),
            )
            errno = ctypes.get_errno() if result < 0 else 0
            if errno == _ENOTSUPP:
                yield from self.items()
                return
            if errno not in (0, _ENOENT):
                raise KernelError("map batch look-up", errno)
            for index in range(number.value):  # not keys[index]: that is a number of Python if the key is a simple type
                key = self.key.from_buffer_copy(keys, index * ctypes.sizeof(self.key))
                value = self.value.from_buffer_copy(values, index * ctypes.sizeof(self.value))
                yield cast("tuple[K, V]", (key, value))
            if errno == _ENOENT:
                return
            first = False


def _batches(
    key: type[K], value: type[V], entries: Iterable[tuple[K, V]]
) -> Iterator[tuple[ctypes.Array[K], ctypes.Array[V], int]]:
    keys: ctypes.Array[K] = (key * _BATCH)()  # type: ignore[assignment]  # mypy solves the bound, not K
    values: ctypes.Array[V] = (value * _BATCH)()  # type: ignore[assignment]
    count = 0
    for each_key, each_value in entries:
        keys[count], values[count] = each_key, each_value
        count += 1
        if count == _BATCH:
            yield keys, values, count
            count = 0
    if count:
        yield keys, values, count
