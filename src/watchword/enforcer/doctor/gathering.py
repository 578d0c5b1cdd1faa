"""Reads a host into a :class:`Host`: of the running system, or of the files of one below another root.

Only reads, and gives up on nothing: what is not there or may not be read stays unknown.
"""

from __future__ import annotations

import ctypes.util
import gzip
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from watchword.enforcer.doctor import kernelprograms
from watchword.enforcer.doctor.host import Host, Kernel, Mount

#: Point releases that os-release leaves out.
_RELEASES = ("etc/centos-release", "etc/redhat-release", "etc/debian_version")

#: Files that say who manages the host.
_CLUES = ("var/lib/kubelet", "etc/kubernetes", "run/ostree-booted", "etc/eks", "var/lib/rancher", ".dockerenv")

#: Variables that say where a process runs. Values of others are nobody's business.
_VARIABLES = (
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "K_SERVICE",
    "FUNCTIONS_WORKER_RUNTIME",
    "KUBERNETES_SERVICE_HOST",
)

_COMMANDS = ("conntrack", "ipset", "iptables", "nft")
_LIBRARIES = ("libelf.so.1",)
_LIMIT, _PIECE = 4 << 20, 1 << 16  # bytes of a file that are read, at all and at a time


def gather(root: Path = Path("/")) -> Host:
    """The facts of the host whose files are at ``root``; what only runs, of the running system alone."""
    if platform.system() == "Windows":
        return windows(platform.release(), platform.machine())
    live = root == Path("/")
    release = _text(root / "proc/sys/kernel/osrelease").strip()
    return Host(
        kernel=_kernel(root, release),
        os_release=parsed_os_release(_text(root / "etc/os-release") or _text(root / "usr/lib/os-release")),
        release_text=next((text for name in _RELEASES if (text := _text(root / name).strip())), ""),
        machine=platform.machine() if live else "",
        processors=_processors(_text(root / "sys/devices/system/cpu/online")),
        memory=_memory(_text(root / "proc/meminfo")),
        capabilities=_capabilities(_text(root / "proc/self/status")),
        mounts=tuple(parsed_mounts(_text(root / "proc/self/mounts"))),
        libraries=frozenset(name for name in _LIBRARIES if _has_library(root, name, live=live)),
        commands=frozenset(name for name in _COMMANDS if _has_command(root, name, live=live)),
        processes=frozenset(_text(each).strip() for each in root.glob("proc/[0-9]*/comm")),
        environment={name: os.environ[name] for name in _VARIABLES if live and name in os.environ},
        files=frozenset(name for name in _CLUES if (root / name).exists()),
        networks=tuple(_networks(root)),
        arguments=_kubelet(root),
        chains=_chains() if live else None,
        programs=kernelprograms.loaded() if live else (),
    )


def windows(release: str, machine: str) -> Host:
    """A Windows host, from how Python calls its release: ``2012ServerR2``, ``2019Server``."""
    year, _, rest = release.partition("Server")
    found = {"ID": "windows", "VERSION_ID": f"{year} {rest}".strip(), "PRETTY_NAME": f"Windows Server {year} {rest}"}
    named = found if year.isdigit() and "Server" in release else {"ID": "windows", "PRETTY_NAME": f"Windows {release}"}
    return Host(kernel=Kernel(""), system="Windows", os_release=named, machine=machine)


def parsed_os_release(text: str) -> dict[str, str]:
    """os-release(5): assignments, with quotes around a value or without."""
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in pairs if equals}


def parsed_config(text: str) -> dict[str, str]:
    """A kernel's configuration; what "is not set" is ``n``."""
    found = {}
    for line in text.splitlines():
        if line.startswith("CONFIG_"):
            name, _, value = line.partition("=")
            found[name] = value
        elif line.startswith("# CONFIG_") and line.endswith(" is not set"):
            found[line.split(" ")[1]] = "n"
    return found


def parsed_mounts(text: str) -> Iterator[Mount]:
    """Lines of /proc/self/mounts; white space in a name is written as octal there."""
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) >= 4:
            yield Mount(fields[2], fields[1].replace("\\040", " "), frozenset(fields[3].split(",")))


def _kernel(root: Path, release: str) -> Kernel:
    modules = next((path for top in ("lib", "usr/lib") if (path := root / top / "modules" / release).is_dir()), None)
    config = _text(root / "boot" / f"config-{release}") or _text(root / "lib/modules" / release / "config")
    config = config or _text(root / "proc/config.gz")
    loaded = (line.split(" ")[0] for line in _text(root / "proc/modules").splitlines())
    return Kernel(
        release=release,
        config=parsed_config(config) if config else None,
        builtin=_module_names(modules / "modules.builtin") if modules else None,
        loadable=_module_names(modules / "modules.dep") if modules else None,
        loaded=frozenset(loaded),
    )


def _module_names(path: Path) -> frozenset[str] | None:
    """Names in modules.builtin or modules.dep: one path a line, what it depends on after a colon."""
    text = _text(path)
    names = (Path(line.split(":")[0]).name.split(".ko")[0].replace("-", "_") for line in text.splitlines())
    return frozenset(names) if text else None


def _processors(ranges: str) -> int | None:
    """How many are in a list such as ``0-3,6``."""
    count = 0
    for part in ranges.strip().split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            return None
        count += int(last or first) - int(first) + 1
    return count


def _memory(meminfo: str) -> int | None:
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) << 10
    return None


def _capabilities(status: str) -> int | None:
    found = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return next((int(mask, 16) for mask in found), None)


def _has_library(root: Path, soname: str, *, live: bool) -> bool:
    if live:
        return ctypes.util.find_library(soname.removeprefix("lib").split(".so")[0]) is not None
    return any(True for _ in root.glob(f"usr/lib*/**/{soname}")) or any(True for _ in root.glob(f"lib*/**/{soname}"))


def _has_command(root: Path, name: str, *, live: bool) -> bool:
    if live:
        return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None
    return any((root / place / name).exists() for place in ("usr/sbin", "usr/bin", "sbin", "bin"))


def _networks(root: Path) -> Iterator[str]:
    """Names and plugin types of CNI configurations."""
    for path in sorted(root.glob("etc/cni/net.d/*.conf*")):
        try:
            configuration = json.loads(_text(path))
        except ValueError:
            continue
        if isinstance(configuration, dict):
            plugins = configuration.get("plugins", [configuration])
            yield str(configuration.get("name", ""))
            yield from (str(each.get("type", "")) for each in plugins if isinstance(each, Mapping))


def _kubelet(root: Path) -> str:
    for comm in root.glob("proc/[0-9]*/comm"):
        if _text(comm).strip() == "kubelet":
            return _text(comm.with_name("cmdline")).replace("\0", " ").strip()
    return ""


def _chains() -> frozenset[str] | None:
    """Names of chains and tables of nftables, and of iptables through it; None if nobody can be asked."""
    nft = shutil.which("nft", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if nft is None:
        return None
    try:
        done = subprocess.run([nft, "-j", "list", "chains"], capture_output=True, timeout=10, check=True)
        entries = json.loads(done.stdout)["nftables"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None
    chains = [entry["chain"] for entry in entries if "chain" in entry]
    return frozenset(name for chain in chains for name in (chain["name"], chain["table"]))


def _text(path: Path) -> str:
    """The content of a small file, unpacked; empty if it is not there or may not be read.

    Read piece by piece: /proc/sys refuses a buffer of megabytes.
    """
    content = bytearray()
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while len(content) < _LIMIT and (piece := file.read(_PIECE)):
                content += piece
    except (OSError, EOFError):
        return ""
    return content.decode("utf-8", "replace")
