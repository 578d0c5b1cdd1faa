"""Small tables, filled to the last entry: what is lost is counted exactly, what is decided stays right."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from collections.abc import Iterator, Mapping

import pytest

from testbed.packets import Option, Segment, mss
from tests.datapath.ground import CLIENT, SERVER, Connection, Ground, Verdicts, grounds, says, setting, until
from watchword.enforcer.datapath.base import BadgeMissed, DatapathError, EventsLost
from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf import libbpf
from watchword.enforcer.datapath.ebpf.object import Map
from watchword.enforcer.datapath.ebpf.sizes import checked_sizes
from watchword.identity.transcript import OPTION_KIND, SynOption
from watchword.policy.tables import Tables, Verdict, VerdictKey

LIVE, FLOWS, RING = 3, 8, 4096
SIZES = {"live": LIVE, "flows": FLOWS, "events": RING, "verdicts": 64, "peers": 16, "prefixes4": 16, "prefixes6": 16}


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("tables", sizes=SIZES) as made:
        yield made


@pytest.fixture(autouse=True)
def allowed(ground: Ground) -> None:
    ground.allow()


# --- the table of live connections


def until_refused(ground: Ground, listener: socket.socket) -> tuple[list[Connection], socket.socket]:
    """Young connections, until one would need the slot of another; that one, which the client takes for open."""
    young: list[Connection] = []
    listener.settimeout(0.5)
    for _ in range(2 * (layout.Limit.YOUNG_FIRST + layout.Limit.YOUNG_SECOND)):
        near = ground.client.app.connect(ground.server.host.ipv4, listener.getsockname()[1])
        try:
            far, _ = listener.accept()
        except TimeoutError:
            return young, near
        far.settimeout(10)
        young.append(Connection(near, far))
    raise AssertionError(f"{len(young)} young connections, and each has a slot of its own")


def test_a_full_table_of_connections_refuses_one_that_needs_room_and_touches_none(ground: Ground) -> None:
    """Whoever finds another's young connection in its slots waits until there is room; every refusal is counted."""
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        old = [ground.connect(listener) for _ in range(LIVE)]
        ground.server.fence.call("flows")  # a look: the table is full now
        before = ground.server.counters()["dropped-no-memory"]
        first = ground.connect(listener)
        for _ in range(3):
            ground.server.fence.call("flows")
        assert ground.server.counters()["dropped-no-memory"] == before, "to stay in its slot is no loss"
        with ground.server.host.capture(f"dst port {port}") as taken_in:
            young, late = until_refused(ground, listener)
            source = late.getsockname()[1]

            def proofs() -> int:
                sent = [s for s in taken_in.segments() if s.sport == source and s.flags == "A"]
                return len([s for s in sent if s.option(OPTION_KIND)])

            until(lambda: ground.server.counters()["dropped-no-memory"] - before == proofs() > 0)
        for connection in (*old, first, *young):
            connection.exchange()
        old[0].close()
        until(lambda: room(ground) > 0)
        listener.settimeout(20)
        far, _ = listener.accept()  # by the SYN-ACK that is sent again
        far.settimeout(10)
        Connection(late, far).exchange()
        for connection in (*old[1:], first, *young, Connection(late, far)):
            connection.close()
        until(lambda: ground.server.flow(port).connections == LIVE + len(young) + 2)
        assert ground.server.flow(port).proved


def test_a_full_table_of_connections_refuses_who_has_no_slot(ground: Ground) -> None:
    """What SYN cookies let in has no request to be found by, and so no slot: it needs room at once."""
    with setting("net.ipv4.tcp_syncookies", 2, ground.server.host), ground.listen() as listener:
        with ground.connect(listener) as connection:
            connection.exchange()
        until(lambda: room(ground) == LIVE)
        old = [ground.connect(listener) for _ in range(LIVE)]
        before = ground.server.counters()["dropped-no-memory"]
        listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            ground.connect(listener)
        assert ground.server.counters()["dropped-no-memory"] == before + 1
        for connection in old:
            connection.exchange()
            connection.close()
        until(lambda: room(ground) == LIVE)
        listener.settimeout(10)
        with ground.connect(listener) as connection:
            connection.exchange()
        until(lambda: ground.server.flow(listener.getsockname()[1]).connections == LIVE + 2)


def room(ground: Ground) -> int:
    """How many more connections the server's table can hold."""
    descriptor = libbpf.pinned(str(ground.server.pinned() / "live"))
    assert descriptor is not None
    try:
        return LIVE - len(Map(descriptor, ctypes.c_uint64, layout.Flow).items_batched())
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("at", ["server", "client"])
def test_a_young_connection_without_room_is_revoked_like_others(ground: Ground, at: str) -> None:
    """It stays where its handshake was; a revision finds it there, and looks of the agent leave it alone till then."""
    with ground.listen() as listener:
        old = [ground.connect(listener) for _ in range(LIVE)]
        ground.server.fence.call("flows")
        assert room(ground) == 0
        young = ground.connect(listener)
        for _ in range(3):
            ground.server.fence.call("flows")
        young.exchange()
        (ground.server if at == "server" else ground.client).apply()
        for connection in (*old, young):
            told = connection.ended()
            assert set(told.values()) <= {"ConnectionResetError", "ConnectionAbortedError"}, told
            connection.close()
        until(lambda: room(ground) == LIVE)


# --- aggregates and events


def stranger(ground: Ground, port: int, number: int, *options: Option) -> Segment:
    """A SYN from nobody's address on the client's link."""
    source = f"10.77.1.{100 + number % 100}"
    there = ground.server.host.ipv4
    return Segment(source, there, 30000 + number, port, "S", seq=number << 8, options=[mss(), *options])


def test_full_aggregates_lose_observations_and_decide_the_same(ground: Ground) -> None:
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        already = len(ground.server.fence.call("flows"))
        before = ground.server.counters()
        strangers = 30
        ground.link.inject(ground.server.host, *(stranger(ground, port, number) for number in range(strangers)))
        until(lambda: ground.server.counters()["dropped-policy"] == before["dropped-policy"] + strangers)
        kept = ground.server.fence.call("flows")
        assert len(kept) == FLOWS
        lost = ground.server.counters()["flow-lost"] - before["flow-lost"]
        assert lost == strangers - (FLOWS - already)
        listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            listener.accept()
        listener.settimeout(10)
        with ground.connect(listener) as connection:
            connection.exchange()
        until(lambda: ground.server.counters()["flow-lost"] == before["flow-lost"] + lost + 1)
        assert ground.client.flow(port).proved


def test_a_full_ring_loses_events_and_says_how_many(ground: Ground) -> None:
    """The agent sleeps while 300 unknown badges come; each is either delivered or counted as lost, and none gets in."""
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        before, heard = ground.server.counters(), len(ground.server.events())
        badges = range(0xD0000000, 0xD0000000 + 300)
        announced = [
            stranger(ground, port, number, Option(OPTION_KIND, SynOption(badge, 1, port, number).data()))
            for number, badge in enumerate(badges)
        ]
        os.kill(ground.server.fence.pid, signal.SIGSTOP)
        try:
            ground.link.inject(ground.server.host, *announced)
        finally:
            os.kill(ground.server.fence.pid, signal.SIGCONT)
        wanted = before["dropped-badge-unknown"] + len(badges)
        until(lambda: ground.server.counters()["dropped-badge-unknown"] == wanted)
        lost = ground.server.counters()["event-lost"] - before["event-lost"]
        assert 0 < lost < len(badges)
        until(lambda: any(isinstance(event, EventsLost) for event in ground.server.events()[heard:]))
        told = ground.server.events()[heard:]
        assert sum(event.count for event in told if isinstance(event, EventsLost)) == lost
        assert [event.badge for event in told if isinstance(event, BadgeMissed)] == list(badges[: len(badges) - lost])
        with ground.connect(listener) as connection:
            connection.exchange()


# --- tables of a revision


def verdicts(count: int, action: str = "Allow") -> Verdicts:
    """Verdicts about as many peer classes that nobody has."""
    return {VerdictKey(SERVER, 100 + n, "in", 255, 0): Verdict(action, f"rule {n}") for n in range(count)}  # type: ignore[arg-type]


def with_peers(tables: Tables, count: int) -> Tables:
    more = {0xE0000000 + n: type(tables.peers[CLIENT])(0xE0000000 + n, "client", 100 + n) for n in range(count)}
    return Tables(**{name: getattr(tables, name) for name in FIELDS} | {"peers": {**tables.peers, **more}})


FIELDS = ("revision", "units", "peers", "prefixes", "prefix_networks", "segments", "verdicts", "reachable")


def too_large(ground: Ground, table: str) -> Tables:
    """A revision that lets nobody in, were it in force, and that does not fit."""
    side = ground.server
    if table == "verdicts":
        return side.tables(verdicts(100))
    if table == "peers":
        return with_peers(side.tables({}), 30)
    nets = "10.{}.0.0/16" if table == "prefixes4" else "fd00:{}::/32"
    return side.tables({}, prefixes={nets.format(n): 100 + n for n in range(30)})


@pytest.mark.parametrize("table", ["verdicts", "peers", "prefixes4", "prefixes6"])
def test_a_revision_that_does_not_fit_is_refused_and_the_old_one_holds(ground: Ground, table: str) -> None:
    before = ground.server.revision
    with ground.listen() as listener, ground.connect(listener) as standing:
        for _ in range(2):
            with pytest.raises(
                DatapathError, match=rf"table {table} is full: .* room for {SIZES[table]} .*table_sizes"
            ):
                ground.server.fence.call("apply", too_large(ground, table))
            assert ground.server.fence.call("revision") == before
            standing.exchange()
            with ground.connect(listener) as again:
                again.exchange()
        ground.allow()
        with ground.connect(listener) as again:
            again.exchange()
        standing.exchange()


def test_nothing_of_a_revision_that_did_not_fit_is_ever_in_force(ground: Ground) -> None:
    """It would have let the client in. What comes after it, in the same bank, does not; also after a restart."""
    with ground.listen() as listener:
        for restart in (False, True):
            ground.server.apply()
            lets_in = says(SERVER, CLIENT, "in") | verdicts(100)
            with pytest.raises(DatapathError, match="verdicts is full"):
                ground.server.fence.call("apply", ground.server.tables(lets_in))
            if restart:
                ground.server.fence.kill()
                ground.server.restart()
                ground.trust()
            for _ in range(3):  # both banks
                ground.server.apply(says(SERVER, 1234, "in"))
                with pytest.raises(TimeoutError):
                    ground.connect(listener, timeout=0.6)
                ground.server.apply()


@pytest.mark.parametrize(
    ("sizes", "says_what"),
    [
        ({"state": 5}, "table_sizes.state: no such table; choose among datagrams, events"),
        ({"live": 0}, "table_sizes.live: 0 is not possible"),
        ({"events": 5000}, "table_sizes.events: 5000 bytes; choose a power of two"),
    ],
)
def test_a_size_that_cannot_be_is_named(sizes: Mapping[str, int], says_what: str) -> None:
    with pytest.raises(DatapathError, match=says_what):
        checked_sizes(sizes)


def test_a_later_agent_takes_the_tables_as_they_are(ground: Ground) -> None:
    """With other sizes in its settings too: the tables hold what is in force."""
    ground.server.fence.sizes = {"live": 100}
    ground.server.fence.kill()
    ground.server.restart()
    ground.trust()
    ground.allow()
    with ground.listen() as listener, ground.connect(listener) as connection:
        connection.exchange()
        ground.server.fence.call("flows")
    assert room(ground) <= LIVE
