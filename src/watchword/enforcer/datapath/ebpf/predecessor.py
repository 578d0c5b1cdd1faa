"""What another build of the programs has left in the kernel, read by the names of its fields.

Each build has a directory of pins of its own (:func:`build`), so its maps may look as they like. The kernel keeps the
types of every map (BTF); what is read here comes out in the layouts of *this* build.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.datapath.ebpf import btf, libbpf
from watchword.enforcer.datapath.ebpf.object import Map

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

_DIGITS = 16

#: What the mark of an unfinished succession begins with; the name of the build that is followed comes after.
_FOLLOWING = "following_"


def build(objects: Iterable[Path]) -> str:
    """The name of a build: what its compiled programs are, and nothing else, decides it."""
    digest = hashlib.sha256()
    for path in sorted(objects):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:_DIGITS]


def attached(root: Path) -> Path:
    """The pins below ``root`` of the build that is at work. Raises FileNotFoundError when there is none."""
    for path in root.iterdir():
        if (path / "enforce_in").exists():
            return path
    raise FileNotFoundError(root)


def predecessor(root: Path, own: Path) -> Predecessor | None:
    """The build to follow: another than that of the pins ``own`` that is at work, or that ``own`` was following."""
    for path in builds(root, own):
        if (path / "enforce_in").exists() or (own / f"{_FOLLOWING}{path.name}").exists():
            return Predecessor(path, own)
    return None


def builds(root: Path, own: Path) -> list[Path]:
    """The pins of all builds below ``root`` but ``own``."""
    return [path for path in root.iterdir() if path.is_dir() and path != own] if root.is_dir() else []


class Predecessor:
    """The pins of another build. Raises :class:`DatapathError` where what it left cannot be understood."""

    def __init__(self, pins: Path, own: Path) -> None:
        self.pins, self._mark = pins, own / f"{_FOLLOWING}{pins.name}"
        #: Whether it began to follow the build of ``own`` and did not come to the end: what is there is needed still.
        self.was_following = (pins / f"{_FOLLOWING}{own.name}").exists()
        self._types: dict[int, list[btf.Type]] = {}

    def table(
        self, name: str, key: type[K], value: type[V], called: Mapping[str, str] | None = None
    ) -> list[tuple[K, V]]:
        """All entries of one of its tables, as this build would have written them; none if it has no such table.

        ``called`` has names of fields of the value that are called otherwise there.
        """
        return [(key_, values[0]) for key_, values in self._entries(name, key, value, 1, called or {})]

    def table_per_cpu(self, name: str, key: type[K], value: type[V]) -> list[tuple[K, list[V]]]:
        """The same of a table that has a value for each CPU."""
        cpus = libbpf.checked("count CPUs", libbpf.library().libbpf_num_possible_cpus())
        return self._entries(name, key, value, cpus, {})

    def one(self, name: str, value: type[V]) -> V | None:
        """The only entry of a table."""
        found = self.table(name, ctypes.c_uint32, value)
        return found[0][1] if found else None

    def _entries(
        self, name: str, key: type[K], value: type[V], cpus: int, called: Mapping[str, str]
    ) -> list[tuple[K, list[V]]]:
        fd = libbpf.pinned(str(self.pins / name))
        if fd is None:
            return []
        try:
            info = libbpf.map_info(fd)
            read_key = self._reader(name, info.btf_id, info.btf_key_type_id, key, {})
            read_value = self._reader(name, info.btf_id, info.btf_value_type_id, value, called)
            size = int(info.value_size)
            stride = -(-size // 8) * 8 if cpus > 1 else size
            raw: Map[Any, Any] = Map(fd, ctypes.c_char * info.key_size, ctypes.c_char * (stride * cpus), name)
            return [
                (read_key(k.raw), [read_value(v.raw[at : at + size]) for at in range(0, stride * cpus, stride)])
                for k, v in raw.items_batched()
            ]
        finally:
            os.close(fd)

    def _reader(
        self, name: str, types: int, number: int, wanted: type[T], called: Mapping[str, str]
    ) -> Callable[[bytes], T]:
        """How bytes of a type of theirs become ``wanted``."""
        size = ctypes.sizeof(wanted)  # type: ignore[arg-type]
        after = btf.shape_of(wanted)
        # The kernel keeps no types for the key of a section of global data: the number 0.
        before = dict(btf.shape(self._types_in(types), number)) if number else {"": btf.Leaf(0, 4, 4)}
        before |= {here: before[there] for here, there in called.items() if there in before}
        if before == after:
            return lambda data: wanted.from_buffer_copy(data.ljust(size, b"\0"))  # type: ignore[attr-defined]

        def convert(data: bytes) -> T:
            try:
                return wanted.from_buffer_copy(btf.carried(data, before, after, size))  # type: ignore[attr-defined,no-any-return]
            except btf.Misfit as error:
                message = f"the table {name} of the version that ran before cannot be taken over: {error}"
                remedy = "start that version again, or uninstall it first: connections then begin anew"
                raise DatapathError(f"{message}; {remedy}") from error

        return convert

    def _types_in(self, number: int) -> list[btf.Type]:
        if number not in self._types:
            self._types[number] = btf.types(libbpf.btf_of(number))
        return self._types[number]

    def begin(self) -> None:
        """Remember that it is being followed, until it is removed: for an agent that comes after one that died."""
        self._mark.mkdir(exist_ok=True)

    def forget(self, names: Iterable[str]) -> None:
        """Unpin tables that have been carried over, so that nobody does it twice."""
        for name in names:
            (self.pins / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Unpin everything; what no link holds goes."""
        shutil.rmtree(self.pins)
        self._mark.rmdir()
