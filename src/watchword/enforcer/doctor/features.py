"""Requirement: what the ``ebpf`` datapath needs of a kernel, each as one probe that tries it.

A probe asks the kernel, not a table of versions: distributions carry features back, and take some away. Add a probe
by writing a function that returns a :class:`Finding` and putting it into :data:`PROBES`.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.datapath.ebpf import editions
from watchword.enforcer.datapath.ebpf.features import NEWER, lacking
from watchword.enforcer.doctor import helper_probe, needs
from watchword.enforcer.doctor.findings import Finding
from watchword.enforcer.doctor.host import Kernel

GROUP = "ebpf"

_finding = partial(Finding, GROUP)

#: The oldest kernel that it has been tried on; an older one may pass the other probes all the same.
OLDEST_KERNEL = (5, 10)

_Key = TypeVar("_Key", int, tuple[int, int])


def kernel() -> Finding:
    """The running kernel's version."""
    release = platform.release()
    if Kernel(release).version >= OLDEST_KERNEL:
        return _finding("kernel", "pass", release)
    remedy = "if any probe fails, install a newer kernel"
    return _finding("kernel", "degraded", f"{release} is older than 5.10, the oldest that was tried", remedy)


def byte_order() -> Finding:
    """The programs are compiled for little-endian machines."""
    if sys.byteorder == "little":
        return _finding("machine", "pass", f"{platform.machine()}, little-endian")
    return _finding("machine", "fail", f"{platform.machine()} is big-endian", "there are no programs for it yet")


def kernel_types() -> Finding:
    """BTF of the running kernel: compiled once, the programs are fitted to it when loaded."""
    path = Path("/sys/kernel/btf/vmlinux")
    remedy = "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' are"
    try:
        types = path.read_bytes()
    except OSError as error:
        return _finding("BTF", "fail", f"{path}: {error.strerror}", remedy)
    if types[:2] not in (b"\x9f\xeb", b"\xeb\x9f"):
        return _finding("BTF", "fail", f"{path} is no BTF", remedy)
    if b"\0bpf_iter__bpf_map_elem\0" not in types:
        return _finding("BTF", "fail", "no iterator over map elements", "install a kernel from 5.10 on")
    return _finding("BTF", "pass", f"{path}, {len(types) >> 10} KiB")


def cgroups() -> Finding:
    """A cgroup v2 tree, pure or beside v1."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _device, directory, kind, *_rest = line.split(" ")
        if kind == "cgroup2":
            return _finding("cgroup v2", "pass", f"mounted at {directory}")
    return _finding(
        "cgroup v2",
        "fail",
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
                return _finding("bpf filesystem", "pass", f"mounted at {path}")
            return _finding("bpf filesystem", "fail", f"{path} is not writable", "run as root")
    return _finding("bpf filesystem", "fail", f"not mounted at {path}", f"mount it: mount -t bpf bpf {path}")


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
        return _finding("libbpf", "fail", "libbpf.so.1 cannot be loaded", "install it: apt-get install libbpf1")
    return _finding("libbpf", "pass", f"{library.libbpf_major_version()}.{library.libbpf_minor_version()}")


def own_programs() -> frozenset[str]:
    """Names of our programs as the kernel has them; none without the library."""
    library = _libbpf()
    if library is None:
        return frozenset()
    try:
        return needs.names_in(library, objects())
    except OSError:
        return frozenset()  # the probes say that an object is damaged


def objects() -> list[Path]:
    """Our programs, compiled, in the edition for this kernel; the newer one where it cannot be asked."""
    return sorted(_edition().glob("*.bpf.o"))


def _edition() -> Path:
    if _libbpf() is None:
        return editions.OBJECTS
    try:
        return editions.edition()
    except DatapathError:
        return editions.OBJECTS  # the probes that ask say why


def host_names() -> Finding:
    """Whether units can be let out by host name: that needs programs which read DNS answers."""
    if _libbpf() is None:
        return _finding("host names", "skip", "needs libbpf")
    try:
        if editions.hears_names():
            return _finding("host names", "pass", "learned from the answers that units get")
        missing = ", ".join(lacking(NEWER)) or "chosen by WATCHWORD_EDITION"
    except DatapathError as error:
        return _finding("host names", "fail", str(error), "run as root")
    why = f"no host names on this kernel: what is allowed by name stays refused ({missing})"
    return _finding("host names", "degraded", why, "use Linux 5.17 or later, or rules by address")


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
        return _finding(name, "skip", "needs libbpf and the compiled programs")
    try:
        wanted = sorted(choose(needs.of_objects(library, objects())))
    except OSError as error:
        return _finding(name, "fail", str(error), "install again, or run: make bpf")
    answers = {key: ask(library, key) for key in wanted}
    refused = [name_of(library, key) for key, answer in answers.items() if answer == 0]
    for key, answer in answers.items():
        if answer < 0:
            why = f"cannot ask for {name_of(library, key)}: {os.strerror(-answer)}"
            return _finding(name, "fail", why, "run as root; see also /sys/kernel/security/lockdown")
    if refused:
        return _finding(name, "fail", f"the kernel lacks {', '.join(refused)}", "install a newer kernel")
    return _finding(name, "pass", f"{len(wanted)} of {len(wanted)} offered")


def compiled_objects() -> Finding:
    """The kernel half is part of the installation."""
    if found := objects():
        return _finding("programs", "pass", ", ".join(path.name for path in found))
    return _finding("programs", "fail", "none are installed", "install from a wheel, or run: make bpf")


def clock() -> Finding:
    """Certificates and install tokens have a time; a clock before this version was made is surely wrong."""
    import datetime

    now = datetime.datetime.now(datetime.UTC)
    if now.year >= 2026:
        return _finding("clock", "pass", now.strftime("%Y-%m-%d %H:%M:%S UTC"))
    return _finding("clock", "fail", f"it says {now:%Y-%m-%d}", "set the clock; certificates are not valid yet by it")


def datapath() -> Finding:
    """Everything together: installed, attached to an empty cgroup and a device of its own, and removed."""
    from watchword.enforcer.doctor import rehearsal

    why = rehearsal.outcome()
    if not why:
        return _finding("datapath", "pass", "installed, attached and removed, on a cgroup and a device of its own")
    first, *_rest = why.splitlines()
    return _finding("datapath", "fail", first, "mend what fails above; else this kernel cannot run it")


#: In the order in which they are shown. ``datapath`` takes seconds, the others together less than one.
PROBES: tuple[Callable[[], Finding], ...] = (
    kernel,
    byte_order,
    kernel_types,
    cgroups,
    bpf_filesystem,
    libbpf,
    compiled_objects,
    program_types,
    map_types,
    helpers,
    host_names,
    datapath,
    clock,
)
