"""Packets with comments, as a pcapng file (draft-ietf-opsawg-pcapng). Writes to what it is given, nothing else.

All packets begin with their IP header (LINKTYPE_RAW). Times are kept to the nanosecond.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Literal

_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_MAGIC = 0x1A2B3C4D
_LINKTYPE_RAW = 101

#: Options: of any block, of sections, interfaces, packets and statistics.
_COMMENT = 1
_APPLICATION = 4
_NAME, _RESOLUTION = 2, 9
_FLAGS = 2
_RECEIVED, _DROPPED = 4, 5

_NANOSECONDS = 9
_FLAG = {"incoming": 1, "outgoing": 2}


class PcapngWriter:
    """One section of one file; interfaces are described when their first packet comes."""

    def __init__(self, file: BinaryIO, application: str, snap: int) -> None:
        """``snap`` is the most bytes there are of a packet; 0 for no limit."""
        self._file, self._snap = file, snap
        self._interfaces: dict[str, int] = {}
        self._counts: dict[int, int] = {}
        self.size = 0
        self._block(_SECTION, struct.pack("<IHHq", _MAGIC, 1, 0, -1), [(_APPLICATION, application.encode())])

    def packet(
        self,
        interface: str,
        time: float,
        direction: Literal["incoming", "outgoing"],
        content: bytes,
        length: int,
        comment: str,
    ) -> None:
        """Write one packet; ``time`` is Unix time, ``length`` that of the whole packet."""
        number = self._interface(interface)
        self._counts[number] += 1
        high, low = divmod(int(time * 1e9), 1 << 32)
        body = struct.pack("<IIIII", number, high, low, len(content), length) + _padded(content)
        self._block(_PACKET, body, [(_COMMENT, comment.encode()), (_FLAGS, struct.pack("<I", _FLAG[direction]))])

    def statistics(self, missed: int, time: float) -> None:
        """End the section: how many packets were wanted and missed, said of every interface alike."""
        high, low = divmod(int(time * 1e9), 1 << 32)
        for number, count in self._counts.items():
            options = [(_RECEIVED, struct.pack("<Q", count)), (_DROPPED, struct.pack("<Q", missed))]
            self._block(_STATISTICS, struct.pack("<III", number, high, low), options)

    def _interface(self, name: str) -> int:
        number = self._interfaces.get(name)
        if number is None:
            number = self._interfaces[name] = len(self._interfaces)
            self._counts[number] = 0
            options = [(_NAME, name.encode()), (_RESOLUTION, bytes([_NANOSECONDS]))]
            self._block(_INTERFACE, struct.pack("<HHI", _LINKTYPE_RAW, 0, self._snap), options)
        return number

    def _block(self, kind: int, body: bytes, options: list[tuple[int, bytes]]) -> None:
        for code, value in options:
            body += struct.pack("<HH", code, len(value)) + _padded(value)
        body += bytes(4)  # end of options
        length = struct.pack("<I", len(body) + 12)
        self._file.write(struct.pack("<I", kind) + length + body + length)
        self.size += len(body) + 12


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)
