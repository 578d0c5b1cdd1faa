"""What of ours is in the kernel: programs, maps and links, by their numbers.

The kernel counts these numbers up, so one that is gone is not soon another object's.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from testbed import Host

#: Kind and number.
Held = tuple[str, int]

_KINDS = ("prog", "map", "link")


def held_by(pids: Iterable[int]) -> set[Held]:
    """The objects that processes hold open, and the links that hold their programs."""
    found: set[Held] = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
            with contextlib.suppress(OSError):  # closed while we looked
                for kind, number in re.findall(r"^(prog|map|link)_id:\s*(\d+)", entry.read_text(), re.MULTILINE):
                    found.add((kind, int(number)))
    return found | {("link", link["id"]) for link in _listed("link") if ("prog", link.get("prog_id", 0)) in found}


def existing() -> set[Held]:
    """All that exist on this machine."""
    return {(kind, each["id"]) for kind in _KINDS for each in _listed(kind)}


def on_devices(host: Host) -> list[str]:
    """Programs and qdiscs at the devices of a host that were not there when it was made."""
    shown = json.loads(host.run(["bpftool", "-j", "net", "show"]).stdout)
    programs = [str(each) for group in shown for hook in group.values() for each in hook]
    qdiscs = [line for line in host.run(["tc", "qdisc", "show"]).stdout.splitlines() if "noqueue" not in line]
    return programs + qdiscs


def devices() -> list[str]:
    """Network devices of this machine itself."""
    shown = json.loads(subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True).stdout)
    return sorted(device["ifname"] for device in shown)


def _listed(kind: str) -> list[dict[str, int]]:
    done = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, text=True, check=True)
    listed = json.loads(done.stdout or "[]")
    return listed if isinstance(listed, list) else []
