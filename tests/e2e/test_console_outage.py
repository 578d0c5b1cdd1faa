"""A Console that is away: what it said last stays in force, also in a kernel that has forgotten everything.

Two hosts with real Enforcers and the real datapath, PostgreSQL and two clients; judged from outside, by what
the clients see.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from demo.cast import Workload
from demo.console import Console
from demo.enforcer import Enforcer
from demo.operator import WATCHWORD, Operator
from demo.puppet import Puppet, puppet_command
from testbed import Testbed
from testbed.services import Postgres, listens

DATABASE = Workload("database", "db", ("app=database",), "", "declared")
FRONT = Workload("front", "web", ("app=front",), "", "run")
GUEST = Workload("guest", "web", ("app=guest",), "", "run")

RULES = """
label: rules
data:
  namespaces:
    - {name: site, defaultPUIncomingTrafficAction: Reject}
  networkrulesetpolicies:
    - name: database
      namespace: /site
      subject: [[app=database]]
      incomingRules:
        - {name: from-front, object: [[app=front]], protocolPorts: [tcp/5432]}
        - {name: no-guests, action: Reject, object: [[app=guest]], protocolPorts: [any]}
"""


class Site:
    """A Console, a host with a database, a host with two clients."""

    def __init__(self, bed: Testbed) -> None:
        router = bed.router("router")
        hosts = {name: bed.host(name, router) for name in ("console", "web", "db")}
        self.database = hosts["db"].ipv4
        Postgres(hosts["db"], cgroup=DATABASE.cgroup)
        self.console = Console(hosts["console"])
        self.operator = Operator(self.console.profiles)
        self.operator.told("api", "create", "namespace", "--set", "name=site")
        token = self.operator.told("token", "create", "-n", "/site", "--uses", "2")["token"]
        self.enforcers = {
            "db": Enforcer(hosts["db"], token, [DATABASE]),
            "web": Enforcer(hosts["web"], token, []),
        }
        for enforcer in self.enforcers.values():
            enforcer.start()
        until(lambda: len(self.connected()) == 2, self.logs)
        self.front, self.guest = (self._client(workload) for workload in (FRONT, GUEST))
        rules = hosts["console"].directory / "rules.yaml"
        rules.write_text(RULES)
        until(lambda: "database" in self.units(), self.logs)
        applied = self.operator.told("apply", "-f", str(rules), "--wait", "60s")
        assert applied["enforcement"]["stragglers"] == [], self.logs()

    def _client(self, workload: Workload) -> Puppet:
        web = self.enforcers["web"]
        return Puppet(web.host, workload.name, web.run(workload, puppet_command(web.host, workload.name)))

    def close(self) -> None:
        self.operator.close()
        self.console.close()

    def logs(self) -> str:
        return "\n".join(each.agent.output()[-2000:] for each in self.enforcers.values())

    def connected(self) -> list[str]:
        known = self.operator.get("/v1/enforcers", recursive="true")
        return [each["name"] for each in known if each["operationalStatus"] == "Connected" and each["enforcedRevision"]]

    def units(self) -> dict[str, dict[str, Any]]:
        return {unit["name"]: unit for unit in self.operator.get("/v1/processingunits", recursive="true")}

    def tag_front(self, *tags: str) -> int:
        return self.operator.change(
            f"/v1/processingunits/{self.units()['front']['ID']}", {"associatedTags": list(tags)}
        )

    def status(self, name: str) -> dict[str, Any]:
        enforcer = self.enforcers[name]
        command = [WATCHWORD, "enforcer", "status", "--json", "--settings", str(enforcer.settings)]
        done = enforcer.host.run(command, check=False, cgroup="shell")
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {"revision": {"enforced": 0}}

    def start_console_again(self) -> None:
        again = self.console.host.start(self.console.process.command)
        until(lambda: listens(self.console.host, 7443), again.output)

    def seen(self) -> tuple[str, str]:
        """What the two clients see of the database: "" is success."""
        return self.front.connect(self.database, 5432).why, self.guest.connect(self.database, 5432).why

    def handshake_is_proved(self) -> bool:
        with self.enforcers["db"].host.capture("tcp dst port 5432") as taken:
            self.front.connect(self.database, 5432)
        return any(segment.flags == "A" and segment.option(253) for segment in taken.segments())


def until(condition: Callable[[], bool], why: Callable[[], str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)


@pytest.fixture
def site() -> Iterator[Site]:
    with Testbed("outage") as bed:
        made = Site(bed)
        try:
            yield made
        finally:
            made.close()
    assert bed.leftovers() == []


RULED = ("", "ECONNREFUSED")


def test_rules_outlive_the_console_the_agents_and_the_kernels_memory(site: Site) -> None:
    assert site.seen() == RULED
    _revocation_cuts(site)

    site.operator.enforced(site.tag_front("app=front"))
    last = site.status("db")["revision"]["enforced"]
    site.console.process.kill()
    for enforcer in site.enforcers.values():
        enforcer.kill()
    front, guest = site.seen()
    assert front == ""
    assert guest in ("ECONNREFUSED", "timeout"), "nobody is there to answer, but the kernel goes on deciding"

    for enforcer in site.enforcers.values():
        shutil.rmtree(enforcer.pins)
    assert site.seen() == ("", ""), "the kernels remember something: what follows would show nothing"
    for enforcer in site.enforcers.values():
        enforcer.start()
    until(lambda: all(site.status(name)["revision"]["enforced"] == last for name in site.enforcers), site.logs)
    assert site.seen() == RULED, site.logs()
    assert site.handshake_is_proved()
    assert site.status("db")["link"]["state"] != "established"

    site.start_console_again()
    until(lambda: len(site.connected()) == 2, site.logs)
    _revocation_cuts(site)


def _revocation_cuts(site: Site) -> None:
    """Take the client's tag away: its live connection ends, and it gets no other."""
    assert site.operator.enforced(site.tag_front("app=front"))
    with site.front.hold(site.database, busy=False) as held:
        began = time.monotonic()
        revision = site.tag_front()
        at, why = held.broke()
    assert why in ("ECONNRESET", "ECONNABORTED")
    assert at - began < 5
    assert site.operator.enforced(revision)
    assert not site.front.connect(site.database, 5432)
