"""What the kernel knows of the types in a map: BTF, and structures carried from one layout to another by name.

Source: the kernel's Documentation/bpf/btf.rst. Pure, and nothing but the standard library: the build uses it too.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

INT, PTR, ARRAY, STRUCT, UNION, ENUM, TYPEDEF, VOLATILE, CONST, RESTRICT = 1, 2, 3, 4, 5, 6, 8, 9, 10, 11
FUNC_PROTO, VAR, DATASEC, DECL_TAG, ENUM64 = 13, 14, 15, 17, 19

_MAGIC = 0xEB9F
_TRANSPARENT = (TYPEDEF, VOLATILE, CONST, RESTRICT, VAR)


class Unreadable(ValueError):  # noqa: N818 - read as that
    """BTF that is none, or a type that no map of this datapath has."""


@dataclass
class Type:
    """One BTF type: kind, name, size or referenced type, and members.

    Members are (name, type, bit offset) of structures, (name, 0, value) of enumerations, ("", element, length) of
    arrays, and ("", variable, byte offset) of sections.
    """

    kind: int
    name: str
    size: int
    members: list[tuple[str, int, int]]


def types(btf: bytes) -> list[Type]:
    """All types of a BTF section; index 0 is void. Raises :class:`Unreadable`."""
    try:
        return _types(btf)
    except (struct.error, IndexError, ValueError) as error:
        raise Unreadable(f"BTF that breaks off or is none ({error})") from error


def _types(btf: bytes) -> list[Type]:
    magic, _, _, header_length, type_at, type_length, string_at, string_length = struct.unpack_from("<HBBIIIII", btf)
    if magic != _MAGIC:
        raise ValueError(f"magic number {magic:#x}")
    body = btf[header_length + type_at : header_length + type_at + type_length]
    strings = btf[header_length + string_at : header_length + string_at + string_length]

    def text(at: int) -> str:
        return strings[at : strings.index(b"\0", at)].decode()

    found, at = [Type(0, "void", 0, [])], 0
    while at < len(body):
        name, info, size = struct.unpack_from("<III", body, at)
        kind, count, at = info >> 24 & 0x1F, info & 0xFFFF, at + 12
        members: list[tuple[str, int, int]] = []
        if kind == ARRAY:
            element, _, length = struct.unpack_from("<III", body, at)
            members.append(("", element, length))
        elif kind in (STRUCT, UNION):
            members = [(text(n), t, o) for n, t, o in struct.iter_unpack("<III", body[at : at + 12 * count])]
        elif kind == ENUM:
            members = [(text(n), 0, v) for n, v in struct.iter_unpack("<Ii", body[at : at + 8 * count])]
        elif kind == DATASEC:
            members = [("", t, o) for t, o, _ in struct.iter_unpack("<III", body[at : at + 12 * count])]
        at += _tail(kind, count)
        found.append(Type(kind, text(name), size, members))
    return found


def _tail(kind: int, count: int) -> int:
    """Bytes that follow the common part of a type."""
    if kind in (INT, VAR, DECL_TAG):
        return 4
    if kind == ARRAY:
        return 12
    if kind in (STRUCT, UNION, DATASEC, ENUM64):
        return 12 * count
    return 8 * count if kind in (ENUM, FUNC_PROTO) else 0


class Leaf(NamedTuple):
    """Numbers in a structure: where they begin, how many bytes they take, and how many each."""

    offset: int
    size: int
    each: int


#: Numbers by their path, such as ``judged.generation``; a type that is a number itself has the path "".
Shape = Mapping[str, Leaf]


def shape(all_types: Sequence[Type], index: int) -> Shape:
    """The shape of a type. Raises :class:`Unreadable`."""
    return dict(_leaves(all_types, index, "", 0))


def _leaves(all_types: Sequence[Type], index: int, path: str, at: int) -> Iterator[tuple[str, Leaf]]:
    this = _bare(all_types, index)
    if this.kind in (INT, ENUM):
        yield path, Leaf(at, this.size, this.size)
    elif this.kind == STRUCT:
        for name, member, bits in this.members:
            if bits % 8:
                raise Unreadable(f"{this.name}.{name} does not begin at a byte")
            yield from _leaves(all_types, member, f"{path}.{name}" if path else name, at + bits // 8)
    elif this.kind == DATASEC:
        for _, variable, offset in this.members:
            yield from _leaves(all_types, variable, path, at + offset)
    elif this.kind == ARRAY:
        _, element, length = this.members[0]
        inner = dict(_leaves(all_types, element, "", 0))
        if list(inner) != [""]:
            raise Unreadable(f"{path}: an array of structures")
        yield path, Leaf(at, inner[""].size * length, inner[""].each)
    else:
        raise Unreadable(f"{path or this.name}: a type of kind {this.kind}")


def _bare(all_types: Sequence[Type], index: int) -> Type:
    this = all_types[index]
    while this.kind in _TRANSPARENT:
        this = all_types[this.size]
    return this


def shape_of(structure: type[Any]) -> Shape:
    """The shape of a ctypes structure or number."""
    return dict(_ctypes_leaves(structure, "", 0))


def _ctypes_leaves(this: Any, path: str, at: int) -> Iterator[tuple[str, Leaf]]:
    if issubclass(this, ctypes.Structure):
        for name, member, *_ in this._fields_:
            offset = at + getattr(this, name).offset
            yield from _ctypes_leaves(member, f"{path}.{name}" if path else name, offset)
    elif issubclass(this, ctypes.Array):
        element: Any = this._type_
        each = ctypes.sizeof(element)
        while issubclass(element, ctypes.Array):
            element = element._type_
            each = ctypes.sizeof(element)
        yield path, Leaf(at, ctypes.sizeof(this), each)
    else:
        yield path, Leaf(at, ctypes.sizeof(this), ctypes.sizeof(this))


class Misfit(ValueError):  # noqa: N818 - read as that
    """A number that the other layout has no room for."""


def carried(data: bytes, before: Shape, after: Shape, size: int) -> bytes:
    """``data``, of the shape ``before``, in ``size`` bytes of the shape ``after``.

    What both know by the same path is carried; what only ``after`` knows is zero. Raises :class:`Misfit` when a number
    does not fit, or an array would lose elements that are not zero.
    """
    result = bytearray(size)
    for path, leaf in after.items():
        source = before.get(path)
        if source is None:
            continue
        piece = data[source.offset : source.offset + source.size]
        if source.each != leaf.each:
            piece = b"".join(
                _resized(piece[i : i + source.each], leaf.each, path) for i in range(0, len(piece), source.each)
            )
        if any(piece[leaf.size :]):
            raise Misfit(
                f"{path}: {source.size // source.each} elements where there is room for {leaf.size // leaf.each}"
            )
        piece = piece[: leaf.size]
        result[leaf.offset : leaf.offset + len(piece)] = piece
    return bytes(result)


def _resized(number: bytes, size: int, path: str) -> bytes:
    if any(number[size:]):
        raise Misfit(f"{path}: {int.from_bytes(number, 'little')} does not fit into {size} bytes")
    return number[:size].ljust(size, b"\0")
