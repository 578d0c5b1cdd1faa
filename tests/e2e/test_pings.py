"""``watchword ping``: what both ends say about a call through the real datapath, and what whoever listens notices."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.bed import Testbed
from testbed.host import Host
from testbed.process import Process
from testbed.router import Router
from tests.e2e.installation import WATCHWORD, Installation
from watchword.identity.transcript import OPTION_KIND

PORT, REFUSED, CLOSED = 5432, 5433, 5999
VERSIONS = pytest.mark.parametrize("version", [4, 6])

#: Says whom it has accepted and how that ended.
_LISTENER = """
import socket, sys, threading
def serve(port):
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        print("listening", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                try: connection.recv(1); print("accepted, end", flush=True)
                except OSError as error: print("accepted,", type(error).__name__, flush=True)
for port in map(int, sys.argv[1:]): threading.Thread(target=serve, args=(port,)).start()
"""

_POLICY = """
APIVersion: 1
label: pings
data:
  networkrulesetpolicies:
    - name: web-calls
      subject: [["app=web"]]
      outgoingRules:
        - {name: all, action: Allow, object: [["app=db"]], protocolPorts: [any]}
    - name: db-is-called
      subject: [["app=db"]]
      incomingRules:
        - {name: postgres, action: Allow, object: [["app=web"]], protocolPorts: [tcp/5432]}
"""


class Estate:
    """A Console, web and db; web may call db at one port, db may call nobody."""

    def __init__(self, bed: Testbed) -> None:
        self.made = made = Installation(bed)
        router = bed.hosts["router"]
        assert isinstance(router, Router)
        self.router, self.web, self.db = router, made.web, made.db
        token = made.console.directory / "install-token"
        defaults = [f"defaultPU{way}TrafficAction=Reject" for way in ("Incoming", "Outgoing")]
        made.told(
            "api", "create", "namespace", "--set", "name=shop", *(part for d in defaults for part in ("--set", d))
        )
        made.told("token", "create", "-n", "/shop", "--uses", "2", "--expires", "30m", "--output", str(token))
        path = made.console.directory / "policy.yaml"
        path.write_text(_POLICY)
        made.told("apply", "-n", "/shop", str(path))
        for host in (made.web, made.db):
            (host.directory / "install-token").write_text(token.read_text())
            (host.directory / "install-token").chmod(0o600)
            made.start_enforcer(host)
        self.listener = self.listen(self.db)
        made.until(lambda: self.ping(self.web, PORT)["outcome"] == "opened")

    def listen(self, host: Host) -> Process:
        listener = host.start([sys.executable, "-c", _LISTENER, str(PORT), str(REFUSED)], cgroup="server")
        self.made.until(lambda: listener.output().count("listening") == 2)
        return listener

    def asks(self, *arguments: str) -> Any:
        return self.made.asks("ping", "-n", "/shop", *arguments)

    def ping(self, caller: Host, port: int, *options: str, version: int = 4, to: str = "") -> Any:
        """The JSON of a ping to db, or elsewhere."""
        address = to or self.db.address(version)
        target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        self.made.until(lambda: "Too many pings" not in self.last(caller, target, *options))
        return json.loads(self.done.stdout)

    def last(self, caller: Host, target: str, *options: str) -> str:
        self.done = self.asks(caller.name, target, "--json", *options)
        return str(self.done.stderr)


@pytest.fixture(scope="module")
def estate() -> Iterator[Estate]:
    with Testbed("pings") as bed:
        yield Estate(bed)


def codes(found: Any) -> list[str]:
    return [each["code"] for each in found["findings"]]


@VERSIONS
def test_both_ends_tell_who_and_by_which_rule_and_nobody_notices(estate: Estate, version: int) -> None:
    before = estate.listener.output()
    found = estate.ping(estate.web, PORT, version=version)
    assert (estate.done.returncode, found["outcome"], found["listens"], codes(found)) == (0, "opened", True, ["proved"])
    near, far = found["near"], found["far"]
    assert (near["peer"]["name"], near["proved"], near["policyName"], near["ruleName"]) == (
        "db",
        True,
        "web-calls",
        "all",
    )
    assert (far["unit"]["name"], far["peer"]["name"], far["stage"]) == ("db", "web", "announced")
    assert (far["policyName"], far["ruleName"], far["action"]) == ("db-is-called", "postgres", "Allow")
    assert near["revision"] == far["revision"] > 0
    ends = (near["local"], near["localPort"]), (near["remote"], near["remotePort"])
    assert ends == ((far["remote"], far["remotePort"]), (far["local"], far["localPort"]))
    assert ends[1] == (estate.db.address(version), PORT)
    path = found["path"]
    assert (path["identityLeft"], path["identityArrived"], path["answerIdentified"]) == (True, True, True)
    assert (path["sourceTranslated"], path["destinationTranslated"], path["sent"]) == (False, False, 1)
    assert (path["mtu"], path["ttl"]) == (1500, 63)
    assert 0 < path["rttUs"] < 3_000_000
    assert found["foundBy"] == "nonce"
    assert estate.listener.output() == before, "whoever listens has noticed something"


def test_a_complete_ping_is_a_connection_that_is_reset(estate: Estate) -> None:
    before = estate.listener.output()
    found = estate.ping(estate.web, PORT, "--complete")
    assert (found["outcome"], found["far"]["stage"], found["far"]["proved"]) == ("opened", "admitted", True)
    estate.made.until(lambda: estate.listener.output() == before + "accepted, ConnectionResetError\n")


def test_whoever_refuses_is_named_with_the_reason(estate: Estate) -> None:
    found = estate.ping(estate.web, REFUSED, "--patience", "0.5")
    assert (estate.done.returncode, found["outcome"], codes(found)) == (1, "silent", ["refused-there"])
    far = found["far"]
    assert (far["unit"]["name"], far["peer"]["name"], far["action"], far["policyID"]) == (
        "db",
        "web",
        "Reject",
        "default",
    )
    found = estate.ping(estate.db, PORT, to=estate.web.ipv4)
    assert (found["outcome"], codes(found), found["path"]["sent"]) == ("refused", ["refused-here"], 0)
    found = estate.ping(estate.web, CLOSED)
    assert (found["outcome"], found["listens"], codes(found)) == ("reset", False, ["nobody-listens"])
    found = estate.ping(estate.web, PORT, "--patience", "0.3", to="10.77.200.200")
    assert (found["outcome"], found["listens"]) in {("silent", None), ("unreachable", None)}
    assert codes(found) in (["no-answer"], ["unreachable"])


def test_a_translated_destination_is_seen_for_what_it_is(estate: Estate) -> None:
    front = estate.router.links[0].end(estate.router).address(4)
    estate.router.dnat(front, 7000, [(estate.db.ipv4, PORT)])
    found = estate.ping(estate.web, 7000, to=front)
    assert (found["outcome"], codes(found)) == ("opened", ["proved", "destination-translated"])
    assert (found["far"]["local"], found["far"]["localPort"]) == (estate.db.ipv4, PORT)
    assert (found["path"]["sourceTranslated"], found["path"]["destinationTranslated"]) == (False, True)


@VERSIONS
def test_an_echo_request_is_judged_at_both_ends(estate: Estate, version: int) -> None:
    """Nobody may: web's own end refuses, as it has no rule for db's address."""
    estate.made.until(lambda: "Too many pings" not in estate.last(estate.web, estate.db.address(version)))
    found = json.loads(estate.done.stdout)
    assert (found["protocol"], found["outcome"], codes(found)) == ("icmp", "refused", ["refused-here"])
    assert (found["near"]["action"], found["near"]["policyID"]) == ("Reject", "default")
    found = estate.ping(estate.web, PORT, "--udp", version=version)
    assert (found["protocol"], found["port"]) == ("udp", PORT)
    assert found["outcome"] in ("refused", "reset", "silent")


def test_root_of_the_host_may_ask_its_own_enforcer(estate: Estate) -> None:
    command = [WATCHWORD, "ping", "web", f"{estate.db.ipv4}:{PORT}", "--local", "--json"]
    command += ["--settings", str(estate.made.settings(estate.web))]
    done = estate.web.run(command, check=False, cgroup="shell")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["outcome"], found["near"]["peer"]["name"], found["far"]) == ("opened", "db", None)


def test_pings_are_written_down_and_mistakes_are_named(estate: Estate) -> None:
    made = estate.made
    estate.ping(estate.web, PORT)
    activities = made.told("api", "list", "activities", "-r", "--filter", "operation == ping", "-n", "/shop")
    assert activities[-1]["targetName"] == "web"
    assert f"quiet ping from processingunit /shop web to {estate.db.ipv4} port {PORT}/tcp" in activities[-1]["message"]
    for target, told in (("10.0.0.1:0", "is no address and port"), ("db:5432", "no IP address")):
        assert told in estate.asks("web", target).stderr
    assert "no unit's ID" in estate.asks("nobody", "10.0.0.1:80").stderr


_CALL = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5)"


def paths(estate: Estate) -> list[tuple[str, str, tuple[str, ...]]]:
    found = estate.made.told("paths", "-n", "/shop")
    return [(each["enforcerName"], each["address"], tuple(each["codes"])) for each in found]


@VERSIONS
def test_a_path_that_strips_is_found_without_being_asked(estate: Estate, version: int) -> None:
    """By what an application met: the Console tries the path itself, says so, and takes it back when it is whole."""
    made, before = estate.made, estate.listener.output()
    assert paths(estate) == []
    stripping = ["-t", "mangle", "FORWARD", "-p", "tcp", "-j", "TCPOPTSTRIP", "--strip-options", str(OPTION_KIND)]
    switched(estate, version, "-A", stripping)
    address = estate.db.address(version)
    called = estate.web.run([sys.executable, "-c", _CALL, address, str(PORT)], check=False, cgroup="client")
    assert called.returncode == 1
    made.until(lambda: paths(estate) == [("web", address, ("stripped-syn",))])
    told = made.told("api", "list", "activities", "-r", "-n", "/shop", "--filter", "operation == path")
    assert f"the path to {address} strips the identity option from the SYN" in told[-1]["message"]
    made.until(lambda: "strips the identity option" in json.dumps(problems(estate)))
    assert estate.listener.output() == before
    switched(estate, version, "-D", stripping)
    estate.ping(estate.web, PORT, version=version)
    assert paths(estate) == []
    made.until(lambda: "strips the identity option" not in json.dumps(problems(estate)))


def switched(estate: Estate, version: int, how: str, stripping: list[str]) -> None:
    table, name, chain, *rest = stripping
    estate.router.run(["iptables" if version == 4 else "ip6tables", "-w", table, name, how, chain, *rest])


def problems(estate: Estate) -> Any:
    return [each["problems"] for each in estate.made.told("api", "list", "enforcers", "-r") if each["name"] == "web"]


def test_a_stripped_option_is_named_and_opens_nothing(estate: Estate) -> None:
    """The router strips what it forwards, both ways and both versions: never a step down to the address."""
    before = estate.listener.output()
    estate.router.strip_options([OPTION_KIND])
    for version in (4, 6):
        for options in ((), ("--complete",)):
            found = estate.ping(estate.web, PORT, "--patience", "0.5", *options, version=version)
            assert (found["outcome"], codes(found)) == ("silent", ["stripped-syn", "refused-there"])
            assert (found["path"]["identityLeft"], found["path"]["identityArrived"]) == (True, False)
            assert (found["far"]["unit"]["name"], found["far"]["peer"], found["far"]["action"]) == (
                "db",
                None,
                "Reject",
            )
    assert estate.listener.output() == before
