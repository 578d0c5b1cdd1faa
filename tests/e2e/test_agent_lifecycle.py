"""The agent as it is installed: the command line, a Console, simulated hosts and the real kernel datapath.

From enrolment over units that prove themselves, a killed agent and its successor, to removal. Everything is
judged from outside, by the success and failure of curl.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed import Host, Process, Testbed

WATCHWORD = str(Path(sys.executable).with_name("watchword"))
PATIENCE = 60.0
_OPTION_KIND = 253
#: What the agent may weigh with everything loaded, in bytes.
WEIGHT = 70_000_000


class Site:
    """A Console and two hosts with Enforcers, joined by a router."""

    def __init__(self, bed: Testbed) -> None:
        router = bed.router("r")
        self.console, self.web, self.db = (bed.host(name, router) for name in ("console", "web", "db"))
        self.agents: dict[str, Process] = {}
        home = self.console.directory
        self._env = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
        command = ["console", "start", "--data-dir", str(home / "data"), "--listen", "0.0.0.0:7443"]
        command += ["--name", self.console.ipv4, "--profile", "test"]
        started = self.console.start([WATCHWORD, *command], env=self._env)
        until(lambda: "Ctrl-C stops" in started.output(), started.output)
        token = self.operator("token", "create", "--uses", "2").strip().split()[-1]
        for host in (self.web, self.db):
            self._install(host, token)
            self.start_agent(host)
        until(lambda: all(self.enforces(host) for host in (self.web, self.db)), self.logs)

    def operator(self, *command: str) -> str:
        return str(self.console.run([WATCHWORD, *command], env=self._env).stdout)

    def _install(self, host: Host, token: str) -> None:
        secret = host.directory / "token"
        secret.touch(mode=0o600)
        secret.write_text(token)
        settings(host).write_text(
            f'name = "{host.name}"\n'
            f'data_dir = "{host.directory}/data"\n'
            f'run_dir = "{host.directory}/run"\n'
            f'pin_dir = "{host.make_pins()}/watchword"\n'
            f'cgroup_root = "{host.cgroup}"\n'
            f'install_token_file = "{secret}"\n'
            f'tags = ["role={host.name}"]\n'
        )

    def start_agent(self, host: Host) -> None:
        command = [WATCHWORD, "enforcer", "start", "--settings", str(settings(host))]
        self.agents[host.name] = host.start(command, cgroup="agent")

    def status(self, host: Host) -> dict[str, Any]:
        command = [WATCHWORD, "enforcer", "status", "--json", "--settings", str(settings(host))]
        return dict(json.loads(host.run(command).stdout))

    def enforces(self, host: Host) -> bool:
        answer = host.run([WATCHWORD, "enforcer", "status", "--json", "--settings", str(settings(host))], check=False)
        return answer.returncode == 0 and bool(json.loads(answer.stdout)["revision"]["enforced"])

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{agent.output()}" for name, agent in self.agents.items())

    def as_unit(self, host: Host, name: str, *command: str) -> list[str]:
        return [
            WATCHWORD,
            "run",
            "--settings",
            str(settings(host)),
            "--name",
            name,
            "--tag",
            f"app={name}",
            "--",
            *command,
        ]

    def serve(self) -> Process:
        """A web server on ``db``, as a unit."""
        server = [sys.executable, "-u", "-m", "http.server", "8000", "--bind", "0.0.0.0"]
        process = self.db.start(self.as_unit(self.db, "site", *server), cgroup="apps")
        until(lambda: "Serving" in process.output(), process.output)
        return process

    def fetch(self, *prefix: str) -> str:
        """The status that curl on ``web`` gets, "000" for none."""
        curl = ["curl", "-sS", "-m", "8", "-o", "/dev/null", "-w", "%{http_code}", f"http://{self.db.ipv4}:8000/"]
        return str(self.web.run([*prefix, *curl], check=False, cgroup="apps").stdout)

    def stamps(self) -> bool:
        """Whether ``web`` puts an identity into its handshakes."""
        with self.web.capture("tcp port 8000") as taken:
            self.fetch()
        return any(frame.segment.option(_OPTION_KIND) for frame in taken.frames if frame.segment is not None)

    def fetch_as_unit(self, name: str) -> str:
        return self.fetch(*self.as_unit(self.web, name))


def settings(host: Host) -> Path:
    return host.directory / "enforcer.toml"


def until(condition: Callable[[], bool], why: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)


@pytest.fixture
def site() -> Iterator[Site]:
    with Testbed("life") as bed:
        yield Site(bed)


def test_from_enrolment_to_removal(site: Site) -> None:
    server = site.serve()
    assert site.fetch_as_unit("client") == "200", site.logs()
    assert site.status(site.db)["counters"]["proved"] >= 1
    until(lambda: "proved" in site.operator("flows"), site.logs)
    for host in (site.web, site.db):
        status = site.status(host)
        assert status["problems"] == []
        assert status["rss_bytes"] <= WEIGHT
        assert attached(host) == {"enforce", "refuse"}
    assert site.stamps()

    removed = [json.loads(uninstall(site, host)) for host in (site.web, site.db)]
    assert removed == [{"told": True, "left": []}] * 2
    for host in (site.web, site.db):
        assert site.agents[host.name].wait() == 0, site.logs()
        nothing_left(host)
    assert server.running(), "a removed Enforcer spares what it had policed"
    assert site.fetch() == "200"
    assert not site.stamps()
    assert json.loads(site.operator("api", "list", "enforcers", "--json")) == []


def uninstall(site: Site, host: Host) -> str:
    return str(host.run([WATCHWORD, "enforcer", "uninstall", "--json", "--settings", str(settings(host))]).stdout)


def nothing_left(host: Host) -> None:
    assert not (host.pins / "watchword").exists()
    assert not [path for path in host.cgroup.rglob("watchword*") if path.is_dir()]
    assert sorted(path.name for path in host.directory.iterdir() if path.is_dir()) == []
    assert not attached(host)


def attached(host: Host) -> set[str]:
    """Our kernel programs that hang on this host's cgroups; those on devices show on the wire."""
    shown = host.run(["bpftool", "cgroup", "tree", str(host.cgroup)], check=False).stdout
    return {name for name in ("enforce", "refuse") if name in shown}


def test_a_killed_agent_is_replaced_without_a_gap(site: Site) -> None:
    site.serve()
    assert site.fetch_as_unit("client") == "200", site.logs()
    before = site.status(site.db)
    site.agents["db"].signal(signal.SIGKILL)
    site.agents["db"].wait()
    for _ in range(5):
        assert site.fetch() == "200", "the kernel goes on deciding"
    site.start_agent(site.db)
    until(lambda: site.enforces(site.db), site.logs)
    after = site.status(site.db)
    assert after["pid"] != before["pid"]
    assert {unit["native_id"] for unit in after["units"]} == {"host", "run/site"}
    assert after["counters"]["proved"] >= before["counters"]["proved"] + 5, "the same maps went on counting"
    assert site.fetch_as_unit("newcomer") == "200", site.logs()
