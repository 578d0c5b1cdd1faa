"""The load generator counts what really happened."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed import Host, Match, Process, Testbed

ROOT = Path(__file__).parents[2]
LOADGEN = str(ROOT / "bench/loadgen/build/loadgen")


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    subprocess.run(["make", "-C", str(ROOT / "bench/loadgen")], check=True, capture_output=True)


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with Testbed("loadgen") as made:
        yield made
    assert made.leftovers() == []


@pytest.fixture
def pair(bed: Testbed) -> tuple[Host, Host]:
    client, server = bed.host("client"), bed.host("server")
    bed.direct(client, server)
    return client, server


def start(host: Host, *arguments: str) -> Process:
    """A server mode, ready to be used."""
    process = host.start([LOADGEN, *arguments])
    deadline = time.monotonic() + 5
    while "ready" not in process.output():
        assert process.running(), process.output()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def result(output: str) -> dict[str, Any]:
    """The last line, which is JSON."""
    decoded: dict[str, Any] = json.loads(output.splitlines()[-1])
    return decoded


def test_a_connection_is_eight_packets(pair: tuple[Host, Host]) -> None:
    client, server = pair
    start(server, "serve", "--port", "9000")
    with server.capture("tcp port 9000") as taken:
        client.run([LOADGEN, *f"connect --address {server.ipv4} --port 9000 --seconds 0.2 --rate 5".split()])
    one = taken.segments()[0].sport
    packets = [(s.flags.replace("P", ""), len(s.payload)) for s in taken.segments() if one in (s.sport, s.dport)]
    assert packets == [("S", 0), ("SA", 0), ("A", 0), ("A", 64), ("A", 0), ("FA", 64), ("FA", 0), ("A", 0)]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("inflight", [1, 16])
def test_connect_counts_every_exchange(pair: tuple[Host, Host], version: int, inflight: int) -> None:
    client, server = pair
    server_arguments = f"serve --address {server.address(version)} --port 9000 --ports 2 --processes 2 --request 300"
    start(server, *server_arguments.split())
    command = f"connect --address {server.address(version)} --port 9000 --ports 2 --request 300 --seconds 0.5"
    command += f" --inflight {inflight} --processes 2"
    with server.capture(lambda s: s.flags == "SA") as taken:
        got = result(client.run([LOADGEN, *command.split()]).stdout)
    assert got["failures"] == {}
    assert got["connections"] == got["begun"] > 50
    assert len({s.sport for s in taken.segments()}) == 2
    assert len(taken.segments()) == got["connections"]
    assert 0 < got["connect_us"]["p50"] <= got["connect_us"]["p99"] <= got["connect_us"]["max"] * 1.01
    assert got["transaction_us"]["p50"] > got["connect_us"]["p50"]


def test_a_rate_is_kept(pair: tuple[Host, Host]) -> None:
    client, server = pair
    start(server, "serve", "--port", "9000")
    command = f"connect --address {server.ipv4} --port 9000 --seconds 1 --rate 500"
    got = result(client.run([LOADGEN, *command.split()]).stdout)
    assert 450 <= got["connections"] <= 501


@pytest.mark.parametrize("inflight", [1, 8])
def test_failures_are_counted_by_kind(pair: tuple[Host, Host], inflight: int) -> None:
    client, server = pair
    command = f"connect --address {server.ipv4} --port 9000 --seconds 0.3 --timeout-ms 100 --inflight {inflight}"
    refused = result(client.run([LOADGEN, *command.split()]).stdout)
    assert refused["connections"] == 0
    assert refused["failures"] == {"ECONNREFUSED": refused["begun"]}
    start(server, "serve", "--port", "9000", "--response", "10")
    short = result(client.run([LOADGEN, *command.split()]).stdout)
    assert short["failures"] == {"short": short["begun"]}
    client.links[0].drop(Match("S"), toward=server, count=None)
    silent = result(client.run([LOADGEN, *command.split()]).stdout)
    assert silent["failures"] == {"timeout": silent["begun"]}


def test_a_killed_server_shows_as_failures(pair: tuple[Host, Host]) -> None:
    client, server = pair
    serving = start(server, "serve", "--port", "9000", "--processes", "2")
    command = f"connect --address {server.ipv4} --port 9000 --seconds 1 --rate 1000"
    running = client.start([LOADGEN, *command.split()])
    time.sleep(0.4)
    serving.kill()
    running.wait(10)
    got = result(running.output())
    assert got["connections"] > 100
    assert got["failures"]["ECONNREFUSED"] > 100


@pytest.mark.parametrize("version", [4, 6])
def test_a_stream_reports_what_arrived(pair: tuple[Host, Host], version: int) -> None:
    client, server = pair
    start(server, "stream-serve", "--port", "9001")
    command = f"stream --address {server.address(version)} --port 9001 --seconds 0.5 --connections 2"
    got = result(client.run([LOADGEN, *command.split()]).stdout)
    received = int(
        next(line for line in server.run(["cat", "/proc/net/dev"]).stdout.splitlines() if "eth0" in line).split()[1]
    )
    assert 0.9 * got["bytes"] < received
    assert got["gbit_per_second"] == pytest.approx(got["bytes"] * 8 / got["seconds"] / 1e9, rel=0.01)


def test_held_connections_that_live_and_that_break(pair: tuple[Host, Host]) -> None:
    client, server = pair
    start(server, "echo", "--port", "9002")
    command = f"hold --address {server.ipv4} --port 9002 --connections 50 --interval-ms 20 --timeout-ms 300"
    whole = result(client.run([LOADGEN, *command.split(), "--seconds", "0.5"]).stdout)
    assert (whole["opened"], whole["broken"], whole["failures"]) == (50, 0, {})
    assert whole["answers"] > 50 * 10
    running = client.start([LOADGEN, *command.split(), "--seconds", "1.5"])
    while "ready" not in running.output():
        time.sleep(0.01)
    client.links[0].drop(Match(sport=9002), toward=client, count=None)
    running.wait(10)
    broken = result(running.output())
    assert (broken["opened"], broken["broken"], broken["failures"]) == (50, 50, {"timeout": 50})


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize(("version", "prefix"), [(4, "10.99.0.0/16"), (6, "fd99::/64")])
def test_a_flood_is_what_was_asked_for(pair: tuple[Host, Host], version: int, prefix: str, framed: bool) -> None:
    client, server = pair
    start(server, "serve", "--port", "9000")
    client.route(prefix, server.address(version))
    server.route(prefix, client.address(version))
    option = "fd14" + "00" * 18
    command = f"synflood --address {server.address(version)} --port 9000 --count 3000 --prefix {prefix}"
    command += f" --option {option} --random 4:16"
    if framed:
        command += f" --device eth0 --mac {server.links[0].end(server).mac().hex(':')}"
    with server.capture("tcp port 9000") as taken:
        got = result(client.run([LOADGEN, *command.split()]).stdout)
        taken.wait(lambda s: s.flags == "S", count=3000)
        taken.wait(lambda s: s.flags == "SA", count=100)
    assert (got["sent"], got["failures"]) == (3000, {})
    syns = [s for s in taken.segments() if s.flags == "S"]
    assert len({(s.source, s.sport) for s in syns}) > 2990
    assert all(s.source.startswith(prefix.partition("0.0/")[0].partition("::")[0]) for s in syns)
    options = [s.option(253) for s in syns]
    assert {(o or b"")[:2] for o in options} == {b"\0\0"}
    assert len(set(options)) == 3000


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("", "the first word must be a mode"),
        ("connect --address 10.0.0.1", "--port is missing"),
        ("connect --port 1", "--address is missing"),
        ("connect --address nowhere --port 1", "--address nowhere: give a numeric"),
        ("serve --port 1 --rate 5", "--rate has no meaning for serve"),
        ("serve --port 99999", "--port 99999: give a number"),
        ("synflood --port 1 --address 10.0.0.1 --count 5", "--prefix is missing"),
        ("synflood --port 1 --address 10.0.0.1 --count 5 --prefix 10.0.0.0/8 --random 0:4", "the option has only 0"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments: str, complaint: str) -> None:
    done = subprocess.run([LOADGEN, *arguments.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert complaint in done.stderr
