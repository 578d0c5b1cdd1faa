"""One Enforcer on one simulated host, started and asked by its own commands."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from demo.cast import Workload
from demo.operator import WATCHWORD, RefusedError
from demo.puppet import SOURCE
from testbed import Host, Process


class Enforcer:
    """``watchword enforcer …`` on one host. What is not the agent's runs in the host's cgroup ``shell``."""

    def __init__(self, host: Host, token: str, declared: Sequence[Workload]) -> None:
        self.host = host
        self.pins = host.make_pins() / "watchword"
        self.settings = host.directory / "enforcer.toml"
        self.process: Process | None = None
        token_file = host.directory / "install-token"
        token_file.touch(mode=0o600)
        token_file.write_text(token)
        self.settings.write_text(self._settings(token_file, declared))

    def _settings(self, token_file: Path, declared: Sequence[Workload]) -> str:
        lines = [
            f"name = {json.dumps(self.host.name)}",
            'tags = ["zone=hosts"]',
            f"install_token_file = {json.dumps(str(token_file))}",
            f"cgroup_root = {json.dumps(str(self.host.cgroup))}",
            f"data_dir = {json.dumps(str(self.host.directory / 'data'))}",
            f"run_dir = {json.dumps(str(self.host.directory / 'run'))}",
            f"pin_dir = {json.dumps(str(self.pins))}",
        ]
        for unit in declared:
            lines += [
                "[[unit]]",
                f"name = {json.dumps(unit.name)}",
                f"cgroup = {json.dumps(unit.cgroup)}",
                f"tags = {json.dumps(unit.tags)}",
            ]
        return "\n".join(lines) + "\n"

    # -- life

    def start(self, env: Mapping[str, str] | None = None) -> None:
        """Start the agent; it enrols the first time. Does not wait. ``env`` is added to its environment."""
        self.process = self.host.start(
            [WATCHWORD, "enforcer", "start", "--settings", str(self.settings)], cgroup="agent", env=env
        )

    @property
    def agent(self) -> Process:
        """The agent's process."""
        if self.process is None:
            raise RuntimeError(f"the Enforcer on {self.host.name} has not been started")
        return self.process

    def kill(self) -> None:
        """SIGKILL: no farewell, no clean-up."""
        self.agent.signal(signal.SIGKILL)
        self.agent.wait()

    def uninstall(self) -> dict[str, Any]:
        """``watchword enforcer uninstall``; what it says about it."""
        answer: dict[str, Any] = json.loads(self._command("enforcer", "uninstall", "--json"))
        self.agent.wait(20)
        return answer

    # -- looking

    def rss_mb(self) -> float:
        """The agent's resident memory, as the kernel counts it."""
        status = Path(f"/proc/{self.agent.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        if found is None:
            raise RuntimeError(f"the agent on {self.host.name} has ended: {self.agent.output()[-2000:]}")
        return int(found.group(1)) * 1024 / 1e6

    # -- workloads

    def run(self, workload: Workload, command: Sequence[str]) -> Process:
        """Start a command as a workload: ``watchword run --tag … -- COMMAND``."""
        return self.host.start([*self.run_command(workload), *command], cgroup="shell", cwd=SOURCE)

    def run_command(self, workload: Workload) -> list[str]:
        """The words before the command."""
        tags = [word for tag in workload.tags for word in ("--tag", tag)]
        return [WATCHWORD, "run", "--name", workload.name, *tags, "--settings", str(self.settings), "--"]

    def _command(self, *arguments: str) -> str:
        command = [WATCHWORD, *arguments, "--settings", str(self.settings)]
        done = self.host.run(command, check=False, cgroup="shell")
        if done.returncode != 0:
            raise RefusedError(f"watchword {' '.join(arguments)} on {self.host.name}: {done.stderr.strip()}")
        return done.stdout
