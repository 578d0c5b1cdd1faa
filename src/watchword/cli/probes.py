"""What the eBPF datapath needs of a host, each as one probe that tries it.

A probe asks the kernel, not a table of versions: distributions carry features back, and take some away. Add a probe
by writing a function that returns a :class:`Finding` and putting it into :data:`PROBES`.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

from watchword.cli import helper_probe, needs

#: The oldest kernel that has everything; a distribution's older one may pass the other probes all the same.
OLDEST_KERNEL = (6, 1)

#: Where `make bpf` puts the compiled programs; part of a wheel.
OBJECTS = Path(__file__).parent.parent / "enforcer/datapath/ebpf/objects"

_Key = TypeVar("_Key", int, tuple[int, int])

#: Bits of a capability set.
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}


@dataclass(frozen=True)
class Finding:
    """What one probe found. ``remedy`` says what to do about a failure."""

    name: str
    result: Literal["pass", "FAIL", "skip"]
    detail: str
    remedy: str = ""


def kernel() -> Finding:
    """The running kernel's version."""
    release = platform.release()
    parts = release.split(".")[:2]
    version = tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in parts)
    if version >= OLDEST_KERNEL:
        return Finding("kernel", "pass", release)
    return Finding("kernel", "FAIL", f"{release} is older than 6.1", "install a newer kernel")


def byte_order() -> Finding:
    """The programs are compiled for little-endian machines."""
    if sys.byteorder == "little":
        return Finding("machine", "pass", f"{platform.machine()}, little-endian")
    return Finding("machine", "FAIL", f"{platform.machine()} is big-endian", "there are no programs for it yet")


def capabilities() -> Finding:
    """What this process may do; run doctor as the user the Enforcer runs as."""
    status = Path("/proc/self/status").read_text()
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    missing = [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]
    if missing:
        return Finding("capabilities", "FAIL", f"missing: {', '.join(missing)}", "run as root")
    return Finding("capabilities", "pass", ", ".join(_CAPABILITIES))


def kernel_types() -> Finding:
    """BTF of the running kernel: compiled once, the programs are fitted to it when loaded."""
    path = Path("/sys/kernel/btf/vmlinux")
    remedy = "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' are"
    try:
        types = path.read_bytes()
    except OSError as error:
        return Finding("BTF", "FAIL", f"{path}: {error.strerror}", remedy)
    if types[:2] not in (b"\x9f\xeb", b"\xeb\x9f"):
        return Finding("BTF", "FAIL", f"{path} is no BTF", remedy)
    if b"\0bpf_iter__bpf_map_elem\0" not in types:
        return Finding("BTF", "FAIL", "no iterator over map elements", "install a kernel from 6.1 on")
    return Finding("BTF", "pass", f"{path}, {len(types) >> 10} KiB")


def cgroups() -> Finding:
    """A cgroup v2 tree, pure or beside v1."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _device, directory, kind, *_rest = line.split(" ")
        if kind == "cgroup2":
            return Finding("cgroup v2", "pass", f"mounted at {directory}")
    return Finding(
        "cgroup v2",
        "FAIL",
        "not mounted",
        "mount it: mount -t cgroup2 none /sys/fs/cgroup/unified (or boot with systemd)",
    )


def bpf_filesystem() -> Finding:
    """Where programs and maps are pinned, so that they outlive the agent."""
    path = Path("/sys/fs/bpf")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _device, directory, kind, *_rest = line.split(" ")
        if kind == "bpf" and directory == str(path):
            if os.access(path, os.W_OK):
                return Finding("bpf filesystem", "pass", f"mounted at {path}")
            return Finding("bpf filesystem", "FAIL", f"{path} is not writable", "run as root")
    return Finding("bpf filesystem", "FAIL", f"not mounted at {path}", f"mount it: mount -t bpf bpf {path}")


@cache
def _libbpf() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError:
        return None


def libbpf() -> Finding:
    """The library that loads the programs."""
    library = _libbpf()
    if library is None:
        return Finding("libbpf", "FAIL", "libbpf.so.1 cannot be loaded", "install it: apt-get install libbpf1")
    return Finding("libbpf", "pass", f"{library.libbpf_major_version()}.{library.libbpf_minor_version()}")


def objects() -> list[Path]:
    """Our programs, compiled."""
    return sorted(OBJECTS.glob("*.bpf.o"))


def program_types() -> Finding:
    """Whether the kernel takes each type of program that ours are."""

    def ask(library: ctypes.CDLL, kind: int) -> int:
        # libbpf 1.1 cannot ask for iterators; kernel_types and datapath can.
        return 1 if kind == needs.TRACING else library.libbpf_probe_bpf_prog_type(kind, None)

    return _all_offered("program types", lambda wanted: wanted.programs, ask, _program_name)


def map_types() -> Finding:
    """Whether the kernel makes each type of map that they use."""
    return _all_offered(
        "map types",
        lambda wanted: wanted.maps,
        lambda library, kind: library.libbpf_probe_bpf_map_type(kind, None),
        lambda library, kind: library.libbpf_bpf_map_type_str(kind).decode(),
    )


def helpers() -> Finding:
    """Whether the kernel offers each helper where they call it."""

    def ask(library: ctypes.CDLL, pair: tuple[int, int]) -> int:
        return 1 if pair[0] == needs.TRACING else helper_probe.offers(library, *pair)

    def name(library: ctypes.CDLL, pair: tuple[int, int]) -> str:
        return f"helper {pair[1]} in {_program_name(library, pair[0])}"

    return _all_offered("helpers", lambda wanted: wanted.helpers, ask, name)


def _program_name(library: ctypes.CDLL, kind: int) -> str:
    known: bytes | None = library.libbpf_bpf_prog_type_str(kind)
    return known.decode() if known else f"program type {kind}"


def _all_offered(
    name: str,
    choose: Callable[[needs.Needs], frozenset[_Key]],
    ask: Callable[[ctypes.CDLL, _Key], int],
    name_of: Callable[[ctypes.CDLL, _Key], str],
) -> Finding:
    library = _libbpf()
    if library is None or not objects():
        return Finding(name, "skip", "needs libbpf and the compiled programs")
    try:
        wanted = sorted(choose(needs.of_objects(library, objects())))
    except OSError as error:
        return Finding(name, "FAIL", str(error), "install again, or run: make bpf")
    answers = {key: ask(library, key) for key in wanted}
    refused = [name_of(library, key) for key, answer in answers.items() if answer == 0]
    for key, answer in answers.items():
        if answer < 0:
            why = f"cannot ask for {name_of(library, key)}: {os.strerror(-answer)}"
            return Finding(name, "FAIL", why, "run as root; see also /sys/kernel/security/lockdown")
    if refused:
        return Finding(name, "FAIL", f"the kernel lacks {', '.join(refused)}", "install a newer kernel")
    return Finding(name, "pass", f"{len(wanted)} of {len(wanted)} offered")


def compiled_objects() -> Finding:
    """The kernel half is part of the installation."""
    if found := objects():
        return Finding("programs", "pass", ", ".join(path.name for path in found))
    return Finding("programs", "FAIL", "none are installed", "install from a wheel, or run: make bpf")


def clock() -> Finding:
    """Certificates and install tokens have a time; a clock before this version was made is surely wrong."""
    import datetime

    now = datetime.datetime.now(datetime.UTC)
    if now.year >= 2026:
        return Finding("clock", "pass", now.strftime("%Y-%m-%d %H:%M:%S UTC"))
    return Finding("clock", "FAIL", f"it says {now:%Y-%m-%d}", "set the clock; certificates are not valid yet by it")


def datapath() -> Finding:
    """Everything together: installed, attached to an empty cgroup and a device of its own, and removed."""
    from watchword.cli import rehearsal

    why = rehearsal.outcome()
    if not why:
        return Finding("datapath", "pass", "installed, attached and removed, on a cgroup and a device of its own")
    first, *_rest = why.splitlines()
    return Finding("datapath", "FAIL", first, "mend what fails above; else this kernel cannot run it")


#: In the order in which they are shown.
PROBES: tuple[Callable[[], Finding], ...] = (
    kernel,
    byte_order,
    capabilities,
    kernel_types,
    cgroups,
    bpf_filesystem,
    libbpf,
    compiled_objects,
    program_types,
    map_types,
    helpers,
    datapath,
    clock,
)
