"""What resolvers answer over TCP teaches as much as what they answer by datagram, however the bytes come."""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterator

import pytest

from testbed.firewall import rule
from testbed.injection import onto_wire
from testbed.nameserver import NameServer
from tests.datapath.ground import CLIENT, SERVER, Ground, grounds, says, until
from tests.datapath.resolution import visit

RESOLVER, API = 30, 31
PLAIN = [f"192.0.2.{number}" for number in range(1, 40)]
PLAIN6 = "2001:db8:53::1"
#: Where a resolver of the test's own listens, which sends what it is told to.
SCRIPTED, SCRIPTED6 = "192.0.2.200", "2001:db8:53::200"
RECORDS = {
    "api.example.com": [PLAIN[0], PLAIN6],
    "other.example.com": [PLAIN[1]],
    "edge.cdn.test": [PLAIN[2]],
    "many.example.com": PLAIN[3:36],
}


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("names-tcp") as made:
        server, client = made.server.host, made.client.host
        for address in (*PLAIN, PLAIN6, SCRIPTED, SCRIPTED6):
            server.run(["ip", "address", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo"])
        client.run(["ip", "route", "add", "192.0.2.0/24", "via", server.ipv4])
        client.run(["ip", "-6", "route", "add", "2001:db8:53::/64", "via", server.ipv6])
        made.server.apply(default="Allow")
        made.client.fence.call("believe", [server.ipv4, server.ipv6, SCRIPTED, SCRIPTED6])
        with NameServer(server, [server.ipv4, server.ipv6], RECORDS, {"www.example.com": "edge.cdn.test"}):
            yield made


@pytest.fixture(scope="module")
def port(ground: Ground) -> Iterator[int]:
    """A listener outside every fence, at all addresses of the server's host."""
    with ground.server.host.socket(socket.AF_INET6, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", ground.port()))
        listener.listen(256)
        yield listener.getsockname()[1]


def decide(ground: Ground, *names: str) -> None:
    server = ground.server.host
    resolvers = {
        f"{address}/{128 if ':' in address else 32}": RESOLVER
        for address in (server.ipv4, server.ipv6, SCRIPTED, SCRIPTED6)
    }
    allowed = [says(CLIENT, number, "out", rule=f"r{number}") for number in (RESOLVER, API, SERVER)]
    ground.client.apply(*allowed, names=dict.fromkeys(names, API), prefixes=resolvers, reachable=False)


@pytest.fixture(scope="module", params=[4, 6])
def scripted(ground: Ground, request: pytest.FixtureRequest) -> Iterator[tuple[str, socket.socket]]:
    version: int = request.param
    family, address = (socket.AF_INET, SCRIPTED) if version == 4 else (socket.AF_INET6, SCRIPTED6)
    with ground.server.host.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((address, 53))
        listener.listen(8)
        listener.settimeout(10)
        yield address, listener


def name_of(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def answer(name: str, *addresses: str, room: int = 0) -> bytes:
    """A whole answer with its length; ``room`` bytes of text before the addresses."""
    kind, family = (28, socket.AF_INET6) if ":" in addresses[0] else (1, socket.AF_INET)
    records = [struct.pack("!HHHIH", 0xC00C, 16, 1, 60, room) + bytes(room)] if room else []
    for address in addresses:
        packed = socket.inet_pton(family, address)
        records.append(struct.pack("!HHHIH", 0xC00C, kind, 1, 300, len(packed)) + packed)
    head = struct.pack("!6H", 7, 0x8180, 1, len(records), 0, 0)
    message = head + name_of(name) + struct.pack("!HH", kind, 1) + b"".join(records)
    return struct.pack("!H", len(message)) + message


def told(ground: Ground, scripted: tuple[str, socket.socket], *pieces: bytes) -> None:
    """The client's unit gets these bytes from the resolver, each piece in a segment of its own."""
    address, listener = scripted
    with ground.client.app.connect(address, 53) as asking, listener.accept()[0] as serving:
        serving.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asking.settimeout(10)
        for piece in pieces:
            serving.sendall(piece)
            left = len(piece)
            while left:  # the next is a segment of its own, for this one is acknowledged
                left -= len(asking.recv(left))


def learned(ground: Ground, address: str) -> list[str]:
    found: list[str] = ground.client.fence.call("learned", CLIENT, address)
    return found


@pytest.mark.parametrize("version", [4, 6])
def test_what_is_asked_over_tcp_is_reached_at_once(ground: Ground, port: int, version: int) -> None:
    decide(ground, "api.example.com")
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    names = ["api.example.com", "other.example.com"][: 2 if version == 4 else 1]
    found = visit(ground.client.host, ground.server.host.address(version), port, names, family=family, options="use-vc")
    assert [outcome for _, _, outcome in found] == ["connected", "PermissionError"][: len(names)]


def test_an_answer_that_was_too_long_for_a_datagram(ground: Ground, port: int) -> None:
    """Without EDNS 33 addresses do not fit; the library asks again over TCP, and connects at once."""
    decide(ground, "many.example.com")
    found = visit(ground.client.host, ground.server.host.ipv4, port, ["many.example.com"], options="timeout:2")
    assert {address for _, address, _ in found} == set(RECORDS["many.example.com"])
    assert {outcome for _, _, outcome in found} == {"connected"}


def test_aliases_count_as_by_datagram(ground: Ground, port: int) -> None:
    decide(ground, "www.example.com")
    found = visit(ground.client.host, ground.server.host.ipv4, port, ["www.example.com"], options="use-vc")
    assert [outcome for _, _, outcome in found] == ["connected"]


def test_bytes_come_as_they_please(ground: Ground, scripted: tuple[str, socket.socket]) -> None:
    """Two answers cut in two and three pieces at every place that matters, and both in one."""
    names = iter(f"n{number}.cut.test" for number in range(1000))
    decide(ground, "*.cut.test")
    first = len(answer("n10.cut.test", "198.51.100.1"))
    for cut in (1, 2, 3, 13, 14, first - 1, first, first + 1, first + 2, first + 3):
        both = {next(names): "198.51.100.1", next(names): "198.51.100.2"}
        data = b"".join(answer(name, address) for name, address in both.items())
        told(ground, scripted, data[:cut], data[cut:])
        for name, address in both.items():
            assert name in learned(ground, address), (cut, name)
    both = {next(names): "198.51.100.3", next(names): "198.51.100.4"}
    told(ground, scripted, b"".join(answer(name, address) for name, address in both.items()))
    single = next(names)
    told(ground, scripted, *(bytes([byte]) for byte in answer(single, "198.51.100.5")))
    for name, address in (*both.items(), (single, "198.51.100.5")):
        assert name in learned(ground, address)


def test_the_longest_that_is_read_and_what_is_longer(ground: Ground, scripted: tuple[str, socket.socket]) -> None:
    """What is too long is left out, and what follows it is read."""
    decide(ground, "*.long.test")
    head = len(answer("a.long.test", "198.51.100.11")) - 2 + 12
    longest = answer("a.long.test", "198.51.100.11", room=4096 - head)
    assert len(longest) == 4096 + 2
    longer = answer("b.long.test", "198.51.100.12", room=4097 - head)
    far = answer("c.long.test", "198.51.100.13", room=65_000)
    before = ground.client.counters()["answer-unread"]
    told(ground, scripted, longest, longer, far, answer("d.long.test", "198.51.100.14"))
    assert [learned(ground, f"198.51.100.{last}") for last in (11, 12, 13, 14)] == [
        ["a.long.test"],
        [],
        [],
        ["d.long.test"],
    ]
    assert ground.client.counters()["answer-unread"] == before + 2


def test_nonsense_teaches_nothing_and_ends_nothing(ground: Ground, scripted: tuple[str, socket.socket]) -> None:
    decide(ground, "*.odd.test")
    whole = answer("a.odd.test", "198.51.100.21")
    pieces = [
        b"\0\0",
        b"\0\1x",
        b"\0\x0b" + bytes(11),
        struct.pack("!H", 20) + whole[2:22],  # cut short
        whole[:4] + b"\x01\x00" + whole[6:],  # a question
        answer("b.odd.test", "127.0.0.1"),
        answer("c.odd.test", "198.51.100.22"),
    ]
    told(ground, scripted, *pieces)
    assert learned(ground, "198.51.100.21") == []
    assert learned(ground, "127.0.0.1") == []
    assert learned(ground, "198.51.100.22") == ["c.odd.test"]


def test_whoever_is_not_believed_teaches_nothing(ground: Ground, scripted: tuple[str, socket.socket]) -> None:
    decide(ground, "*.liar.test")
    server = ground.server.host
    ground.client.fence.call("believe", [server.ipv4, server.ipv6])
    try:
        told(ground, scripted, answer("a.liar.test", "198.51.100.31"))
    finally:
        ground.client.fence.call("believe", [server.ipv4, server.ipv6, SCRIPTED, SCRIPTED6])
    assert learned(ground, "198.51.100.31") == []


def test_lost_and_overtaken_segments(ground: Ground, scripted: tuple[str, socket.socket]) -> None:
    """What comes too early is not read before what is missing, and is not lost."""
    decide(ground, "*.net.test")
    names = [f"n{number}.net.test" for number in range(30)]
    where = {name: f"198.51.100.{100 + number}" for number, name in enumerate(names)}
    address, listener = scripted
    loss = ["-p", "tcp", "--sport", "53", "-m", "length", "--length", "80:1500"]
    loss += ["-m", "statistic", "--mode", "nth", "--every", "7", "--packet", "3", "-j", "DROP"]
    version = 6 if ":" in address else 4
    rule(ground.client.host, version, "-t", "raw", "-I", "PREROUTING", *loss)
    try:
        with ground.client.app.connect(address, 53) as asking, listener.accept()[0] as serving:
            serving.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asking.settimeout(30)
            data = [answer(name, where[name]) for name in names]
            for each in data:
                serving.sendall(each)
                time.sleep(0.002)  # so that each is a segment
            left = sum(map(len, data))
            while left:
                left -= len(asking.recv(left))
    finally:
        rule(ground.client.host, version, "-t", "raw", "-D", "PREROUTING", *loss)
    assert [name for name in names if name not in learned(ground, where[name])] == []


@pytest.mark.parametrize("where", ["the unit itself", "the wire, too early", "the wire, for what was never sent"])
def test_a_forged_answer_teaches_nothing(ground: Ground, scripted: tuple[str, socket.socket], where: str) -> None:
    """By a unit that may make packets, on its own connection whose numbers it knows; by somebody who does not."""
    address, listener = scripted
    client, link = ground.client.host, ground.link
    last = 50 + len(where)
    name, forged, honest = f"v{last}.forged.test", f"198.51.100.{last}", f"198.51.100.{last + 10}"
    decide(ground, "*.forged.test")
    with (
        client.capture("src port 53") as seen,
        ground.client.app.connect(address, 53) as asking,
        listener.accept()[0] as serving,
    ):
        asking.settimeout(10)
        answered = seen.wait(lambda segment: segment.has("SA") and segment.source == address)
        forgery = answered.with_(flags="PA", seq=answered.seq + 1, options=[], payload=answer(name, forged))
        if where == "the unit itself":
            maker = [sys.executable, "-m", "testbed.injection"]
            client.run(maker, input=forgery.packet().hex() + "\n", cgroup="app", check=False)
        else:
            beyond = {"seq": forgery.seq + 40} if "early" in where else {"ack": forgery.ack + 4000}
            far = link.other(client)
            onto_wire(far, [forgery.with_(**beyond)], link.end(client).mac())
        assert learned(ground, forged) == []
        data = answer(name, honest)
        serving.sendall(data)
        got = asking.recv(len(data))
        assert got == data
    assert learned(ground, forged) == []
    assert learned(ground, honest) == [name]


def test_nothing_hangs_there_without_names(ground: Ground, scripted: tuple[str, socket.socket]) -> None:
    """The program is attached while policy has names, and taken away with the last of them."""
    pins = ground.client.host.make_pins() / "watchword"
    decide(ground, "*.last.test")
    assert list(pins.glob("*/resolve_in"))
    decide(ground)
    until(lambda: not list(pins.glob("*/resolve_in")))
    told(ground, scripted, answer("a.last.test", "198.51.100.41"))
    decide(ground, "*.last.test")
    assert learned(ground, "198.51.100.41") == []
