"""What an operator sees of a host: live connections, counters, packets; and that nobody else does."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed import pcapng
from testbed.bed import Testbed
from testbed.host import Host
from tests.e2e.installation import WATCHWORD, Installation, run_as_unit
from watchword.enforcer.datapath.ebpf.glance import pins_in_force

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

#: Says a line and hears it, then stays; says it again when it gets a signal.
_CALLER = """
import signal, socket, sys, time
with socket.create_connection((sys.argv[1], 5432), 5) as connection:
    connection.sendall(b"hello\\n")
    print(connection.recv(6).decode(), flush=True)
    signal.signal(signal.SIGUSR1, lambda *_: connection.sendall(b"again\\n"))
    while True: time.sleep(1)
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
        self.made.told("api", "create", "namespace", "--set", "name=shop")
        self.made.enrol("/shop", self.web, self.db)
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
    estate.made.until(lambda: {("Source", "Allow"), ("Destination", "Allow")} <= both_ends(estate))


def both_ends(estate: Estate) -> set[tuple[str, str]]:
    """Who has reported proved flows to db, and what the other end decided."""
    found = [flow for flow in estate.made.told("flows") if flow["proved"] and flow["destinationPort"] == PORT]
    return {(flow["reportedBy"], flow["otherEnd"]["action"]) for flow in found if flow["otherEnd"]}


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


def capturing(estate: Estate, file: Path, *arguments: str) -> Any:
    """A capture of the unit db that has begun."""
    started = estate.db.start(
        estate.command(estate.db, "capture", "db", "-w", str(file), "--json", *arguments), cgroup="shell"
    )
    estate.made.until(lambda: program(estate) != plain(estate))
    return started


def program(estate: Estate) -> int:
    """The ID of the program that judges what comes to db."""
    shown = estate.db.run(
        ["bpftool", "link", "show", "pinned", str(pins_in_force(estate.db.pins / "watchword") / "enforce_in"), "-j"]
    )
    return int(json.loads(shown.stdout)["prog_id"])


_PLAIN: dict[int, int] = {}


def plain(estate: Estate) -> int:
    """The same, as long as nobody captures: asked for first before any capture."""
    return _PLAIN.setdefault(id(estate), program(estate))


def calls(estate: Estate, unit: str) -> bool:
    """Whether a new unit of web gets an answer from db."""
    code = _CALLER.replace("    while True: time.sleep(1)\n", "")
    command = run_as_unit(estate.made, estate.web, f"app={unit}", unit, code, estate.db.ipv4)
    return "hello" in estate.web.run(command, check=False, cgroup="shell").stdout


def only_front_may_call(estate: Estate) -> None:
    rules = estate.made.console.directory / "shop.yaml"
    rules.write_text(
        "label: shop\ndata:\n  networkrulesetpolicies:\n"
        "    - name: db-from-front\n      subject: [[$name=db]]\n"
        "      incomingRules:\n"
        "        - {name: sql, object: [[app=front]], protocolPorts: [tcp/5432]}\n"
        "        - {name: no-guests, action: Reject, object: [[app=guest]], protocolPorts: [tcp/5432]}\n"
    )
    estate.made.told("apply", "-n", "/shop", "-f", str(rules))
    estate.made.told("api", "update", "namespace", "/shop", "--set", "defaultPUIncomingTrafficAction=Reject")
    estate.made.told("wait", "--timeout", "30s")


def test_packets_with_verdicts_identities_and_rules(estate: Estate, tmp_path: Path) -> None:
    only_front_may_call(estate)
    file, before = tmp_path / "db.pcapng", plain(estate)
    command = capturing(estate, file, "--port", str(PORT), "--seconds", "600")
    assert not calls(estate, "guest")
    assert not calls(estate, "other")
    os.kill(estate.older.pid, signal.SIGUSR1)
    older = [each for each in estate.told(estate.db, "netstat") if each["state"] == "existing"]
    assert [(each["reason"], each["bytes_in"]) for each in older] == [("existing-refused", 12)]
    assert command.stop() == 0, command.output()
    told = json.loads(command.output())
    assert program(estate) == before, "the agent's own program is back"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    read = pcapng.read(file)
    assert len(read.packets) == told["packets"]
    assert {(link, dropped) for (_, link), (_, dropped) in zip(read.interfaces, read.statistics, strict=True)} == {
        (101, 0)
    }
    comments = [packet.comment for packet in read.packets]
    guest = "Reject; unit db (/shop); peer guest (/shop), announced; by db-from-front/no-guests; revision "
    other = "Reject; unit db (/shop); peer other (/shop), announced; by the default; revision "
    kept = "Allow; unit db (/shop); peer somewhere, existing; by the default; revision "
    assert any(comment.startswith(guest) for comment in comments), comments
    assert any(comment.startswith(other) for comment in comments), comments
    assert any(comment.startswith(kept) for comment in comments), comments
    assert {packet.inbound for packet in read.packets if packet.comment.startswith("Allow")} == {True, False}
    assert told["refused"] == sum(comment.startswith("Reject") for comment in comments)
    shown = estate.db.run(["tcpdump", "-n", "-r", str(file)])
    assert len(shown.stdout.splitlines()) == len(read.packets)


def test_a_capture_is_bounded_and_counts_what_it_leaves_out(estate: Estate, tmp_path: Path) -> None:
    file = tmp_path / "few.pcapng"
    command = capturing(estate, file, "--rate", "1", "--seconds", "600", "--snap", "40")
    assert not calls(estate, "guest")
    assert not calls(estate, "guest")
    assert command.stop() == 0
    told = json.loads(command.output())
    read = pcapng.read(file)
    assert told["missed_rate"] > 0
    assert {dropped for _, dropped in read.statistics} == {told["missed_rate"]}
    assert max(len(packet.content) for packet in read.packets) <= 40 < max(packet.length for packet in read.packets)
    counted = tmp_path / "counted.pcapng"
    command = capturing(estate, counted, "--count", "1", "--seconds", "600")
    assert not calls(estate, "guest")
    assert command.wait(30) == 0
    assert len(pcapng.read(counted).packets) == 1


def test_only_with_a_peer(estate: Estate, tmp_path: Path) -> None:
    by_name, by_address = tmp_path / "name.pcapng", tmp_path / "address.pcapng"
    for file, peer in ((by_name, "front"), (by_address, "198.51.100.0/24")):
        command = capturing(estate, file, "--peer", peer, "--seconds", "600")
        os.kill(estate.front.pid, signal.SIGUSR1)
        assert not calls(estate, "other")
        assert command.stop() == 0, command.output()
    packets = pcapng.read(by_name).packets
    assert packets
    assert all("; peer front (/shop), proved; by db-from-front/sql; " in packet.comment for packet in packets)
    assert pcapng.read(by_address).packets == []


def test_nothing_of_a_killed_capture_stays(estate: Estate, tmp_path: Path) -> None:
    before = plain(estate)
    command = capturing(estate, tmp_path / "killed.pcapng", "--seconds", "600")
    second = estate.db.run(
        estate.command(estate.db, "capture", "db", "-w", str(tmp_path / "second.pcapng")), check=False, cgroup="shell"
    )
    assert (second.returncode, "already" in second.stderr) == (1, True)
    assert not (tmp_path / "second.pcapng").exists()
    command.kill()
    estate.made.until(lambda: program(estate) == before, 10)
    pinned = {path.name for path in pins_in_force(estate.db.pins / "watchword").iterdir()}
    assert not pinned & {"wanted", "packets", "missed", "pace", "scenes"}
    estate.made.until(lambda: "scenes" not in loaded_maps(estate), 10)  # the kernel lets go of it in its own time


def loaded_maps(estate: Estate) -> set[str]:
    loaded = json.loads(estate.db.run(["bpftool", "map", "show", "-j"]).stdout)
    return {each.get("name", "") for each in loaded}


def test_a_file_of_somebody_else_is_not_written_to(estate: Estate, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("there", "link"):
        command = estate.command(estate.db, "capture", "db", "-w", str(tmp_path / name), "--seconds", "1")
        assert estate.db.run(command, check=False, cgroup="shell").returncode == 2
    assert (tmp_path / "there").read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()


_ASK = """
import contextlib, socket, sys
with socket.socket(socket.AF_UNIX) as asker:
    asker.connect(sys.argv[1])
    with contextlib.suppress(BrokenPipeError):  # told off and hung up upon before it had asked
        asker.sendall(b'{"request":"capture"}\\n')
    print(asker.recv(4096))
"""

#: How a unit's process may come along that is not the host's root: a user, and root of a user namespace of that user.
_OTHERS = {
    "user": ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"],
    "root of its own namespace": [
        *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"),
        *("unshare", "--user", "--map-root-user"),
    ],
}


@pytest.mark.parametrize("who", _OTHERS)
def test_nobody_but_root_sees_anything(estate: Estate, who: str) -> None:
    """Though the directories on the way were opened for everybody by mistake."""
    db, become = estate.db, _OTHERS[who]
    version = db.run([*become, WATCHWORD, "--version"], check=False)
    assert version.stdout.startswith("watchword "), "or nothing is shown by what follows"
    settings = db.directory / "others.toml"
    settings.write_text(estate.made.settings(db).read_text())
    settings.chmod(0o644)
    socket_path = db.directory / "run" / "enforcer.sock"
    loose = [db.directory, db.directory / "run", db.directory / "data"]
    modes = [path.stat().st_mode for path in loose]
    capture = db.directory / "secret.pcapng"
    capture.touch(0o600)
    capture.write_bytes(b"packets")
    try:
        for path in loose:
            path.chmod(0o755)
        for arguments in (["netstat"], ["counters"], ["capture", "db", "-w", "-"]):
            command = [*become, WATCHWORD, *arguments, "--settings", str(settings)]
            done = db.run(command, check=False, cgroup="echo")
            assert done.returncode != 0, arguments
            assert done.stdout == "", arguments
        asked = db.run([*become, sys.executable, "-c", _ASK, str(socket_path)], check=False, cgroup="echo")
        assert "PermissionError" in asked.stderr
        socket_path.chmod(0o666)  # and that one too: the kernel's word about the peer still counts
        asked = db.run([*become, sys.executable, "-c", _ASK, str(socket_path)], check=False, cgroup="echo")
        assert "only root may ask this" in asked.stdout
        assert db.run([*become, "cat", str(capture)], check=False).returncode != 0
    finally:
        socket_path.chmod(0o600)
        capture.unlink()
        for path, mode in zip(loose, modes, strict=True):
            path.chmod(stat.S_IMODE(mode))


def test_what_policy_refuses_of_the_older_is_cut_by_profile(estate: Estate) -> None:
    """As the last: it ends a connection that the other tests look at."""
    rules = estate.made.console.directory / "cut.yaml"
    rules.write_text(
        "label: cut\ndata:\n  enforcerprofiles:\n"
        "    - {name: cut, existingConnections: Cut, associatedTags: [cut=yes]}\n"
        "  enforcerprofilemappingpolicies:\n    - {name: cut, subject: [[$name=db]], object: [[cut=yes]]}\n"
    )
    only_front_may_call(estate)
    (server,) = [c for c in estate.told(estate.db, "netstat", "db") if c["state"] == "existing"]
    assert (server["action"], server["reason"]) == ("Allow", "existing-refused")
    estate.made.told("apply", "-n", "/shop", "-f", str(rules))
    estate.made.until(lambda: all(c["state"] != "existing" for c in estate.told(estate.db, "netstat", "db")))
    estate.made.until(
        lambda: any(f["reason"] == "existing-refused" and f["action"] == "Reject" for f in estate.made.told("flows"))
    )
    assert [c["state"] for c in estate.told(estate.web, "netstat", "front")] == ["proved"], "that one stands"
