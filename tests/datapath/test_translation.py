"""Addresses and ports are translated on the way, or on a host itself: identities are proved all the same.

A client judges by the port that it dialled, a server by the port at which it is reached, and each by who the
other one has proved to be, whatever address stood in between.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testbed.translation import Chain, dialled, masqueraded, redirected
from tests.datapath.estate import Estate, accepted, estates
from tests.datapath.ground import Side, says
from tests.datapath.workload import Workload

#: Addresses that no host has: only translation leads on.
NOWHERE = {4: "10.99.0.1", 6: "fd99::1"}

VERSIONS = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def estate() -> Iterator[Estate]:
    with estates("nat", ["client", "web", "spare", "closed"], {"web": ["shop", "db"]}) as made:
        for host in (made[name].host for name in made.sides):
            host.sysctl("net.ipv4.conf.all.route_localnet", 1)
        yield made


@pytest.fixture(autouse=True)
def allowed(estate: Estate) -> None:
    allow(estate)


def allow(estate: Estate) -> None:
    """The client may meet web and spare, and they it; closed lets nobody in, though the client may call it."""
    estate["client"].apply(estate.meet("client", "web", "spare", "closed"))
    for name in ("web", "spare"):
        estate[name].apply(estate.meet(name, "client", direction="in"))
    estate["closed"].apply()


def proved(side: Side, peer: Side, port: int, connections: int = 1) -> None:
    """The unit of this side has had so many connections with the unit of that one, on this port, all proved."""
    flow = side.flow(port)
    assert (flow.proved, flow.peer_badge, flow.connections) == (True, peer.badge, connections), flow


@VERSIONS
def test_source_translation(estate: Estate, version: int) -> None:
    """The server sees the router's address and port, and knows the client."""
    client, web = estate["client"], estate["web"]
    link, port = web.host.links[0], estate.port()
    with masqueraded(estate.router, link.near.device, version), web.app.listen(port) as listener:
        connection, _ = accepted(client.app.connect(web.host.address(version), port), listener)
        with connection:
            assert connection.far.getpeername()[0].removeprefix("::ffff:") == link.near.address(version)
            connection.exchange()
            proved(client, web, port)
            proved(web, client, port)


@VERSIONS
@pytest.mark.parametrize("moved", [False, True], ids=["same port", "other port"])
def test_destination_translation(estate: Estate, version: int, moved: bool) -> None:
    """Each end knows the other by its identity and records the port as it knows it."""
    client, web = estate["client"], estate["web"]
    outer, inner = estate.port(), estate.port()
    inner = inner if moved else outer
    backends = [(web.host.address(version), inner)]
    with dialled(estate.router, NOWHERE[version], outer, backends), web.app.listen(inner) as listener:
        connection, _ = accepted(client.app.connect(NOWHERE[version], outer), listener)
        with connection:
            connection.exchange()
            proved(client, web, outer)
            proved(web, client, inner)


@VERSIONS
def test_both_translations_at_once(estate: Estate, version: int) -> None:
    client, web = estate["client"], estate["web"]
    outer, inner = estate.port(), estate.port()
    with (
        masqueraded(estate.router, web.host.links[0].near.device, version),
        dialled(estate.router, NOWHERE[version], outer, [(web.host.address(version), inner)]),
        web.app.listen(inner) as listener,
    ):
        connection, _ = accepted(client.app.connect(NOWHERE[version], outer), listener)
        with connection:
            connection.exchange()
            proved(client, web, outer)
            proved(web, client, inner)


@VERSIONS
def test_a_revision_reaches_a_translated_connection(estate: Estate, version: int) -> None:
    """Its record is found and its socket reset although the two ends name it differently."""
    client, web = estate["client"], estate["web"]
    for refusing in (client, web):
        allow(estate)
        outer, inner = estate.port(), estate.port()
        with (
            masqueraded(estate.router, web.host.links[0].near.device, version),
            dialled(estate.router, NOWHERE[version], outer, [(web.host.address(version), inner)]),
            web.app.listen(inner) as listener,
        ):
            connection, _ = accepted(client.app.connect(NOWHERE[version], outer), listener)
            with connection:
                connection.exchange()
                refusing.apply()
                told = connection.ended()
                assert set(told.values()) <= {"ConnectionResetError", "ConnectionAbortedError"}, told


@VERSIONS
def test_the_server_judges_by_its_own_port(estate: Estate, version: int) -> None:
    """An explicit reject is answered through the translation, and the record names the port behind it."""
    client, web = estate["client"], estate["web"]
    web.apply(says(web.badge, client.badge, "in", "Reject", explicit=True, rule="no"))
    outer, inner = estate.port(), estate.port()
    with dialled(estate.router, NOWHERE[version], outer, [(web.host.address(version), inner)]), web.app.listen(inner):
        with pytest.raises(ConnectionRefusedError):
            client.app.connect(NOWHERE[version], outer, timeout=8)
        assert web.flow(inner, "Reject").rule == "no"
        assert web.flows(outer) == []


@VERSIONS
def test_each_backend_proves_itself(estate: Estate, version: int) -> None:
    """One address, two units in turn: every connection is recorded with the unit that it came to."""
    client, web, spare = (estate[name] for name in ("client", "web", "spare"))
    outer, inner = estate.port(), estate.port()
    backends = [(side.host.address(version), inner) for side in (web, spare)]
    with (
        dialled(estate.router, NOWHERE[version], outer, backends),
        web.app.listen(inner) as first,
        spare.app.listen(inner) as second,
    ):
        reached = []
        for _ in range(6):
            connection, index = accepted(client.app.connect(NOWHERE[version], outer), first, second)
            with connection:
                connection.exchange()
            reached.append(index)
        assert sorted(reached) == [0, 0, 0, 1, 1, 1]
        seen = {flow.peer_badge: (flow.proved, flow.connections) for flow in client.flows(outer)}
        assert seen == {web.badge: (True, 3), spare.badge: (True, 3)}
        proved(web, client, inner, 3)
        proved(spare, client, inner, 3)


@VERSIONS
def test_a_backend_that_refuses_refuses(estate: Estate, version: int) -> None:
    """The balancer's turn decides where a SYN goes, the unit there whether it is answered."""
    client, web, closed = (estate[name] for name in ("client", "web", "closed"))
    outer, inner = estate.port(), estate.port()
    backends = [(side.host.address(version), inner) for side in (web, closed)]
    with (
        dialled(estate.router, NOWHERE[version], outer, backends),
        web.app.listen(inner) as listener,
        closed.app.listen(inner) as shut,
    ):
        callers = [client.app.begin(NOWHERE[version], outer) for _ in range(4)]
        arrived = [listener.accept()[0] for _ in range(2)]
        for one in (listener, shut):
            one.settimeout(0.3)
            with pytest.raises(TimeoutError):
                one.accept()
        for end in (*callers, *arrived):
            end.close()
    assert closed.flow(inner, "Reject").connections >= 2
    assert (closed.flow(inner, "Reject").peer_badge, closed.flow(inner, "Reject").reason) == (client.badge, "policy")
    assert [flow.peer_badge for flow in client.flows(outer)] == [web.badge]


@VERSIONS
def test_redirection_on_the_servers_host(estate: Estate, version: int) -> None:
    client, web = estate["client"], estate["web"]
    outer, inner = estate.port(), estate.port()
    with redirected(web.host, version, outer, inner), web.app.listen(inner) as listener:
        connection, _ = accepted(client.app.connect(web.host.address(version), outer), listener)
        with connection:
            connection.exchange()
            proved(client, web, outer)
            proved(web, client, inner)


@VERSIONS
def test_translation_on_the_clients_host(estate: Estate, version: int) -> None:
    """As a service address in a cluster: the host of the client itself translates, both ways."""
    client, web = estate["client"], estate["web"]
    outer, inner = estate.port(), estate.port()
    backends = [(web.host.address(version), inner)]
    with (
        dialled(client.host, NOWHERE[version], outer, backends, "OUTPUT"),
        masqueraded(client.host, client.host.end.device, version),
        web.app.listen(inner) as listener,
    ):
        connection, _ = accepted(client.app.connect(NOWHERE[version], outer), listener)
        with connection:
            connection.exchange()
            proved(client, web, outer)
            proved(web, client, inner)


@pytest.fixture(scope="module")
def units(estate: Estate) -> Iterator[tuple[Workload, Workload]]:
    """Shop and db, two units on the host of web."""
    made = [Workload(estate["web"].host, name) for name in ("shop", "db")]
    yield made[0], made[1]
    for workload in made:
        workload.close()


@VERSIONS
@pytest.mark.parametrize("path", ["own host", "hairpin"])
@pytest.mark.parametrize("may", [True, False], ids=["allowed", "refused"])
def test_two_units_of_one_host_meet_through_another_address(
    estate: Estate, units: tuple[Workload, Workload], version: int, path: str, may: bool
) -> None:
    """Translated on the host itself, or by the router, which sends the packets back where they came from."""
    web, (shop_app, db_app) = estate["web"], units
    shop, db = web.neighbours["shop"], web.neighbours["db"]
    outer, inner = estate.port(), estate.port()
    web.apply(says(shop, db, "out"), says(db, shop, "in") if may else {})
    chain: Chain = "OUTPUT" if path == "own host" else "PREROUTING"
    where, device = (web.host, "lo") if path == "own host" else (estate.router, web.host.links[0].near.device)
    with (
        dialled(where, NOWHERE[version], outer, [(web.host.address(version), inner)], chain),
        masqueraded(where, device, version),
        db_app.listen(inner) as listener,
    ):
        near = shop_app.begin(NOWHERE[version], outer)
        if not may:
            listener.settimeout(0.5)
            with pytest.raises(TimeoutError):
                listener.accept()
            near.close()
            assert web.flow(inner, "Reject").peer_badge == shop
            return
        connection, _ = accepted(near, listener)
        with connection:
            connection.exchange()
            seen = {f.unit_badge: (f.direction, f.peer_badge, f.proved) for p in (outer, inner) for f in web.flows(p)}
            assert seen == {shop: ("outgoing", db, True), db: ("incoming", shop, True)}
