"""A draft beside the live policy on real hosts: what it would refuse goes on, what it would allow stays refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.bed import Testbed
from tests.e2e.installation import Installation, run_as_unit

#: Answers every line with the same line, on every connection to port 5432 and 80.
_ECHO = """
import socketserver, threading
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
            self.wfile.flush()
socketserver.ThreadingTCPServer.allow_reuse_address = True
servers = [socketserver.ThreadingTCPServer(("", port), Echo) for port in (5432, 80)]
print("listening", flush=True)
for server in servers:
    threading.Thread(target=server.serve_forever).start()
"""

#: Tries one connection, and says how it went.
_TRY = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
    print("connected")
except OSError as error:
    print(type(error).__name__)
"""

RULES = """
data:
  networkrulesetpolicies:
    - name: front
      subject: [[app=front]]
      outgoingRules: [{name: any, object: [[app=db]], protocolPorts: [tcp/5432]}]
    - name: db
      subject: [[app=db]]
      incomingRules: [{name: sql, object: [[app=front]], protocolPorts: [tcp/5432]}]
"""

#: Closes tcp/5432 to front, opens it to guest, opens tcp/80 of guest's own end.
DRAFT = """
data:
  networkrulesetpolicies:
    - name: db
      subject: [[app=db]]
      incomingRules:
        - {name: guests, object: [[app=guest]], protocolPorts: [tcp/5432]}
        - {name: no-front, action: Reject, object: [[app=front]], protocolPorts: [tcp/5432]}
    - name: guest
      subject: [[app=guest]]
      outgoingRules: [{name: web, object: [[app=db]], protocolPorts: [tcp/80]}]
"""

#: What lets guest's connection reach db, where it is refused.
GUEST = """
data:
  networkrulesetpolicies:
    - name: guest-live
      subject: [[app=guest]]
      outgoingRules: [{name: sql, object: [[app=db]], protocolPorts: [tcp/5432]}]
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Installation]:
    with Testbed("shadow") as bed:
        installed = Installation(bed)
        server = installed.db.start([sys.executable, "-c", _ECHO], cgroup="echo")
        installed.until(lambda: "listening" in server.output())
        closed = ("defaultPUIncomingTrafficAction=Reject", "defaultPUOutgoingTrafficAction=Reject")
        installed.told("api", "create", "namespace", "--set", "name=shop", *(p for c in closed for p in ("--set", c)))
        for name, text in (("rules", RULES), ("draft", DRAFT), ("guest", GUEST)):
            (installed.console.directory / f"{name}.yaml").write_text(text)
        installed.enrol("/shop", installed.web, installed.db)
        for name in ("rules", "guest"):
            installed.told("apply", "-n", "/shop", "-f", str(installed.console.directory / f"{name}.yaml"))
        installed.told("wait", "--timeout", "30s")
        yield installed


def flows(made: Installation, *options: str) -> list[Any]:
    found = made.told("flows", "-n", "/shop", "--draft", "plan", *options)
    return [flow for flow in found if flow["destinationPort"] in (80, 5432)]


def verdicts(found: list[Any]) -> set[tuple[str, ...]]:
    """Who said what of whom, and what the draft says of it."""
    return {
        (
            flow["sourceName"],
            flow["reportedBy"],
            str(flow["destinationPort"]),
            flow["action"],
            *(f"{each['action']}{each['doubt']} {each['ruleName']}".strip() for each in flow["draftVerdicts"]),
        )
        for flow in found
    }


def attempt(made: Installation, name: str, port: int) -> str:
    command = run_as_unit(made, made.web, f"app={name}", name, _TRY, made.db.ipv4, str(port))
    return str(made.web.run(command, check=False, cgroup="shell").stdout).strip()


def test_flows_carry_both_verdicts_and_the_live_one_is_what_happens(made: Installation) -> None:
    file = str(made.console.directory / "draft.yaml")
    made.told("draft", "create", "-n", "/shop", "plan")
    made.told("draft", "add", "-n", "/shop", "plan", "-f", file)
    made.told("draft", "shadow", "-n", "/shop", "plan")
    newest = made.told("api", "list", "revisions")[-1]["number"]
    assert attempt(made, "front", 5432) == "connected", "the draft would refuse it"
    assert attempt(made, "guest", 5432) == "TimeoutError", "the draft would allow it"
    assert attempt(made, "guest", 80) == "PermissionError", "refused before a packet left"
    expected = {
        ("front", "Source", "5432", "Allow", "Allow any"),
        ("front", "Destination", "5432", "Allow", "Reject no-front"),
        ("guest", "Destination", "5432", "Reject", "Allow guests"),
        ("guest", "Source", "80", "Reject", "UnknownIdentity"),
    }
    made.until(lambda: expected <= verdicts(flows(made)))
    assert verdicts(flows(made, "--changed")) == {each for each in expected if each[3] != each[4].partition(" ")[0]}
    assert made.told("api", "list", "revisions")[-1]["number"] >= newest
    for host in (made.web, made.db):
        stored = b"".join(path.read_bytes() for path in (host.directory / "data").rglob("*") if path.is_file())
        assert b"no-front" not in stored, "a draft on a host"


def test_published_it_is_the_live_policy(made: Installation) -> None:
    made.told("draft", "publish", "-n", "/shop", "plan")
    made.told("wait", "--timeout", "30s")
    assert attempt(made, "front", 5432) == "ConnectionRefusedError"
    assert attempt(made, "guest", 5432) == "connected"
    before = len(flows(made))
    made.until(lambda: any(f["ruleName"] == "guests" for f in made.told("flows", "-n", "/shop")))
    assert len(flows(made)) == before, "it judges no longer"
