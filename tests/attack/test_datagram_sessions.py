"""Attacks on sessions of datagrams: chosen for somebody, kept beyond their end, or used with another's flows."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from testbed.datagrams import Datagram, Recording
from tests.attack.ground import Battlefield, battlefields
from tests.datapath.ground import CLIENT, KEY, SERVER
from tests.datapath.udp import bound, exchange, nothing, tells, trailer_of
from watchword.identity.trailer import Message, Trailer


@pytest.fixture(scope="module")
def field() -> Iterator[Battlefield]:
    with battlefields("udpsess") as made:
        yield made


@pytest.fixture
def far(field: Battlefield) -> Iterator[socket.socket]:
    with bound(field.server, 4, field.port()) as made:
        yield made


def call(field: Battlefield, far: socket.socket, data: bytes = b"question") -> dict[Message, Datagram]:
    """One exchange from a new port: what of it carried a trailer, by message."""
    port, to = far.getsockname()[1], field.server.host.ipv4
    with Recording(field.server.host, port) as wire, bound(field.client, 4) as near:
        exchange(near, far, (to, port), data)
        taken = wire.datagrams(lambda datagram: trailer_of(datagram) is not None)
    return {trailer(each).message: each for each in taken}


def trailer(datagram: Datagram) -> Trailer:
    found = trailer_of(datagram)
    assert found is not None
    return found


def forget(field: Battlefield, *tables: str) -> None:
    """Take everything out of tables of the server's."""
    for name in tables:
        path = str(field.server.pinned() / name)
        dump = field.server.host.run(["bpftool", "-j", "map", "dump", "pinned", path])
        for entry in json.loads(dump.stdout):
            field.server.host.run(["bpftool", "map", "delete", "pinned", path, "key", *entry["key"]])


def test_calls_of_a_session_that_is_over_open_nothing(field: Battlefield, far: socket.socket) -> None:
    """The next session has another nonce, whoever calls and whatever the caller says it is."""
    call(field, far)
    old = call(field, far)[Message.SESSION]
    forget(field, "udp_flows", "udp_admitted")
    field.send(old.packet())
    nothing(far)
    call(field, far)
    new = call(field, far)[Message.SESSION]
    assert trailer(new).server_nonce != trailer(old).server_nonce
    forget(field, "udp_flows")
    field.send(old.packet())
    nothing(far)


def test_nobody_chooses_a_session_for_a_client(field: Battlefield, far: socket.socket) -> None:
    """An answer with a nonce of the attacker's, or of another call's, changes nothing about the next call."""
    port, to = far.getsockname()[1], field.server.host.ipv4
    call(field, far)
    before = call(field, far)
    right = trailer(before[Message.SESSION]).server_nonce
    with Recording(field.server.host, port) as wire, bound(field.client, 4) as near:
        near.sendto(b"question", (to, port))
        data, back = far.recvfrom(100)
        assert data == b"question"
        mine = trailer(wire.wait(tells(Message.SESSION)))
        evil = Datagram(to, back[0], port, back[1])
        answer = replace(trailer(before[Message.ANSWER]), nonce=mine.nonce, bodyless=True)
        chosen = [
            replace(answer, server_nonce=right ^ 2),
            replace(answer, server_nonce=right ^ 2, badge=SERVER).proved(bytes(16), mine.badge, SERVER),
            replace(trailer(before[Message.ANSWER]), server_nonce=right ^ 2).proved(KEY, mine.badge, SERVER),
        ]
        field.send_to_client(*(evil.with_(surplus=each.surplus(evil.length)).packet() for each in chosen))
        far.sendto(b"answer", back)
        assert near.recv(100) == b"answer"
    assert trailer(call(field, far)[Message.SESSION]).server_nonce == right


def test_a_call_counts_once_wherever_it_comes_from(field: Battlefield, far: socket.socket) -> None:
    """Its number is used up: from the attacker's address, from other ports, and after the flow is forgotten."""
    port = far.getsockname()[1]
    call(field, far)
    used = call(field, far)[Message.SESSION]
    copies = [used.with_(source=field.attacker.ipv4), used.with_(sport=used.sport ^ 1)]
    field.send(*(each.packet() for each in copies))
    nothing(far)
    forget(field, "udp_flows")
    field.send(used.packet(), *(each.packet() for each in copies))
    nothing(far)
    raised = replace(trailer(used), nonce=trailer(used).nonce + 1)
    field.send(used.with_(surplus=raised.surplus(used.length)).packet())
    nothing(far)
    assert port == used.dport


def test_a_call_that_was_held_back_is_good_for_its_own_address_only(field: Battlefield, far: socket.socket) -> None:
    """A proof that nobody has used yet, with data of the attacker's, before and after the client's own."""
    call(field, far)
    used = call(field, far)[Message.SESSION]
    fresh = replace(trailer(used), nonce=trailer(used).nonce + 1).proved(KEY, CLIENT, SERVER)
    held = used.with_(sport=used.sport ^ 1, surplus=fresh.surplus(used.length))
    stolen = held.with_(source=field.attacker.ipv4, payload=b"attacker")
    assert len(stolen.payload) == len(held.payload)
    field.send(stolen.packet())
    nothing(far)
    field.send(held.packet())
    assert far.recv(100) == held.payload
    field.send(stolen.packet())
    nothing(far)
