"""Act 7: everything is taken away again, and nothing stays."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from demo import kernel
from demo.enforcer import Enforcer
from demo.operator import RefusedError, await_that
from demo.show import Show

TITLE = "Farewell: nothing is left behind"
WORDS = "The Enforcers are uninstalled by their own command, then the hosts disappear."


def perform(show: Show) -> None:
    """Uninstall, look; close the bed, look again."""
    stage = show.stage
    enforcers = stage.enforcers
    agents = [enforcer.agent.pid for enforcer in enforcers.values() if enforcer.agent.running()]
    held = kernel.held_by(agents)
    if enforcers:
        _uninstall(show)
    with show.narrator.working("removing hosts, links, processes, files"):
        stage.close()
        stage.bed.close()
        gone = await_that(lambda: not held & kernel.existing(), 20)
    left = sorted(held & kernel.existing())
    kinds = ", ".join(f"{sum(kind == name for kind, _ in held)} {name}s" for name in ("prog", "map", "link"))
    show.expect(
        "no kernel program, map or link of ours is left",
        gone and not left and (held or not agents),
        f"{kinds} were there; left: {left or 'none'}",
    )
    leftovers = stage.bed.leftovers()
    show.expect(
        "no namespace, cgroup, process, pin or file of ours is left", not leftovers, ", ".join(leftovers) or "none"
    )
    children = _children()
    show.expect("no process of this program is left", not children, ", ".join(children) or "none")
    show.expect("the machine's own network devices are what they were", kernel.devices() == show.devices)


def _uninstall(show: Show) -> None:
    enforcers = show.stage.enforcers
    show.narrator.command("watchword enforcer uninstall      # on each host")
    with show.narrator.working("uninstalling"), ThreadPoolExecutor(len(enforcers)) as threads:
        answers = dict(zip(enforcers, threads.map(_answer, enforcers.values()), strict=True))
    told = all(answer == {"told": True, "left": []} for answer in answers.values())
    show.expect("every Enforcer removed itself, and told the Console", told, "" if told else str(answers))
    pins = [str(path) for enforcer in enforcers.values() for path in enforcer.pins.parent.rglob("*")]
    groups = [str(path) for enforcer in enforcers.values() for path in enforcer.host.cgroup.glob("watchword*")]
    hooks = [f"{name}: {hook}" for name, enforcer in enforcers.items() for hook in kernel.on_devices(enforcer.host)]
    left = [*pins, *groups, *hooks]
    show.expect(
        "it left no pins, no cgroups, no programs and no qdiscs on devices", not left, ", ".join(left)[:300] or "none"
    )


def _answer(enforcer: Enforcer) -> dict[str, Any] | str:
    try:
        return enforcer.uninstall()
    except (RefusedError, subprocess.TimeoutExpired) as error:  # of one that had not even begun
        return str(error)


def _children() -> list[str]:
    found = []
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            found.append(f"{pid} {Path(f'/proc/{pid}/comm').read_text().strip()}")
    return found
