"""What the compiled programs ask of a kernel, read from the objects themselves, so that no list can lag behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CALL, _HELPER = 0x85, 0  # opcode; a source register of 0 is a helper, others are functions of the program itself
_INSTRUCTION = 8

#: Iterators and their like: what they may call depends on what they are attached to, so it cannot be asked alone.
TRACING = 26


@dataclass(frozen=True)
class Needs:
    """Numbers of the kernel's enums: bpf_prog_type, bpf_map_type and (bpf_prog_type, bpf_func_id)."""

    programs: frozenset[int]
    maps: frozenset[int]
    helpers: frozenset[tuple[int, int]]


def of_objects(library: ctypes.CDLL, objects: list[Path]) -> Needs:
    """What ``objects`` need. Nothing is loaded into the kernel. Raises :class:`OSError` for a damaged one."""
    _declare(library)
    programs: set[int] = set()
    maps: set[int] = set()
    helpers: set[tuple[int, int]] = set()
    for path in objects:
        with _opened(library, path) as handle:
            for program in _each(library.bpf_object__next_program, handle):
                kind = library.bpf_program__type(program)
                programs.add(kind)
                helpers |= {(kind, helper) for helper in _called(library, program)}
            maps |= {library.bpf_map__type(each) for each in _each(library.bpf_object__next_map, handle)}
    return Needs(frozenset(programs), frozenset(maps), frozenset(helpers))


def names_in(library: ctypes.CDLL, objects: list[Path]) -> frozenset[str]:
    """Names of their programs, cut to the 15 characters that the kernel keeps. Raises :class:`OSError` likewise."""
    _declare(library)
    names: set[str] = set()
    for path in objects:
        with _opened(library, path) as handle:
            for program in _each(library.bpf_object__next_program, handle):
                names.add(library.bpf_program__name(program).decode()[:15])
    return frozenset(names)


@contextlib.contextmanager
def _opened(library: ctypes.CDLL, path: Path) -> Iterator[int]:
    handle = library.bpf_object__open_file(os.fsencode(path), None)
    if not handle:
        raise OSError(ctypes.get_errno(), f"{path.name} cannot be opened")
    try:
        yield handle
    finally:
        library.bpf_object__close(handle)


def _declare(library: ctypes.CDLL) -> None:
    pointer = ctypes.c_void_p
    for name in ("bpf_object__open_file", "bpf_object__next_program", "bpf_object__next_map"):
        function = getattr(library, name)
        function.argtypes, function.restype = [pointer, pointer], pointer
    library.bpf_object__open_file.argtypes = [ctypes.c_char_p, pointer]
    library.bpf_object__close.argtypes = [pointer]
    library.bpf_program__type.argtypes = [pointer]
    library.bpf_program__name.argtypes, library.bpf_program__name.restype = [pointer], ctypes.c_char_p
    library.bpf_map__type.argtypes = [pointer]
    library.bpf_program__insns.argtypes, library.bpf_program__insns.restype = [pointer], pointer
    library.bpf_program__insn_cnt.argtypes, library.bpf_program__insn_cnt.restype = [pointer], ctypes.c_size_t
    for name in ("libbpf_bpf_prog_type_str", "libbpf_bpf_map_type_str"):
        getattr(library, name).restype = ctypes.c_char_p


def _each(following: ctypes._NamedFuncPointer, handle: int) -> Iterator[int]:
    found = following(handle, None)
    while found:
        yield found
        found = following(handle, found)


def _called(library: ctypes.CDLL, program: int) -> Iterator[int]:
    count = library.bpf_program__insn_cnt(program)
    code = ctypes.string_at(library.bpf_program__insns(program), count * _INSTRUCTION)
    for at in range(0, len(code), _INSTRUCTION):
        if code[at] == _CALL and code[at + 1] >> 4 == _HELPER:
            yield int.from_bytes(code[at + 4 : at + 8], "little")
