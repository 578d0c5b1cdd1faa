"""Interfaces that a profile leaves alone: connections, datagrams and echoes by two wires and in two namespaces."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from testbed import Host, Link, Testbed, internet
from testbed.internet import ICMP, ICMP6
from tests.datapath.ground import SERVER, Side, says, until
from tests.datapath.workload import Workload, read

POD = 0xB0000021
VERSIONS = pytest.mark.parametrize("version", [4, 6])
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
ANYWHERE = {"0.0.0.0/0": 99, "::/0": 99}
IDENTITY = 253  # kind of the option that carries one

_ports = itertools.count(6000)


class Site(Side):
    """A host with a unit, whose rules let nobody in or out, and one in a namespace of its own."""

    known = {SERVER: "server", POD: "server"}

    def leave_alone(self, *names: str) -> None:
        self.fence.call("exclude", names)


class Ground:
    """A site with two wires, and somebody without an Enforcer at the other end of each."""

    def __init__(self, bed: Testbed) -> None:
        host = bed.host("site")
        self.friend, self.stranger = bed.host("friend"), bed.host("stranger")
        self.trusted, self.other = bed.direct(self.friend, host), bed.direct(self.stranger, host)
        self.pod, self.outside = bed.host("pod"), bed.host("outside")
        self.site = Site(host, "server", SERVER, {"pod": POD})
        self.inside = Workload(self.pod, str(host.cgroup / "pod"), "pod")
        self.site.apply()

    @property
    def device(self) -> str:
        """The site's on the first wire."""
        return self.trusted.end(self.site.host).device

    def links(self) -> tuple[tuple[Host, Link], tuple[Host, Link]]:
        return (self.friend, self.trusted), (self.stranger, self.other)


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    with Testbed("interfaces") as made:
        yield made
    assert made.leftovers() == []


@pytest.fixture(scope="module")
def built(bed: Testbed) -> Iterator[Ground]:
    ground = Ground(bed)
    yield ground
    ground.inside.close()
    ground.site.app.close()
    ground.site.fence.close()


@pytest.fixture
def ground(built: Ground) -> Iterator[Ground]:
    yield built
    built.site.leave_alone()
    built.site.apply()


@contextmanager
def calling(
    app: Workload, address: str, peer: Host, timeout: float = 5
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection of somebody without an Enforcer to a unit: his end, the unit's."""
    with app.listen(next(_ports)) as listener, peer.socket(_family(address), socket.SOCK_STREAM) as near:
        near.settimeout(timeout)
        near.connect((address, listener.getsockname()[1]))
        with listener.accept()[0] as far:
            yield near, far


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def exchanges(near: socket.socket, far: socket.socket) -> bool:
    for sender, receiver in ((near, far), (far, near)):
        sender.sendall(b"question")
        receiver.settimeout(5)
        assert read(receiver, 8) == b"question"
    return True


def comes_in(app: Workload, address: str, peer: Host) -> bool:
    try:
        with calling(app, address, peer, 0.5) as ends:
            return exchanges(*ends)
    except TimeoutError:
        return False


def gets_out(app: Workload, address: str, peer: Host) -> bool:
    port = next(_ports)
    with peer.socket(_family(address), socket.SOCK_STREAM) as listener:
        listener.bind((address, port))
        listener.listen()
        listener.settimeout(5)
        try:
            with app.connect(address, port, timeout=0.5) as near, listener.accept()[0] as far:
                return exchanges(near, far)
        except (TimeoutError, PermissionError, ConnectionAbortedError):
            return False


def datagram_comes_in(app: Workload, address: str, peer: Host, seconds: float) -> bool:
    port = next(_ports)
    with (
        app.make(_family(address), socket.SOCK_DGRAM, bind=(address, port)) as far,
        peer.socket(_family(address), socket.SOCK_DGRAM) as near,
    ):
        far.settimeout(seconds)
        near.settimeout(5)
        near.sendto(b"question", (address, port))
        try:
            far.sendto(b"answer", far.recvfrom(100)[1])
        except TimeoutError:
            return False
        return near.recv(100) == b"answer"


def datagram_gets_out(app: Workload, address: str, peer: Host, seconds: float) -> bool:
    port = next(_ports)
    with peer.socket(_family(address), socket.SOCK_DGRAM) as far:
        far.bind((address, port))
        far.settimeout(seconds)
        with app.make(_family(address), socket.SOCK_DGRAM, connect=(address, port)) as near:
            try:
                near.send(b"question")
                return far.recv(100) == b"question"
            except (TimeoutError, PermissionError):
                return False


def echo_is_answered(here: str, there: str, peer: Host, seconds: float) -> bool:
    version = 6 if ":" in here else 4
    kind, reply, protocol = (8, 0, ICMP) if version == 4 else (128, 129, ICMP6)
    with peer.socket(FAMILY[version], socket.SOCK_RAW, protocol) as ping:
        ping.settimeout(seconds)
        ping.sendto(internet.message(there, here, kind, rest=b"\x12\x34\0\1"), (here, 0))
        try:
            while True:
                raw = ping.recv(1000)
                if (raw[20] if version == 4 else raw[0]) == reply:
                    return True
        except TimeoutError:
            return False


@VERSIONS
def test_everything_passes_there_and_nothing_by_another_wire(ground: Ground, version: int) -> None:
    """Every protocol, both ways, without a rule: whoever is at the other end proves nothing."""
    site, app = ground.site, ground.site.app
    site.leave_alone(ground.device)
    before = site.counters()["excluded"]
    for (peer, link), passes in zip(ground.links(), (True, False), strict=True):
        own, its = link.end(site.host).address(version), link.end(peer).address(version)
        seconds = 5 if passes else 0.3
        assert comes_in(app, own, peer) is passes
        assert gets_out(app, its, peer) is passes
        assert datagram_comes_in(app, own, peer, seconds) is passes
        assert datagram_gets_out(app, its, peer, seconds) is passes
        assert echo_is_answered(own, its, peer, seconds) is passes
    assert (
        site.counters()["excluded"] - before == 8
    )  # five of the two handshakes, three datagrams; answers to echoes are the kernel's
    told = [flow for flow in site.fence.call("flows") if flow.reason == "excluded" and flow.action == "Allow"]
    its = ground.trusted.end(ground.friend).address(version)
    assert {flow.direction for flow in told if flow.peer_address == its} == {"incoming", "outgoing"}
    assert not {flow.peer_address for flow in told} & {ground.other.end(ground.stranger).address(v) for v in (4, 6)}


def test_who_is_left_alone_says_nothing_of_himself(ground: Ground) -> None:
    """No SYN and no ACK by the one wire carries an identity; those by the other one do."""
    site = ground.site
    site.apply(says(SERVER, 99, "out"), says(SERVER, 99, "in"), prefixes=ANYWHERE)
    site.leave_alone(ground.device)
    for (peer, link), stamped in zip(ground.links(), (False, True), strict=True):
        with peer.capture("tcp") as seen:
            assert gets_out(site.app, link.end(peer).address(4), peer)
            seen.wait(lambda segment: segment.payload == b"question")
        syns = [segment for segment in seen.segments() if segment.flags == "S"]
        assert syns
        assert all((segment.option(IDENTITY) is not None) is stamped for segment in syns)


def test_what_is_left_alone_no_more_is_cut_at_once(ground: Ground) -> None:
    """Without a restart; and nobody else comes in."""
    site, app = ground.site, ground.site.app
    own = ground.trusted.end(site.host).address(4)
    assert not comes_in(app, own, ground.friend)
    site.leave_alone(ground.device)
    with calling(app, own, ground.friend) as (near, far):
        assert exchanges(near, far)
        site.apply()  # a new revision is nothing to it
        site.fence.call("look")
        site.fence.call("look")
        assert exchanges(near, far)
        site.leave_alone("another0")
        for end in (near, far):
            with pytest.raises((ConnectionResetError, ConnectionAbortedError)):
                end.recv(1)
    assert not comes_in(app, own, ground.friend)


def test_a_connection_there_outlives_the_rule_that_let_it_in(ground: Ground) -> None:
    """Whoever came in by a rule before the interface was left alone is not cut with the rule; by another wire he is."""
    site, app = ground.site, ground.site.app
    site.apply(says(SERVER, 99, "in"), prefixes=ANYWHERE)
    with (
        calling(app, ground.trusted.end(site.host).address(4), ground.friend) as kept,
        calling(app, ground.other.end(site.host).address(4), ground.stranger) as cut,
    ):
        assert exchanges(*kept)
        assert exchanges(*cut)
        site.leave_alone(ground.device)
        site.apply()
        assert exchanges(*kept)
        with pytest.raises((ConnectionResetError, ConnectionAbortedError)):
            cut[1].recv(1)
        site.leave_alone()
        with pytest.raises((ConnectionResetError, ConnectionAbortedError)):
            kept[1].recv(1)


def test_a_namespace_of_ones_own_gains_nothing_by_name_or_index(ground: Ground) -> None:
    """Whoever is root in one calls his device what the host's is called, and gives it the host's index too."""
    site, inside, device = ground.site, ground.inside, ground.device
    with site.host.enter():
        index = socket.if_nametoindex(device)
    ground.pod.run(
        ["ip", "link", "add", "name", device, "index", str(index), "type", "veth", "peer", "name", "o0", "netns",
         ground.outside.net]
    )  # fmt: skip
    for host, name, address in ((ground.pod, device, "10.60.0.2/24"), (ground.outside, "o0", "10.60.0.1/24")):
        host.run(["ip", "addr", "add", address, "dev", name])
        host.run(["ip", "link", "set", name, "up"])
    with ground.pod.enter():
        assert socket.if_nametoindex(device) == index
    site.apply(says(POD, 99, "in"), says(POD, 99, "out"), prefixes=ANYWHERE)
    assert comes_in(inside, "10.60.0.2", ground.outside)  # the wire is no obstacle
    site.apply()
    site.leave_alone(device)
    assert comes_in(site.app, ground.trusted.end(site.host).address(4), ground.friend)
    before = site.counters()["excluded"]
    assert not comes_in(inside, "10.60.0.2", ground.outside)
    assert not gets_out(inside, "10.60.0.1", ground.outside)
    assert not datagram_comes_in(inside, "10.60.0.2", ground.outside, 0.3)
    assert site.counters()["excluded"] == before


def rename(host: Host, old: str, new: str) -> None:
    host.run(["ip", "link", "set", old, "down"])
    host.run(["ip", "link", "set", old, "name", new])
    host.run(["ip", "link", "set", new, "up"])


def test_a_name_counts_and_not_who_had_it(ground: Ground) -> None:
    """Renamed it is judged at once, also while there is no agent; whoever gets the name is left alone from then on."""
    site, app, device = ground.site, ground.site.app, ground.device
    (friend, trusted), (stranger, other) = ground.links()
    own, its = trusted.end(site.host).address(4), other.end(site.host).address(4)
    second = other.end(site.host).device
    site.leave_alone(device)
    with calling(app, own, friend) as (near, far):
        assert exchanges(near, far)
        rename(site.host, device, "spare0")
        with pytest.raises((ConnectionResetError, ConnectionAbortedError)):
            far.recv(1)
    assert not comes_in(app, own, friend)
    rename(site.host, second, device)
    until(lambda: comes_in(app, its, stranger))
    assert not comes_in(app, own, friend)
    site.fence.kill()
    assert comes_in(app, its, stranger)
    rename(site.host, device, second)
    assert not comes_in(app, its, stranger)
    rename(site.host, "spare0", device)
    assert not comes_in(app, own, friend)  # nobody is there to tell
    site.restart()
    site.leave_alone(device)
    site.apply()
    assert comes_in(app, own, friend)
    assert not comes_in(app, its, stranger)


def test_an_interface_that_is_made_anew_is_left_alone_again(ground: Ground) -> None:
    """Under another index, without anybody saying so."""
    site, app = ground.site, ground.site.app
    site.leave_alone("wire0")

    def make() -> int:
        ground.friend.run(["ip", "link", "add", "w0", "type", "veth", "peer", "name", "wire0", "netns", site.host.net])
        for host, name, address in ((ground.friend, "w0", "10.61.0.1/24"), (site.host, "wire0", "10.61.0.2/24")):
            host.run(["ip", "addr", "add", address, "dev", name])
            host.run(["ip", "link", "set", name, "up"])
        site.fence.call("attend")  # what the agent does every second: the device is policed from now on
        with site.host.enter():
            return socket.if_nametoindex("wire0")

    try:
        first = make()
        until(lambda: comes_in(app, "10.61.0.2", ground.friend))
        ground.friend.run(["ip", "link", "del", "w0"])
        assert make() != first
        until(lambda: comes_in(app, "10.61.0.2", ground.friend))
        assert gets_out(app, "10.61.0.1", ground.friend)
        site.leave_alone()
        assert not comes_in(app, "10.61.0.2", ground.friend)
    finally:
        ground.friend.run(["ip", "link", "del", "w0"], check=False)
