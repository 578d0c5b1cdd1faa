"""Requirement: capabilities(7), each with what it is needed for, and which a datapath does without."""

from __future__ import annotations

from dataclasses import dataclass

from watchword.enforcer.doctor.findings import Finding
from watchword.enforcer.doctor.host import Host

GROUP = "capabilities"


@dataclass(frozen=True, slots=True)
class Capability:
    """One capability. An empty purpose: the datapath does without it."""

    name: str
    bit: int
    ebpf: str
    netfilter: str
    without: str = ""  # what an `ebpf` Enforcer cannot do without one that it does not require


TABLE: tuple[Capability, ...] = (
    Capability(
        "SYS_ADMIN",
        21,
        ebpf="loading programs, reading maps and links by ID, entering a unit's network namespace",
        netfilter="entering the network namespaces of containers, mounting net_cls",
    ),
    Capability(
        "NET_ADMIN",
        12,
        ebpf="attaching programs to devices and cgroups, ending sockets, reading who uses which",
        netfilter="rules, sets, marks, packet queues",
    ),
    Capability(
        "SYS_PTRACE",
        19,
        ebpf="",
        netfilter="which process owns a socket",
        without="units are cgroups; nothing is read of other processes",
    ),
    Capability(
        "NET_RAW",
        13,
        ebpf="answering what it refuses (raw sockets), echo requests by `watchword ping`",
        netfilter="sending handshake packets that it has changed",
    ),
    Capability(
        "SYS_RESOURCE",
        24,
        ebpf="",
        netfilter="queues and sockets larger than the limits",
        without="kernels before 5.11 count maps against RLIMIT_MEMLOCK; later ones do not",
    ),
    Capability(
        "SYS_MODULE",
        16,
        ebpf="",
        netfilter="loading kernel modules",
        without="modules of the clsact hook have to be there already; TCX needs none",
    ),
)

#: With what an `ebpf` Enforcer runs, by names of capabilities(7).
EBPF = tuple(f"CAP_{each.name}" for each in TABLE if each.ebpf)


def judge(host: Host, datapath: str) -> list[Finding]:
    """What this process may do; ask as the user the Enforcer runs as."""
    if host.capabilities is None:
        return [Finding(GROUP, "capabilities", "skip", "not known")]
    return [_judged(each, datapath, has=bool(host.capabilities >> each.bit & 1)) for each in TABLE]


def _judged(capability: Capability, datapath: str, *, has: bool) -> Finding:
    purpose = capability.netfilter if datapath == "netfilter" else capability.ebpf
    name = f"CAP_{capability.name}"
    if not purpose:
        return Finding(GROUP, name, "pass", f"not needed by `{datapath}`; without it: {capability.without}")
    if has:
        return Finding(GROUP, name, "pass", purpose)
    remedy = f"run as root, or add it: AmbientCapabilities={name} in a systemd unit, capabilities.add in a pod"
    return Finding(GROUP, name, "fail", f"missing; needed for {purpose}", remedy)
