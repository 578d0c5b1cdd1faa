"""While proved connections wait for room in a full accept queue, nobody unproved gets in beside them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from testbed import Match
from testbed.packets import Segment
from tests.attack.ground import Battlefield, announces, battlefields
from tests.datapath.ground import setting
from tests.datapath.workload import read

BACKLOG = 2


@pytest.fixture(scope="module")
def field() -> Iterator[Battlefield]:
    with battlefields("full") as made:
        yield made


def waiting(field: Battlefield, listener: socket.socket) -> tuple[socket.socket, Segment]:
    """A proved connection of the client's whose ACK found the queue full, and that ACK.

    Before it the queue is filled. The connection's record is open, and there is no socket yet.
    """
    port = listener.getsockname()[1]
    hold = field.link.drop(Match("A", dport=port, payload=False), toward=field.server.host)
    with field.client.host.capture(f"dst port {port}") as taken:
        caller = field.client.app.connect(field.server.host.ipv4, port)
        ack = taken.wait(lambda s: s.flags == "A").with_()
    assert hold.dropped() == 1
    hold.end()
    return caller, ack


def accepted(listener: socket.socket, expected: int) -> list[tuple[socket.socket, tuple[str, int]]]:
    """As many as are expected, and all that the listener has to give beyond; with where each comes from."""
    found: list[tuple[socket.socket, tuple[str, int]]] = []
    while True:
        listener.settimeout(20 if len(found) < expected else 1)
        try:
            far, (address, port, *_) = listener.accept()
        except TimeoutError:
            return found
        found.append((far, (address.removeprefix("::ffff:"), port)))


def refused(field: Battlefield) -> int:
    """For want of a proof; where a cookie was all that the SYN left behind, by address."""
    counters = field.server.counters()
    return counters["dropped-proof-missing"] + counters["dropped-policy"]


@pytest.mark.parametrize("cookies", [0, 1, 2])
def test_nothing_unproved_comes_in_when_room_is_made(field: Battlefield, cookies: int) -> None:
    """Half-open connections of an attacker who claims the client's badge, a bare ACK and data on each."""
    with (
        setting("net.ipv4.tcp_syncookies", cookies, field.server.host),
        field.server.app.listen(field.port(), backlog=8 * BACKLOG) as listener,
    ):
        port = listener.getsockname()[1]
        with field.server.host.capture(f"src port {port}") as answers:
            field.send(*(field.syn(port, announces(port)) for _ in range(BACKLOG)))
            answers.wait(lambda s: s.has("SA"), count=BACKLOG)
        claimed = [s for s in answers.segments() if s.has("SA")]
        callers = [field.client.app.connect(field.server.host.ipv4, port) for _ in range(8 * BACKLOG + 1)]
        games = [
            segment
            for answer in claimed
            for segment in (
                answer.reply("A", seq=answer.ack, ack=answer.seq + 1),
                answer.reply("PA", seq=answer.ack, ack=answer.seq + 1, payload=b"evil"),
                answer.reply("FA", seq=answer.ack, ack=answer.seq + 1),
            )
        ]
        before = refused(field)
        field.send(*games)
        found = accepted(listener, len(callers))
        field.send(*games)
        found += accepted(listener, 0)
        assert refused(field) >= before + len(games)
        assert {where for _, where in found} == {caller.getsockname() for caller in callers}
        for far, _ in found:
            far.close()
        for caller in callers:
            caller.close()


@pytest.mark.parametrize("cookies", [0, 1, 2])
def test_the_record_of_a_waiting_connection_serves_nobody_else(field: Battlefield, cookies: int) -> None:
    """On the tuple of a proved connection that waits for room, an attacker opens a handshake of his own.

    He sees and drops what he likes on the wire, has the client's announcement and its proof, and lacks only the key.
    """
    with (
        setting("net.ipv4.tcp_syncookies", cookies, field.server.host),
        field.server.app.listen(field.port(), backlog=BACKLOG) as listener,
    ):
        port = listener.getsockname()[1]
        with field.client.host.capture(f"dst port {port}") as taken:
            late, ack = waiting(field, listener)
            syn = taken.wait(lambda s: s.flags == "S").with_()
        callers = [field.client.app.connect(field.server.host.ipv4, port) for _ in range(BACKLOG + 1)]
        field.send(ack)  # proved, and no room: its record waits
        for caller in callers:  # room again, for whoever comes first
            listener.accept()[0].close()
            caller.close()
        hold = field.link.drop(Match("A", dport=port, payload=True), toward=field.server.host, count=None)
        late.sendall(b"proved")
        # Or the client, with no use for it, would send an ACK that is no cookie's, and be reset: TCP's own weakness.
        path = field.client.host.links[0].drop(Match("SA", sport=port), toward=field.client.host, count=None)
        with field.server.host.capture(f"src port {port}") as answers:
            again = syn.with_(seq=(syn.seq + 0x01000000) & 0xFFFFFFFF)
            field.send(again)
            evil = []
            try:
                answer = answers.wait(lambda s: s.has("SA") and s.ack == again.seq + 1, timeout=0.5)
            except TimeoutError:
                assert cookies != 2, "only a handshake that the kernel remembers takes no second SYN"
            else:
                evil = [answer.reply("PA", seq=answer.ack, ack=answer.seq + 1, payload=b"evil")]
                evil += [evil[0].with_(options=ack.options, payload=b""), evil[0]]
        evil += [ack.with_(options=[], flags="PA", ack=ack.ack + n, payload=b"evil") for n in (-1, 1, 2, 1 << 20)]
        evil += [ack.with_(flags="PA", ack=ack.ack + n, payload=b"evil") for n in (-1, 1, 2, 1 << 20)]
        field.send(*evil)
        hold.end()
        path.end()
        found = accepted(listener, 1)
        assert [where for _, where in found] == [late.getsockname()]
        far = found[0][0]
        far.settimeout(15)
        assert read(far, 6) == b"proved"
        far.close()
        late.close()
