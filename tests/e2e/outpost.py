"""A Console, two hosts with real Enforcers, and a third without: what is done to it is the tests' business.

``app`` on ``db`` serves, ``app`` on ``web`` may call it; ``guest`` on ``web`` has an identity and may not; ``outside``
has none. Everything is judged by what their programs see.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.cast import Workload
from demo.console import Console
from demo.enforcer import Enforcer
from demo.operator import Operator
from testbed import Host, Testbed
from tests.datapath import load
from watchword.enforcer import run, settings
from watchword.enforcer.errors import EnforcerError

SERVER = Workload("app", "db", ("app=server",), "", "declared")
CLIENT = Workload("app", "web", ("app=client",), "", "declared")
GUEST = Workload("guest", "web", ("app=guest",), "", "declared")

#: Where the server listens, and a port that only changes of policy are about.
PORT, ELSEWHERE = 9000, 9999

RULES = f"""
label: rules
data:
  namespaces:
    - {{name: site, defaultPUIncomingTrafficAction: Reject}}
  networkrulesetpolicies:
    - name: serve
      namespace: /site
      subject: [[app=server]]
      incomingRules:
        - {{name: clients, object: [[app=client]], protocolPorts: [tcp/9000:9003]}}
        - {{name: elsewhere, object: [[app=nobody]], protocolPorts: [tcp/{ELSEWHERE}]}}
"""


class Outpost:
    """The whole, running and enforced."""

    def __init__(self, bed: Testbed, prepare: Callable[[Host], None] = lambda _host: None) -> None:
        """``prepare`` is done to each host with an Enforcer before that is installed."""
        load.build()
        self.bed = bed
        self.answered = 0  # connections that the server has answered
        router = bed.router("router")
        self.hosts = {name: bed.host(name, router) for name in ("console", "web", "db", "outside")}
        self.web, self.db, self.outside = (self.hosts[name] for name in ("web", "db", "outside"))
        for host in (self.web, self.db):
            prepare(host)
        self.console = Console(self.hosts["console"])
        self.operator = Operator(self.console.profiles)
        self.operator.told("api", "create", "namespace", "--set", "name=site")
        token = self.operator.told("token", "create", "-n", "/site", "--uses", "2")["token"]
        for host, group in ((self.db, "app"), (self.web, "app"), (self.web, "guest")):
            host.subgroup(group)
        self.enforcers = {
            "db": Enforcer(self.db, token, [SERVER]),
            "web": Enforcer(self.web, token, [CLIENT, GUEST]),
        }
        for enforcer in self.enforcers.values():
            enforcer.start()
        rules = self.hosts["console"].directory / "rules.yaml"
        rules.write_text(RULES)
        until(lambda: len(self.units()) == 5, self.logs)
        applied = self.operator.told("apply", "-f", str(rules), "--wait", "60s")
        assert applied["enforcement"]["stragglers"] == [], self.logs()

    def close(self) -> None:
        """Hang up; the bed ends the rest."""
        self.operator.close()
        self.console.close()

    # -- looking

    def logs(self) -> str:
        """The ends of what the agents wrote."""
        return "\n".join(each.agent.output()[-3000:] for each in self.enforcers.values())

    def units(self) -> dict[str, dict[str, Any]]:
        """What the Console knows of units, by host and name."""
        found = self.operator.get("/v1/processingunits", recursive="true")
        return {f"{unit['enforcerName']}/{unit['name']}": unit for unit in found}

    def status(self, name: str) -> dict[str, Any]:
        """What the agent of a host says about itself; nothing enforced when none answers."""
        try:
            return run.status(settings.load(self.enforcers[name].settings))
        except EnforcerError:
            return {"revision": {"enforced": 0}, "link": {"state": "", "problem": ""}, "problems": [], "counters": {}}

    def counters(self, name: str) -> dict[str, int]:
        """The datapath's counters on a host."""
        return dict(self.status(name)["counters"])

    # -- changing

    def change_elsewhere(self, number: int) -> int:
        """A change of policy about a port that nobody uses; the revision that has it."""
        (ruleset,) = self.operator.get("/v1/networkrulesetpolicies", recursive="true")
        rules = ruleset["incomingRules"]
        rules[1]["protocolPorts"] = [f"tcp/{ELSEWHERE + number % 1000}"]
        return self.operator.change(f"/v1/networkrulesetpolicies/{ruleset['ID']}", {"incomingRules": rules})

    def let_in(self, allowed: bool) -> int:
        """Whether the client may call the server; the revision that says so."""
        (ruleset,) = self.operator.get("/v1/networkrulesetpolicies", recursive="true")
        rules = ruleset["incomingRules"]
        rules[0]["action"] = "Allow" if allowed else "Reject"
        return self.operator.change(f"/v1/networkrulesetpolicies/{ruleset['ID']}", {"incomingRules": rules})

    def enforces(self, revision: int, *names: str) -> None:
        """Wait until these hosts say that they enforce a revision."""
        until(lambda: all(self.status(name)["revision"]["enforced"] >= revision for name in names), self.logs)

    # -- acting

    def calls(self, cgroup: str = "app", host: Host | None = None) -> bool:
        """Whether a program gets an answer from the server."""
        calling = load.start(
            host or self.web,
            "connect",
            cgroup,
            address=self.db.ipv4,
            port=PORT,
            rate=20,
            inflight=1,
            seconds=0.2,
            timeout_ms=1500,
        )
        found = load.result(calling)
        assert not (found["connections"] and found["failures"]), found
        self.answered += found["connections"]
        return bool(found["connections"])

    def verdicts(self) -> tuple[bool, bool, bool]:
        """Who gets in: the client, the guest, somebody outside."""
        return self.calls(), self.calls("guest"), self.calls("", self.outside)


RULED = (True, False, False)


@contextmanager
def outposts(name: str, prepare: Callable[[Host], None] = lambda _host: None) -> Iterator[Outpost]:
    """One with a server, for the tests of a module; nothing is left of it."""
    with Testbed(name) as bed:
        outpost = Outpost(bed, prepare)
        try:
            serving = load.start(outpost.db, "serve", port=PORT, seconds=86400)
            load.ready(serving)
            yield outpost
        finally:
            outpost.close()
    assert bed.leftovers() == []


def until(condition: Callable[[], bool], why: Callable[[], str], patience: float = 60.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)


def data(host: Host) -> Path:
    """An Enforcer's directory of keys, credential and policy."""
    return host.directory / "data"
