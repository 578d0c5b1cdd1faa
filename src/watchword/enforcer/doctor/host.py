"""A host as facts: what was read of it, by whoever was there. Nothing here reads or judges.

What could not be read is None (or absent), never a guess: a requirement about it is then not answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system."""

    kind: str
    directory: str
    options: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Kernel:
    """The running kernel and what was built with it."""

    release: str
    config: Mapping[str, str] | None = None  # CONFIG_… to y, m, n or a value
    builtin: frozenset[str] | None = None  # modules compiled in
    loadable: frozenset[str] | None = None  # modules with a file
    loaded: frozenset[str] = frozenset()

    @property
    def version(self) -> tuple[int, int]:
        """The first two numbers of the release; (0, 0) if it has none."""
        numbers = ["".join(c for c in part if c.isdigit()) for part in self.release.split("-")[0].split(".")[:2]]
        return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 and all(numbers) else (0, 0)


@dataclass(frozen=True, slots=True)
class Host:
    """One host. Names of modules have underscores; ``processes`` are the short names of those that run."""

    kernel: Kernel
    system: str = "Linux"  # or "Windows"
    os_release: Mapping[str, str] = field(default_factory=dict)  # os-release(5)
    release_text: str = ""  # of /etc/redhat-release, centos-release or debian_version: they know the point release
    machine: str = ""
    processors: int | None = None
    memory: int | None = None  # bytes
    capabilities: int | None = None  # effective set of the process that looked
    mounts: tuple[Mount, ...] = ()
    libraries: frozenset[str] = frozenset()  # sonames
    commands: frozenset[str] = frozenset()
    processes: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)  # of names that say where a process runs, only
    files: frozenset[str] = frozenset()  # of those that say who manages the host, which are there
    networks: tuple[str, ...] = ()  # names and plugin types in CNI configurations
    arguments: str = ""  # the kubelet's command line
    chains: frozenset[str] | None = None  # netfilter chains and nftables tables, by name
    programs: tuple[Program, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """A BPF program in the kernel: what it is, and on which hook if that is known."""

    type: str
    name: str
    hook: str = ""
