"""Hosts, links and processes are where they should be, and nothing of a bed outlives it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import Host, Testbed, namespace, remains

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with Testbed("hosts") as made:
        yield made
    assert made.leftovers() == []


def exchange(client: Host, server: Host, address: str, family: int) -> bytes:
    """One TCP connection between the two hosts."""
    with server.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((address, 0))
        listener.listen()
        with client.socket(family, socket.SOCK_STREAM) as caller:
            caller.settimeout(5)
            caller.connect(listener.getsockname()[:2])
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(b"hello")
                return caller.recv(5)


@pytest.mark.parametrize("version", [4, 6])
def test_hosts_reach_each_other_through_a_router(bed: Testbed, version: int) -> None:
    router = bed.router("r")
    left, right = bed.host("left", router), bed.host("right", router)
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    assert exchange(left, right, right.address(version), family) == b"hello"


def test_a_direct_link_has_the_mtu_asked_for(bed: Testbed) -> None:
    left, right = bed.host("left"), bed.host("right")
    link = bed.direct(left, right, mtu=9000)
    assert "mtu 9000" in right.run(["ip", "link", "show", link.end(right).device]).stdout
    assert exchange(left, right, right.ipv4, socket.AF_INET) == b"hello"


def test_unlinked_hosts_cannot_reach_each_other(bed: Testbed) -> None:
    left, right = bed.host("left", bed.router("r1")), bed.host("right", bed.router("r2"))
    with left.socket(socket.AF_INET, socket.SOCK_STREAM) as caller:
        caller.settimeout(0.5)
        with pytest.raises(OSError, match=r"timed out|unreachable"):
            caller.connect((right.ipv4, 9))


def test_a_process_is_in_namespace_and_cgroup_from_its_first_instruction(bed: Testbed) -> None:
    host = bed.host("one")
    output = host.run(["sh", "-c", "cat /proc/self/cgroup; readlink /proc/self/ns/net"], cgroup="web/worker").stdout
    assert f"0::/{bed.id}/one/web/worker\n" in output
    assert f"net:[{namespace.inode(host.net)}]" in output


def test_a_started_process_is_the_program_itself(bed: Testbed) -> None:
    process = bed.host("one").start(["sleep", "60"], cgroup="batch")
    assert f"0::/{bed.id}/one/batch" in Path(f"/proc/{process.pid}/cgroup").read_text()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\n":
        assert time.monotonic() < deadline
    assert process.stop() == -signal.SIGTERM


def test_a_failing_program_says_where_and_why(bed: Testbed) -> None:
    with pytest.raises(RuntimeError, match=r"on one ended with 3: no luck"):
        bed.host("one").run(["sh", "-c", "echo no luck >&2; exit 3"])


def test_two_beds_with_the_same_names_do_not_meet() -> None:
    with Testbed("twin") as first, Testbed("twin") as second:
        hosts = []
        for bed in (first, second):
            router = bed.router("r")
            hosts.append((bed.host("left", router), bed.host("right", router)))
        for left, right in hosts:
            assert exchange(left, right, right.ipv4, socket.AF_INET) == b"hello"
        assert hosts[0][0].ipv4 == hosts[1][0].ipv4
        assert hosts[0][0].net_inode() != hosts[1][0].net_inode()
    assert first.leftovers() == second.leftovers() == []


def test_leftovers_sees_what_is_there() -> None:
    with Testbed("full") as bed:
        host = bed.host("one")
        process = host.start(["sleep", "60"])
        host.make_pins()
        found = "\n".join(bed.leftovers())
        for expected in (
            f"namespace {host.net}",
            f"process {process.pid} in cgroup",
            "/sys/fs/bpf/",
            str(host.cgroup.parent),
        ):
            assert expected in found
    assert bed.leftovers() == []


def test_an_exception_leaves_nothing() -> None:
    bed = Testbed("boom")

    def fail() -> None:
        with bed:
            host = bed.host("one", bed.router("r"))
            host.start(["sh", "-c", "trap '' TERM INT HUP; sleep 60 & sleep 60"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert bed.leftovers() == []


def test_a_process_that_left_the_cgroup_is_killed_too() -> None:
    with Testbed("escape") as bed:
        host = bed.host("one")
        process = host.start(["sh", "-c", f"echo 0 > {host.cgroup.parents[1]}/cgroup.procs; exec sleep 60"])
        while str(host.name) in Path(f"/proc/{process.pid}/cgroup").read_text().split("0::")[1]:
            time.sleep(0.01)
        assert f"process {process.pid} in a network namespace" in "\n".join(bed.leftovers())
    assert bed.leftovers() == []
    assert not process.running()


OWNER = textwrap.dedent("""
    import sys, time
    from testbed import Testbed
    with Testbed("owned") as bed:
        host = bed.host("one", bed.router("r"))
        host.start(["sleep", "600"])
        host.make_pins()
        print(bed.id, flush=True)
        time.sleep(600)
""")


def start_owner() -> tuple[subprocess.Popen[str], str]:
    """Another process that owns a bed."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        return owner, owner.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_polite_signal_leaves_nothing(number: signal.Signals) -> None:
    owner, bed_id = start_owner()
    assert remains.Remains(bed_id).found() != []
    owner.send_signal(number)
    owner.wait(20)
    assert remains.Remains(bed_id).found() == []


def test_remains_of_a_killed_owner_are_swept_and_those_of_the_living_stay() -> None:
    living, living_id = start_owner()
    killed, killed_id = start_owner()
    try:
        killed.kill()
        killed.wait()
        assert remains.Remains(killed_id).found() != []
        swept = remains.sweep()
        # Another bed that begins at this moment may have swept first; what counts is what is left.
        assert living_id not in swept
        assert remains.Remains(killed_id).found() == []
        assert any("process" in line for line in remains.Remains(living_id).found())
    finally:
        os.kill(living.pid, signal.SIGINT)
        living.wait(20)
    assert remains.Remains(living_id).found() == []
