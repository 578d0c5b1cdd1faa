"""What an operator sees of a host: live connections, counters, packets; and that nobody else does."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.bed import Testbed
from testbed.host import Host
from tests.e2e.installation import WATCHWORD, Installation, run_as_unit

PORT = 5432

#: Answers every line with the same line, on every connection.
_ECHO = """
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
            self.wfile.flush()
socketserver.ThreadingTCPServer.allow_reuse_address = True
with socketserver.ThreadingTCPServer(("", 5432), Echo) as server:
    print("listening", flush=True)
    server.serve_forever()
"""

#: Says a line and hears it, then stays.
_CALLER = """
import socket, sys, time
with socket.create_connection((sys.argv[1], 5432), 5) as connection:
    connection.sendall(b"hello\\n")
    print(connection.recv(6).decode(), flush=True)
    time.sleep(600)
"""


class Estate:
    """A Console, the hosts web and db, and a connection between the two that is older than their Enforcers."""

    def __init__(self, bed: Testbed) -> None:
        self.made = Installation(bed)
        self.web, self.db = self.made.web, self.made.db
        self.server = self.db.start([sys.executable, "-c", _ECHO], cgroup="echo")
        self.made.until(lambda: "listening" in self.server.output())
        self.older = self.web.start([sys.executable, "-c", _CALLER, self.db.ipv4], cgroup="older")
        self.made.until(lambda: "hello" in self.older.output())
        token = self.made.console.directory / "install-token"
        self.made.told("api", "create", "namespace", "--set", "name=shop")
        self.made.told("token", "create", "-n", "/shop", "--uses", "2", "--expires", "30m", "--output", str(token))
        for host in (self.web, self.db):
            (host.directory / "install-token").write_text(token.read_text())
            (host.directory / "install-token").chmod(0o600)
            self.made.start_enforcer(host)
        self.front = self.web.start(
            run_as_unit(self.made, self.web, "app=front", "front", _CALLER, self.db.ipv4), cgroup="shell"
        )
        self.made.until(lambda: "hello" in self.front.output())

    def command(self, host: Host, *arguments: str) -> list[str]:
        return [WATCHWORD, *arguments, "--settings", str(self.made.settings(host))]

    def told(self, host: Host, *arguments: str) -> Any:
        """What a command about a host answers there, as JSON."""
        done = host.run(self.command(host, *arguments, "--json"), check=False, cgroup="shell")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def estate() -> Iterator[Estate]:
    with Testbed("seeing") as bed:
        yield Estate(bed)


def test_live_connections_say_who_and_why(estate: Estate) -> None:
    (front,) = estate.told(estate.web, "netstat", "front")
    assert front["local"]["unit"]["name"] == "front"
    assert "app=front" in front["local"]["unit"]["tags"]
    assert (front["remote"]["unit"]["name"], front["remote"]["unit"]["namespace"]) == ("db", "/shop")
    assert (front["remote"]["address"], front["remote"]["port"]) == (estate.db.ipv4, PORT)
    assert (front["protocol"], front["direction"], front["state"]) == (6, "outgoing", "proved")
    assert (front["action"], front["reason"], front["rule"]) == ("Allow", "policy", None)
    assert (front["bytes_in"], front["bytes_out"]) == (6, 6)
    assert min(front["packets_in"], front["packets_out"], front["latency_us"]) > 0
    assert 0 < front["revision"] <= estate.made.told("api", "list", "revisions")[-1]["number"]
    mirrored = [each for each in estate.told(estate.db, "netstat") if each["remote"]["port"] == front["local"]["port"]]
    assert [(each["direction"], each["state"], each["bytes_in"]) for each in mirrored] == [("incoming", "proved", 6)]
    assert [each["remote"]["unit"]["name"] for each in mirrored] == ["front"]


def test_what_is_older_is_listed_and_judged(estate: Estate) -> None:
    (older,) = [each for each in estate.told(estate.web, "netstat", "web") if each["remote"]["port"] == PORT]
    assert (older["state"], older["reason"], older["direction"]) == ("existing", "existing", "outgoing")
    assert older["remote"]["unit"] is None, "nobody has proved anything in it"
    assert (older["remote"]["address"], older["bytes_in"]) == (estate.db.ipv4, 6)
    estate.made.until(
        lambda: any(
            flow["reason"] == "existing" and flow["destinationPort"] == PORT for flow in estate.made.told("flows")
        )
    )
    table = estate.web.run(estate.command(estate.web, "netstat"), cgroup="shell").stdout
    assert "existing" in table
    assert "proved" in table


def test_no_such_unit_is_said_with_those_there_are(estate: Estate) -> None:
    done = estate.web.run(estate.command(estate.web, "netstat", "postgres"), check=False, cgroup="shell")
    assert done.returncode == 5
    assert "front, web" in done.stderr


def test_counters_of_a_host_and_of_a_remote_one(estate: Estate) -> None:
    here = estate.told(estate.db, "counters")
    assert here["counted"]["proved"] >= 1
    assert here["lost"] == {"flow-lost": 0, "event-lost": 0}
    assert here["counted"]["existing"] == 1
    allowed = {total["reason"]: total for total in here["verdicts"] if total["action"] == "Allow"}
    assert allowed["policy"]["connections"] >= 1
    assert allowed["existing"]["connections"] == 1
    tables = {fill["name"]: fill for fill in here["tables"]}
    assert (tables["live"]["entries"] >= 2, tables["live"]["room"]) == (True, 131072)
    assert tables["prefixes4"]["entries"] == 0
    assert tables["adopted"]["entries"] == 0
    remote = estate.made.told("counters", "--enforcer", "db", "-n", "/shop")
    assert set(remote["dropped"]) == set(here["dropped"])
    follower = estate.db.start(
        estate.command(estate.db, "counters", "--follow", "--interval", "0.2", "--json"), cgroup="shell"
    )
    estate.made.until(lambda: follower.output().count("\n") >= 3)
    looks = [json.loads(line) for line in follower.output().splitlines()[:3]]
    assert all(look["counted"]["proved"] >= 1 for look in looks)
    follower.stop()
