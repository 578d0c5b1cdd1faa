"""Reads pcapng files strictly (draft-ietf-opsawg-pcapng), for tests of what writes them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6


@dataclass(frozen=True)
class Packet:
    """One enhanced packet block."""

    interface: str
    nanoseconds: int
    length: int
    content: bytes
    comment: str
    inbound: bool


@dataclass
class File:
    """A whole file of one section."""

    application: str
    interfaces: list[tuple[str, int]]  # name, link type
    packets: list[Packet]
    statistics: list[tuple[int, int]]  # received and dropped, by interface


def read(path: Path) -> File:
    """The content of a file. Raises :class:`ValueError` where it breaks the format."""
    data, at = path.read_bytes(), 0
    found = File("", [], [], [])
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        _require(length % 4 == 0 and length >= 12 and at + length <= len(data), f"a block of {length} bytes at {at}")
        _require(struct.unpack_from("<I", data, at + length - 4)[0] == length, f"other length at the end, {at}")
        _require((at == 0) == (kind == _SECTION), "a section header has to be first, and alone")
        _block(found, kind, data[at + 8 : at + length - 4])
        at += length
    return found


def _block(found: File, kind: int, body: bytes) -> None:
    if kind == _SECTION:
        magic, major, minor, size = struct.unpack_from("<IHHq", body)
        _require((magic, major, minor, size) == (0x1A2B3C4D, 1, 0, -1), "no section header of version 1.0")
        found.application = _options(body[16:]).get(4, b"").decode()
    elif kind == _INTERFACE:
        link, reserved, _snap = struct.unpack_from("<HHI", body)
        options = _options(body[8:])
        _require(reserved == 0 and options.get(9) == b"\x09", "times are to be in nanoseconds")
        found.interfaces.append((options[2].decode(), link))
    elif kind == _PACKET:
        number, high, low, captured, length = struct.unpack_from("<IIIII", body)
        end = 20 + (captured + 3) // 4 * 4
        _require(captured <= length and end <= len(body), "a packet longer than its block")
        options = _options(body[end:])
        flags = struct.unpack("<I", options[2])[0]
        found.packets.append(
            Packet(
                found.interfaces[number][0],
                high << 32 | low,
                length,
                body[20 : 20 + captured],
                options[1].decode(),
                flags & 3 == 1,
            )
        )
    elif kind == _STATISTICS:
        options = _options(body[12:])
        found.statistics.append((struct.unpack("<Q", options[4])[0], struct.unpack("<Q", options[5])[0]))
    else:
        raise ValueError(f"unexpected block {kind:#x}")


def _options(body: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(body):
        code, length = struct.unpack_from("<HH", body, at)
        if code == 0:
            _require(at + 4 == len(body), "something behind the end of options")
            return found
        found[code] = body[at + 4 : at + 4 + length]
        at += 4 + (length + 3) // 4 * 4
    raise ValueError("options without an end")


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)
