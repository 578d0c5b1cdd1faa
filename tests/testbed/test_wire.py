"""Capture, injection and chosen losses, against the kernel's own TCP."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from testbed import Host, Match, Option, Router, Segment, Testbed
from testbed.capture import compile_filter
from testbed.packets import checksums_are_right, mss


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with Testbed("wire") as made:
        yield made
    assert made.leftovers() == []


@pytest.fixture
def routed(bed: Testbed) -> tuple[Router, Host, Host]:
    router = bed.router("r")
    return router, bed.host("client", router), bed.host("server", router)


@contextmanager
def echoing(server: Host, version: int, port: int = 80) -> Iterator[None]:
    """A listener that answers every connection's bytes until the client is done."""
    listener = server.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("::" if version == 6 else "0.0.0.0", port))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:  # shut down below
                return
            with accepted:
                accepted.settimeout(10)
                while data := accepted.recv(1000):
                    accepted.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def ask(client: Host, address: str, port: int = 80, timeout: float = 10) -> tuple[bytes, float]:
    """One short conversation: the answer and the seconds that connecting took."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with client.socket(family, socket.SOCK_STREAM) as caller:
        caller.settimeout(timeout)
        began = time.monotonic()
        caller.connect((address, port))
        connected = time.monotonic() - began
        caller.sendall(b"question")
        return caller.recv(100), connected


@pytest.mark.parametrize("version", [4, 6])
def test_a_capture_holds_the_whole_conversation(routed: tuple[Router, Host, Host], version: int) -> None:
    _, client, server = routed
    with echoing(server, version), server.capture("tcp port 80") as taken:
        assert ask(client, server.address(version))[0] == b"question"
        taken.wait(lambda s: s.has("FA"), count=2)
    flags = [segment.flags for segment in taken.segments()]
    assert flags[:3] == ["S", "SA", "A"]
    first = taken.segments()[0]
    assert (first.source, first.destination) == (client.address(version), server.address(version))
    assert first.option(2) is not None
    assert b"question" in [segment.payload for segment in taken.segments()]
    assert taken.lost == 0
    times = [frame.time for frame in taken.frames]
    assert times == sorted(times)
    assert abs(times[0] - time.time()) < 60


def test_a_capture_sees_loopback_once_as_sent(routed: tuple[Router, Host, Host]) -> None:
    _, _, server = routed
    with echoing(server, 4), server.capture("tcp and port 80") as taken:
        ask(server, "127.0.0.1")
        taken.wait(lambda s: s.has("FA"), count=2)
    assert [segment.flags for segment in taken.segments()].count("SA") == 1
    assert {frame.device for frame in taken.frames} == {"lo"}


def test_filters() -> None:
    segment = Segment("10.0.0.1", "10.0.0.2", 1000, 80)
    for text in ("tcp", "tcp port 80", "dst port 80", "src host 10.0.0.1 and port 80", "tcp and host 10.0.0.2"):
        assert compile_filter(text)(segment), text
    for text in ("src port 80", "dst host 10.0.0.1", "tcp port 81", "port 80 and host 10.0.0.3"):
        assert not compile_filter(text)(segment), text
    with pytest.raises(ValueError, match="use tcp"):
        compile_filter("udp port 53")


@pytest.mark.parametrize("version", [4, 6])
def test_an_injected_syn_gets_a_syn_ack(routed: tuple[Router, Host, Host], version: int) -> None:
    _, client, server = routed
    client.mute_resets()
    with echoing(server, version), server.capture("tcp port 80") as taken:
        syn = Segment(client.address(version), server.address(version), 4444, 80, "S", seq=1000, options=[mss()])
        server.links[0].inject(server, syn)
        answer = taken.wait(lambda s: s.has("SA"))
        assert answer.ack == 1001
        # The handshake can be finished by hand, and the kernel takes the data.
        server.links[0].inject(server, _ahead(answer, "A"))
        server.links[0].inject(server, _ahead(answer, "PA", b"by hand"))
        assert taken.wait(lambda s: s.sport == 80 and s.payload == b"by hand").ack == 1008
        server.links[0].inject(server, _ahead(answer, "FA", b"by hand"))


def _ahead(answer: Segment, flags: str, payload: bytes = b"") -> Segment:
    """The client's segment that follows a SYN-ACK."""
    return answer.reply(flags, seq=answer.ack, ack=answer.seq + 1, payload=payload)


def test_an_injected_syn_with_a_wrong_checksum_gets_none(routed: tuple[Router, Host, Host]) -> None:
    _, client, server = routed
    client.mute_resets()
    with echoing(server, 4), server.capture("tcp port 80") as taken:
        wrong = Segment(client.ipv4, server.ipv4, 4445, 80, "S", tcp_checksum=1)
        server.links[0].inject(server, wrong, wrong.with_(sport=4446))
        taken.wait(lambda s: s.has("SA") and s.dport == 4446)
    assert not [s for s in taken.segments() if s.has("SA") and s.dport == 4445]


@pytest.mark.parametrize("version", [4, 6])
def test_raw_packets_pass_the_stack_of_the_host(routed: tuple[Router, Host, Host], version: int) -> None:
    _, client, server = routed
    client.mute_resets()
    with echoing(server, version), server.capture("tcp port 80") as taken:
        syn = Segment(client.address(version), server.address(version), 4447, 80, "S", options=[Option(253, b"x" * 18)])
        assert client.send_raw(syn, cgroup="attacker") == 0
        assert taken.wait(lambda s: s.flags == "S").option(253) == b"x" * 18
        taken.wait(lambda s: s.has("SA"))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "own 4", "own 6"])
def test_loopback_injection_reaches_a_local_listener(routed: tuple[Router, Host, Host], address: str) -> None:
    _, _, server = routed
    address = server.address(int(address[-1])) if address.startswith("own") else address
    server.mute_resets()
    with echoing(server, 6 if ":" in address else 4), server.capture("port 80") as taken:
        server.inject_loopback(Segment(address, address, 4448, 80, "S"))
        taken.wait(lambda s: s.has("SA") and s.dport == 4448)


@pytest.mark.parametrize("version", [4, 6])
def test_a_lost_syn_ack_delays_the_handshake_by_one_retransmission(
    routed: tuple[Router, Host, Host], version: int
) -> None:
    _, client, server = routed
    loss = client.links[0].drop(Match("SA"), toward=client)
    with echoing(server, version), server.capture("tcp port 80") as taken:
        answer, seconds = ask(client, server.address(version))
    assert answer == b"question"
    assert 0.9 < seconds < 3
    assert loss.dropped() == 1
    assert len([s for s in taken.segments() if s.has("SA")]) >= 2


@pytest.mark.parametrize("version", [4, 6])
def test_the_chosen_pure_acks_are_lost_and_no_data(routed: tuple[Router, Host, Host], version: int) -> None:
    _, client, server = routed
    loss = server.links[0].drop(Match("A", payload=False), toward=server, count=1)
    with echoing(server, version), server.capture("tcp port 80") as at_server, client.capture("tcp port 80") as sent:
        answer, _ = ask(client, server.address(version))
        assert answer == b"question"
        at_server.wait(lambda s: s.has("FA"), count=2)
    assert loss.dropped() == 1
    assert [s.flags for s in sent.segments()][:3] == ["S", "SA", "A"]
    third = at_server.segments()[2]
    assert third.payload == b"question", "the third packet at the server carries the data"


def test_skip_chooses_which_packet_is_lost_and_end_stops_it(bed: Testbed) -> None:
    client, server = bed.host("client"), bed.host("server")
    link = bed.direct(client, server)
    loss = link.drop(Match("S", dport=80), toward=server, skip=1, count=2)
    forever = link.drop(Match("S", dport=81), toward=server, count=None)
    with echoing(server, 4), echoing(server, 4, 81):
        assert ask(client, server.ipv4)[1] < 0.5
        assert loss.dropped() == 0
        assert ask(client, server.ipv4)[1] > 0.9
        with pytest.raises(TimeoutError):
            ask(client, server.ipv4, 81, timeout=0.3)
        forever.end()
        assert ask(client, server.ipv4, 81)[1] < 0.5
    assert loss.dropped() == 2


def test_without_offload_captured_packets_are_finished(bed: Testbed) -> None:
    client, server = bed.host("client"), bed.host("server")
    bed.direct(client, server).offload(False)
    for version in (4, 6):
        with echoing(server, version), client.capture("tcp port 80") as taken:
            ask(client, server.address(version))
            taken.wait(lambda s: s.has("FA"), count=2)
        assert all(checksums_are_right(frame.packet) for frame in taken.frames)
        assert len(taken.frames) >= 8


def test_a_host_without_link_says_so(bed: Testbed) -> None:
    with pytest.raises(RuntimeError, match="host lonely has no link yet"):
        _ = bed.host("lonely").ipv4


def test_the_machine_itself_gets_no_device(bed: Testbed) -> None:
    bed.host("one", bed.router("r"))
    links = subprocess.run(["ip", "-d", "link"], capture_output=True, text=True, check=True).stdout
    assert "lo: " in links
    assert bed.id not in links  # a veth whose other end is in the bed would name the namespace
