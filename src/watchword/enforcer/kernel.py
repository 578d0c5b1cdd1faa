"""Which datapath this host's kernel gets: today always eBPF."""

from __future__ import annotations

from pathlib import Path

from watchword.enforcer import cgroups
from watchword.enforcer.datapath.base import Datapath
from watchword.enforcer.settings import Settings


def datapath(settings: Settings) -> Datapath:
    """The datapath of these settings, not installed yet; the process is in the agent's cgroup from here on."""
    from watchword.enforcer.datapath.ebpf.datapath import EbpfDatapath  # loads libbpf, only when it is needed

    root = cgroups.checked_root(settings.cgroup_root)
    return EbpfDatapath(root, Path(settings.pin_dir), cgroups.agent_home(root))
