"""Requirement: how large a host is at least."""

from __future__ import annotations

from watchword.enforcer.doctor.findings import Finding, Result
from watchword.enforcer.doctor.host import Host

GROUP = "size"

#: Processors, and memory in bytes, that are required.
PROCESSORS = 2
MEMORY = 2 << 30

#: What a machine sold as 2 GB shows of it at least: kernel, firmware and a crash kernel keep their share.
_SHOWN = MEMORY * 17 // 20

#: Below this, bytes, the kernel's tables and an agent do not fit beside a system.
_TOO_SMALL = 512 << 20


def judge(host: Host) -> list[Finding]:
    """Processors and memory."""
    return [_processors(host.processors), _memory(host.memory)]


def _processors(count: int | None) -> Finding:
    if count is None:
        return Finding(GROUP, "processors", "skip", "not known")
    if count >= PROCESSORS:
        return Finding(GROUP, "processors", "pass", str(count))
    why = f"{count}, of {PROCESSORS} required: the agent and the applications share one"
    return Finding(GROUP, "processors", "degraded", why, f"give the host {PROCESSORS} processors")


def _memory(size: int | None) -> Finding:
    if size is None:
        return Finding(GROUP, "memory", "skip", "not known")
    shown = f"{size / (1 << 30):.1f} GiB"
    if size >= _SHOWN:
        return Finding(GROUP, "memory", "pass", shown)
    why = f"{shown}, of {MEMORY >> 30} GiB required"
    result: Result = "fail" if size < _TOO_SMALL else "degraded"
    return Finding(GROUP, "memory", result, why, f"give the host {MEMORY >> 30} GiB")
