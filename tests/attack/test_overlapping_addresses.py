"""Two tenants with the same addresses, each in network namespaces of its own: what one has opened is not the other's.

Every tuple is the same on both sides: addresses, ports and sequence numbers. Only the unit tells them apart.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator, Mapping

import pytest

from testbed import Testbed
from testbed.internet import ipv4
from tests.datapath.ground import SERVER, Side, says, until
from tests.datapath.workload import Workload, read

ONE, TWO = 0xB0000011, 0xB0000012
TENANTS, NETWORK = "10.50.0.0/24", 99
INSIDE, OUTSIDE = "10.50.0.2", "10.50.0.1"
_UDP = 17

_ports = itertools.count(5000)


class Tenant:
    """One unit in a namespace of its own, and somebody without an Enforcer at the other end of its wire."""

    def __init__(self, bed: Testbed, side: Side, name: str) -> None:
        self.inside, self.outside = bed.host(f"{name}-in"), bed.host(f"{name}-out")
        self.link = bed.direct(self.outside, self.inside)
        for host, address in ((self.inside, INSIDE), (self.outside, OUTSIDE)):
            host.run(["ip", "addr", "add", f"{address}/24", "dev", self.link.end(host).device])
        self.app = Workload(self.inside, str(side.host.cgroup / name), name)

    def call(self, port: int, source: int) -> socket.socket:
        """A connection from outside, by its address; raises TimeoutError where there is none."""
        made = self.outside.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.settimeout(0.7)
        try:
            made.bind((OUTSIDE, source))
            made.connect((INSIDE, port))
        except BaseException:
            made.close()
            raise
        return made


class Site(Side):
    """A host that has the units of two tenants."""

    known: Mapping[int, str] = {SERVER: "server", ONE: "server", TWO: "server"}

    def may(self, *units: int) -> None:
        """Say which units take whoever calls by address."""
        self.apply(*(says(unit, NETWORK, "in") for unit in units), prefixes={TENANTS: NETWORK})


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    with Testbed("overlap") as made:
        yield made
    assert made.leftovers() == []


@pytest.fixture(scope="module")
def site(bed: Testbed) -> Iterator[Site]:
    host = bed.host("server")
    made = Site(host, "server", SERVER, {"one": ONE, "two": TWO})
    yield made
    made.app.close()
    made.fence.close()


@pytest.fixture(scope="module")
def tenants(bed: Testbed, site: Site) -> Iterator[tuple[Tenant, Tenant]]:
    made = Tenant(bed, site, "one"), Tenant(bed, site, "two")
    yield made
    for tenant in made:
        tenant.app.close()


def test_a_tuple_that_is_open_at_one_is_closed_at_the_other(site: Site, tenants: tuple[Tenant, Tenant]) -> None:
    """Before the first has a connection, while it has one, and after; also by segments with the first one's numbers."""
    one, two = tenants
    site.may(ONE)
    port, source = next(_ports), next(_ports)
    with one.app.listen(port) as first, two.app.listen(port) as second:
        with pytest.raises(TimeoutError):
            two.call(port, source)
        with one.inside.capture(f"dst port {port}") as seen, one.call(port, source) as near, first.accept()[0] as far:
            near.sendall(b"mine")
            far.settimeout(10)
            assert read(far, 4) == b"mine"
            seen.wait(lambda s: s.payload == b"mine")
            with pytest.raises(TimeoutError):
                two.call(port, source)
            two.link.inject(two.inside, *seen.segments())
            near.sendall(b"still")
            assert read(far, 5) == b"still"
        two.link.inject(two.inside, *seen.segments())
        second.settimeout(0.3)
        with pytest.raises(TimeoutError):
            second.accept()


def test_one_is_revoked_and_the_other_goes_on(site: Site, tenants: tuple[Tenant, Tenant]) -> None:
    """Two connections with the very same ends: each has a record of its own, also when the other's is gone."""
    site.may(ONE, TWO)
    port, source = next(_ports), next(_ports)
    ends: list[tuple[socket.socket, socket.socket]] = []
    try:
        for tenant in tenants:
            with tenant.app.listen(port) as listener:
                near = tenant.call(port, source)
                ends.append((near, listener.accept()[0]))
        site.may(ONE)
        for _ in range(2):
            site.fence.call("flows")
        for near, far in ends:
            far.settimeout(0.5)
            near.sendall(b"after")
        assert read(ends[0][1], 5) == b"after"
        with pytest.raises((TimeoutError, ConnectionResetError)):
            ends[1][1].recv(1)
        ends[1][0].close()
        ends[1][1].close()
        ends[0][0].sendall(b"alone")
        assert read(ends[0][1], 5) == b"alone"
        site.may()
        ends[0][0].sendall(b"no more")
        with pytest.raises((TimeoutError, ConnectionResetError)):
            ends[0][1].recv(1)
    finally:
        for end in itertools.chain(*ends):
            end.close()


def test_a_datagram_flow_of_one_is_none_of_the_other(site: Site, tenants: tuple[Tenant, Tenant]) -> None:
    one, two = tenants
    site.may(ONE)
    port, source = next(_ports), next(_ports)
    head = source.to_bytes(2, "big") + port.to_bytes(2, "big") + (12).to_bytes(2, "big") + bytes(2)
    packet = ipv4(OUTSIDE, INSIDE, _UDP, head + b"mine")
    with _bound(one, port) as first, _bound(two, port) as second:
        for _ in range(2):
            one.link.inject(one.inside, packet)
            assert first.recv(10) == b"mine"
            two.link.inject(two.inside, packet)
        second.settimeout(0.3)
        with pytest.raises(TimeoutError):
            second.recv(10)


def _bound(tenant: Tenant, port: int) -> socket.socket:
    made = tenant.app.make(socket.AF_INET, socket.SOCK_DGRAM, bind=(INSIDE, port))
    made.settimeout(10)
    return made


def test_a_name_on_one_loopback_is_nobodys_on_another(site: Site, tenants: tuple[Tenant, Tenant]) -> None:
    """While a unit has a flow on the host's own loopback, another namespace has one with the very same ends."""
    _, two = tenants
    here = Workload(site.host, "one", "here")
    stranger = Workload(two.inside, str(site.host.cgroup / "stranger"), "stranger")
    site.apply(says(TWO, ONE, "in"), says(ONE, NETWORK, "out"), prefixes={"127.0.0.0/8": NETWORK})
    source, port = next(_ports), next(_ports)
    loopback = "127.0.0.1"
    with (
        here.make(socket.AF_INET, socket.SOCK_DGRAM, bind=(loopback, source)) as known,
        stranger.make(socket.AF_INET, socket.SOCK_DGRAM, bind=(loopback, source)) as forging,
        stranger.make(socket.AF_INET, socket.SOCK_DGRAM, bind=(loopback, next(_ports))) as other,
        two.app.make(socket.AF_INET, socket.SOCK_DGRAM, bind=(loopback, port)) as hearing,
    ):
        hearing.settimeout(0.5)
        forging.sendto(b"before", (loopback, port))
        with pytest.raises(TimeoutError):
            hearing.recv(10)
        known.sendto(b"known", (loopback, port))
        until(lambda: [f.action for f in site.flows(port) if f.direction == "outgoing"] == ["Allow"])
        other.sendto(b"other", (loopback, port))
        with pytest.raises(TimeoutError):
            hearing.recv(10)
        forging.sendto(b"as one", (loopback, port))
        with pytest.raises(TimeoutError):
            hearing.recv(10)
    for app in (here, stranger):
        app.close()
