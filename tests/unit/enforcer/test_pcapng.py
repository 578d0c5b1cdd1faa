"""The pcapng writer, read back by a strict reader of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed import pcapng
from watchword.enforcer.pcapng import PcapngWriter


def written(path: Path, *packets: tuple[str, float, bytes, int, str], missed: int = 0) -> pcapng.File:
    with path.open("wb") as file:
        writer = PcapngWriter(file, "tests", 64)
        for number, (interface, time, content, length, comment) in enumerate(packets):
            writer.packet(interface, time, "outgoing" if number % 2 else "incoming", content, length, comment)
        writer.statistics(missed, 2000.0)
    assert writer.size == path.stat().st_size
    return pcapng.read(path)


def test_packets_come_back_as_they_were_written(tmp_path: Path) -> None:
    first = ("eth0", 1795449995.5, b"\x45" + bytes(19), 20, "Allow; unit wéb")
    second = ("lo", 1795449996.0, b"\x60" + bytes(40), 1500, "Reject (policy)")
    found = written(tmp_path / "file", first, second, first, missed=7)
    assert found.application == "tests"
    assert found.interfaces == [("eth0", 101), ("lo", 101)]
    assert [(p.interface, p.nanoseconds, p.content, p.length, p.comment, p.inbound) for p in found.packets] == [
        ("eth0", 1795449995_500_000_000, first[2], 20, "Allow; unit wéb", True),
        ("lo", 1795449996_000_000_000, second[2], 1500, "Reject (policy)", False),
        ("eth0", 1795449995_500_000_000, first[2], 20, "Allow; unit wéb", True),
    ]
    assert found.statistics == [(2, 7), (1, 7)]


@pytest.mark.parametrize("size", range(5))
def test_every_length_is_padded(tmp_path: Path, size: int) -> None:
    found = written(tmp_path / "file", ("x" * size, 1.0, bytes(size), size, "c" * size))
    assert (found.packets[0].content, found.packets[0].comment) == (bytes(size), "c" * size)


def test_a_file_without_packets_is_one(tmp_path: Path) -> None:
    found = written(tmp_path / "file")
    assert (found.packets, found.interfaces, found.statistics) == ([], [], [])
