# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Holds compiled programs to the kernel's stack: 512 bytes along every chain of calls.

Usage: ``stack.py OBJECT [--show]``. Counts as Debian's 6.1 does (``check_max_stack_depth`` in kernel/bpf/verifier.c):
each function's frame is rounded up to 32 bytes, and an empty one counts as 32. Newer kernels round to 16 where programs
are compiled, so what is too deep for 6.1 may load where it was made. Callbacks count as called where their address is
taken. Instructions are encoded as in RFC 9669.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MAXIMUM = 512
_ROUNDED = 32
_SIZE = 8  # of an instruction

_SYMBOLS, _RELOCATIONS = 2, 9  # types of sections
_EXECUTABLE = 4  # flag of a section
_FUNCTION = 2  # type of a symbol

_LD, _LDX, _ST, _STX, _ALU, _ALU64 = 0, 1, 2, 3, 4, 7  # classes of instructions
_CALL, _LOAD_ADDRESS, _COPY, _ADD = 0x85, 0x18, 0xBF, 0x07
_LOCAL = 1  # source register of a call to a function of the object
_FRAME = 10  # register


@dataclass(slots=True)
class Function:
    """``depth`` in bytes, as the function's own instructions use it; ``calls`` by section and instruction."""

    name: str
    depth: int = 0
    calls: set[tuple[int, int]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Section:
    kind: int
    executable: bool
    contents: bytes
    link: int
    info: int


@dataclass(frozen=True, slots=True)
class _Symbol:
    name: str
    kind: int
    section: int
    value: int
    size: int


def _sections(elf: bytes) -> list[_Section]:
    (offset,) = struct.unpack_from("<Q", elf, 40)
    entry, number = struct.unpack_from("<HH", elf, 58)
    headers = (struct.unpack_from("<IIQQQQIIQQ", elf, offset + each * entry) for each in range(number))
    return [
        _Section(kind, bool(flags & _EXECUTABLE), elf[at : at + size], link, info)
        for _, kind, flags, _, at, size, link, info, _, _ in headers
    ]


def _symbols(sections: list[_Section]) -> list[_Symbol]:
    table = next(section for section in sections if section.kind == _SYMBOLS)
    names = sections[table.link].contents
    return [
        _Symbol(names[name : names.index(b"\0", name)].decode(), info & 0xF, section, value, size)
        for name, info, _, section, value, size in struct.iter_unpack("<IBBHQQ", table.contents)
    ]


def _relocated(sections: list[_Section], symbols: list[_Symbol]) -> dict[tuple[int, int], _Symbol]:
    """What instructions refer to, by section and instruction."""
    return {
        (section.info, at // _SIZE): symbols[info >> 32]
        for section in sections
        if section.kind == _RELOCATIONS
        for at, info in struct.iter_unpack("<QQ", section.contents)
    }


def functions(elf: bytes) -> dict[tuple[int, int], Function]:
    """Every function of a compiled object, by section and first instruction."""
    sections = _sections(elf)
    symbols = _symbols(sections)
    relocated = _relocated(sections, symbols)
    found = {}
    for symbol in symbols:
        if symbol.kind != _FUNCTION or not sections[symbol.section].executable:
            continue
        this = found[symbol.section, symbol.value // _SIZE] = Function(symbol.name)
        contents = sections[symbol.section].contents[symbol.value : symbol.value + symbol.size]
        this.depth = _depth(contents)
        for at, target, length in _references(contents):
            place = symbol.section, symbol.value // _SIZE + at
            to = relocated.get(place)
            if to and to.section and sections[to.section].executable:
                this.calls.add((to.section, (to.value + target) // _SIZE))
            elif not to and length == 1:
                this.calls.add((symbol.section, place[1] + target // _SIZE))
    return found


def _references(code: bytes) -> Iterator[tuple[int, int, int]]:
    """Calls and loads of addresses: which instruction, bytes from what it refers to, its length in instructions."""
    for at, (operation, registers, _, value) in enumerate(struct.iter_unpack("<BBhi", code)):
        if operation == _CALL and registers >> 4 == _LOCAL:
            yield at, (value + 1) * _SIZE, 1
        elif operation == _LOAD_ADDRESS:
            yield at, value, 2


def _depth(code: bytes) -> int:
    """Bytes below the frame pointer that a function's own instructions reach, or take the address of."""
    depth, copies = 0, {_FRAME}
    for operation, registers, offset, value in struct.iter_unpack("<BBhi", code):
        to, source, kind = registers & 0xF, registers >> 4, operation & 7
        if (kind == _LDX and source in copies) or (kind in (_ST, _STX) and to in copies):
            depth = max(depth, -offset)
        if operation == _ADD and to in copies:
            depth = max(depth, -value)
        if operation == _COPY and source in copies:
            copies.add(to)
        elif kind in (_LD, _LDX, _ALU, _ALU64):
            copies.discard(to)
    return depth


def deepest(found: dict[tuple[int, int], Function]) -> tuple[int, list[Function]]:
    """The chain of calls that takes most, and how many bytes that is."""
    known: dict[tuple[int, int], tuple[int, list[Function]]] = {}

    def below(place: tuple[int, int]) -> tuple[int, list[Function]]:
        if place not in known:
            this = found[place]
            depth, chain = max((below(called) for called in this.calls), default=(0, []), key=lambda each: each[0])
            own = -(-max(this.depth, 1) // _ROUNDED) * _ROUNDED
            known[place] = own + depth, [this, *chain]
        return known[place]

    return max((below(place) for place in found), key=lambda each: each[0])


def main(path: str, show: bool = False) -> None:
    """Check one object; :class:`SystemExit` names the chain that is too deep."""
    depth, chain = deepest(functions(Path(path).read_bytes()))
    told = f"{depth} bytes of stack: {' > '.join(f'{each.name} {each.depth}' for each in chain)}"
    if depth > MAXIMUM:
        raise SystemExit(f"{path}: more than {MAXIMUM} bytes; {told}")
    if show:
        print(told)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] == ["--show"])
