"""Every compiled object loads into this kernel, and together they are one datapath: they share their maps."""

from __future__ import annotations

import ctypes
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.remains import ensure_bpffs
from watchword.enforcer.datapath.base import DatapathError, FeatureMissing
from watchword.enforcer.datapath.ebpf.datapath import EbpfDatapath
from watchword.enforcer.datapath.ebpf.editions import OBJECTS, OLDER, edition
from watchword.enforcer.datapath.ebpf.object import BpfObject

PROGRAMS = {
    "stamp": {"stamp_ethernet", "stamp_plain"}
    | {f"stamp_{segment}_{device}" for segment in ("syn", "synack", "ack") for device in ("ethernet", "plain")},
    "verify": {"verify_ethernet", "verify_plain"},
    "refuse": {"refuse4", "refuse6"},
    "enforce": {"enforce_in"} | {f"judge_{what}" for what in ("server", "plain", "client", "record", "half", "grown")},
    "capture_in": {"enforce_in"},
    "capture_out": {"stamp_ethernet", "stamp_plain"},
    "capture_verify": {"verify_ethernet", "verify_plain"},
    "sweep": {"judge", "judge_young", "tally"},
    "names": {"learn", "forget_learned", "forget_spelled"},
    "resolve": {"resolve_in"},
}


@pytest.fixture
def pins() -> Iterator[Path]:
    ensure_bpffs()
    path = Path("/sys/fs/bpf") / f"watchword-test-{secrets.token_hex(4)}"
    path.mkdir()
    yield path
    shutil.rmtree(path)


def map_id(descriptor: int) -> int:
    text = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("map_id:"))


@pytest.mark.parametrize("folder", {OLDER, edition()}, ids=lambda folder: str(folder.name))
@pytest.mark.parametrize("name", PROGRAMS)
def test_each_object_loads_alone(pins: Path, folder: Path, name: str) -> None:
    """The older edition on every kernel, the newer one where it is the kernel's own."""
    loaded = BpfObject(folder / f"{name}.bpf.o", pins)
    try:
        assert set(loaded.programs) == PROGRAMS[name]
    finally:
        loaded.close()


def test_there_is_no_object_beside_these() -> None:
    for folder in (OBJECTS, OLDER):
        assert {path.name.removesuffix(".bpf.o") for path in folder.glob("*.bpf.o")} == set(PROGRAMS)


def test_maps_of_one_name_are_one_map(pins: Path) -> None:
    objects = [BpfObject(edition() / f"{name}.bpf.o", pins) for name in PROGRAMS]
    try:
        ids: dict[str, set[int]] = {}
        for loaded in objects:
            for name, descriptor in loaded.maps.items():
                if not name.startswith("."):
                    ids.setdefault(name, set()).add(map_id(descriptor))
        assert {"state", "live", "verdicts", "counters", "keys"} <= set(ids)
        assert {name: found for name, found in ids.items() if len(found) != 1} == {}
        assert sorted(entry.name for entry in pins.iterdir()) == sorted(ids)
    finally:
        for loaded in objects:
            loaded.close()


def test_only_root_sees_the_pins(pins: Path) -> None:
    loaded = BpfObject(edition() / "stamp.bpf.o", pins)
    try:
        readable = [entry.name for entry in pins.iterdir() if entry.stat().st_mode & 0o077]
        assert readable == [], "keys and secrets are in these maps"
    finally:
        loaded.close()


class _Mallinfo(ctypes.Structure):
    """struct mallinfo2 of malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "mapped", "usmblks", "fsmblks", "used", "free", "keepcost")
    ]


def _allocated() -> int:
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Mallinfo
    found = mallinfo()
    return int(found.used + found.mapped)


def test_what_stays_of_an_object_is_its_descriptors(pins: Path) -> None:
    """And not megabytes of instructions and types, which nobody looks at again."""
    before = _allocated()
    loaded = BpfObject(OBJECTS / "stamp.bpf.o", pins)
    try:
        assert _allocated() - before < 300_000
        assert all(map_id(descriptor) for descriptor in loaded.maps.values())
    finally:
        loaded.close()


def test_a_program_that_the_kernel_refuses_says_why(tmp_path: Path, pins: Path) -> None:
    broken = tmp_path / "broken.bpf.o"
    broken.write_bytes((edition() / "refuse.bpf.o").read_bytes()[:4000])
    with pytest.raises(DatapathError, match=r"open broken\.bpf\.o"):
        BpfObject(broken, pins)
    assert list(pins.iterdir()) == []


def test_a_host_without_a_bpf_file_system_is_told_so(tmp_path: Path) -> None:
    """What could not outlive the agent is not begun."""
    datapath = EbpfDatapath(tmp_path, tmp_path / "pins")
    with pytest.raises(FeatureMissing, match=r"the kernel lacks a bpffs at .*: mount -t bpf bpf /sys/fs/bpf"):
        datapath.install()
