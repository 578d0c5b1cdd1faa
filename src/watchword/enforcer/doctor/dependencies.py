"""Requirement: what a datapath uses beside the kernel."""

from __future__ import annotations

from dataclasses import dataclass

from watchword.enforcer.doctor.findings import Finding
from watchword.enforcer.doctor.host import Host

GROUP = "dependencies"


@dataclass(frozen=True, slots=True)
class Dependency:
    """A library (by soname) or a command, who needs it and the packages that bring it."""

    name: str
    kind: str
    datapath: str
    package: str


TABLE: tuple[Dependency, ...] = (
    Dependency("libelf.so.1", "library", "ebpf", "libelf1 (Debian, SUSE), elfutils-libelf (Red Hat's family)"),
    Dependency("conntrack", "command", "netfilter", "conntrack (Debian), conntrack-tools (others)"),
    Dependency("ipset", "command", "netfilter", "ipset"),
    Dependency("iptables", "command", "netfilter", "iptables"),
)


def judge(host: Host, datapath: str) -> list[Finding]:
    """What is there, of what the datapath uses."""
    return [_judged(each, host, datapath) for each in TABLE]


def _judged(dependency: Dependency, host: Host, datapath: str) -> Finding:
    there = dependency.name in (host.libraries if dependency.kind == "library" else host.commands)
    if there:
        return Finding(GROUP, dependency.name, "pass", f"installed; used by `{dependency.datapath}`")
    if dependency.datapath != datapath:
        return Finding(GROUP, dependency.name, "pass", f"not installed, and not used by `{datapath}`")
    remedy = f"install the package {dependency.package}"
    return Finding(GROUP, dependency.name, "fail", f"the {dependency.kind} is not installed", remedy)
