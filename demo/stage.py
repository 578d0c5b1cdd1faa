"""The stage: everything that runs during the demonstration, in the order in which it is started.

Hosts, links and clean-up are the testbed's. Programs that listen are started before the Enforcers, because
on a real host they are there already.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

from demo.cast import HOSTS, NAMESPACE, PORTS, WORKLOADS
from demo.console import Console
from demo.enforcer import Enforcer
from demo.operator import Operator, await_that
from demo.puppet import SOURCE, Puppet, puppet_command
from testbed import Host, Process, Testbed
from testbed.services import Nginx, Postgres, listens

LOADGEN = str(SOURCE / "bench/loadgen/build/loadgen")

#: A connection has failed when it took so long: far more than TCP needs to repair two lost packets.
_PATIENT = ("--timeout-ms", "10000")


class Stage:
    """The hosts, and what runs on them so far."""

    def __init__(self, bed: Testbed) -> None:
        self.bed = bed
        self.router = bed.router("router")
        self.hosts: dict[str, Host] = {name: bed.host(name, self.router) for name in ("console", *HOSTS, "outside")}
        self.enforcers: dict[str, Enforcer] = {}
        self.puppets: dict[str, Puppet] = {}
        self.programs: dict[str, Process] = {}
        self._open = ExitStack()

    # -- where things are

    def address(self, name: str, version: int = 4) -> str:
        """The address of a workload's host, or of a host."""
        host = WORKLOADS[name].host if name in WORKLOADS else name
        return self.hosts[host].address(version)

    @property
    def outside(self) -> Puppet:
        """Somebody on a host without an Enforcer: a customer, or an attacker."""
        return self.puppets["outside"]

    # -- in order

    def start_services(self) -> None:
        """nginx and PostgreSQL, as they run before anybody thinks of Enforcers."""
        subprocess.run(["make", "--silent", "-C", str(SOURCE / "bench/loadgen")], check=True, stdout=subprocess.DEVNULL)
        api = f"http://[{self.address('api', 6)}]:{PORTS['api']}"
        self.nginx = Nginx(self.hosts["edge"], upstreams={"/orders": api}, cgroup=WORKLOADS["nginx"].cgroup)
        self.postgres = Postgres(self.hosts["db"], cgroup=WORKLOADS["postgres"].cgroup)
        self.postgres.query("alter system set log_connections = on;\nselect pg_reload_conf();")

    def start_console(self) -> None:
        """The Console, and the operator with its first profile."""
        self.console = Console(self.hosts["console"])
        self._open.callback(self.console.close)
        self.operator = Operator(self.console.profiles)
        self._open.callback(self.operator.close)
        self.operator.told("api", "create", "namespace", "--set", f"name={NAMESPACE.strip('/')}")

    def start_enforcers(self, token: str) -> None:
        """One on each host, all at once; returns when all have registered."""
        for name in HOSTS:
            declared = [each for each in WORKLOADS.values() if each.host == name and each.how == "declared"]
            self.enforcers[name] = Enforcer(self.hosts[name], token, declared)
            self.enforcers[name].start()
        if not await_that(lambda: len(self.enforcing()) == len(HOSTS), 60):
            outputs = "\n".join(enforcer.agent.output()[-1000:] for enforcer in self.enforcers.values())
            raise RuntimeError(f"only {self.enforcing()} enforce a revision:\n{outputs}")

    def enforcing(self) -> list[str]:
        """Hosts whose Enforcer decides by some revision, as the Console knows."""
        known = self.operator.get("/v1/enforcers", recursive="true")
        return sorted(each["name"] for each in known if each["enforcedRevision"] > 0)

    def start_workloads(self) -> None:
        """What is started by ``watchword run``."""
        api_command = [sys.executable, "-m", "testbed.shop", "--port", str(PORTS["api"])]
        self._run("api", [*api_command, "--database", self.address("postgres")])
        job_command = [sys.executable, "-m", "demo.programs.job", "--database", self.address("postgres", 6)]
        self._await_listener("shop", PORTS["api"])
        self._run("job", [*job_command, "--api", f"http://{self.address('api')}:{PORTS['api']}"])
        self._run("ledger", [LOADGEN, "serve", "--port", str(PORTS["ledger"])])
        self._run("wiki", puppet_command(self.hosts["intruder"], "wiki"))
        self._await_listener("db", PORTS["ledger"])

    def start_puppets(self) -> None:
        """A process inside each workload that tries what we want to know."""
        for name in ("nginx", "api", "postgres", "job"):
            workload = WORKLOADS[name]
            self.puppets[name] = Puppet.start(self.hosts[workload.host], name, workload.cgroup)
        intruder = self.hosts["intruder"]
        self.puppets["wiki"] = Puppet(intruder, "wiki", self.programs["wiki"])
        self.puppets["outside"] = Puppet.start(self.hosts["outside"], "outside", "")

    def meter(self, seconds: float, rate: int) -> Process:
        """The load generator, as a workload of its own that ends after ``seconds``."""
        command = [LOADGEN, "connect", "--address", self.address("ledger"), "--port", str(PORTS["ledger"])]
        return self._run(
            "meter", [*command, "--seconds", str(seconds), "--rate", str(rate), "--inflight", "64", *_PATIENT]
        )

    def close(self) -> None:
        """Let go of what is not the bed's."""
        self._open.close()

    def _run(self, name: str, command: list[str]) -> Process:
        workload = WORKLOADS[name]
        self.programs[name] = self.enforcers[workload.host].run(workload, command)
        return self.programs[name]

    def _await_listener(self, host: str, port: int) -> None:
        if not await_that(lambda: listens(self.hosts[host], port), 60):
            outputs = "\n".join(f"{name}: {program.output()[-500:]}" for name, program in self.programs.items())
            raise RuntimeError(f"nothing listens on port {port} of {host}:\n{outputs}")
