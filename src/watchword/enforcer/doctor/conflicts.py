"""Requirement: nobody else does the same work in the same place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from watchword.enforcer.doctor.findings import Finding
from watchword.enforcer.doctor.host import Host

GROUP = "conflicts"


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody who owns packet filter rules: how its processes, and its chains and tables begin."""

    name: str
    processes: tuple[str, ...]
    chains: tuple[str, ...]


#: Packet filter owners that work beside an Enforcer; the first that fits a chain has it.
OWNERS: tuple[Owner, ...] = (
    Owner("firewalld", ("firewalld",), ("firewalld", "FWD", "IN_public", "INPUT_ZONES")),
    Owner("ufw", (), ("ufw-", "ufw6-")),
    Owner("Docker", ("dockerd",), ("DOCKER",)),
    Owner("kube-proxy", ("kube-proxy",), ("KUBE-", "kube-proxy")),
    Owner("Calico", ("calico-node", "felix"), ("cali-", "calico")),
    Owner("Cilium", ("cilium-agent",), ("CILIUM_",)),
    Owner("Istio", ("pilot-agent",), ("ISTIO_",)),
    Owner("libvirt", ("libvirtd", "virtnetworkd"), ("LIBVIRT_", "libvirt_network")),
    Owner("fail2ban", ("fail2ban-server",), ("f2b-",)),
    Owner("WireGuard", (), ("wg-quick-",)),
)

#: Agents that put an identity into the same handshakes: one of both only.
RIVALS = frozenset({"enforcerd", "remoteenforcerd", "prisma-enforcer", "cns-agent-mgr"})

#: Types of BPF programs that hang where ours do.
HOOKS = frozenset({"sched_cls", "cgroup_skb", "cgroup_sock_addr"})

#: systemd's own, which only count and filter by address, or watch devices.
_SYSTEMD = ("sd_", "sysctl_monitor")


def judge(host: Host, own: frozenset[str]) -> list[Finding]:
    """Other agents, packet filters and BPF programs. ``own`` names our programs, cut to 15 characters."""
    return [_rivals(host), _filters(host), _programs(host, own)]


def _rivals(host: Host) -> Finding:
    found = sorted(RIVALS & host.processes)
    if not found:
        return Finding(GROUP, "other enforcers", "pass", "none runs")
    remedy = "stop and uninstall it first: both would put an identity into the same handshakes"
    return Finding(GROUP, "other enforcers", "fail", f"{', '.join(found)} runs", remedy)


def _filters(host: Host) -> Finding:
    owners = [each.name for each in OWNERS if _works_here(each, host)]
    if not owners:
        asked = "no rules of others" if host.chains is not None else "none is known to run; rules could not be read"
        return Finding(GROUP, "packet filters", "pass", asked)
    text = f"{', '.join(owners)}: their rules hold beside Watchword's, and both have to let a connection in"
    return Finding(GROUP, "packet filters", "pass", text)


def _works_here(owner: Owner, host: Host) -> bool:
    return bool(host.processes & set(owner.processes)) or any(
        chain.startswith(owner.chains) for chain in host.chains or ()
    )


def _programs(host: Host, own: frozenset[str]) -> Finding:
    others = sorted(_others(host, own))
    if not others:
        return Finding(GROUP, "BPF programs", "pass", "none of others at our hooks")
    remedy = "see whether they only look, or accept, redirect or rewrite packets; the last have to come after ours"
    return Finding(GROUP, "BPF programs", "degraded", f"of others at the same hooks: {', '.join(others)}", remedy)


def _others(host: Host, own: frozenset[str]) -> Iterable[str]:
    for program in host.programs:
        if program.type in HOOKS and program.name not in own and not program.name.startswith(_SYSTEMD):
            yield f"{program.name or 'a program without a name'} ({program.type})"
