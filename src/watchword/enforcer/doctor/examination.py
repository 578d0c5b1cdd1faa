"""All requirements held against one host, and which datapath it gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from watchword.enforcer.doctor import (
    capabilities,
    conflicts,
    dependencies,
    distributions,
    features,
    modules,
    orchestrators,
    size,
)
from watchword.enforcer.doctor.findings import Finding, Result, worst
from watchword.enforcer.doctor.gathering import gather
from watchword.enforcer.doctor.host import Host

#: Datapaths that this version has.
AVAILABLE = ("ebpf",)

_GROUP = "datapath"


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found of one host. ``datapath`` is the one it gets; empty for none."""

    datapath: str
    findings: tuple[Finding, ...]

    @property
    def result(self) -> Result:
        """The worst of all findings."""
        return worst(self.findings)

    def with_more(self, findings: Iterable[Finding]) -> Examination:
        """This, and what was found elsewhere."""
        return replace(self, findings=(*self.findings, *findings))


def examine(*, rehearse: bool = True) -> Examination:
    """Examine the running host; ``rehearse`` also installs the whole datapath where it touches nothing.

    Takes seconds with it, else less than one.
    """
    host = gather(Path("/"))
    probed = [probe() for probe in features.PROBES if rehearse or probe is not features.datapath]
    return judged(host, probed, features.own_programs())


def judged(host: Host, probed: Sequence[Finding] = (), own: frozenset[str] = frozenset()) -> Examination:
    """``host`` by its facts and, if its kernel could be asked, by what the probes found."""
    fits = {"ebpf": _ebpf(host, probed), "netfilter": _netfilter(host)}
    fitting = [name for name, fit in fits.items() if fit]
    chosen = next((name for name in fitting if name in AVAILABLE), "")
    meant = chosen or next(iter(fitting), "ebpf")  # whose requirements are told in full where there is none
    findings = (
        *distributions.judge(host),
        *size.judge(host),
        *_of_kernels(host, probed, meant),
        *capabilities.judge(host, meant),
        *dependencies.judge(host, meant),
        *conflicts.judge(host, own),
        *orchestrators.judge(host),
        _given(host, chosen, fitting),
    )
    return Examination(chosen, findings)


def _ebpf(host: Host, probed: Sequence[Finding]) -> bool:
    """By the probes; a host that cannot be asked counts as what its distribution is made for."""
    if probed:
        return worst(probed) != "fail"
    entry = distributions.listed(host)
    return entry is not None and entry.datapath == "ebpf"


def _netfilter(host: Host) -> bool:
    return host.system == "Linux" and worst(modules.judge(host)) == "pass"


def _of_kernels(host: Host, probed: Sequence[Finding], meant: str) -> list[Finding]:
    """What both datapaths ask of the kernel; what the other one lacks is told, and fails nothing."""
    if host.system != "Linux":
        return []
    told = [*probed, *modules.judge(host)]
    return [_excused(finding, meant) if finding.group != meant else finding for finding in told]


def _excused(finding: Finding, meant: str) -> Finding:
    if finding.result not in ("fail", "degraded"):
        return finding
    return replace(finding, result="skip", detail=f"{finding.detail}; not used by `{meant}`", remedy="")


def _given(host: Host, chosen: str, fitting: Sequence[str]) -> Finding:
    name = "given to this host"
    if chosen:
        others = [each for each in fitting if each != chosen]
        also = f"; it fits `{'`, `'.join(others)}` too" if others else ""
        return Finding(_GROUP, name, "pass", f"`{chosen}`{also}")
    if host.system == "Windows":
        why = "Windows gets `windows`, which this version does not have"
        return Finding(_GROUP, name, "fail", why, "protect Linux hosts; name this one as an external network")
    if fitting:
        why = f"it fits `{fitting[0]}` alone, which this version does not have"
        return Finding(_GROUP, name, "fail", why, "use a kernel from 5.10 on, which gets `ebpf`")
    return Finding(
        _GROUP, name, "fail", "none: its kernel lacks what is marked above", "mend that, or use a newer kernel"
    )
