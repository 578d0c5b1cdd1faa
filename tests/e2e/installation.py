"""An installation as operators make it: a Console and two hosts, each command run where they would run it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.bed import Testbed
from testbed.host import Host
from testbed.process import Process

WATCHWORD = str(Path(sys.executable).with_name("watchword"))


class Installation:
    """A Console and two hosts, and an operator at the Console's machine."""

    def __init__(self, bed: Testbed) -> None:
        router = bed.router("router")
        self.console, self.web, self.db = (bed.host(name, router) for name in ("console", "web", "db"))
        self.operator = {"WATCHWORD_PROFILES": str(self.console.directory / "profiles.toml"), "COLUMNS": "160"}
        folder, address = self.console.directory, self.console.ipv4
        command = [WATCHWORD, "console", "start", "--data-dir", str(folder / "data"), "--listen", "0.0.0.0:7443"]
        command += ["--name", address, "--profile", "default"]
        self.console.start(command, env=self.operator)
        self.until(lambda: (folder / "profiles.toml").exists() and self.asks("api", "list", "ns").returncode == 0)

    def asks(self, *arguments: str) -> Any:
        """An operator's command."""
        return self.console.run([WATCHWORD, *arguments], env=self.operator, check=False)

    def told(self, *arguments: str) -> Any:
        """What an operator's command answers, as JSON."""
        done = self.asks(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def settings(self, host: Host) -> Path:
        """The settings file of a host's Enforcer."""
        path = host.directory / "enforcer.toml"
        path.write_text(
            f"name = {host.name!r}\ntags = ['app={host.name}']\n"
            f"install_token_file = '{host.directory}/install-token'\ncgroup_root = '{host.cgroup}'\n"
            f"data_dir = '{host.directory}/data'\nrun_dir = '{host.directory}/run'\n"
            f"pin_dir = '{host.make_pins()}/watchword'\n"
        )
        return path

    def enrol(self, namespace: str, *hosts: Host) -> None:
        """Start Enforcers on these hosts, in a namespace that there is, with one install token for all."""
        token = self.console.directory / "install-token"
        often = ("--uses", str(len(hosts)), "--expires", "30m")
        self.told("token", "create", "-n", namespace, *often, "--output", str(token))
        for host in hosts:
            (host.directory / "install-token").write_text(token.read_text())
            (host.directory / "install-token").chmod(0o600)
            self.start_enforcer(host)

    def start_enforcer(self, host: Host, cgroup: str = "agent") -> Process:
        """Start the agent and wait until the host is enforced by the newest revision."""
        agent = host.start([WATCHWORD, "enforcer", "start", "--settings", str(self.settings(host))], cgroup=cgroup)

        def ready() -> bool:
            assert agent.running(), agent.output()
            status = self.enforcer(host, "status", "--json")
            return bool(status.returncode == 0 and json.loads(status.stdout)["revision"]["enforced"])

        self.until(ready)
        return agent

    def enforcer(self, host: Host, *arguments: str) -> Any:
        """`watchword enforcer …` on a host."""
        command = [WATCHWORD, "enforcer", *arguments, "--settings", str(self.settings(host))]
        return host.run(command, check=False, cgroup="shell")

    @staticmethod
    def until(condition: Callable[[], bool], seconds: float = 40) -> None:
        """Wait for something to become true."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.1)


def run_as_unit(installation: Installation, host: Host, tag: str, name: str, code: str, *arguments: str) -> list[str]:
    settings = ["--settings", str(installation.settings(host))]
    return [WATCHWORD, "run", "--tag", tag, "--name", name, *settings, "--", sys.executable, "-c", code, *arguments]
