"""A Console and pairs of hosts with real agents: one pair that carries a burden, one that knows of nothing else.

The agents are the processes that a customer runs, their policy is signed by the Console, and both pairs stand at the
same time, so that they can be measured in turn without anything being put into the kernel or taken out.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import colleagues
from bench.burden import Burden
from bench.fenced import PORT, PORTS
from bench.generator import LOADGEN, build_loadgen, report
from demo.cast import Workload
from demo.console import Console
from demo.enforcer import Enforcer
from demo.operator import Operator
from testbed import Host, Testbed
from testbed.services import listens

#: The unit whose connections are measured, on every host, and its cgroup.
MEASURED = "measured"
_PATIENCE = 90.0


class Pair:
    """``client`` and ``server`` with an agent each, and a link of their own between them."""

    def __init__(self, namespace: str, client: Enforcer, server: Enforcer, address: str) -> None:
        self.namespace, self.client, self.server, self._address = namespace, client, server, address

    @property
    def enforcers(self) -> tuple[Enforcer, Enforcer]:
        """Both agents."""
        return self.client, self.server

    def serve(self) -> None:
        """Let the measured unit of the server answer."""
        command = [str(LOADGEN), "serve", "--port", str(PORT), "--ports", str(PORTS)]
        self.server.host.start(command, cgroup=MEASURED)
        until(lambda: all(listens(self.server.host, port) for port in range(PORT, PORT + PORTS)), self.server, 0.01)

    def connections(self, seconds: float) -> float:
        """New connections a second from the measured unit of the client."""
        options = ["--address", self._address, "--port", str(PORT), "--ports", str(PORTS), "--seconds", str(seconds)]
        options += ["--inflight", "16", "--processes", "2"]
        return float(report(self.client.host, "connect", *options, cgroup=MEASURED)["per_second"])


class Site:
    """Everything; removed with the bed."""

    def __init__(self, bed: Testbed, burden: Burden) -> None:
        build_loadgen()
        self._bed, self._burden = bed, burden
        self._router = bed.router("router")
        self._console_host = bed.host("console", self._router)
        self.console = Console(self._console_host)
        self.operator = Operator(self.console.profiles)

    def close(self) -> None:
        """Hang up; the bed ends the rest."""
        self.operator.close()
        self.console.close()

    def build(self) -> tuple[Pair, Pair]:
        """The pair that knows of nothing else, and the one with the burden; both enforced."""
        burden = self._burden
        tokens = {name: self._namespace(name, burden.colleagues + 2) for name in ("light", "loaded")}
        elsewhere = [burden.colleague(number) for number in range(burden.colleagues)]
        folder = self._console_host.directory / "colleagues"
        colleagues.register(self.console.url, tokens["loaded"], folder, elsewhere)
        light = self._pair("light", tokens["light"], 0)
        loaded = self._pair("loaded", tokens["loaded"], burden.units)
        for pair, rulesets in ((light, []), (loaded, burden.rulesets("/loaded"))):
            for enforcer in pair.enforcers:
                enforcer.start()
            self._apply(pair, rulesets)
        return light, loaded

    def _namespace(self, name: str, uses: int) -> str:
        self.operator.told("api", "create", "namespace", "--set", f"name={name}")
        token: str = self.operator.told("token", "create", "-n", f"/{name}", "--uses", str(uses))["token"]
        return token

    def _pair(self, name: str, token: str, units: int) -> Pair:
        client, server = (self._bed.host(f"{name}-{side}", self._router) for side in ("client", "server"))
        link = self._bed.direct(client, server)
        enforcers = [
            self._enforcer(host, side, token, units) for host, side in ((client, "client"), (server, "server"))
        ]
        return Pair(f"/{name}", enforcers[0], enforcers[1], link.far.address(4))

    def _enforcer(self, host: Host, side: str, token: str, units: int) -> Enforcer:
        declared = [Workload(MEASURED, host.name, (f"role={side}", *self._burden.unit(0)), "", "declared")]
        declared += [
            Workload(f"unit{number}", host.name, self._burden.unit(number), "", "declared")
            for number in range(1, units)
        ]
        for workload in declared:
            host.subgroup(workload.cgroup)
        return Enforcer(host, token, declared)

    def _apply(self, pair: Pair, rulesets: list[dict[str, Any]]) -> None:
        """The rules, once the hosts' units are known; returns when both hosts enforce them."""
        wanted = {"client": "role=server", "server": "role=client"}
        ports = f"tcp/{PORT}:{PORT + PORTS - 1}"
        for side, way in (("client", "outgoingRules"), ("server", "incomingRules")):
            rule = {"name": "measured", "object": [[wanted[side]]], "protocolPorts": [ports], "action": "Allow"}
            rulesets.append({"name": side, "namespace": pair.namespace, "subject": [[f"role={side}"]], way: [rule]})
        closed = {f"default{kind}TrafficAction": "Reject" for kind in ("PUIncoming", "PUOutgoing")}
        data = {"namespaces": [{"name": pair.namespace, **closed}], "networkrulesetpolicies": rulesets}
        document = {"label": f"site-{pair.namespace[1:]}", "data": data}
        path = self._console_host.directory / f"{pair.namespace[1:]}.yaml"
        path.write_text(json.dumps(document))  # which YAML can read
        for enforcer in pair.enforcers:
            _await_policy(enforcer)
        self.operator.told("apply", "-f", str(path))
        self._await_enforced(pair)

    def _await_enforced(self, pair: Pair) -> None:
        """Colleagues are away and enforce nothing; these two have to."""
        names = {enforcer.host.name for enforcer in pair.enforcers}

        def in_force() -> bool:
            behind = self.operator.get("/v1/revisions/latest/enforcement", wait="1")["stragglers"]
            return not names & set(behind)

        until(in_force, pair.client)


def boot(enforcer: Enforcer) -> float:
    """The kernel forgets everything and the agent starts: seconds until it enforces the revision on its disk."""
    enforcer.kill()
    shutil.rmtree(enforcer.pins)
    began = time.monotonic()
    enforcer.start()
    _await_policy(enforcer, pause=0.005)
    return time.monotonic() - began


def _await_policy(enforcer: Enforcer, pause: float = 0.1) -> None:
    until(lambda: "is enforced" in enforcer.agent.output(), enforcer, pause)


def processor_seconds(enforcer: Enforcer) -> float:
    """Processor time that the agent has used so far."""
    fields = Path(f"/proc/{enforcer.agent.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


_TICKS = 100  # a second, USER_HZ


def until(condition: Callable[[], bool], enforcer: Enforcer, pause: float = 0.1) -> None:
    """Wait until something is so; an agent that ends meanwhile is an error."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if not enforcer.agent.running() or time.monotonic() > deadline:
            raise RuntimeError(f"the agent on {enforcer.host.name}: {enforcer.agent.output()[-3000:]}")
        time.sleep(pause)


@contextmanager
def sites(burden: Burden) -> Iterator[tuple[Site, Pair, Pair]]:
    """One, with its pairs; nothing is left of it."""
    with Testbed("site") as bed:
        site = Site(bed, burden)
        try:
            light, loaded = site.build()
            for pair in (light, loaded):
                pair.serve()
                pair.connections(0.5)  # caches, neighbours, and whether it works at all
            yield site, light, loaded
        finally:
            site.close()
