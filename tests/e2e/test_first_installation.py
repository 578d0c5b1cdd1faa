"""The installation that the README describes, done with its commands on three simulated hosts."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.bed import Testbed
from testbed.host import Host
from testbed.process import Process
from tests.e2e.installation import Installation, run_as_unit

_SERVER = """
import socket, sys
with socket.create_server(("", 5432)) as server:
    print("listening", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"hello")
"""

_CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], 5432), 3) as connection:
    print(connection.recv(5).decode())
"""


@pytest.fixture
def installation() -> Iterator[Installation]:
    with Testbed("install") as bed:
        yield Installation(bed)


def left_by_enforcer(host: Host) -> list[str]:
    """What an uninstalled Enforcer must not leave: pins, cgroups, devices' programs, files."""
    pins = [str(path) for path in host.pins.rglob("*")]
    files = [str(path) for name in ("data", "run") for path in (host.directory / name).rglob("*")]
    attached = host.run(["bpftool", "net", "show"], check=False).stdout
    return [*pins, *files, *map(str, host.cgroup.glob("watchword*")), *re.findall(r"\bstamp\w*", attached)]


def test_the_installation_of_the_readme(installation: Installation) -> None:
    web, db = installation.web, installation.db
    assert installation.told("api", "create", "namespace", "--set", "name=shop")["name"] == "/shop"
    token = installation.console.directory / "install-token"
    installation.told("token", "create", "-n", "/shop", "--uses", "2", "--expires", "30m", "--output", str(token))
    for host in (web, db):
        (host.directory / "install-token").write_text(token.read_text())
        (host.directory / "install-token").chmod(0o600)
        installation.start_enforcer(host)
        (host.directory / "install-token").unlink()
    assert {each["name"] for each in installation.told("api", "list", "enforcer", "-n", "/shop")} == {"web", "db"}

    server = db.start(run_as_unit(installation, db, "app=postgres", "postgres", _SERVER), cgroup="shell")
    installation.until(lambda: "listening" in server.output())

    def connects() -> bool:
        command = run_as_unit(installation, web, "app=front", f"front-{time.monotonic_ns()}", _CLIENT, db.ipv4)
        done = web.run(command, check=False, cgroup="shell")
        assert "Enforcer" not in done.stderr, done.stderr
        return done.returncode == 0 and done.stdout == "hello\n"

    # discovery: everything is allowed, and seen, with both identities
    assert connects()
    installation.until(lambda: any(flow["proved"] for flow in installation.told("flows")))
    flows = installation.told("flows", "--filter", "destinationPort == 5432 and proved == true")
    assert {flow["destinationName"] for flow in flows} == {"postgres"}
    assert all("app=front" in flow["sourceTags"] for flow in flows)

    # enforcement: refused without a rule
    deny = ("--set", "defaultPUIncomingTrafficAction=Reject")
    installation.told("api", "update", "namespace", "/shop", *deny)
    installation.told("wait", "--timeout", "30s")
    assert not connects()
    assert installation.told("explain", "203.0.113.1", "postgres", "tcp/5432", "--expect", "reject")

    # and allowed by one
    rules = installation.console.directory / "shop.yaml"
    rules.write_text(
        "label: shop\ndata:\n  networkrulesetpolicies:\n"
        "    - name: db-from-front\n      subject: [[app=postgres]]\n"
        "      incomingRules: [{name: sql, object: [[app=front]], protocolPorts: [tcp/5432]}]\n"
    )
    applied = installation.told("apply", "-n", "/shop", "-f", str(rules), "--wait", "30s")
    assert applied["enforcement"]["stragglers"] == []
    assert connects()
    again = installation.told("apply", "-n", "/shop", "-f", str(rules))
    assert again["imports"][0]["unchanged"]
    assert not again["imports"][0]["updated"]

    # an agent that dies takes nothing with it, and finds its way back without a token
    for agent in [process for process in db.processes if "enforcer" in process.command]:
        agent.kill()
    installation.start_enforcer(db)
    assert connects()

    for host in (web, db):
        removed = installation.enforcer(host, "uninstall", "--json")
        assert removed.returncode == 0, removed.stderr
        assert json.loads(removed.stdout) == {"told": True, "left": []}
        installation.until(lambda host=host: not left_by_enforcer(host), 5)  # type: ignore[misc]
    assert installation.told("api", "list", "enforcer", "-r") == []
    assert db.run([sys.executable, "-c", _CLIENT, "127.0.0.1"]).stdout == "hello\n"


def test_only_the_agent_is_exempt_from_policy(installation: Installation) -> None:
    """Started from a shell, the agent leaves the shell's cgroup: what else lives there stays policed."""
    web = installation.web
    token = installation.console.directory / "install-token"
    installation.told("token", "create", "--output", str(token))
    (web.directory / "install-token").write_text(token.read_text())
    (web.directory / "install-token").chmod(0o600)
    neighbour = web.start(["sleep", "600"], cgroup="shell")
    agent = installation.start_enforcer(web, cgroup="shell")

    def cgroup_of(process: Process) -> str:
        lines = Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()
        return next(line.rpartition("/")[2] for line in lines if line.startswith("0::"))

    assert cgroup_of(neighbour) == "shell"
    assert cgroup_of(agent) == "watchword-agent"
    assert (web.cgroup / "watchword-agent/cgroup.procs").read_text().split() == [str(agent.pid)]
    os.kill(agent.pid, signal.SIGTERM)
    assert agent.wait() == 0, agent.output()
    assert not (web.cgroup / "watchword-agent").exists()
    assert installation.enforcer(web, "status").returncode == 1
    removed = installation.enforcer(web, "uninstall", "--json")
    assert removed.returncode == 0, removed.stderr
    assert json.loads(removed.stdout)["left"] == []
    assert left_by_enforcer(web) == []
