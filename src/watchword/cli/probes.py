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

from watchword.cli import helper_probe

#: The oldest kernel that has everything; a distribution's older one may pass the other probes all the same.
OLDEST_KERNEL = (5, 10)

_Key = TypeVar("_Key", int, tuple[int, int])

#: Program types (enum bpf_prog_type) of bpf/*.bpf.c.
_PROGRAMS = {
    "sched_cls (stamp)": 3,
    "cgroup_skb (enforce)": 8,
    "cgroup_sock_addr (refuse)": 18,
    "sock_ops (establish)": 13,
}

#: Map types (enum bpf_map_type) they use.
_MAPS = {"hash": 1, "array": 2, "percpu_array": 6, "lru_hash": 9, "lpm_trie": 11, "sk_storage": 24, "ringbuf": 27}

#: Helpers (program type, number in enum bpf_func_id) that not every kernel offers in that place.
_HELPERS = {
    "skb_change_tail in sched_cls": (3, 38),
    "csum_diff in sched_cls": (3, 28),
    "sk_storage_get in sched_cls": (3, 107),
    "sk_storage_get in cgroup_skb": (8, 107),
    "sk_storage_get in cgroup_sock_addr": (18, 107),
    "sk_storage_get in sock_ops": (13, 107),
    "sk_ancestor_cgroup_id in cgroup_skb": (8, 129),
    "get_current_ancestor_cgroup_id in cgroup_sock_addr": (18, 123),
    "ktime_get_coarse_ns in cgroup_skb": (8, 160),
    "ringbuf_output in cgroup_skb": (8, 130),
}

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
    return Finding("kernel", "FAIL", f"{release} is older than 5.10", "install a newer kernel")


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
    if b"\0bpf_iter__bpf_sk_storage_map\0" not in types:
        return Finding("BTF", "FAIL", "no iterator over socket storage", "install a kernel from 5.10 on")
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


def programs() -> Finding:
    """Whether the kernel takes each type of program."""
    return _all_offered(
        "program types", _PROGRAMS, lambda library, kind: library.libbpf_probe_bpf_prog_type(kind, None)
    )


def maps() -> Finding:
    """Whether the kernel makes each type of map."""
    return _all_offered("map types", _MAPS, lambda library, kind: library.libbpf_probe_bpf_map_type(kind, None))


def helpers() -> Finding:
    """Whether the kernel offers each helper where it is called."""
    return _all_offered("helpers", _HELPERS, lambda library, pair: helper_probe.offers(library, *pair))


def _all_offered(name: str, wanted: dict[str, _Key], ask: Callable[[ctypes.CDLL, _Key], int]) -> Finding:
    library = _libbpf()
    if library is None:
        return Finding(name, "skip", "needs libbpf")
    answers = {what: ask(library, key) for what, key in wanted.items()}
    refused = [what for what, answer in answers.items() if answer == 0]
    unclear = {what: -answer for what, answer in answers.items() if answer < 0}
    if unclear:
        what, number = next(iter(unclear.items()))
        return Finding(
            name, "FAIL", f"cannot ask for {what}: {os.strerror(number)}", "run as root; see also kernel.lockdown"
        )
    if refused:
        return Finding(name, "FAIL", f"the kernel lacks {', '.join(refused)}", "install a newer kernel")
    return Finding(name, "pass", f"{len(wanted)} of {len(wanted)} offered")


def compiled_objects() -> Finding:
    """Our programs, compiled."""
    from importlib.resources import files

    folder = files("watchword.enforcer.datapath.ebpf") / "objects"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".bpf.o")) if folder.is_dir() else []
    if names:
        return Finding("programs", "pass", ", ".join(names))
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
    programs,
    maps,
    helpers,
    compiled_objects,
    datapath,
    clock,
)
