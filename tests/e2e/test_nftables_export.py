"""An exported nftables ruleset in a simulated host lets through what the policy lets through: real packets."""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import time
from collections.abc import Iterator

import pytest

from testbed import Host, Testbed
from tests.property import oracle
from watchword.exchange.nftables import export
from watchword.model.ports import parse
from watchword.policy.world import Namespace, Network, Rule, Ruleset, Unit, World

#: Seconds after which a packet that has not come was dropped.
PATIENCE = 1.5

TCP_PORTS = (80, 5432, 5433, 9000)
UDP_PORTS = (53, 5353)
FAMILIES = ((socket.AF_INET, 4), (socket.AF_INET6, 6))


def rule(action: str, clause: str, *ports: str) -> Rule:
    return Rule(action.lower(), action, ((clause,),), parse(ports))  # type: ignore[arg-type]


def unit(number: int, name: str) -> Unit:
    return Unit(
        f"u{number}", name, name, "/", "e", 100 + number, frozenset({f"app={name}", "$identity=processingunit"})
    )


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with Testbed("nftables") as made:
        yield made
    assert made.leftovers() == []


def world_of(hosts: dict[str, Host]) -> World:
    """db and three units that have Enforcers; an office and a guest that have none."""
    everybody = [f"{hosts[name].address(version)}" for name in ("office", "guest") for version in (4, 6)]
    networks = [
        Network("n1", "outside", "/", True, (*everybody, f"!{hosts['guest'].ipv6}"), frozenset({"net=outside"})),
        Network("n2", "office", "/", True, (f"{hosts['office'].ipv4}/32",), frozenset({"net=office"})),
    ]
    incoming = (
        rule("Allow", "app=web", "tcp/5432:9000", "icmp/8", "icmp6"),
        rule("Allow", "app=cache", "tcp/5432", "udp/53"),
        rule("Reject", "app=web", "tcp/5433"),
        rule("Allow", "net=outside", "tcp/80"),
        rule("Reject", "net=office", "tcp/80"),
    )
    outgoing = (
        rule("Allow", "app=cache", "any"),
        rule("Reject", "app=cache", "udp/5353"),
        rule("Allow", "app=web", "tcp/80"),
        rule("Allow", "net=office", "udp/53", "tcp/9000"),
    )
    about = Ruleset("s1", "db", "/", (("app=db",),), incoming, outgoing)
    return World(
        revision=7,
        namespaces={"/": Namespace("/", "Reject", "Reject")},
        units={
            each.id: each for each in (unit(number, name) for number, name in enumerate(("db", "web", "cache", "evil")))
        },
        networks={network.id: network for network in networks},
        rulesets={about.id: about},
    )


def test_packets_go_where_the_policy_lets_them(bed: Testbed) -> None:
    router = bed.router("r")
    hosts = {name: bed.host(name, router) for name in ("db", "web", "cache", "evil", "office", "guest")}
    world = world_of(hosts)
    units = {each.name: each for each in world.units.values()}
    addresses = {name: [hosts[name].ipv4, hosts[name].ipv6] for name in units}
    text = export(world, units["db"], addresses).text
    peers = [name for name in hosts if name != "db"]

    def judged(name: str, version: int, direction: str, protocol: int, port: int) -> bool:
        party = units.get(name) or hosts[name].address(version)
        return oracle.judge(world, units["db"], party, direction, protocol, port).action == "Allow"

    asked = [
        (direction, name, version, protocol, port)
        for direction in ("in", "out")
        for name, (_, version) in itertools.product(peers, FAMILIES)
        for protocol, port in (*((6, port) for port in TCP_PORTS), *((17, port) for port in UDP_PORTS))
    ]
    expected = {each: judged(each[1], each[2], each[0], each[3], each[4]) for each in asked}
    assert {True, False} == set(expected.values())
    with serving(list(hosts.values())):
        assert all(attempts(hosts, asked).values()), "something is in the way before anything is loaded"
        hosts["db"].run(["nft", "-f", "-"], input=text)
        found = attempts(hosts, asked)
        assert {each: found[each] for each in asked if found[each] != expected[each]} == {}
        for name, version in itertools.product(("web", "evil"), (4, 6)):
            kind = 8 << 8 if version == 4 else 128 << 8
            assert pings(hosts[name], hosts["db"].address(version)) == judged(
                name, version, "in", 1 if version == 4 else 58, kind
            )
        assert pings(hosts["db"], "127.0.0.1"), "a unit may always talk to itself"
        hosts["db"].run(["nft", "-f", "-"], input=text)  # again is no error, and changes nothing
        assert attempts(hosts, asked[:6]) == {each: expected[each] for each in asked[:6]}
        hosts["db"].run(["nft", "delete", "table", "inet", "watchword"])
        assert all(attempts(hosts, asked).values()), "the table was not what refused"


@contextlib.contextmanager
def serving(hosts: list[Host]) -> Iterator[None]:
    """Listeners of the test process on every port of every host; a datagram is not answered, only received."""
    with contextlib.ExitStack() as stack:
        for host, (family, _) in itertools.product(hosts, FAMILIES):
            for port in TCP_PORTS:
                listener = stack.enter_context(contextlib.closing(host.socket(family, socket.SOCK_STREAM)))
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((host.address(6 if family == socket.AF_INET6 else 4), port))
                listener.listen(128)
        yield


def attempts(
    hosts: dict[str, Host], asked: list[tuple[str, str, int, int, int]]
) -> dict[tuple[str, str, int, int, int], bool]:
    """All of them at once: connections that are made, datagrams that arrive."""
    outcome = dict.fromkeys(asked, False)
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as waiting:
        for each in asked:
            direction, name, version, protocol, port = each
            source, target = (hosts[name], hosts["db"]) if direction == "in" else (hosts["db"], hosts[name])
            family = socket.AF_INET if version == 4 else socket.AF_INET6
            kind = socket.SOCK_STREAM if protocol == 6 else socket.SOCK_DGRAM
            sender = stack.enter_context(contextlib.closing(source.socket(family, kind)))
            sender.setblocking(False)
            sender.bind((source.address(version), 0))
            if protocol == 6:
                sender.connect_ex((target.address(version), port))
                waiting.register(sender, selectors.EVENT_WRITE, each)
                continue
            receiver = stack.enter_context(contextlib.closing(target.socket(family, kind)))
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            receiver.bind((target.address(version), port))
            receiver.connect(sender.getsockname()[:2])
            receiver.setblocking(False)
            waiting.register(receiver, selectors.EVENT_READ, each)
            with contextlib.suppress(OSError):
                sender.sendto(b"?", (target.address(version), port))
        deadline = time.monotonic() + PATIENCE
        while waiting.get_map() and time.monotonic() < deadline:
            for ready, _ in waiting.select(0.1):
                made = ready.fileobj
                assert isinstance(made, socket.socket)
                waiting.unregister(made)
                outcome[ready.data] = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    return outcome


def pings(host: Host, address: str) -> bool:
    program = (
        "import socket, struct, sys; six = ':' in sys.argv[1]\n"
        "family, protocol = (socket.AF_INET6, 58) if six else (socket.AF_INET, 1)\n"
        "s = socket.socket(family, socket.SOCK_RAW, protocol); s.settimeout(1.5)\n"
        "head = struct.pack('!BBHHH', 128 if six else 8, 0, 0, 7, 1); total = 0\n"
        "total = sum(struct.unpack('!4H', head)); total = ~((total & 65535) + (total >> 16)) & 65535\n"
        "s.sendto(head[:2] + struct.pack('!H', total) + head[4:], (sys.argv[1], 0))\n"
        "while True:\n"
        "    data = s.recv(2048); data = data if six else data[20:]\n"
        "    if data[0] == (129 if six else 0): break\n"
    )
    return host.run(["python3", "-c", program, address], check=False).returncode == 0
