"""Requirement: kernel features of the ``netfilter`` datapath, each built in, loaded or loadable."""

from __future__ import annotations

from dataclasses import dataclass

from watchword.enforcer.doctor.findings import Finding
from watchword.enforcer.doctor.host import Host, Kernel

GROUP = "netfilter"


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: the module of that name, its CONFIG_ option, and where kernels have it that no longer have both.

    ``heir`` is the module that took it in, with kernel ``since``, and ``heir_option`` that module's option.
    """

    name: str
    option: str
    heir: str = ""
    heir_option: str = ""
    since: tuple[int, int] = (0, 0)


TABLE: tuple[Feature, ...] = (
    Feature("xt_cgroup", "NETFILTER_XT_MATCH_CGROUP"),
    Feature("xt_limit", "NETFILTER_XT_MATCH_LIMIT"),
    Feature("xt_multiport", "NETFILTER_XT_MATCH_MULTIPORT"),
    Feature("xt_connmark", "NETFILTER_XT_CONNMARK"),
    Feature("xt_REDIRECT", "NETFILTER_XT_TARGET_REDIRECT"),
    Feature("xt_string", "NETFILTER_XT_MATCH_STRING"),
    Feature("xt_HMARK", "NETFILTER_XT_TARGET_HMARK"),
    Feature("xt_LOG", "NETFILTER_XT_TARGET_LOG"),
    Feature("xt_bpf", "NETFILTER_XT_MATCH_BPF"),
    Feature("xt_state", "NETFILTER_XT_MATCH_STATE"),
    Feature("xt_set", "NETFILTER_XT_SET"),
    Feature("nf_nat_redirect", "NF_NAT_REDIRECT", "nf_nat", "NF_NAT", (4, 18)),
    Feature("nf_log_common", "NF_LOG_COMMON", "nf_log_syslog", "NF_LOG_SYSLOG", (5, 13)),
    Feature("nf_conntrack_ipv6", "NF_CONNTRACK_IPV6", "nf_conntrack", "NF_CONNTRACK", (4, 18)),
    Feature("nf_log_ipv4", "NF_LOG_IPV4", "nf_log_syslog", "NF_LOG_SYSLOG", (5, 13)),
    Feature("ip_set", "IP_SET"),
    Feature("ip_set_bitmap_port", "IP_SET_BITMAP_PORT"),
    Feature("ip_set_hash_netport", "IP_SET_HASH_NETPORT"),
    Feature("ip_set_hash_net", "IP_SET_HASH_NET"),
    Feature("ts_bm", "TEXTSEARCH_BM"),
    Feature("cls_cgroup", "NET_CLS_CGROUP"),
    Feature("ip_tables", "IP_NF_IPTABLES"),
    Feature("iptable_nat", "IP_NF_NAT"),
    Feature("iptable_mangle", "IP_NF_MANGLE"),
    Feature("nfnetlink_queue", "NETFILTER_NETLINK_QUEUE"),
)


def judge(host: Host) -> list[Finding]:
    """Every feature by itself."""
    return [_judged(feature, host.kernel) for feature in TABLE]


def _judged(feature: Feature, kernel: Kernel) -> Finding:
    how = _present(kernel, feature.name, feature.option) or _inherited(feature, kernel)
    if how:
        return Finding(GROUP, feature.name, "pass", how)
    option = f"CONFIG_{feature.option}"
    if kernel.config is None and (kernel.builtin is None or kernel.loadable is None):
        why = f"neither the configuration nor the modules of {kernel.release} can be read here"
        return Finding(GROUP, feature.name, "skip", why, "ask on the host itself, outside of a container")
    if kernel.config is not None and kernel.config.get(option) == "m":
        remedy = f"install the rest of the kernel's modules: {_rest(kernel)}"
        return Finding(GROUP, feature.name, "fail", f"{option}=m, but there is no such module", remedy)
    return Finding(GROUP, feature.name, "fail", "neither built in nor a module", f"use a kernel built with {option}")


def _present(kernel: Kernel, module: str, option: str) -> str:
    """How the kernel has the module; empty if it has it not, or nobody can say."""
    if module in kernel.loaded:
        return "loaded"
    if module in (kernel.builtin or ()):
        return "built in"
    if module in (kernel.loadable or ()):
        return "loadable"
    if kernel.config is not None and kernel.config.get(f"CONFIG_{option}") == "y":
        return "built in"
    return ""


def _inherited(feature: Feature, kernel: Kernel) -> str:
    """The same in the module that took the feature in.

    Distributions do so with older kernels too: there the configuration does not know the option any more.
    """
    if not feature.heir:
        return ""
    dropped = kernel.config is not None and f"CONFIG_{feature.option}" not in kernel.config
    if not dropped and kernel.version < feature.since:
        return ""
    how = _present(kernel, feature.heir, feature.heir_option)
    return f"{how}, as part of {feature.heir}" if how else ""


def _rest(kernel: Kernel) -> str:
    return f"linux-modules-extra-{kernel.release} on Ubuntu, kernel-modules-extra on Red Hat, kernel-default on SUSE"
