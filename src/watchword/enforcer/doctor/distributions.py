"""Requirement: distributions and versions, and which datapath each is made for.

The table says what was published and what is expected; whether the ``ebpf`` datapath runs is asked of the kernel
itself, because distributions carry features back and offer newer kernels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from watchword.enforcer.doctor.findings import Finding
from watchword.enforcer.doctor.host import Host

GROUP = "distribution"

DatapathName = Literal["ebpf", "netfilter", "windows"]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Versions ``first`` to ``last`` of one distribution, as os-release calls it; ``kernel`` is what comes with it."""

    id: str
    name: str
    first: tuple[int, ...]
    last: tuple[int, ...]
    datapath: DatapathName
    kernel: str
    remark: str = ""


_PROBED = "the kernel is older than its features: the probes decide"

#: Every distribution that is supported. Ranges are inclusive, and compared by as many numbers as they have.
TABLE: tuple[Distribution, ...] = (
    Distribution("amzn", "Amazon Linux", (2,), (2,), "netfilter", "4.14, 5.10"),
    Distribution("amzn", "Amazon Linux", (2023,), (2023,), "ebpf", "6.1, 6.12"),
    Distribution("centos", "CentOS", (7, 9), (7, 9), "netfilter", "3.10"),
    Distribution("centos", "CentOS", (8, 0), (8, 3), "netfilter", "4.18"),
    Distribution("debian", "Debian", (9, 8), (9, 99), "netfilter", "4.9"),
    Distribution("debian", "Debian", (11,), (11,), "netfilter", "5.10"),
    Distribution("debian", "Debian", (12,), (13,), "ebpf", "6.1, 6.12"),
    Distribution("ol", "Oracle Linux", (7, 5), (7, 6), "netfilter", "3.10, UEK 4.14"),
    Distribution("ol", "Oracle Linux", (8,), (8,), "netfilter", "4.18, UEK 5.4 and 5.15", _PROBED),
    Distribution("ol", "Oracle Linux", (9,), (9,), "ebpf", "5.14, UEK 5.15", _PROBED),
    Distribution("ol", "Oracle Linux", (10,), (10,), "ebpf", "6.12"),
    Distribution("rhel", "Red Hat Enterprise Linux", (7, 1), (7, 9), "netfilter", "3.10"),
    Distribution("rhel", "Red Hat Enterprise Linux", (8,), (8,), "netfilter", "4.18"),
    Distribution("rhel", "Red Hat Enterprise Linux", (9,), (9,), "ebpf", "5.14", _PROBED),
    Distribution("rhel", "Red Hat Enterprise Linux", (10,), (10,), "ebpf", "6.12"),
    Distribution("rocky", "Rocky Linux", (8,), (8,), "netfilter", "4.18"),
    Distribution("rocky", "Rocky Linux", (9,), (9,), "ebpf", "5.14", _PROBED),
    Distribution("rocky", "Rocky Linux", (10,), (10,), "ebpf", "6.12"),
    Distribution("almalinux", "AlmaLinux", (8,), (8,), "netfilter", "4.18"),
    Distribution("almalinux", "AlmaLinux", (9,), (9,), "ebpf", "5.14", _PROBED),
    Distribution("almalinux", "AlmaLinux", (10,), (10,), "ebpf", "6.12"),
    Distribution("sles", "SUSE Linux Enterprise Server", (12, 5), (12, 5), "netfilter", "4.12"),
    Distribution("sles", "SUSE Linux Enterprise Server", (15,), (15, 5), "netfilter", "4.12, 5.3, 5.14"),
    Distribution("sles", "SUSE Linux Enterprise Server", (15, 6), (15, 7), "ebpf", "6.4"),
    Distribution("sles", "SUSE Linux Enterprise Server", (16,), (16,), "ebpf", "6.12"),
    Distribution("ubuntu", "Ubuntu", (16, 4), (16, 4), "netfilter", "4.4, 4.15"),
    Distribution("ubuntu", "Ubuntu", (18, 4), (18, 4), "netfilter", "4.15, 5.4"),
    Distribution("ubuntu", "Ubuntu", (20, 4), (20, 4), "netfilter", "5.4, 5.15"),
    Distribution("ubuntu", "Ubuntu", (22, 4), (26, 4), "ebpf", "5.15 and later", _PROBED),
    Distribution("windows", "Windows Server", (2012, 2), (2012, 2), "windows", "NT 6.3"),
    Distribution("windows", "Windows Server", (2016,), (2016,), "windows", "NT 10.0.14393"),
    Distribution("windows", "Windows Server", (2019,), (2019,), "windows", "NT 10.0.17763"),
    Distribution("windows", "Windows Server", (2022,), (2022,), "windows", "NT 10.0.20348"),
    Distribution("windows", "Windows Server", (2025,), (2025,), "windows", "NT 10.0.26100"),
)


def version(host: Host) -> tuple[int, ...]:
    """The version as numbers, with the point release where only an older file than os-release knows it."""
    stated = _numbers(host.os_release.get("VERSION_ID", ""))
    told = _numbers(host.release_text)
    return told if len(told) > len(stated) and told[: len(stated)] == stated else stated


def listed(host: Host) -> Distribution | None:
    """The entry of the table that the host is of; None if there is none."""
    name, found = host.os_release.get("ID", ""), version(host)
    for entry in TABLE:
        if entry.id == name and entry.first <= found[: len(entry.first)] and found[: len(entry.last)] <= entry.last:
            return entry
    return None


def judge(host: Host) -> list[Finding]:
    """Whether the host's distribution is listed, and which datapath it is made for."""
    name = host.os_release.get("PRETTY_NAME") or host.os_release.get("ID", "")
    if not name:
        return [Finding(GROUP, "distribution", "skip", "there is no os-release; the other requirements decide")]
    entry = listed(host)
    if entry is None:
        known = [f"{'.'.join(map(str, e.first))}-{'.'.join(map(str, e.last))}" for e in _of(host)]
        why = f"{name} is not listed" + (f"; of it are: {', '.join(known)}" if known else "")
        remedy = "the other requirements decide whether it runs; nobody has tried it"
        return [Finding(GROUP, "distribution", "degraded", why, remedy)]
    remark = f"; {entry.remark}" if entry.remark else ""
    text = f"{name}, kernel {host.kernel.release or 'not known'}: made for `{entry.datapath}`{remark}"
    return [Finding(GROUP, "distribution", "pass", text)]


def _of(host: Host) -> list[Distribution]:
    return [entry for entry in TABLE if entry.id == host.os_release.get("ID")]


def _numbers(text: str) -> tuple[int, ...]:
    """The first version number in a text. Windows' R2 is a second number."""
    found = re.search(r"\d+(?:\.\d+)*", text)
    if found is None:
        return ()
    numbers = tuple(int(part) for part in found[0].split("."))
    return (*numbers, int(r2[1])) if (r2 := re.match(r"\s*R(\d)", text[found.end() :])) else numbers
